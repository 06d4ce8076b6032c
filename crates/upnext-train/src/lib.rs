//! A run configuration and a prepared folder in, a run folder out: losses, optimisers, the loop, its checkpoints.
//!
//! [`train()`] is the whole crate for most callers. It prints nothing: progress leaves it as [`Event`]s. One idea a
//! file: [`negatives`] are drawn by key, [`sampled_softmax`] and [`full_softmax`] make a loss and its gradients,
//! [`adam`] and [`schedule`] update, [`step`] joins them, the trainer loops, validates, saves and resumes.
//!
//! Letters: n tokens of a step · b histories · i items · r rank · k negatives · u distinct ids of a step.

#![forbid(unsafe_code)]

pub mod adam;
mod ahead;
pub mod align;
mod checkpoint;
mod clock;
pub mod config;
pub mod correction;
pub mod curve;
pub mod device;
mod error;
mod event;
mod feed;
pub mod full_softmax;
mod link;
mod log;
pub mod machine;
pub mod memory;
pub mod negatives;
mod options;
pub mod plan;
pub mod record;
mod run_folder;
pub mod sampled_softmax;
pub mod schedule;
mod start;
mod state;
pub mod step;
mod summary;
#[cfg(test)]
mod testing;
mod trainer;
mod validate;

pub use config::RunConfig;
pub use error::{Error, Result};
pub use event::Event;
pub use options::{Every, TrainOptions};
pub use summary::{Best, Ended, Summary};
pub use trainer::train;
