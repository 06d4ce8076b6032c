//! The loop: steps one after the other, and what to do when their numbers are not finite.

use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use serde_json::json;
use upnext_data::{Prepared, Question};

use super::{chain, fresh};
use crate::checkpoint::Checkpoints;
use crate::clock::Clock;
use crate::feed::Fed;
use crate::log::Log;
use crate::run_folder::RunFolder;
use crate::schedule::learning_rate;
use crate::state::State;
use crate::step::{Learner, Outcome};
use crate::summary::{Ended, Summary};
use crate::{Error, Event, Every, Result, RunConfig, TrainOptions};

/// Steps skipped in a row that bring a rollback.
const SKIPS: u32 = 3;
/// Rollbacks of a run at most.
const ROLLBACKS: u32 = 3;

/// A run under way.
pub(super) struct Trainer<'a> {
    pub(super) config: &'a RunConfig,
    pub(super) data: &'a Prepared,
    pub(super) questions: &'a [Question],
    pub(super) counts: &'a [u64],
    pub(super) run: RunFolder,
    pub(super) checkpoints: Checkpoints,
    pub(super) log: Log,
    pub(super) clock: Clock,
    pub(super) max_steps: u64,
    pub(super) learner: Learner,
    pub(super) state: State,
    pub(super) events: &'a mut dyn FnMut(&Event),
}

impl Trainer<'_> {
    /// Reports that everything is set up.
    pub(super) fn started(&mut self, event: &Event) -> Result<()> {
        if let Event::Started { parameters, steps_per_epoch, memory, .. } = event {
            self.log.append(&json!({
                "event": if self.state.log_bytes > 0 { "resumed" } else { "started" },
                "data_hash": self.data.manifest.data_hash(),
                "protocol": self.config.train.protocol,
                "step": self.state.step,
                "parameters": parameters,
                "steps_per_epoch": steps_per_epoch,
                "memory_bytes": memory.total(),
            }))?;
        }
        (self.events)(event);
        Ok(())
    }

    /// Steps until the plans, the patience or somebody's end it.
    pub(super) fn run(
        &mut self,
        plans: Receiver<Fed>,
        options: &TrainOptions<'_>,
        before: &mut dyn FnMut(u64, &mut Learner),
    ) -> Result<Summary> {
        let asked = || options.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
        for fed in plans {
            if asked() {
                return self.interrupt();
            }
            before(self.state.step, &mut self.learner);
            self.step(&fed)?;
            let due = match self.config.train.eval_every {
                Some(steps) => self.state.step.is_multiple_of(steps),
                None => self.state.index == 0,
            };
            // After a bad step the weights are not trusted: the next validation decides.
            let due = due && self.state.in_a_row == 0;
            if due {
                self.validate()?;
            }
            if let Some(ended) = self.over() {
                return self.finish(ended);
            }
            if due || self.checkpoint_due(options.checkpoint_every) {
                self.checkpoint()?;
            }
        }
        let ended = self.over().unwrap_or(Ended::MaxEpochs);
        self.finish(ended)
    }

    /// Why the run is over, if it is.
    fn over(&self) -> Option<Ended> {
        let (train, state) = (&self.config.train, &self.state);
        match () {
            () if train.max_steps.is_some_and(|most| state.step >= most) => Some(Ended::MaxSteps),
            () if state.epoch >= train.max_epochs => Some(Ended::MaxEpochs),
            () if state.stale >= train.patience => Some(Ended::Patience),
            () => None,
        }
    }

    fn checkpoint_due(&self, every: Every) -> bool {
        match every {
            Every::Steps(steps) => self.state.step.is_multiple_of(steps.max(1)),
            Every::Time(time) => self.clock.since_saved() >= time,
        }
    }

    /// One step, and what follows from it.
    fn step(&mut self, fed: &Fed) -> Result<()> {
        let lr = learning_rate(&self.config.train, self.state.step, self.max_steps);
        self.clock.begin();
        let outcome = self.learner.step(&fed.plan, lr)?;
        let tokens = fed.plan.token_rows.len();
        let tokens_per_second = self.clock.end(tokens);
        self.state.step += 1;
        (self.state.epoch, self.state.index) = fed.next;
        if !outcome.finite {
            return self.skipped(outcome);
        }
        self.state.in_a_row = 0;
        self.state.tokens += tokens as u64;
        let Outcome { loss, gradient_norm, .. } = outcome;
        let (step, epoch) = (self.state.step, self.state.epoch_shown());
        self.log.append(&json!({
            "event": "step", "step": step, "epoch": epoch, "loss": loss, "lr": lr, "gradient_norm": gradient_norm,
            "tokens": tokens, "tokens_per_second": tokens_per_second,
        }))?;
        (self.events)(&Event::Step { step, epoch, loss, lr, gradient_norm, tokens, tokens_per_second });
        Ok(())
    }

    /// A step was not finite: count it, and after several go back to the weights of the latest validation.
    fn skipped(&mut self, outcome: Outcome) -> Result<()> {
        self.state.skipped += 1;
        self.state.in_a_row += 1;
        let (step, in_a_row) = (self.state.step, self.state.in_a_row);
        let (loss, norm) = (outcome.loss, outcome.gradient_norm);
        self.log.append(&json!({
            "event": "skipped", "step": step, "loss": loss, "gradient_norm": norm, "in_a_row": in_a_row,
        }))?;
        (self.events)(&Event::Skipped { step, loss, in_a_row });
        if in_a_row < SKIPS {
            return Ok(());
        }
        let to_step = self.roll_back()?;
        if self.state.rollbacks >= ROLLBACKS {
            if self.state.best.is_none() && !self.run.model().exists() {
                self.save(serde_json::Value::Null)?;
            }
            return Err(Error::Diverged { step, in_a_row, rollbacks: self.state.rollbacks });
        }
        self.state.rollbacks += 1;
        self.state.in_a_row = 0;
        let rollbacks = self.state.rollbacks;
        self.log.append(
            &json!({ "event": "rolled-back", "step": step, "to_step": to_step, "rollbacks": rollbacks }),
        )?;
        (self.events)(&Event::RolledBack { step, to_step, rollbacks });
        Ok(())
    }

    /// Restores weights and moments, but not the place in the data; gives the step that they are from.
    pub(super) fn roll_back(&mut self) -> Result<u64> {
        if let Some(step) = self.state.milestone {
            let Learner { model, adam, .. } = &mut self.learner;
            match self.checkpoints.restore(step, model, adam) {
                Ok(_) => return Ok(step),
                Err(error) => {
                    let (path, reason) = (self.checkpoints.path(step), chain(&error));
                    (self.events)(&Event::Damaged { path, reason });
                }
            }
        }
        self.learner = fresh(self.config, self.data.catalog.len())?;
        Ok(0)
    }
}
