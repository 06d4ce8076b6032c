//! Item tokens to hidden states to scores, and the model folder.
//!
//! Data flows from a [`ModelConfig`] to a [`Model`], which trains: [`Model::forward`] gives states that gradients
//! flow through. [`Model::network`] freezes its decoder into a [`Network`], which serves: the same sub-layers over
//! plain slices, with keys and values in a [`Cache`] that belongs to the caller, and item vectors in [`Vectors`].
//! [`folder`] writes and reads models, strictly.
//!
//! There is no loss, no optimiser and no clock in this crate.

// Launching a kernel is unsafe, and one file does; without the feature nothing is.
#![cfg_attr(not(feature = "cuda"), forbid(unsafe_code))]

pub mod adjust;
pub mod cache;
pub mod config;
pub mod dropout;
pub mod error;
pub mod folder;
mod forms;
pub mod init;
pub mod items;
pub mod model;
pub mod network;
pub mod ops;
pub mod padded;
pub mod reads;
pub mod tower;
pub mod vectors;

pub use adjust::{Adjusting, Adjustment};
pub use cache::Cache;
pub use config::{Block, ModelConfig, Positions, TowerConfig};
pub use dropout::Drop;
pub use error::{Error, Result};
pub use folder::{Card, Generation, ModelManifest, Served, Trained};
pub use init::Parameters;
pub use items::Table;
pub use model::Model;
pub use network::Network;
pub use reads::Reads;
pub use vectors::Vectors;
