//! A step of a run: given out, taken in, and what to do when its numbers are not finite.
//!
//! On the CPU's own path a step is taken in as it is given out; a device's step while the next one runs.

use serde_json::json;

use super::chain;
use super::looping::Trainer;
use crate::device::DeviceLearner;
use crate::feed::Fed;
use crate::schedule::learning_rate;
use crate::step::{Learner, Outcome};
use crate::{Error, Event, Result};

/// Steps skipped in a row that bring a rollback.
const SKIPS: u32 = 3;
/// Rollbacks of a run at most.
const ROLLBACKS: u32 = 3;

/// A step that was given out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Issued {
    lr: f64,
    tokens: usize,
    /// Where the next step stands: its epoch, and its batch within it.
    next: (u64, usize),
}

impl Trainer<'_> {
    /// Gives a step out, and takes in what is known of the oldest one under way.
    pub(super) fn step(&mut self, fed: Fed) -> Result<()> {
        let lr = learning_rate(&self.config.train, self.ahead().0, self.max_steps);
        self.clock.begin();
        let outcome = match (&mut self.device, fed.laid) {
            (Some(device), Some(laid)) => device.step(&laid, lr)?,
            _ => Some(self.learner.step(&fed.plan, lr)?),
        };
        self.in_flight.push_back(Issued { lr, tokens: fed.plan.token_rows.len(), next: fed.next });
        outcome.map_or(Ok(()), |outcome| self.landed(outcome))
    }

    /// Waits for the steps under way and brings the weights back, so that the learner is the model as it is now.
    pub(super) fn settle(&mut self) -> Result<()> {
        self.clock.begin();
        let outcome = self.device.as_mut().map_or(Ok(None), DeviceLearner::settle)?;
        outcome.map_or(Ok(()), |outcome| self.landed(outcome))?;
        self.device.as_ref().map_or(Ok(()), |device| device.write_back(&mut self.learner))
    }

    /// Where the run stands once every step under way is done: steps, and epoch and batch of the next one.
    pub(super) fn ahead(&self) -> (u64, (u64, usize)) {
        let state = &self.state;
        let next = self.in_flight.back().map_or((state.epoch, state.index), |issued| issued.next);
        (state.step + self.in_flight.len() as u64, next)
    }

    /// What the oldest step under way did.
    fn landed(&mut self, outcome: Outcome) -> Result<()> {
        let Some(Issued { lr, tokens, next }) = self.in_flight.pop_front() else { return Ok(()) };
        let tokens_per_second = self.clock.end(tokens);
        self.state.step += 1;
        (self.state.epoch, self.state.index) = next;
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
        self.count_skipped(outcome)?;
        if self.state.in_a_row < SKIPS {
            return Ok(());
        }
        // What a device has begun since is lost with the weights that it began from.
        while let Some(Issued { next, .. }) = self.in_flight.pop_front() {
            let lost = self.device.as_mut().map_or(Ok(None), DeviceLearner::settle)?;
            self.state.step += 1;
            (self.state.epoch, self.state.index) = next;
            lost.map_or(Ok(()), |lost| self.count_skipped(lost))?;
        }
        let (step, in_a_row) = (self.state.step, self.state.in_a_row);
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

    fn count_skipped(&mut self, outcome: Outcome) -> Result<()> {
        self.state.skipped += 1;
        self.state.in_a_row += 1;
        let (step, in_a_row) = (self.state.step, self.state.in_a_row);
        let (loss, norm) = (outcome.loss, outcome.gradient_norm);
        self.log.append(&json!({
            "event": "skipped", "step": step, "loss": loss, "gradient_norm": norm, "in_a_row": in_a_row,
        }))?;
        (self.events)(&Event::Skipped { step, loss, in_a_row });
        Ok(())
    }

    /// Restores weights and moments, but not the place in the data; gives the step that they are from.
    pub(super) fn roll_back(&mut self) -> Result<u64> {
        let to_step = self.restore()?;
        if let Some(device) = &mut self.device {
            *device = DeviceLearner::new(&self.learner, device.device())?;
        }
        Ok(to_step)
    }

    fn restore(&mut self) -> Result<u64> {
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
        self.learner = self.start.learner()?;
        Ok(0)
    }
}
