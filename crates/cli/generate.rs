//! `upnext generate`: next-item lists for every user of a prepared folder or an event file.

mod parts;
mod source;
mod tally;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use upnext_data::{Catalog, Histories, UserId};
use upnext_generate::{Generator, ItemMap, Options, Request, Threads};
use upnext_tables::{Layout, RowSink};

use self::source::{Source, users_of};
use self::tally::Tally;
use crate::args::GenerateArgs;
use crate::failure::{BadInput, PARTLY};
use crate::rules::Rules;
use crate::{interrupt, open, say, shown};

/// Users whose lists --dry-run makes, at most.
const TRIAL: usize = 2_000;

pub(crate) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    let options = Options { threads: Threads::Pool(rayon::current_num_threads()), ..Options::default() };
    refuse_own_inputs(args)?;
    open::check_model(&args.model)?;
    let generator = Generator::open(&args.model, options)?;
    let source = Source::open(args)?;
    let job = Job {
        map: generator.item_map(source.catalog()),
        deny: known_keys(args.deny.as_deref(), generator.catalog())?.unwrap_or_default(),
        allow: known_keys(args.allow.as_deref(), generator.catalog())?,
        rules: Rules::of(&args.rules, &generator)?,
        args,
    };
    if args.dry_run {
        return try_out(args, &job, &source, &generator);
    }
    if is_folder(&args.out) {
        return parts::run(args, &job, &source, &generator);
    }
    one_file(args, &job, &source, &generator)
}

/// A name without an extension is a folder's.
fn is_folder(out: &Path) -> bool {
    out.is_dir() || out.extension().is_none()
}

fn one_file(
    args: &GenerateArgs,
    job: &Job<'_>,
    source: &Source,
    generator: &Generator,
) -> Result<ExitCode> {
    let (started, mut tally, mut text) = (Instant::now(), Tally::default(), String::new());
    interrupt::catch("stopping; no list will be written")?;
    let mut sink = RowSink::with_layout(&args.out, layout(args))?;
    let bar = watched(source.users() as u64)?;
    let mut shown = 0;
    for piece in 0..source.pieces() {
        let histories = source.piece(piece)?;
        for batch in users_of(&histories, args.shard).chunks(args.batch as usize) {
            if interrupt::asked() {
                // Leaving drops the sink, which takes its unfinished file away.
                bail!("interrupted; {} is as it was", args.out.display());
            }
            for (user, slate) in job.write(&histories, batch, generator, &mut sink, &mut tally)? {
                if shown < args.show {
                    let (key, items) = (histories.user_key(user), histories.of(user).items);
                    text.push_str(&shown::list(key, items, source.catalog(), &slate, generator.catalog()));
                    shown += 1;
                }
            }
            bar.inc(batch.len() as u64);
        }
    }
    bar.finish_and_clear();
    tally.refuse_nothing()?;
    sink.finish()?;
    let seconds = started.elapsed().as_secs_f64();
    if args.json {
        let mut summary = tally.json();
        summary["seconds"] = json!(seconds);
        say::json(&summary)?;
    } else {
        say::news(&format!(
            "{}: {} lists, {} rows in {}",
            args.out.display(),
            say::count(tally.lists),
            say::count(tally.rows),
            say::duration(seconds)
        ));
        tally.tell();
    }
    say::result(&text)?;
    Ok(code(&tally))
}

/// Makes some lists, writes none, and says what all of them would take.
fn try_out(args: &GenerateArgs, job: &Job<'_>, source: &Source, generator: &Generator) -> Result<ExitCode> {
    let mut users: Vec<UserId> = Vec::new();
    let (started, mut tally, mut seconds) = (Instant::now(), Tally::default(), 0.0);
    if source.pieces() > 0 {
        let histories = source.piece(0)?;
        users = users_of(&histories, args.shard);
        // All over the piece, not its first users alone.
        let step = users.len().div_ceil(TRIAL).max(1);
        users = users.into_iter().step_by(step).collect();
        let begun = Instant::now();
        for batch in users.chunks(args.batch as usize) {
            job.answer(&histories, batch, generator, &mut tally)?;
        }
        seconds = begun.elapsed().as_secs_f64();
    }
    tally.refuse_nothing()?;
    let all = source.users() as f64 / f64::from(args.shard.map_or(1, |share| share.of));
    let (rate, opening) = (users.len() as f64 / seconds.max(1e-9), started.elapsed().as_secs_f64() - seconds);
    let estimate = opening * source.pieces() as f64 + all / rate;
    let memory = upnext_train::memory::peak_rss_bytes().unwrap_or(0);
    if args.json {
        let mut summary = tally.json();
        summary["users"] = json!(all.round());
        summary["users_per_second"] = json!(rate);
        summary["estimated_seconds"] = json!(estimate);
        summary["peak_rss_bytes"] = json!(memory);
        say::json(&summary)?;
        return Ok(code(&tally));
    }
    let threads = rayon::current_num_threads();
    say::news(&format!(
        "tried {} of about {:.0} users: {rate:.0} a second on {threads} threads, {:.0} MiB of memory; all of them would take \
         about {}",
        users.len(),
        all,
        memory as f64 / f64::from(1 << 20),
        say::duration(estimate)
    ));
    tally.tell();
    Ok(code(&tally))
}

fn layout(args: &GenerateArgs) -> Layout {
    if args.nested { Layout::Nested } else { Layout::Rows }
}

fn code(tally: &Tally) -> ExitCode {
    if tally.failed > 0 { ExitCode::from(PARTLY) } else { ExitCode::SUCCESS }
}

fn watched(users: u64) -> Result<ProgressBar> {
    let bar = if say::is_watched() { ProgressBar::new(users) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("lists {wide_bar} {pos}/{len} {per_sec} {eta} left")?);
    Ok(bar)
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
struct Job<'a> {
    map: ItemMap,
    deny: Vec<String>,
    allow: Option<Vec<String>>,
    rules: Rules,
    args: &'a GenerateArgs,
}

impl Job<'_> {
    /// The lists of some users, counted.
    fn answer(
        &self,
        histories: &Histories,
        users: &[UserId],
        generator: &Generator,
        tally: &mut Tally,
    ) -> Result<Vec<(UserId, upnext_generate::Slate)>> {
        let requests: Vec<Request> =
            users.iter().map(|&user| self.request(histories, user)).collect::<Result<_>>()?;
        let mut slates = Vec::with_capacity(users.len());
        for (&user, answer) in users.iter().zip(generator.generate(&requests)) {
            let key = histories.user_key(user);
            match answer {
                Ok(slate) => {
                    tally.add(key, &slate);
                    slates.push((user, slate));
                }
                Err(error) => tally.fail(key, &error),
            }
        }
        Ok(slates)
    }

    /// The same, written.
    fn write(
        &self,
        histories: &Histories,
        users: &[UserId],
        generator: &Generator,
        sink: &mut RowSink,
        tally: &mut Tally,
    ) -> Result<Vec<(UserId, upnext_generate::Slate)>> {
        let slates = self.answer(histories, users, generator, tally)?;
        for (user, slate) in &slates {
            sink.slate(histories.user_key(*user), slate)?;
        }
        Ok(slates)
    }

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
