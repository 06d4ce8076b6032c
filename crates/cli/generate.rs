//! `upnext generate`: next-item lists for every user of a prepared folder or an event file.

mod parts;
mod requests;
mod source;
mod tally;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use upnext_data::chance::name_key;
use upnext_data::{Histories, ItemId, UserId};
use upnext_generate::{
    Generator, ItemMap, ItemSet, Options, Request, RequestBuilder, RequestError, Slate, Threads,
};
use upnext_tables::{Layout, RowSink};

use self::requests::Requests;
use self::source::{Source, is_in, without_events};
use self::tally::Tally;
use crate::args::{GenerateArgs, PartFormat};
use crate::failure::{BadInput, PARTLY};
use crate::rules::Rules;
use crate::{interrupt, open, say, shown};

/// Users whose lists --dry-run makes, at most.
const TRIAL: usize = 2_000;

pub(crate) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    let options = Options { threads: Threads::Pool(rayon::current_num_threads()), ..Options::default() };
    refuse_own_inputs(args)?;
    refuse_idle_flags(args)?;
    args.methods.refuse_idle(&[args.method])?;
    open::check_model(&args.model)?;
    let generator = Generator::open(&args.model, options)?;
    let keys = |path: Option<&Path>| Keys::read(path, &generator);
    let (deny, allow) = (keys(args.deny.as_deref())?, keys(args.allow.as_deref())?);
    let rules = Rules::of(&args.rules, &generator)?;
    let source = Source::open(args)?;
    let requests = args.requests.as_deref().map(|path| Requests::read(path, &generator)).transpose()?;
    let job = Job { map: generator.item_map(source.catalog()), deny, allow, rules, requests, args };
    job.check(&generator)?;
    if let Some(caveat) = generator.caveat(args.methods.of(args.method)) {
        say::news(&format!("note: {caveat}"));
    }
    if args.dry_run {
        return try_out(args, &job, &source, &generator);
    }
    if is_folder(&args.out) {
        return parts::run(args, &job, &source, &generator);
    }
    one_file(args, &job, &source, &generator)
}

/// Refuses flags that say nothing where the lists go.
fn refuse_idle_flags(args: &GenerateArgs) -> Result<()> {
    let idle = match is_folder(&args.out) {
        true if args.data.is_none() => return Err(parts::refuse_events()),
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

fn one_file(args: &GenerateArgs, job: &Job<'_>, source: &Source, generator: &Generator) -> Result<ExitCode> {
    let (started, mut tally, mut text) = (Instant::now(), Tally::default(), String::new());
    interrupt::catch("stopping; no list will be written")?;
    let mut sink = RowSink::with_layout(&args.out, layout(args))?;
    let bar = watched(job.users(source))?;
    let mut shown = 0;
    job.each_piece(source, |_, histories, users| {
        for batch in users.chunks(args.batch as usize) {
            if interrupt::asked() {
                // Leaving drops the sink, which takes its unfinished file away.
                bail!("interrupted; {} is as it was", args.out.display());
            }
            for (user, slate) in job.write(histories, batch, generator, &mut sink, &mut tally)? {
                if shown < args.show {
                    let (key, items) = (histories.user_key(user), histories.of(user).items);
                    text.push_str(&shown::list(key, items, source.catalog(), &slate, generator.catalog()));
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

/// Makes some lists, writes none, and says what all of them would take.
fn try_out(args: &GenerateArgs, job: &Job<'_>, source: &Source, generator: &Generator) -> Result<ExitCode> {
    let (mut tally, mut answering, mut last) = (Tally::default(), 0.0, Instant::now());
    let (mut opening, mut tried, mut pieces) = (0.0, 0, 0);
    job.each_piece(source, |_, histories, users| {
        opening += last.elapsed().as_secs_f64();
        // All over the piece, not its first users alone.
        let users: Vec<UserId> = users.iter().copied().step_by(users.len().div_ceil(TRIAL).max(1)).collect();
        let started = Instant::now();
        for batch in users.chunks(args.batch as usize) {
            job.answer(histories, batch, generator, &mut tally)?;
        }
        answering += started.elapsed().as_secs_f64();
        (tried, pieces, last) = (tried + users.len(), pieces + 1, Instant::now());
        Ok(if tried < TRIAL { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    if tried == 0 {
        return Err(BadInput("there is no user whose list could be tried".to_owned()).into());
    }
    tally.refuse_nothing()?;
    let all = job.users(source) as f64;
    let rate = tried as f64 / answering.max(1e-9);
    let estimate = opening / f64::from(pieces) * source.pieces() as f64 + all / rate;
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
        tried,
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
    let mut inputs = [&args.histories, &args.deny, &args.allow, &args.requests].into_iter().flatten();
    match inputs.find(|input| input.canonicalize().is_ok_and(|input| input == out)) {
        Some(input) => {
            let what = format!("--out {} is also read as input; name another file", input.display());
            Err(BadInput(what).into())
        }
        None => Ok(()),
    }
}

/// The items that a file of keys names.
struct Keys {
    set: ItemSet,
    /// Tells lists of keys apart.
    digest: String,
}

impl Keys {
    /// Those item ids of a file, one a line, that the model knows; the others are counted aloud.
    fn read(path: Option<&Path>, generator: &Generator) -> Result<Option<Self>> {
        let Some(path) = path else { return Ok(None) };
        let text = std::fs::read_to_string(path).map_err(|source| BadInput::unreadable(path, &source))?;
        let lines =
            text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty());
        let is_known = |key: &&str| generator.catalog().find(key).is_some();
        let (mut known, unknown): (Vec<&str>, Vec<&str>) = lines.partition(is_known);
        known.sort_unstable();
        known.dedup();
        if let Some(first) = unknown.first() {
            let (path, first) = (path.display(), say::shorten(first, 40));
            say::news(&format!(
                "{path}: {} ids are not the model's, {first:?} the first",
                say::count(unknown.len())
            ));
            if known.is_empty() {
                let what = format!("{path}: no line is the id of an item that the model knows");
                return Err(BadInput(what).into());
            }
        }
        let digest = format!("{} keys, {:016x}", known.len(), name_key(&known.join("\n")));
        Ok(Some(Self { set: generator.items_of(known).0, digest }))
    }
}

/// What every request of the job has in common.
struct Job<'a> {
    map: ItemMap,
    deny: Option<Keys>,
    allow: Option<Keys>,
    rules: Rules,
    /// What single users ask for; nobody else gets a list then.
    requests: Option<Requests>,
    args: &'a GenerateArgs,
}

impl Job<'_> {
    /// About how many users get a list.
    fn users(&self, source: &Source) -> u64 {
        let all = self.requests.as_ref().map_or(source.users(), Requests::len) as u64;
        all / u64::from(self.args.shard.map_or(1, |shard| shard.of))
    }

    /// The users of a piece who get a list.
    fn users_of(&self, histories: &Histories) -> Vec<UserId> {
        let wanted = |user: &UserId| {
            let key = histories.user_key(*user);
            is_in(self.args.shard, key) && self.requests.as_ref().is_none_or(|requests| requests.names(key))
        };
        histories.iter().map(|(user, _)| user).filter(wanted).collect()
    }

    /// Hands every piece of the histories to `work`, with its number and the users who get a list; then, as a piece of
    /// their own, those who ask for one and have no event. It ends once `work` wants no more.
    fn each_piece(
        &self,
        source: &Source,
        mut work: impl FnMut(usize, &Histories, &[UserId]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut found: BTreeSet<String> = BTreeSet::new();
        for index in 0..source.pieces() {
            let histories = source.piece(index)?;
            let users = self.users_of(&histories);
            if self.requests.is_some() {
                found.extend(users.iter().map(|&user| histories.user_key(user).to_owned()));
            }
            if work(index, &histories, &users)?.is_break() {
                return Ok(());
            }
        }
        let Some(requests) = &self.requests else { return Ok(()) };
        let is_left = |user: &&str| !found.contains(*user) && is_in(self.args.shard, user);
        let left = without_events(requests.users().filter(is_left))?;
        let users: Vec<UserId> = left.iter().map(|(user, _)| user).collect();
        if users.is_empty() { Ok(()) } else { work(source.pieces(), &left, &users).map(|_| ()) }
    }

    /// The lists of some users, counted.
    fn answer(
        &self,
        histories: &Histories,
        users: &[UserId],
        generator: &Generator,
        tally: &mut Tally,
    ) -> Result<Vec<(UserId, Slate)>> {
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
    ) -> Result<Vec<(UserId, Slate)>> {
        let slates = self.answer(histories, users, generator, tally)?;
        for (user, slate) in &slates {
            sink.slate(histories.user_key(*user), slate)?;
        }
        Ok(slates)
    }

    /// Refuses what no request of the job could be answered for, before anything is written.
    fn check(&self, generator: &Generator) -> Result<()> {
        if self.requests.is_some() {
            // Each user's own length and conditions decide.
            return self.of(&[], "").build().map(|_| ()).map_err(Into::into);
        }
        let request = self.of(&[], "").build()?;
        match generator.generate(&[request]).remove(0) {
            // Without a history nothing is seen: too few items for a share now are too few for everybody.
            Err(error) if error.is_of_any_history() || matches!(error, RequestError::Share { .. }) => {
                Err(error.into())
            }
            _ => Ok(()),
        }
    }

    fn request(&self, histories: &Histories, user: UserId) -> Result<Request> {
        Ok(self.of(histories.of(user).items, histories.user_key(user)).build()?)
    }

    fn of(&self, items: &[ItemId], user: &str) -> RequestBuilder {
        let mut builder = self
            .map
            .request(items)
            .length(self.args.length as usize)
            .method(self.args.methods.of(self.args.method))
            .seed_for(self.args.methods.seed(), user)
            .explore(self.args.methods.explore())
            .keep_seen(self.args.keep_seen)
            .adjust(self.args.adjust.adjustment());
        if let Some(deny) = &self.deny {
            builder = builder.without(&deny.set);
        }
        if let Some(allow) = &self.allow {
            builder = builder.only(&allow.set);
        }
        let builder = self.rules.add(builder);
        match &self.requests {
            Some(requests) => requests.add(user, builder),
            None => builder,
        }
    }
}
