//! The loop: steps one after the other, and what follows between them.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use serde_json::json;
use upnext_data::{ItemFeatures, Prepared, Question};

use upnext_model::Trained;

use super::stepping::Issued;
use crate::checkpoint::Checkpoints;
use crate::clock::Clock;
use crate::config::Precision;
use crate::device::DeviceLearner;
use crate::feed::Fed;
use crate::log::Log;
use crate::run_folder::RunFolder;
use crate::start::Start;
use crate::state::State;
use crate::step::Learner;
use crate::summary::{Ended, Summary};
use crate::{Event, Every, Result, RunConfig, TrainOptions};

/// A run under way.
pub(super) struct Trainer<'a> {
    pub(super) config: &'a RunConfig,
    pub(super) data: &'a Prepared,
    pub(super) questions: &'a [Question],
    pub(super) counts: &'a [u64],
    pub(super) features: Option<&'a ItemFeatures>,
    /// What is known of the model's training before its first step.
    pub(super) begun: Trained,
    pub(super) run: RunFolder,
    pub(super) checkpoints: Checkpoints,
    pub(super) log: Log,
    pub(super) clock: Clock,
    pub(super) max_steps: u64,
    /// What the weights were before the first step.
    pub(super) start: Start<'a>,
    /// The model; behind what is on a device until [`Trainer::settle`].
    pub(super) learner: Learner,
    /// What computes the steps, where it is not the learner itself.
    pub(super) device: Option<DeviceLearner>,
    /// Steps given out whose numbers are not known yet, in order.
    pub(super) in_flight: VecDeque<Issued>,
    pub(super) state: State,
    pub(super) events: &'a mut dyn FnMut(&Event),
}

impl Trainer<'_> {
    /// Reports that everything is set up, and whether the run had other products before.
    pub(super) fn started(&mut self, event: &Event, products_before: Option<Precision>) -> Result<()> {
        self.run.reopen()?;
        if let Event::Started { parameters, steps_per_epoch, memory, device, products, .. } = event {
            let origin = self.checkpoints.origin();
            self.log.append(&json!({
                "event": if self.state.log_bytes > 0 { "resumed" } else { "started" },
                "data_hash": origin.data_hash,
                "features": origin.features,
                "from": origin.from,
                "protocol": self.config.train.protocol,
                "step": self.state.step,
                "parameters": parameters,
                "steps_per_epoch": steps_per_epoch,
                "memory_bytes": memory.total(),
                "device": device,
                "products": products,
            }))?;
        }
        (self.events)(event);
        if let (Event::Started { products: now, .. }, Some(before)) = (event, products_before)
            && before != *now
        {
            let (step, now) = (self.state.step, *now);
            self.log
                .append(&json!({ "event": "other-products", "step": step, "before": before, "now": now }))?;
            (self.events)(&Event::OtherProducts { step, before, now });
        }
        Ok(())
    }

    /// Steps until the plans, the patience or somebody's end it.
    pub(super) fn run(
        &mut self,
        plans: Receiver<Result<Fed>>,
        options: &TrainOptions<'_>,
        before: &mut dyn FnMut(u64, &mut Learner),
    ) -> Result<Summary> {
        let asked = || options.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
        for fed in plans {
            if asked() {
                self.settle()?;
                return self.interrupt();
            }
            before(self.state.step, &mut self.learner);
            self.step(fed?)?;
            if !self.turning(options.checkpoint_every) {
                continue;
            }
            self.settle()?;
            // After a bad step the weights are not trusted: the next validation decides.
            let due = self.validation_due() && self.state.in_a_row == 0;
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
        self.settle()?;
        let ended = self.over().unwrap_or(Ended::MaxEpochs);
        self.finish(ended)
    }

    /// Whether anything but the next step may follow now. Without a device every step's numbers are known at once, and
    /// asking costs nothing.
    fn turning(&self, every: Every) -> bool {
        let train = &self.config.train;
        let (step, (epoch, _)) = self.ahead();
        self.validation_due()
            || self.checkpoint_due(every)
            || train.max_steps.is_some_and(|most| step >= most)
            || epoch >= train.max_epochs
    }

    /// Whether the step given out last ends a stretch between validations.
    fn validation_due(&self) -> bool {
        let (step, (_, index)) = self.ahead();
        match self.config.train.eval_every {
            Some(steps) => step.is_multiple_of(steps),
            None => index == 0,
        }
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
            Every::Steps(steps) => self.ahead().0.is_multiple_of(steps.max(1)),
            Every::Time(time) => self.clock.since_saved() >= time,
        }
    }
}
