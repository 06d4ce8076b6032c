//! `upnext evaluate`: a model's full-ranking metrics beside the baselines.

mod lists;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use upnext_data::{ItemFeatures, ItemId, Prepared, Protocol, Split};
use upnext_eval::evaluate::Options;
use upnext_eval::rank::Seen;
use upnext_eval::{Asked, ModelScorer, Part, Record, Report, baselines, predictions};
use upnext_generate::Adjustment;
use upnext_model::folder::Served;
use upnext_tables::RowSink;

use crate::args::{EvaluateArgs, SplitName};
use crate::failure::BadInput;
use crate::{open, say};

/// Seed of the bootstrap: the same intervals for everybody.
const BOOTSTRAP: u64 = 1;

pub(crate) fn run(args: &EvaluateArgs) -> Result<ExitCode> {
    args.methods.refuse_idle(&args.method)?;
    if args.method.is_empty() && args.rules.are_any() {
        let what = "--where, --pin, --at-most, --at-least and --diversify are for lists; name a --method";
        return Err(BadInput(what.to_owned()).into());
    }
    if args.method.is_empty() && args.scoring.is_any() {
        let what = "--scoring and --probes are for lists; name a --method. Ranks are by exact scores";
        return Err(BadInput(what.to_owned()).into());
    }
    if args.method.is_empty() && args.seen.is_any() {
        let what = "--keep-seen and --drop-seen are for lists; name a --method. Ranks are reported both ways";
        return Err(BadInput(what.to_owned()).into());
    }
    open::check_model(&args.model)?;
    let served = upnext_model::folder::open(&args.model)
        .with_context(|| format!("opening model folder {}", args.model.display()))?;
    let data = open::prepared(&args.data)?;
    check_same_data(&served, &data)?;
    let part = match args.split {
        SplitName::Test => Part::Test,
        SplitName::Validation => Part::Validation,
    };
    let split = held_out(&served, &data, args.protocol.as_deref(), part)?;
    let trained = served.counts.clone();
    let asked = Asked {
        histories: &data.histories,
        split: &split,
        part,
        items: data.catalog.len(),
        trained: &trained,
        seed: BOOTSTRAP,
    };
    if asked.questions().is_empty() {
        let protocol = split.protocol;
        return Err(
            BadInput(format!("protocol {protocol} asks no {part} question of these histories")).into()
        );
    }
    let joined = served.catalog.len().saturating_sub(data.catalog.len());
    if joined > 0 {
        say::news(&format!(
            "note: the model ranks {} items that joined it after its training, too; the baselines rank the {} of the data",
            say::count(joined),
            say::count(data.catalog.len())
        ));
    }
    let features = match args.features.is_empty() {
        true => None,
        false => Some(open::features(&args.features, &data.catalog, None)?),
    };
    if let Some(path) = &args.predictions {
        write_predictions(&served, args.adjust.adjustment(), &asked, path)?;
    }
    if !args.method.is_empty() {
        return lists::run(args, served, &asked, features.as_ref());
    }
    let rivals = if args.no_baselines { Rivals::None } else { Rivals::With(features.as_ref()) };
    let report = measure(&served, args.adjust.adjustment(), &asked, rivals)?;
    if args.json {
        say::json(&serde_json::to_value(&report)?)?;
    } else {
        say::result(&report.table())?;
    }
    if let Some(path) = &args.report {
        Record::of(&report, &asked, &data.catalog)?.write(path)?;
        say::news(&format!("{}: report of {} questions", path.display(), say::count(report.questions)));
    }
    Ok(ExitCode::SUCCESS)
}

/// What is printed beside the model.
#[derive(Clone, Copy)]
pub(crate) enum Rivals<'a> {
    /// Nothing.
    None,
    /// The baselines, with content-kNN where there are features.
    With(Option<&'a ItemFeatures>),
}

/// The model's report, its scores moved by so much, with the baselines where wanted.
pub(crate) fn measure(
    served: &Served,
    by: Adjustment,
    asked: &Asked<'_>,
    rivals: Rivals<'_>,
) -> Result<Report> {
    let bar = if say::is_watched() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}")?);
    let draw = |name: &str, done: usize, of: usize| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
        bar.set_message(name.to_owned());
    };
    let options = Options { progress: Some(&draw) };
    let rivals = match rivals {
        Rivals::None => Vec::new(),
        Rivals::With(features) => {
            baselines::fit(asked, features, Seen::kept_if(served.generation.keep_seen), options)?
        }
    };
    let report = Report::measure(&ModelScorer::of(served, by), &rivals, asked, options);
    bar.finish_and_clear();
    Ok(report?)
}

/// A model speaks of one prepared folder: with another, "held out" would mean nothing.
fn check_same_data(served: &Served, data: &Prepared) -> Result<()> {
    let (model, folder) = (&served.manifest.data_hash, data.manifest.data_hash());
    if *model == folder {
        return Ok(());
    }
    let (model, folder) = (say::shorten(model, 13), say::shorten(&folder, 13));
    let what = format!(
        "the model was trained on other data (hash {model}) than this folder holds (hash {folder}): its held-out items \
         cannot be known here; name the folder it was trained from"
    );
    Err(BadInput(what).into())
}

/// The split of the protocol asked for, which must not ask for anything the model was trained on, nor test by what chose
/// the model among its epochs. Where its test is that of the model's own protocol, that one's split is taken, so that the
/// baselines train on what the model was trained on.
fn held_out(served: &Served, data: &Prepared, protocol: Option<&str>, part: Part) -> Result<Split> {
    let own: Protocol = served.manifest.protocol.parse()?;
    let own_split = own.split(&data.histories)?;
    let Some(id) = protocol else { return Ok(own_split) };
    let asked: Protocol = id.parse()?;
    if part == Part::Test && asked.tests_as(&own) {
        return Ok(own_split);
    }
    let split = asked.split(&data.histories)?;
    let trained_cold = (0..split.cold.len() as u32)
        .map(ItemId)
        .find(|&item| split.is_cold(item) && !own_split.is_cold(item));
    if let Some(item) = trained_cold {
        let what = format!(
            "protocol {asked} asks for items that no training has seen, but the model was trained on {:?} among them \
             (protocol {own}); train a model with protocol = \"{asked}\"",
            data.catalog.key(item)
        );
        return Err(BadInput(what).into());
    }
    if let Some(question) = split.trained_on_by(&own_split) {
        let user = data.histories.user_key(question.user);
        let what = format!(
            "protocol {asked} asks for events that the model was trained on (protocol {own}), user {user:?} the first: \
             its numbers would be a leak; train a model with protocol = \"{asked}\""
        );
        return Err(BadInput(what).into());
    }
    if let Some(question) = split.validated_by(&own_split).filter(|_| part == Part::Test) {
        let user = data.histories.user_key(question.user);
        let what = format!(
            "protocol {asked} tests by events that the model was validated by (protocol {own}), user {user:?} the first: \
             they chose the best of its epochs; train a model with protocol = \"{asked}\""
        );
        return Err(BadInput(what).into());
    }
    Ok(split)
}

fn write_predictions(served: &Served, by: Adjustment, asked: &Asked<'_>, path: &Path) -> Result<()> {
    let mut sink = RowSink::create(path)?;
    // The model's own catalogue: it holds the data's items, by the same ids, and those that joined it later.
    predictions::predictions(
        &ModelScorer::of(served, by),
        asked.histories,
        &served.catalog,
        asked.questions(),
        predictions::LENGTH,
        &mut |row| sink.row(row.user_key, row.rank, row.item_key, row.score).map_err(std::io::Error::other),
    )?;
    let rows = sink.finish()?;
    say::news(&format!("{}: {} rows", path.display(), say::count(rows)));
    Ok(())
}
