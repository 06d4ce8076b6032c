//! `upnext generate`: next-item lists for every user of a prepared folder or an event file.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use upnext_data::{Catalog, Histories, UserId};
use upnext_generate::{Generator, ItemMap, Options, Request, Threads};
use upnext_tables::{Layout, RowSink};

use crate::args::GenerateArgs;
use crate::failure::{BadInput, PARTLY};
use crate::prepare::reading;
use crate::rules::Rules;
use crate::{interrupt, open, say, shown};

/// Users named in the summary of short or failed lists.
const NAMED: usize = 10;

pub(crate) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    let options = Options { threads: Threads::Pool(rayon::current_num_threads()), ..Options::default() };
    refuse_own_inputs(args)?;
    open::check_model(&args.model)?;
    let generator = Generator::open(&args.model, options)?;
    let (catalog, histories) = histories(args)?;
    let asking = Asking {
        map: generator.item_map(&catalog),
        deny: known_keys(args.deny.as_deref(), generator.catalog())?.unwrap_or_default(),
        allow: known_keys(args.allow.as_deref(), generator.catalog())?,
        rules: Rules::of(&args.rules, &generator)?,
        args,
    };
    let started = Instant::now();
    let mut tally = Tally::default();
    let mut text = String::new();
    interrupt::catch("stopping; no list will be written")?;
    let mut sink = RowSink::with_layout(&args.out, if args.nested { Layout::Nested } else { Layout::Rows })?;
    let bar =
        if say::is_watched() { ProgressBar::new(histories.users() as u64) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("lists {wide_bar} {pos}/{len} {per_sec} {eta} left")?);
    let users: Vec<UserId> = histories.iter().map(|(user, _)| user).collect();
    for batch in users.chunks(args.batch as usize) {
        if interrupt::asked() {
            // Leaving drops the sink, which takes its unfinished file away.
            bail!("interrupted; {} is as it was", args.out.display());
        }
        let requests: Vec<Request> =
            batch.iter().map(|&user| asking.request(&histories, user)).collect::<Result<_>>()?;
        for (&user, answer) in batch.iter().zip(generator.generate(&requests)) {
            let key = histories.user_key(user);
            match answer {
                Ok(slate) => {
                    sink.slate(key, &slate)?;
                    tally.add(key, &slate);
                    if user.index() < args.show {
                        let items = histories.of(user).items;
                        text.push_str(&shown::list(key, items, &catalog, &slate, generator.catalog()));
                    }
                }
                Err(error) => tally.fail(key, &error),
            }
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    if let (0, Some((user, error))) = (tally.lists, tally.failures.first()) {
        return Err(error.clone()).with_context(|| format!("no list for anybody; the first, user {user:?}"));
    }
    let rows = sink.finish()?;
    tally.report(args, rows, started.elapsed().as_secs_f64())?;
    say::result(&text)?;
    Ok(if tally.failed > 0 { ExitCode::from(PARTLY) } else { ExitCode::SUCCESS })
}

/// The histories to continue, with the catalogue that their ids belong to.
fn histories(args: &GenerateArgs) -> Result<(Catalog, Histories)> {
    if let Some(dir) = &args.data {
        let data = open::prepared(dir)?;
        return Ok((data.catalog, data.histories));
    }
    let options = reading(args.histories.iter().cloned().collect(), &args.input);
    let (catalog, histories) = upnext_tables::read(&options, &mut |_| ControlFlow::Continue(()))?;
    Ok((catalog, histories))
}

/// A file that lists are made from is not replaced by them.
fn refuse_own_inputs(args: &GenerateArgs) -> Result<()> {
    let Ok(out) = args.out.canonicalize() else { return Ok(()) };
    let mut inputs = [&args.histories, &args.deny, &args.allow].into_iter().flatten();
    match inputs.find(|input| input.canonicalize().is_ok_and(|input| input == out)) {
        Some(input) => {
            let what = format!("--out {} is also read as input; name another file", input.display());
            Err(BadInput(what).into())
        }
        None => Ok(()),
    }
}

/// Those item ids of a file, one a line, that the model knows; the others are counted aloud.
fn known_keys(path: Option<&Path>, catalog: &Catalog) -> Result<Option<Vec<String>>> {
    let Some(path) = path else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|source| BadInput::unreadable(path, &source))?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty());
    let (mut known, unknown): (Vec<&str>, Vec<&str>) = lines.partition(|key| catalog.find(key).is_some());
    known.sort_unstable();
    known.dedup();
    if let Some(first) = unknown.first() {
        let (path, first) = (path.display(), say::shorten(first, 40));
        say::news(&format!(
            "{path}: {} ids are not the model's, {first:?} the first",
            say::count(unknown.len())
        ));
        if known.is_empty() {
            return Err(BadInput(format!("{path}: no line is the id of an item that the model knows")).into());
        }
    }
    Ok(Some(known.into_iter().map(str::to_owned).collect()))
}

/// What every request of the job has in common.
struct Asking<'a> {
    map: ItemMap,
    deny: Vec<String>,
    allow: Option<Vec<String>>,
    rules: Rules,
    args: &'a GenerateArgs,
}

impl Asking<'_> {
    fn request(&self, histories: &Histories, user: UserId) -> Result<Request> {
        let deny: Vec<&str> = self.deny.iter().map(String::as_str).collect();
        let mut builder = self
            .map
            .request(histories.of(user).items)
            .length(self.args.length as usize)
            .method(self.args.methods.of(self.args.method))
            .seed_for(self.args.methods.seed, histories.user_key(user))
            .keep_seen(self.args.keep_seen)
            .adjust(self.args.adjust.adjustment())
            .deny(&deny);
        if let Some(allow) = &self.allow {
            let allow: Vec<&str> = allow.iter().map(String::as_str).collect();
            builder = builder.allow(&allow);
        }
        Ok(self.rules.add(builder).build()?)
    }
}

/// What happened to the lists of a job.
#[derive(Default)]
struct Tally {
    lists: u64,
    short: u64,
    fallback: u64,
    skipped_events: u64,
    failed: u64,
    short_users: Vec<String>,
    failures: Vec<(String, upnext_generate::RequestError)>,
}

impl Tally {
    fn add(&mut self, user: &str, slate: &upnext_generate::Slate) {
        self.lists += 1;
        self.fallback += u64::from(slate.fallback);
        self.skipped_events += slate.skipped as u64;
        if slate.is_short() {
            self.short += 1;
            if self.short_users.len() < NAMED {
                self.short_users.push(user.to_owned());
            }
        }
    }

    fn fail(&mut self, user: &str, error: &upnext_generate::RequestError) {
        self.failed += 1;
        if self.failures.len() < NAMED {
            self.failures.push((user.to_owned(), error.clone()));
        }
    }

    fn report(&self, args: &GenerateArgs, rows: u64, seconds: f64) -> Result<()> {
        let failures: Vec<String> =
            self.failures.iter().map(|(user, error)| format!("{user}: {error}")).collect();
        if args.json {
            return say::json(&json!({
                "lists": self.lists,
                "rows": rows,
                "short": self.short,
                "short_users": self.short_users,
                "fallback": self.fallback,
                "skipped_events": self.skipped_events,
                "failed": self.failed,
                "failures": failures,
                "seconds": seconds,
            }));
        }
        say::news(&format!(
            "{}: {} lists, {} rows in {}",
            args.out.display(),
            say::count(self.lists),
            say::count(rows),
            say::duration(seconds)
        ));
        if self.short > 0 {
            let named = self.short_users.join(", ");
            say::news(&format!(
                "{} lists are short, too few items being eligible: {named}",
                say::count(self.short)
            ));
        }
        if self.fallback > 0 {
            say::news(&format!(
                "{} lists are by popularity: no known item in the history",
                say::count(self.fallback)
            ));
        }
        if self.skipped_events > 0 {
            say::news(&format!(
                "{} events of items unknown to the model were left out",
                say::count(self.skipped_events)
            ));
        }
        for failure in &failures {
            say::news(&format!("no list for {failure}"));
        }
        Ok(())
    }
}
