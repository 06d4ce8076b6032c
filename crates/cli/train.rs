//! `upnext train`: a run configuration and a prepared folder to a run folder.

mod drawing;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use indicatif::HumanBytes;
use upnext_data::Prepared;
use upnext_eval::Seen;
use upnext_model::folder::open_trained;
use upnext_train::{Ended, RunConfig, Summary, TrainOptions};

use crate::args::TrainArgs;
use crate::failure::{BadInput, PARTLY};
use crate::{interrupt, open, say};
use drawing::Drawing;

pub(crate) fn run(args: &TrainArgs) -> Result<ExitCode> {
    let text = std::fs::read_to_string(&args.config)
        .map_err(|source| BadInput::unreadable(&args.config, &source))?;
    let mut config = RunConfig::from_toml(&text, &args.config)?;
    let mut overrides = Vec::with_capacity(args.set.len() + 1);
    for assignment in &args.set {
        let (key, value) = assignment.split_once('=').ok_or_else(|| {
            BadInput(format!("--set {assignment}: expected KEY=VALUE, such as train.lr=3e-4"))
        })?;
        overrides.push((key.trim(), value.trim()));
    }
    let seed = args.seed.map(|seed| seed.to_string());
    overrides.extend(seed.iter().map(|seed| ("train.seed", seed.as_str())));
    config.set_all(&overrides)?;
    let data = open::prepared(&args.data)?;
    let device = args.device.open()?;
    let device = device.as_ref();
    if !args.features.is_empty() && config.model.tower.is_none() {
        let what = "--features is for a model with a tower: add a [model.tower] table to the config, or --set \
                    model.tower.mask_input=0.1";
        return Err(BadInput(what.into()).into());
    }
    let from = match &args.from {
        Some(dir) => {
            open::check_model(dir)?;
            let inside =
                |dir: &Path| Some(dir.canonicalize().ok()?.starts_with(args.out.canonicalize().ok()?));
            if args.overwrite && inside(dir) == Some(true) {
                let what =
                    "--from is a model of the run that --overwrite would clear; name another run folder";
                return Err(BadInput(what.into()).into());
            }
            Some(open_trained(dir).with_context(|| format!("opening model folder {}", dir.display()))?)
        }
        None => None,
    };
    let features = match args.features.is_empty() {
        true => None,
        false => {
            let earlier = from.as_ref().map(|earlier| &earlier.manifest);
            Some(open::features(&args.features, &data.catalog, earlier)?)
        }
    };
    let options = TrainOptions {
        device,
        resume: args.resume,
        overwrite: args.overwrite,
        features: features.as_ref(),
        from: from.as_ref(),
        ..TrainOptions::default()
    };
    interrupt::catch("stopping after this step; once more to stop at once")?;
    let summary =
        train(&config, &data, &args.out, TrainOptions { stop: Some(interrupt::flag()), ..options })?;
    if args.json {
        say::json(&serde_json::to_value(&summary)?)?;
    } else if summary.ended == Ended::Asked {
        say::news(&format!(
            "interrupted; the same command with --resume goes on from step {}",
            summary.steps
        ));
    } else {
        say::news(&next(&config, &data, args)?);
    }
    Ok(if summary.ended == Ended::Asked { ExitCode::from(PARTLY) } else { ExitCode::SUCCESS })
}

/// What to do with the model; what cannot be done is not offered.
fn next(config: &RunConfig, data: &Prepared, args: &TrainArgs) -> Result<String> {
    let (model, data_dir) = (args.out.join("model"), args.data.display());
    let split = config.train.protocol.split(&data.histories)?;
    if split.test.is_empty() {
        return Ok(format!(
            "protocol {} leaves no test question of these histories, so the model cannot be evaluated on them; next: \
             upnext generate --model {} --data {data_dir} --out lists.csv",
            split.protocol,
            model.display()
        ));
    }
    Ok(format!("next: upnext evaluate --model {} --data {data_dir}", model.display()))
}

/// Trains, drawing what the library reports, and says what came of it.
pub(crate) fn train(
    config: &RunConfig,
    data: &Prepared,
    out: &Path,
    options: TrainOptions<'_>,
) -> Result<Summary> {
    let mut drawing = Drawing::new()?;
    upnext_kernels::allocator::keep_pages();
    let summary = upnext_train::train(config, data, out, &options, &mut |event| drawing.show(event))
        .with_context(|| format!("training {}", out.display()));
    drawing.bar.finish_and_clear();
    let summary = summary?;
    let why = match summary.ended {
        Ended::MaxEpochs => "all epochs done",
        Ended::MaxSteps => "all steps done",
        Ended::Patience => "no better validation any more",
        Ended::Asked => "asked to stop",
    };
    let memory =
        summary.peak_rss_bytes.map(|bytes| format!(", {} at most", HumanBytes(bytes))).unwrap_or_default();
    say::news(&format!(
        "{why}: {} steps in {}, {} tokens/s{memory}",
        say::count(summary.steps),
        say::duration(summary.seconds),
        say::count(summary.tokens_per_second as u64)
    ));
    if let Some(best) = &summary.best {
        say::news(&format!(
            "best validation ndcg@10 {:.4} at step {}, seen items {}",
            best.ndcg_10(),
            say::count(best.step),
            Seen::kept_if(config.train.keep_seen)
        ));
    }
    Ok(summary)
}
