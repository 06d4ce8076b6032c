//! Training on a device: a GPU, or the CPU in its place, as tests have it.
//!
//! A step never waits for the host. What depends on ids is sorted on the thread that makes batches and sent ahead
//! (`lay`); loss, clipping and the decision whether to update stay on the device (`learner`); the host reads a step's
//! numbers while the next one runs. Tables, parameters and moments live on the device and come back for validations and
//! checkpoints, which are the CPU's.
//!
//! On a GPU a run is reproducible as far as the driver's matrix products are; it does not have the CPU's bits.

mod lay;
mod learner;
mod loss;

pub(crate) use lay::{Laid, Layer};
pub(crate) use learner::DeviceLearner;

use std::str::FromStr;

use candle_core::Device;

use crate::{Error, Result};

/// Which device is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// A GPU that this build can use and this machine has, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of that number.
    Cuda(usize),
    /// The Metal device of that number.
    Metal(usize),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (name, number) = text.split_once(':').unwrap_or((text, "0"));
        match (name, number.parse(), text.contains(':')) {
            ("auto", _, false) => Ok(Self::Auto),
            ("cpu", _, false) => Ok(Self::Cpu),
            ("cuda", Ok(number), _) => Ok(Self::Cuda(number)),
            ("metal", Ok(number), _) => Ok(Self::Metal(number)),
            _ => Err("it must be auto, cpu, cuda, cuda:N, metal or metal:N".to_owned()),
        }
    }
}

impl Choice {
    /// The device to train on; none for the CPU's own path.
    ///
    /// # Errors
    /// When a GPU is asked for that this build cannot use or this machine does not have.
    pub fn open(self) -> Result<Option<Device>> {
        let (name, opened) = match self {
            Self::Cpu => return Ok(None),
            Self::Auto => return Ok(Device::new_cuda(0).or_else(|_| Device::new_metal(0)).ok()),
            Self::Cuda(number) => ("cuda", Device::new_cuda(number)),
            Self::Metal(number) => ("metal", Device::new_metal(number)),
        };
        opened.map(Some).map_err(|source| match built_with(name) {
            true => Error::NoDevice { name, reason: first_line(&source) },
            false => Error::NotBuiltFor { name },
        })
    }
}

/// Whether this build can use such devices.
#[must_use]
pub fn built_with(name: &str) -> bool {
    match name {
        "cuda" => candle_core::utils::cuda_is_available(),
        "metal" => candle_core::utils::metal_is_available(),
        _ => name == "cpu",
    }
}

/// A device in words.
#[must_use]
pub fn describe(device: Option<&Device>) -> String {
    match device.map(Device::location) {
        None => "cpu".to_owned(),
        Some(candle_core::DeviceLocation::Cpu) => "cpu, as a device".to_owned(),
        Some(candle_core::DeviceLocation::Cuda { gpu_id }) => format!("cuda:{gpu_id}"),
        Some(candle_core::DeviceLocation::Metal { gpu_id }) => format!("metal:{gpu_id}"),
    }
}

fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
