//! What a run reports while it runs. The library prints nothing; whoever called it draws these.

use std::path::PathBuf;

use upnext_eval::Metrics;

use crate::config::Precision;
use crate::memory::Estimate;
use crate::summary::Summary;

/// Something happened in a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Everything is set up; the first step follows.
    Started {
        /// Trainable numbers.
        parameters: usize,
        /// i: items of the catalogue.
        items: usize,
        /// k: negatives of a step; at most i. 0 for the full softmax.
        negatives: usize,
        /// Validation questions.
        questions: usize,
        /// Steps of the first epoch.
        steps_per_epoch: usize,
        /// Steps that the run may take at most.
        max_steps: u64,
        /// Epochs that the run may take at most.
        max_epochs: u64,
        /// Steps done before, when the call asked to resume: 0 when no checkpoint could be used, so that the run begins
        /// anew. None when it did not ask.
        resumed: Option<u64>,
        /// Memory that the run will need.
        memory: Estimate,
        /// What steps are computed on: `cpu`, `cuda:0`, `metal:0`.
        device: String,
        /// What products with weights were to be computed in, as the configuration has it.
        precision: Precision,
        /// What they are computed in: [`Precision::F32`] also where the CPU has nothing else.
        products: Precision,
    },
    /// A resumed run goes on with other products than it had: its numbers are not those that it would have had.
    OtherProducts {
        /// Steps done.
        step: u64,
        /// What products were computed in up to now.
        before: Precision,
        /// What they are computed in from now on.
        now: Precision,
    },
    /// A step changed the weights.
    Step {
        /// Steps done, this one included.
        step: u64,
        /// The epoch, from 1.
        epoch: u64,
        /// Mean loss over the step's targets.
        loss: f64,
        /// The learning rate of the step.
        lr: f64,
        /// Norm of the whole gradient before clipping.
        gradient_norm: f64,
        /// n: tokens of the step.
        tokens: usize,
        /// Tokens a second, averaged over the latest steps.
        tokens_per_second: f64,
    },
    /// The validation questions were answered.
    Validated {
        /// Steps done.
        step: u64,
        /// The epoch, from 1.
        epoch: u64,
        /// NDCG at 10, seen items dropped or kept as the run was told.
        ndcg_10: f64,
        /// All metrics, seen items dropped or kept as the run was told.
        metrics: Metrics,
        /// Whether it is the best so far, which `model/` then holds.
        best: bool,
        /// Validations in a row that were not.
        stale: u64,
        /// How long it took.
        seconds: f64,
    },
    /// A checkpoint is on the disk.
    Checkpointed {
        /// Steps done.
        step: u64,
        /// Its folder.
        path: PathBuf,
    },
    /// A loss or a gradient was not finite: the step changed nothing.
    Skipped {
        /// Steps done, this one included.
        step: u64,
        /// The loss, which may be finite when a gradient is not.
        loss: f64,
        /// Skipped steps in a row.
        in_a_row: u32,
    },
    /// The weights went back to those of an earlier step; the data go on.
    RolledBack {
        /// Steps done.
        step: u64,
        /// The step whose weights were restored.
        to_step: u64,
        /// Rollbacks of the run so far.
        rollbacks: u32,
    },
    /// A checkpoint could not be used, and an older one, or the start, takes its place; or `metrics.jsonl` lacks lines
    /// of a resumed run, which goes on with those that are left.
    Damaged {
        /// The checkpoint's folder, or the log.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The run ended and all its files are written.
    Finished(Summary),
}
