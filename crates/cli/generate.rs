//! `upnext generate`: next-item lists for every user of a prepared folder or of event files.

mod beside;
mod earlier;
mod job;
mod keys;
mod parts;
mod requests;
mod source;
mod tally;
mod trial;

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use upnext_data::sealed::hash_file;
use upnext_generate::{Generator, Options, Scoring, Threads};
use upnext_model::folder::index_manifest;
use upnext_tables::{Layout, RowSink};

use self::beside::Beside;
use self::earlier::Earlier;
use self::job::Job;
use self::keys::Keys;
use self::requests::Requests;
use self::source::Source;
use self::tally::Tally;
use crate::args::{GenerateArgs, PartFormat};
use crate::failure::{BadInput, PARTLY};
use crate::rules::Rules;
use crate::{interrupt, open, say, shown};

pub(crate) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    upnext_kernels::allocator::small_pages();
    let scoring = args.scoring.scoring()?;
    let options =
        Options { threads: Threads::Pool(rayon::current_num_threads()), scoring, ..Options::default() };
    refuse_own_inputs(args)?;
    refuse_idle_flags(args)?;
    args.methods.refuse_idle(&[args.method])?;
    open::check_model(&args.model)?;
    let generator = Generator::open(&args.model, options)?;
    let keys = |path: Option<&Path>| Keys::read(path, &generator);
    let (deny, allow) = (keys(args.deny.as_deref())?, keys(args.allow.as_deref())?);
    let rules = Rules::of(&args.rules, &generator)?;
    let requests = args.requests.as_deref().map(|path| Requests::read(path, &generator)).transpose()?;
    let beside = Beside::of(args, &generator)?;
    let scoring = named(args, scoring)?;
    let job = Job { deny, allow, rules, requests, beside, scoring, generator: &generator, args };
    job.check()?;
    let earlier = Earlier::open(args, &job)?;
    interrupt::catch(match is_folder(&args.out) {
        _ if args.dry_run => "stopping",
        true => "stopping; finished parts stay, and the same command goes on from them",
        false => "stopping; no list will be written",
    })?;
    if let Some(caveat) = generator.caveat(args.methods.of(args.method)) {
        say::news(&format!("note: {caveat}"));
    }
    let source = Source::open(args, &generator)?;
    if args.dry_run {
        return trial::try_out(args, &job, &source, earlier);
    }
    if is_folder(&args.out) {
        return parts::run(args, &job, &source, earlier);
    }
    one_file(args, &job, &source, earlier)
}

/// A way to score in words; lists from clusters depend on the index, too.
fn named(args: &GenerateArgs, scoring: Scoring) -> Result<String> {
    match scoring.needs_index() {
        true => Ok(format!("{scoring:?} by {}", hash_file(&index_manifest(&args.model))?.0)),
        false => Ok(format!("{scoring:?}")),
    }
}

/// Refuses flags that say nothing where the lists go.
fn refuse_idle_flags(args: &GenerateArgs) -> Result<()> {
    if let (Some(data), Some(flag)) = (&args.data, args.input.given()) {
        let what = format!(
            "{flag} says how event files are read, but {} is a prepared folder; leave it out, or name the events by \
             --histories",
            data.display()
        );
        return Err(BadInput(what).into());
    }
    let idle = match is_folder(&args.out) {
        true if args.nested && args.part_format == Some(PartFormat::Csv) => {
            return Err(upnext_tables::Error::NestedCsv { path: args.out.clone() }.into());
        }
        true => vec![(args.show > 0, "--show")],
        false => vec![
            (args.overwrite, "--overwrite"),
            (args.part_users.is_some(), "--part-users"),
            (args.part_format.is_some(), "--part-format"),
        ],
    };
    let idle_in_trials = [(args.show > 0, "--show"), (args.overwrite, "--overwrite")];
    if let Some((_, flag)) = idle_in_trials.iter().find(|(is_given, _)| args.dry_run && *is_given) {
        return Err(BadInput(format!("{flag} says nothing to --dry-run, which writes no list")).into());
    }
    match idle.into_iter().find(|(is_given, _)| *is_given) {
        None => Ok(()),
        Some((_, flag)) => {
            let (out, kind) = (args.out.display(), if is_folder(&args.out) { "folder" } else { "file" });
            Err(BadInput(format!("{flag} says nothing where --out {out} is a {kind}; leave it out")).into())
        }
    }
}

/// A name without an extension is a folder's.
fn is_folder(out: &Path) -> bool {
    out.is_dir() || out.extension().is_none()
}

fn one_file(args: &GenerateArgs, job: &Job<'_>, source: &Source, mut earlier: Earlier) -> Result<ExitCode> {
    let (started, mut tally, mut text) = (Instant::now(), Tally::default(), String::new());
    let mut sink = RowSink::with_form(&args.out, job.beside.form(args))?;
    let bar = watched(job.users(source))?;
    let mut shown = 0;
    job.each_piece(source, |piece, histories, users| {
        let has_events = piece < source.pieces();
        let (changed, unchanged) = earlier.changed(job, source, histories, users, has_events)?;
        tally.unchanged += unchanged;
        bar.inc(unchanged);
        for batch in changed.chunks(args.batch as usize) {
            if interrupt::asked() {
                // Leaving drops the sink, which takes its unfinished file away.
                bail!("interrupted; {} is as it was", args.out.display());
            }
            for told in job.write(source, histories, batch, &mut sink, &mut tally)? {
                if shown < args.show {
                    let (key, items) =
                        (histories.user_key(told.user), job.history(histories, told.user).items);
                    let (past, next) = (source.catalog(), job.generator.catalog());
                    text.push_str(&shown::list(key, items, past, &told.slate, next));
                    shown += 1;
                }
            }
            bar.inc(batch.len() as u64);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    bar.finish_and_clear();
    tally.refuse_nothing()?;
    sink.finish()?;
    let seconds = started.elapsed().as_secs_f64();
    if args.json {
        let mut summary = tally.json();
        summary["seconds"] = json!(seconds);
        summary["peak_rss_bytes"] = json!(upnext_train::memory::peak_rss_bytes());
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
    let mut inputs = [&args.histories, &args.deny, &args.allow, &args.requests].into_iter().flatten();
    match inputs.find(|input| input.canonicalize().is_ok_and(|input| input == out)) {
        Some(input) => {
            let what = format!("--out {} is also read as input; name another file", input.display());
            Err(BadInput(what).into())
        }
        None => Ok(()),
    }
}
