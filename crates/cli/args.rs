//! What can be typed: subcommands and flags, nothing else.

mod items;
mod lists;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use upnext_eval::Metric;
use upnext_tables::{Condition, Format, KeptColumn, Moment, Size, TimeUnit};
use upnext_train::device::Choice;

pub(crate) use items::{EncodeArgs, ExportArgs, ExtendArgs, IndexArgs, SimilarArgs};
pub(crate) use lists::{
    AdjustArgs, GenerateArgs, MethodArgs, MethodName, OneOf, PartFormat, RuleArgs, ScoringArgs, SeenArgs,
};

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
    /// Cluster a model's items, so that lists look at few of them, and measure every way to score.
    Index(IndexArgs),
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

impl InputArgs {
    /// A flag that was given and says nothing of prepared folders.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let flags = [
            (self.user.is_some(), "--user"),
            (self.item.is_some(), "--item"),
            (self.time.is_some(), "--time"),
            (self.format.is_some(), "--format"),
            (self.time_unit.is_some(), "--time-unit"),
            (self.max_bad_rows > 0, "--max-bad-rows"),
        ];
        flags.into_iter().find(|(is_given, _)| *is_given).map(|(_, flag)| flag)
    }
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
    /// Which held-out items to ask for. Of a question for several events the first is ranked; lists (--method) and the
    /// validation in a training are held against all.
    #[arg(long, value_name = "SPLIT", default_value = "test")]
    pub(crate) split: SplitName,
    /// Protocol id (loo, time:T1,T2 or time:T1,T2,all, last:N or last:N,M, cold:FRACTION,SEED) [default: the model's own].
    #[arg(long, value_name = "ID")]
    pub(crate) protocol: Option<String>,
    /// Measure whole lists by this method against all that came next (protocol last:N or last:N,M), instead of ranks of the
    /// next item; several, joined by commas, stand beside each other: top-k, multi-token, beam, hybrid, sample.
    #[arg(long, value_name = "METHOD", value_delimiter = ',', conflicts_with_all = ["predictions", "report"])]
    pub(crate) method: Vec<MethodName>,
    /// Items in a list of --method.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..), requires = "method")]
    pub(crate) length: u32,
    #[command(flatten)]
    pub(crate) seen: SeenArgs,
    #[command(flatten)]
    pub(crate) methods: MethodArgs,
    #[command(flatten)]
    pub(crate) scoring: ScoringArgs,
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
