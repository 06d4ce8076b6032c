//! What a run keeps: the best model, checkpoints, the summary.

use serde_json::json;
use upnext_data::ItemFeatures;
use upnext_eval::rank::Seen;
use upnext_model::tower::finish;
use upnext_model::{Card, Generation, Trained, folder};

use super::looping::Trainer;
use crate::summary::{Best, Ended, Summary};
use crate::{Event, Result, memory, validate};

impl Trainer<'_> {
    /// Answers the validation questions, and keeps the model if it is the best so far.
    pub(super) fn validate(&mut self) -> Result<()> {
        let (step, epoch) = (self.state.step, self.state.epoch_shown());
        (self.state.validated, self.state.milestone) = (Some(step), Some(step));
        if self.questions.is_empty() {
            return self.save(serde_json::Value::Null);
        }
        let begun = self.clock.seconds();
        let seen = Seen::kept_if(self.config.train.keep_seen);
        let finished = finish(&self.learner.model, self.counts, self.features)?;
        let metrics = validate::validate(
            &self.learner.model,
            &finished,
            self.counts,
            &self.data.histories,
            self.questions,
            seen,
        )?;
        drop(finished);
        let found = validate::best(step, epoch, &metrics)?;
        let ndcg_10 = found.ndcg_10();
        let best = self.state.best.as_ref().is_none_or(|best| ndcg_10 > best.ndcg_10());
        self.state.stale = if best { 0 } else { self.state.stale + 1 };
        let named = serde_json::to_value(&metrics)?;
        if best {
            self.save(named.clone())?;
            self.state.best = Some(found);
        }
        let (stale, seconds) = (self.state.stale, self.clock.seconds() - begun);
        self.log.append(&json!({
            "event": "validated", "step": step, "epoch": epoch, "best": best, "stale": stale, "seconds": seconds,
            "metrics": named,
        }))?;
        (self.events)(&Event::Validated { step, epoch, ndcg_10, metrics, best, stale, seconds });
        Ok(())
    }

    /// Writes `model/`.
    pub(super) fn save(&self, metrics: serde_json::Value) -> Result<()> {
        let card = Card {
            run: serde_json::to_value(self.config)?,
            protocol: self.config.train.protocol.to_string(),
            data_hash: self.data.manifest.data_hash(),
            metrics,
            trained: Trained { steps: self.state.step, tokens: self.state.tokens, ..self.begun.clone() },
            encoders: self.features.map(ItemFeatures::encoders).unwrap_or_default(),
            additions: Vec::new(),
            generation: Generation { keep_seen: self.config.train.keep_seen, ..Generation::default() },
        };
        Ok(folder::save(
            &self.run.model(),
            &self.learner.model,
            &self.data.catalog,
            self.counts,
            self.features,
            &card,
            true,
        )?)
    }

    pub(super) fn checkpoint(&mut self) -> Result<()> {
        self.state.log_bytes = self.log.sync()?;
        self.state.seconds = self.clock.seconds();
        self.state.stepping = self.clock.stepping();
        let path = self.checkpoints.write(&self.state, &self.learner.model, &self.learner.adam)?;
        self.clock.saved();
        (self.events)(&Event::Checkpointed { step: self.state.step, path });
        Ok(())
    }

    /// Ends a run that was asked to stop, so that resuming it changes nothing: what is validated here is not
    /// remembered, and `model/` is written only when there is none.
    pub(super) fn interrupt(&mut self) -> Result<Summary> {
        self.checkpoint()?;
        if self.state.best.is_none() {
            let kept = self.state.clone();
            if self.state.in_a_row > 0 {
                self.roll_back()?;
            }
            self.validate()?;
            let best = std::mem::replace(&mut self.state, kept).best;
            return self.summary_with(Ended::Asked, best);
        }
        self.summary(Ended::Asked)
    }

    /// Ends a run for good.
    pub(super) fn finish(&mut self, ended: Ended) -> Result<Summary> {
        if self.state.in_a_row > 0 {
            self.roll_back()?;
        }
        if self.state.validated != Some(self.state.step) {
            self.validate()?;
        }
        self.state.ended = Some(ended);
        self.checkpoint()?;
        self.summary(ended)
    }

    pub(super) fn summary(&mut self, ended: Ended) -> Result<Summary> {
        let best = self.state.best.clone();
        self.summary_with(ended, best)
    }

    pub(super) fn summary_with(&mut self, ended: Ended, best: Option<Best>) -> Result<Summary> {
        let state = &self.state;
        let summary = Summary {
            steps: state.step,
            epochs: state.epochs_begun(),
            tokens: state.tokens,
            tokens_per_second: state.tokens as f64 / self.clock.stepping().max(1e-9),
            peak_rss_bytes: memory::peak_rss_bytes(),
            best,
            seconds: self.clock.seconds(),
            skipped: state.skipped,
            rollbacks: state.rollbacks,
            ended,
        };
        self.run.summarise(&summary)?;
        (self.events)(&Event::Finished(summary.clone()));
        Ok(summary)
    }
}
