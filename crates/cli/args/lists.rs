//! What can be typed of lists: how they are found, what they must be like, where a job puts them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use upnext_generate::{Adjustment, Method, Scoring};
use upnext_tables::Size;

use super::InputArgs;
use crate::failure::BadInput;

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// Model folder (a run's `model/`).
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Prepared folder whose histories are continued.
    #[arg(long, value_name = "DIR", conflicts_with = "histories", required_unless_present = "histories")]
    pub(crate) data: Option<PathBuf>,
    /// Event file, folder of them or pattern whose histories are continued (user_id,item_id,timestamp; formats as in
    /// prepare). They are prepared beside --out for as long as the job runs.
    #[arg(long, value_name = "EVENTS")]
    pub(crate) histories: Option<PathBuf>,
    /// Memory to prepare --histories in, such as 512MB or 2GiB; what does not fit goes to disk beside --out [default: half of
    /// what is free].
    #[arg(long, value_name = "SIZE", conflicts_with = "data")]
    pub(crate) memory_limit: Option<Size>,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Lists to write: user_id, rank, item_id, score. A .parquet, .csv or .jsonl file, which is replaced if it exists; or a
    /// folder of parts, a name without extension, which a job that was killed goes on in when it is run again.
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) out: PathBuf,
    /// Make the lists of one share of the users only, such as 2/8: by a hash of their ids, the same in every run.
    #[arg(long, value_name = "I/N", value_parser = one_of)]
    shard: Option<OneOf>,
    /// Users of a part, where --out is a folder [default: 100000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) part_users: Option<u32>,
    /// Format of the parts, where --out is a folder [default: parquet].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) part_format: Option<PartFormat>,
    /// Replace the parts of another job, where --out is a folder.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Make lists only for users whose history has changed since an earlier job: RUN is its folder of parts, of the same
    /// model and options. Users without a list in it, and those who now ask for something else, are such users, too.
    #[arg(long, value_name = "RUN")]
    pub(crate) only_changed_since: Option<PathBuf>,
    /// Make some of the lists, write none, and say how much time and memory all of them would take.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Make lists for the users of this file only, each to its own conditions: a JSON object a line, user_id and any of
    /// length, where, allow, deny, pins (such as {"1": "item-17"}), keep_seen, at (in the unit of the histories, Unix seconds:
    /// later events are left out, as if the list were made then). Users without events get a list as well. The file is held
    /// in memory, and of each distinct `where` the items that fulfil it.
    #[arg(long, value_name = "FILE")]
    pub(crate) requests: Option<PathBuf>,
    /// Write one row a user, with its lists items and scores (.parquet and .jsonl).
    #[arg(long)]
    pub(crate) nested: bool,
    /// Write these columns of the model's items with each item, such as title or title,genres.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) with: Vec<String>,
    /// Write with each item, as `because`, up to N items of the history that raised it most. It takes as much time as lists
    /// for as many users as the window holds events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) explain: Option<u32>,
    /// Items in a list.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) length: u32,
    /// How a list is found: all of it from one pass, by the next item or each place by its own horizon; by beam search; its first items by beam search and the rest from one
    /// pass; or joined from lists drawn by chance.
    #[arg(long, value_name = "METHOD", default_value = "top-k")]
    pub(crate) method: MethodName,
    #[command(flatten)]
    pub(crate) methods: MethodArgs,
    #[command(flatten)]
    pub(crate) scoring: ScoringArgs,
    #[command(flatten)]
    pub(crate) seen: SeenArgs,
    #[command(flatten)]
    pub(crate) adjust: AdjustArgs,
    #[command(flatten)]
    pub(crate) rules: RuleArgs,
    /// File of item ids, one a line, that no list may hold.
    #[arg(long, value_name = "FILE")]
    pub(crate) deny: Option<PathBuf>,
    /// File of item ids, one a line: lists hold nothing else; what is available tonight.
    #[arg(long, visible_alias = "available", value_name = "FILE")]
    pub(crate) allow: Option<PathBuf>,
    /// Also print the lists of the first N users, with titles and what they watched last.
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "json")]
    pub(crate) show: usize,
    /// Users per batch; the lists do not depend on it.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(crate) batch: u32,
    /// Print a summary as one JSON object on standard output and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
}

impl GenerateArgs {
    /// The share of the users that lists are made for; none where that is all of them, as 1/1 is.
    pub(crate) fn shard(&self) -> Option<OneOf> {
        self.shard.filter(|shard| shard.of > 1)
    }
}

/// One share of several, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OneOf {
    pub(crate) index: u32,
    pub(crate) of: u32,
}

impl std::fmt::Display for OneOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}of{}", self.index, self.of)
    }
}

fn one_of(text: &str) -> Result<OneOf, String> {
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parts {
        Some((index, of)) if 1 <= index && index <= of => Ok(OneOf { index, of }),
        _ => Err("I/N are needed, I from 1 to N".to_owned()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartFormat {
    Parquet,
    Csv,
    Jsonl,
}

/// The extension.
impl std::fmt::Display for PartFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        })
    }
}

/// What methods of finding a list are set to. Nothing is given a value by clap, so that what says nothing to the methods
/// in use is told.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct MethodArgs {
    /// Beams kept by --method beam and hybrid [default: 8].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    width: Option<u32>,
    /// Groups that the beams of --method beam are dealt out to, so that they keep off each other's items; --width is a
    /// multiple of it [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    groups: Option<u32>,
    /// What an item loses, in log-probability, for each list of an earlier of the --groups that takes it in the same place
    /// [default: 0.5].
    #[arg(long, value_name = "D", value_parser = not_negative, requires = "groups")]
    diversity: Option<f32>,
    /// Items that --method hybrid finds by beam search [default: 3].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    autoregressive: Option<u32>,
    /// Temperature at which --method sample draws: below 1 it keeps to the probable, above 1 it strays [default: 0.6].
    #[arg(long, value_name = "T", value_parser = positive)]
    temperature: Option<f32>,
    /// Most probable items of a step that --method sample draws from [default: 20].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    top_k: Option<u32>,
    /// Lists that --method sample draws and joins to one [default: 30].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    draws: Option<u32>,
    /// Add noise to the scores, so many times a Gumbel draw for each item: at 1 lists by top-k are drawn in proportion to
    /// probability, nearer to 0 they keep to the probable [default: 0].
    #[arg(long, value_name = "WEIGHT", value_parser = not_negative)]
    explore: Option<f32>,
    /// Seed of the draws of --method sample and of --explore; every user has draws of their own [default: 1].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Whether lists may hold items of the history.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct SeenArgs {
    /// Let items of the history into the list: where people come back to things [default: as the model was trained to].
    #[arg(long)]
    keep_seen: bool,
    /// Let no item of the history into the list [default: as the model was trained to].
    #[arg(long, conflicts_with = "keep_seen")]
    drop_seen: bool,
}

impl SeenArgs {
    pub(crate) fn is_any(self) -> bool {
        self.keep_seen || self.drop_seen
    }

    /// Whether seen items are kept, where the model says what holds by default.
    pub(crate) fn keep(self, by_default: bool) -> bool {
        self.keep_seen || by_default && !self.drop_seen
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MethodName {
    TopK,
    MultiToken,
    Beam,
    Hybrid,
    Sample,
}

/// As it is typed.
impl std::fmt::Display for MethodName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::TopK => "top-k",
            Self::MultiToken => "multi-token",
            Self::Beam => "beam",
            Self::Hybrid => "hybrid",
            Self::Sample => "sample",
        })
    }
}

impl MethodArgs {
    pub(crate) fn of(self, name: MethodName) -> Method {
        let width = self.width.unwrap_or(8) as usize;
        let groups = self.groups.unwrap_or(1) as usize;
        match name {
            MethodName::TopK => Method::TopK,
            MethodName::MultiToken => Method::MultiToken,
            MethodName::Beam if groups > 1 => {
                Method::DiverseBeam { width, groups, diversity: self.diversity.unwrap_or(0.5) }
            }
            MethodName::Beam => Method::Beam { width },
            MethodName::Hybrid => {
                Method::Hybrid { autoregressive: self.autoregressive.unwrap_or(3) as usize, width }
            }
            MethodName::Sample => Method::Sample {
                temperature: self.temperature.unwrap_or(0.6),
                top_k: self.top_k.unwrap_or(20) as usize,
                draws: self.draws.unwrap_or(30) as usize,
            },
        }
    }

    pub(crate) fn explore(self) -> f32 {
        self.explore.unwrap_or(0.0)
    }

    pub(crate) fn seed(self) -> u64 {
        self.seed.unwrap_or(1)
    }

    /// Refuses a flag that says nothing to any of these methods.
    ///
    /// # Errors
    /// By the flag.
    pub(crate) fn refuse_idle(self, methods: &[MethodName]) -> Result<(), BadInput> {
        let is = |some: &[MethodName]| methods.iter().any(|method| some.contains(method));
        let (beam, hybrid, sample) =
            (is(&[MethodName::Beam]), is(&[MethodName::Hybrid]), is(&[MethodName::Sample]));
        let explores = self.explore.is_some() && !methods.is_empty();
        let flags = [
            ("--width", self.width.is_some(), beam || hybrid),
            ("--groups", self.groups.is_some(), beam),
            ("--autoregressive", self.autoregressive.is_some(), hybrid),
            ("--temperature", self.temperature.is_some(), sample),
            ("--top-k", self.top_k.is_some(), sample),
            ("--draws", self.draws.is_some(), sample),
            ("--explore", self.explore.is_some(), explores),
            ("--seed", self.seed.is_some(), sample || explores),
        ];
        let Some((flag, ..)) = flags.into_iter().find(|(_, is_given, is_read)| *is_given && !is_read) else {
            return Ok(());
        };
        let names: Vec<String> = methods.iter().map(MethodName::to_string).collect();
        Err(BadInput(match names.is_empty() {
            true => format!("{flag} is for lists; name a --method"),
            false => format!("{flag} says nothing to --method {}; leave it out", names.join(",")),
        }))
    }
}

/// How the items of the catalogue are scored.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ScoringArgs {
    /// How items are scored: all of them exactly; by vectors of fewer bytes, the best ones exactly; or in clusters of the
    /// model's index, passing over those that cannot hold one of the best, or looking into the nearest ones and no more
    /// [default: exact].
    #[arg(long, value_name = "SCORING")]
    scoring: Option<ScoringName>,
    /// Clusters that --scoring clusters looks into [default: as many as the index was measured to need].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    probes: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScoringName {
    Exact,
    Bf16,
    Int8,
    BoundedClusters,
    Clusters,
}

impl ScoringArgs {
    /// # Errors
    /// When probes are set for what looks into no clusters.
    pub(crate) fn scoring(self) -> Result<Scoring, BadInput> {
        let probes = self.probes.map(|probes| probes as usize);
        let scoring = match self.scoring.unwrap_or(ScoringName::Exact) {
            ScoringName::Exact => Scoring::Exact,
            ScoringName::Bf16 => Scoring::Bf16,
            ScoringName::Int8 => Scoring::Int8,
            ScoringName::BoundedClusters => Scoring::BoundedClusters,
            ScoringName::Clusters => return Ok(Scoring::Clusters { probes }),
        };
        match probes {
            None => Ok(scoring),
            Some(_) => Err(BadInput(format!("--probes says nothing to --scoring {scoring}; leave it out"))),
        }
    }

    /// Whether it was said.
    pub(crate) fn is_any(self) -> bool {
        self.scoring.is_some() || self.probes.is_some()
    }
}

/// By how much scores are moved in serving.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct AdjustArgs {
    /// Add this to the scores of cold items, whose log-odds against the others it raises (0.5 to 3 are usual): a model that
    /// was never taught to show new items shows next to none.
    #[arg(long, value_name = "B", default_value_t = 0.0, value_parser = finite, allow_negative_numbers = true)]
    pub(crate) cold_boost: f32,
    /// Take this off an item's score for each natural logarithm of 1 + its training events (0.1 to 1 are usual).
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = finite, allow_negative_numbers = true)]
    pub(crate) popularity_penalty: f32,
}

impl AdjustArgs {
    pub(crate) fn adjustment(self) -> Adjustment {
        let Self { cold_boost, popularity_penalty } = self;
        Adjustment { cold_boost, popularity_penalty }
    }
}

/// What every list must be like.
#[derive(Clone, Debug, Args)]
pub(crate) struct RuleArgs {
    /// Show only items that fulfil a condition on the model's item columns, such as 'available = true and (maturity <= 12 or
    /// genres has Family)'; may be repeated.
    #[arg(long = "where", value_name = "CONDITION")]
    pub(crate) only: Vec<String>,
    /// Put an item into a place of every list, counted from 1, such as 1:item-17; may be repeated.
    #[arg(long, value_name = "PLACE:ITEM", value_parser = pin)]
    pub(crate) pin: Vec<(usize, String)>,
    /// At most N items of a list with one value of a column, such as 2:genres; may be repeated.
    #[arg(long, value_name = "N:COLUMN", value_parser = counted)]
    pub(crate) at_most: Vec<(usize, String)>,
    /// At least N items of a list that fulfil a condition, such as '3:genres has Documentary'; may be repeated.
    #[arg(long, value_name = "N:CONDITION", value_parser = counted)]
    pub(crate) at_least: Vec<(usize, String)>,
    /// Weigh likeness to the items before against probability, from 0 to below 1 (maximal marginal relevance), in what
    /// --method top-k and hybrid take from one pass.
    #[arg(long, value_name = "WEIGHT", default_value_t = 0.0, value_parser = weight)]
    pub(crate) diversify: f32,
}

impl RuleArgs {
    pub(crate) fn are_any(&self) -> bool {
        let Self { only, pin, at_most, at_least, diversify } = self;
        let none = only.is_empty() && pin.is_empty() && at_most.is_empty() && at_least.is_empty();
        !none || *diversify > 0.0
    }
}

fn counted(text: &str) -> Result<(usize, String), String> {
    let (count, rest) = text.split_once(':').ok_or("a number, a colon and a name or condition are needed")?;
    let count = count.trim().parse().map_err(|_| format!("{count:?} is no whole number"))?;
    if rest.trim().is_empty() {
        Err("nothing stands behind the colon".to_owned())
    } else {
        Ok((count, rest.to_owned()))
    }
}

fn pin(text: &str) -> Result<(usize, String), String> {
    match counted(text)? {
        (0, _) => Err("places count from 1".to_owned()),
        (place, key) => Ok((place - 1, key)),
    }
}

fn weight(text: &str) -> Result<f32, String> {
    let number = finite(text)?;
    if (0.0..1.0).contains(&number) { Ok(number) } else { Err("must lie from 0 to below 1".to_owned()) }
}

fn finite(text: &str) -> Result<f32, String> {
    let number: f32 = text.parse().map_err(|_| "not a number".to_owned())?;
    if number.is_finite() { Ok(number) } else { Err("must be finite".to_owned()) }
}

fn not_negative(text: &str) -> Result<f32, String> {
    finite(text)
        .and_then(|number| if number >= 0.0 { Ok(number) } else { Err("must not be below 0".to_owned()) })
}

fn positive(text: &str) -> Result<f32, String> {
    finite(text).and_then(|number| if number > 0.0 { Ok(number) } else { Err("must be above 0".to_owned()) })
}
