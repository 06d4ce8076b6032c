//! `upnext train`: a run configuration and a prepared folder to a run folder.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use upnext_data::Prepared;
use upnext_train::{Ended, Event, RunConfig, Summary, TrainOptions};

use crate::args::TrainArgs;
use crate::failure::{BadInput, PARTLY};
use crate::{interrupt, open, say};

/// Between two lines of news where nobody watches a bar.
const NEWS: Duration = Duration::from_secs(30);

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
    let options = TrainOptions { resume: args.resume, overwrite: args.overwrite, ..TrainOptions::default() };
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
        say::news(&format!(
            "next: upnext evaluate --model {} --data {}",
            args.out.join("model").display(),
            args.data.display()
        ));
    }
    Ok(if summary.ended == Ended::Asked { ExitCode::from(PARTLY) } else { ExitCode::SUCCESS })
}

/// Trains, drawing what the library reports, and says what came of it.
pub(crate) fn train(
    config: &RunConfig,
    data: &Prepared,
    out: &Path,
    options: TrainOptions<'_>,
) -> Result<Summary> {
    let mut drawing = Drawing::new()?;
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
            "best validation ndcg@10 {:.4} at step {}",
            best.ndcg_10(),
            say::count(best.step)
        ));
    }
    Ok(summary)
}

/// A progress bar where somebody watches, a line now and then elsewhere.
struct Drawing {
    bar: ProgressBar,
    watched: bool,
    steps_per_epoch: u64,
    last_news: Instant,
}

impl Drawing {
    fn new() -> Result<Self> {
        let watched = say::is_watched();
        let bar = if watched { ProgressBar::new(0) } else { ProgressBar::hidden() };
        bar.set_style(ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta} left in the epoch")?);
        Ok(Self { bar, watched, steps_per_epoch: 1, last_news: Instant::now() })
    }

    fn line(&self, line: &str) {
        self.bar.suspend(|| say::news(line));
    }

    fn show(&mut self, event: &Event) {
        match event {
            Event::Started { parameters, items, questions, steps_per_epoch, resumed, memory, .. } => {
                self.steps_per_epoch = (*steps_per_epoch as u64).max(1);
                self.line(&format!(
                    "{} parameters, {} items, {} steps an epoch, {} validation questions, about {} of memory",
                    say::count(*parameters),
                    say::count(*items),
                    say::count(*steps_per_epoch),
                    say::count(*questions),
                    HumanBytes(memory.total())
                ));
                match resumed {
                    Some(0) => self.line("nothing to resume: starting at step 0"),
                    Some(step) => self.line(&format!("resumed at step {}", say::count(*step))),
                    None => {}
                }
                if *questions == 0 {
                    self.line("the protocol asks no validation question of these histories: no model is better than another");
                }
            }
            Event::Step { step, epoch, loss, tokens_per_second, .. } => {
                self.bar.set_length(self.steps_per_epoch);
                self.bar.set_position((step - 1) % self.steps_per_epoch + 1);
                let rate = say::count(*tokens_per_second as u64);
                let message = format!("epoch {epoch} loss {loss:.4} {rate} tokens/s");
                if !self.watched && self.last_news.elapsed() >= NEWS {
                    self.last_news = Instant::now();
                    say::news(&format!("step {step} {message}"));
                }
                self.bar.set_message(message);
            }
            Event::Validated { step, epoch, ndcg_10, best, seconds, .. } => {
                self.last_news = Instant::now();
                let mark = if *best { " (best so far)" } else { "" };
                self.line(&format!(
                    "epoch {epoch}, step {step}: validation ndcg@10 {ndcg_10:.4}{mark}, {seconds:.1} s"
                ));
            }
            Event::Skipped { step, loss, in_a_row } => {
                self.line(&format!(
                    "step {step} skipped: loss {loss} or a gradient is not finite ({in_a_row} in a row)"
                ));
            }
            Event::RolledBack { step, to_step, rollbacks } => {
                self.line(&format!(
                    "step {step}: weights rolled back to step {to_step} (rollback {rollbacks})"
                ));
            }
            Event::Damaged { path, reason } => {
                self.line(&format!("{} is damaged ({reason}); going on with what is left", path.display()));
            }
            _ => {}
        }
    }
}
