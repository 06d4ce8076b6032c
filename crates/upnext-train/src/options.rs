//! How a run is started, interrupted, and on what it is computed.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use candle_core::Device;
use upnext_data::ItemFeatures;
use upnext_model::folder::Earlier;

/// How often a checkpoint is written between validations; after each validation one is written anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// After so many steps.
    Steps(u64),
    /// After so much time since the last.
    Time(Duration),
}

/// What [`crate::train()`] is told besides the configuration.
#[derive(Clone, Copy)]
pub struct TrainOptions<'a> {
    /// Go on from the newest valid checkpoint of the run folder, or from the start when there is none.
    pub resume: bool,
    /// Replace an existing run: the files that runs make go, all else in its folder stays.
    pub overwrite: bool,
    /// Set to end the run after the step at hand, as `resume` can go on from.
    pub stop: Option<&'a AtomicBool>,
    /// How often a checkpoint is written.
    pub checkpoint_every: Every,
    /// The device that steps are computed on (see [`crate::device::Choice::open`]); none for the CPU's own path, the
    /// only one whose bits are promised. `Device::Cpu` runs the device path on the CPU: slow, for tests.
    pub device: Option<&'a Device>,
    /// What items are like, for a model with a tower.
    pub features: Option<&'a ItemFeatures>,
    /// The model that training goes on from.
    pub from: Option<&'a Earlier>,
}

impl Default for TrainOptions<'_> {
    fn default() -> Self {
        let checkpoint_every = Every::Time(Duration::from_secs(60));
        Self {
            resume: false,
            overwrite: false,
            stop: None,
            checkpoint_every,
            device: None,
            features: None,
            from: None,
        }
    }
}
