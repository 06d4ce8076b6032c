//! What can be typed: subcommands and flags, nothing else.

mod items;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use upnext_eval::Metric;
use upnext_generate::{Adjustment, Method};
use upnext_tables::{Condition, Format, KeptColumn, Moment, Size, TimeUnit};
use upnext_train::device::Choice;

pub(crate) use items::{EncodeArgs, ExportArgs, ExtendArgs, SimilarArgs};

/// A generative sequential recommender: histories in, next-item lists out.
#[derive(Debug, Parser)]
#[command(name = "upnext", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Worker threads; the variable RAYON_NUM_THREADS=N also bounds those that candle adds gradients on [default: all cores].
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// SIMD level of our own kernels; a lower one pins a mixed fleet to the same code [default: the CPU's best].
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) kernels: Option<KernelLevel>,
    #[command(subcommand)]
    pub(crate) command: Command,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KernelLevel {
    Portable,
    Avx2,
    Avx512,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The whole line on a generated world, in minutes: prepare, train, evaluate, generate.
    Demo(DemoArgs),
    /// Turn event files (and an item file) into a checked, reproducible prepared folder.
    Prepare(PrepareArgs),
    /// Say what items are like, as vectors: hashed columns, a text encoder, or vectors made elsewhere.
    Encode(EncodeArgs),
    /// Train a model from one config on one prepared folder.
    Train(TrainArgs),
    /// Rank held-out items over the whole catalogue, beside the baselines.
    Evaluate(EvaluateArgs),
    /// Compare evaluation reports with a reference, question by question: differences, intervals, p-values.
    Compare(CompareArgs),
    /// Write next-item lists.
    Generate(GenerateArgs),
    /// Add new items to a model without training, from what they are like.
    Extend(ExtendArgs),
    /// Say which items are like an item, by their vectors.
    Similar(SimilarArgs),
    /// Write item or user vectors for other applications.
    Export(ExportArgs),
    /// Say what a file or folder is, and what is in it: logs, prepared data, models, runs, lists.
    Inspect(InspectArgs),
    /// Say what this machine and this build can do, and what is missing.
    Doctor(DoctorArgs),
}

/// Seeds that a run configuration can hold: TOML has whole numbers of 63 bits.
fn seed() -> impl clap::builder::TypedValueParser<Value = u64> {
    clap::value_parser!(u64).range(..=i64::MAX as u64)
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Folder for the demo's data, run and lists; replaced if an earlier demo made it.
    #[arg(long, value_name = "DIR", default_value = "upnext-demo")]
    pub(crate) out: PathBuf,
    /// Seed of the world and of the training.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = seed())]
    pub(crate) seed: u64,
    /// Print one JSON object on standard output and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PrepareArgs {
    /// Event files, folders or patterns, in the order in which ties are kept: CSV, TSV, JSONL, Parquet, MovieLens .dat, RecBole
    /// .inter or SASRec text, plain or .gz, .zst, .xz.
    #[arg(required = true, value_name = "EVENTS")]
    pub(crate) events: Vec<PathBuf>,
    /// Item file with display columns (title, genres, …).
    #[arg(long, value_name = "FILE")]
    pub(crate) items: Option<PathBuf>,
    /// Prepared folder to write.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Keep a column of the event files with the events, such as rating, rating:number or device:category.
    #[arg(long = "event-column", value_name = "COLUMN")]
    pub(crate) event_columns: Vec<KeptColumn>,
    /// Keep a column of the event files as a display column of the items, such as title; the newest text counts.
    #[arg(long = "item-column", value_name = "COLUMN")]
    pub(crate) item_columns: Vec<String>,
    /// Keep events that fulfil a condition, such as 'rating >= 4'; may be repeated.
    #[arg(long, value_name = "CONDITION")]
    pub(crate) keep: Vec<Condition>,
    /// Leave out events before this moment (Unix seconds or a date).
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub(crate) from: Option<Moment>,
    /// Leave out events at or after this moment.
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub(crate) to: Option<Moment>,
    /// Leave out users with fewer events (with --min-item-events, again and again until all have enough).
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) min_user_events: u64,
    /// Leave out items with fewer events.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) min_item_events: u64,
    /// Memory to use, such as 512MB or 2GiB; what does not fit goes to disk [default: half of what is free].
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_limit: Option<Size>,
    /// Folder for what does not fit into memory [default: beside --out].
    #[arg(long, value_name = "DIR")]
    pub(crate) spill: Option<PathBuf>,
    /// Let items of the item file that have no event join the catalogue (this changes every full ranking).
    #[arg(long)]
    pub(crate) all_items: bool,
    /// Replace an existing folder.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Print one JSON object on standard output and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How event files are read.
#[derive(Debug, Args)]
pub(crate) struct InputArgs {
    /// Column that holds the user [default: by its name: user_id, userId, …].
    #[arg(long, value_name = "COLUMN")]
    pub(crate) user: Option<String>,
    /// Column that holds the item [default: by its name: item_id, movieId, …].
    #[arg(long, value_name = "COLUMN")]
    pub(crate) item: Option<String>,
    /// Column that holds the time [default: by its name: timestamp, date, …].
    #[arg(long, value_name = "COLUMN")]
    pub(crate) time: Option<String>,
    /// Read every event file as this format instead of recognising it: csv, tsv, jsonl, parquet, movielens, recbole or sasrec.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// Unit of the times: seconds, milliseconds, microseconds, nanoseconds or dates [default: recognised].
    #[arg(long, value_name = "UNIT")]
    pub(crate) time_unit: Option<TimeUnit>,
    /// Skip and count up to N bad rows instead of stopping at the first.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) max_bad_rows: u64,
}

#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// Run configuration (TOML).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Prepared folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Run folder to write.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Override one key of the config, such as train.lr=3e-4; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Shorthand for --set train.seed=N.
    #[arg(long, value_name = "N", value_parser = seed())]
    pub(crate) seed: Option<u64>,
    /// Compute steps on auto, cpu, cuda, cuda:N, metal or metal:N; auto takes a GPU that the build is made for, else the CPU.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub(crate) device: Choice,
    /// Feature file (of upnext encode) for a model with a [model.tower]; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub(crate) features: Vec<PathBuf>,
    /// Go on from this model, on data that may be newer and have more items; see also train.replay.
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
    /// Go on from the newest valid checkpoint of an interrupted run.
    #[arg(long, conflicts_with = "overwrite")]
    pub(crate) resume: bool,
    /// Replace an existing run folder.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Print the summary as one JSON object on standard output and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EvaluateArgs {
    /// Model folder (a run's `model/`).
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Prepared folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Which held-out items to ask for.
    #[arg(long, value_name = "SPLIT", default_value = "test")]
    pub(crate) split: SplitName,
    /// Protocol id (loo, time:T1,T2 or time:T1,T2,all, last:N, cold:FRACTION,SEED) [default: the model's own].
    #[arg(long, value_name = "ID")]
    pub(crate) protocol: Option<String>,
    /// Measure whole lists by this method against all that came next (protocol last:N), instead of ranks of the next item;
    /// several, joined by commas, stand beside each other: top-k, beam, hybrid, sample.
    #[arg(long, value_name = "METHOD", value_delimiter = ',', conflicts_with_all = ["predictions", "report"])]
    pub(crate) method: Vec<MethodName>,
    /// Items in a list of --method.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..), requires = "method")]
    pub(crate) length: u32,
    /// Let items of the input into the lists of --method: where people come back to things.
    #[arg(long, requires = "method")]
    pub(crate) keep_seen: bool,
    #[command(flatten)]
    pub(crate) methods: MethodArgs,
    #[command(flatten)]
    pub(crate) rules: RuleArgs,
    /// Also write user_id,rank,item_id,score rows (100 a user, seen dropped) to a .csv or .jsonl file.
    #[arg(long, value_name = "FILE")]
    pub(crate) predictions: Option<PathBuf>,
    /// Also write the report, with every rank behind it, to a file for `upnext compare`. An existing file is replaced.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Content vectors (features.safetensors) for the baseline content-knn; may be repeated. The model holds its own.
    #[arg(long, value_name = "FILE", conflicts_with = "no_baselines")]
    pub(crate) features: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) adjust: AdjustArgs,
    /// Leave the baselines out.
    #[arg(long)]
    pub(crate) no_baselines: bool,
    /// Print one JSON object on standard output and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Reports of `evaluate --report`, the reference first; FILE:SYSTEM for a baseline in it, such as a.json:content-knn.
    /// Several joined by commas (seeds, cold draws) are pooled: the first of one side is paired with the first of the other,
    /// and so on.
    #[arg(value_name = "REPORT", required = true, num_args = 2..)]
    pub(crate) reports: Vec<String>,
    /// Metrics: hr@K, ndcg@K, mrr, mrr@K; may be repeated.
    #[arg(long, value_name = "METRIC", value_delimiter = ',', default_value = "hr@10,ndcg@10,mrr")]
    pub(crate) metric: Vec<Metric>,
    /// Which targets: all, warm or cold ones among all items, or cold ones among the cold items.
    #[arg(long, value_name = "TARGETS", default_value = "all")]
    pub(crate) on: OnName,
    /// Whether items of the input are dropped from the ranking or kept.
    #[arg(long, value_name = "POLICY", default_value = "dropped")]
    pub(crate) seen: SeenName,
    /// Resamples of the users behind intervals and p-values.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    pub(crate) resamples: u32,
    /// Seed of the resamples.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print one JSON object on standard output and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnName {
    All,
    Warm,
    Cold,
    AmongCold,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SeenName {
    Dropped,
    Kept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SplitName {
    Test,
    Validation,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// Model folder (a run's `model/`).
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Prepared folder whose histories are continued.
    #[arg(long, value_name = "DIR", conflicts_with = "histories", required_unless_present = "histories")]
    pub(crate) data: Option<PathBuf>,
    /// Event file whose histories are continued (user_id,item_id,timestamp; formats as in prepare).
    #[arg(long, value_name = "FILE")]
    pub(crate) histories: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Lists to write: user_id, rank, item_id, score. A .parquet, .csv or .jsonl file, which is replaced if it exists; or a
    /// folder of parts, a name without extension, which a job that was killed goes on in when it is run again.
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) out: PathBuf,
    /// Make the lists of one share of the users only, such as 2/8: by a hash of their ids, the same in every run.
    #[arg(long, value_name = "I/N", value_parser = one_of)]
    pub(crate) shard: Option<OneOf>,
    /// Users of a part, where --out is a folder [default: 100000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) part_users: Option<u32>,
    /// Format of the parts, where --out is a folder [default: parquet].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) part_format: Option<PartFormat>,
    /// Replace the parts of another job, where --out is a folder.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Make some of the lists, write none, and say how much time and memory all of them would take.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Make lists for the users of this file only, each to its own conditions: a JSON object a line, user_id and any of
    /// length, where, allow, deny, pins (such as {"1": "item-17"}), keep_seen, at. Users without events get a list as well.
    #[arg(long, value_name = "FILE")]
    pub(crate) requests: Option<PathBuf>,
    /// Write one row a user, with its lists items and scores (.parquet and .jsonl).
    #[arg(long)]
    pub(crate) nested: bool,
    /// Items in a list.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) length: u32,
    /// How a list is found: all of it from one pass; by beam search; its first items by beam search and the rest from one
    /// pass; or joined from lists drawn by chance.
    #[arg(long, value_name = "METHOD", default_value = "top-k")]
    pub(crate) method: MethodName,
    #[command(flatten)]
    pub(crate) methods: MethodArgs,
    /// Let items of the history into the list.
    #[arg(long)]
    pub(crate) keep_seen: bool,
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

/// What methods of finding a list are set to.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct MethodArgs {
    /// Beams kept by --method beam and hybrid.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) width: u32,
    /// Groups that the beams of --method beam are dealt out to, so that they keep off each other's items; --width is a
    /// multiple of it.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) groups: u32,
    /// What an item loses, in log-probability, for each list of an earlier group that takes it in the same place.
    #[arg(long, value_name = "D", default_value_t = 0.5, value_parser = not_negative)]
    pub(crate) diversity: f32,
    /// Items that --method hybrid finds by beam search.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) autoregressive: u32,
    /// Temperature at which --method sample draws: below 1 it keeps to the probable, above 1 it strays.
    #[arg(long, value_name = "T", default_value_t = 0.6, value_parser = positive)]
    pub(crate) temperature: f32,
    /// Most probable items of a step that --method sample draws from.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) top_k: u32,
    /// Lists that --method sample draws and joins to one.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) draws: u32,
    /// Add noise to the scores, so many times a Gumbel draw for each item: at 1 lists by top-k are drawn in proportion to
    /// probability, nearer to 0 they keep to the probable.
    #[arg(long, value_name = "WEIGHT", default_value_t = 0.0, value_parser = not_negative)]
    pub(crate) explore: f32,
    /// Seed of the draws of --method sample and of --explore; every user has draws of their own.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MethodName {
    TopK,
    Beam,
    Hybrid,
    Sample,
}

/// As it is typed.
impl std::fmt::Display for MethodName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::TopK => "top-k",
            Self::Beam => "beam",
            Self::Hybrid => "hybrid",
            Self::Sample => "sample",
        })
    }
}

impl MethodArgs {
    pub(crate) fn of(self, name: MethodName) -> Method {
        let Self { width, groups, diversity, autoregressive, temperature, top_k, draws, .. } = self;
        let (width, groups, autoregressive) = (width as usize, groups as usize, autoregressive as usize);
        match name {
            MethodName::TopK => Method::TopK,
            MethodName::Beam if groups > 1 => Method::DiverseBeam { width, groups, diversity },
            MethodName::Beam => Method::Beam { width },
            MethodName::Hybrid => Method::Hybrid { autoregressive, width },
            MethodName::Sample => {
                Method::Sample { temperature, top_k: top_k as usize, draws: draws as usize }
            }
        }
    }
}

fn not_negative(text: &str) -> Result<f32, String> {
    finite(text)
        .and_then(|number| if number >= 0.0 { Ok(number) } else { Err("must not be below 0".to_owned()) })
}

fn positive(text: &str) -> Result<f32, String> {
    finite(text).and_then(|number| if number > 0.0 { Ok(number) } else { Err("must be above 0".to_owned()) })
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// A raw event or item file or a folder of them, a prepared folder, a model folder, a run folder, or a file of lists.
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// Print one JSON object on standard output and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print one JSON object on standard output and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
}
