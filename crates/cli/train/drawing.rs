//! What a training reports, drawn: a bar of the epoch where somebody watches, a line now and then elsewhere.

use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use upnext_train::Event;

use crate::say;

/// Between two lines of news where nobody watches a bar.
const NEWS: Duration = Duration::from_secs(30);

/// A training that is being watched.
pub(super) struct Drawing {
    pub(super) bar: ProgressBar,
    watched: bool,
    last_news: Instant,
    steps_per_epoch: u64,
    epochs: u64,
    pace: Pace,
}

/// How far a run is and how long it can still take.
struct Pace {
    since: Instant,
    /// Steps done when it was last `since`.
    from: u64,
    /// Steps that the run takes at most.
    most: u64,
}

impl Pace {
    /// Seconds to the last step that the run may take, validations included, at the pace so far.
    fn left(&self, step: u64, seconds: f64) -> f64 {
        let done = step.saturating_sub(self.from).max(1);
        seconds / done as f64 * self.most.saturating_sub(step) as f64
    }
}

impl Drawing {
    pub(super) fn new() -> Result<Self> {
        let watched = say::is_watched();
        let bar = if watched { ProgressBar::new(0) } else { ProgressBar::hidden() };
        bar.set_style(ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta} left in the epoch")?);
        let now = Instant::now();
        let pace = Pace { since: now, from: 0, most: 0 };
        Ok(Self { bar, watched, last_news: now, steps_per_epoch: 1, epochs: 1, pace })
    }

    fn line(&self, line: &str) {
        self.bar.suspend(|| say::news(line));
    }

    pub(super) fn show(&mut self, event: &Event) {
        match event {
            Event::Started {
                parameters,
                items,
                questions,
                steps_per_epoch,
                max_steps,
                resumed,
                memory,
                device,
                precision,
                products,
                ..
            } => {
                self.steps_per_epoch = (*steps_per_epoch as u64).max(1);
                self.epochs = max_steps.div_ceil(self.steps_per_epoch);
                self.pace = Pace { since: Instant::now(), from: resumed.unwrap_or(0), most: *max_steps };
                self.line(&format!(
                    "{} parameters, {} items, {} steps an epoch, {} validation questions, about {} of memory, on {device}, products in {products}",
                    say::count(*parameters),
                    say::count(*items),
                    say::count(*steps_per_epoch),
                    say::count(*questions),
                    HumanBytes(memory.total())
                ));
                if precision != products {
                    self.line(&format!(
                        "train.precision = \"{precision}\", but this processor offers no such products (see upnext doctor): \
                         training in {products}"
                    ));
                }
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
                let left = say::duration(self.pace.left(*step, self.pace.since.elapsed().as_secs_f64()));
                let epochs = self.epochs;
                let message =
                    format!("epoch {epoch}/{epochs} loss {loss:.4} {rate} tokens/s, at most {left} left;");
                if !self.watched && self.last_news.elapsed() >= NEWS {
                    self.last_news = Instant::now();
                    say::news(&format!("step {step} {}", message.trim_end_matches(';')));
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
            Event::OtherProducts { before, now, .. } => {
                self.line(&format!(
                    "products were in {before} up to here and are in {now} from now on: the run ends with other weights than \
                     it would have had"
                ));
            }
            Event::Damaged { path, reason } => {
                self.line(&format!("{} is damaged ({reason}); going on with what is left", path.display()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_counts_the_steps_of_this_call_alone() {
        let pace = Pace { since: Instant::now(), from: 100, most: 400 };
        assert!((pace.left(200, 50.0) - 100.0).abs() < 1e-9);
        assert!(pace.left(400, 50.0).abs() < 1e-9);
        assert!(pace.left(100, 2.0).is_finite());
    }
}
