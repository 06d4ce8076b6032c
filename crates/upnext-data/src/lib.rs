//! Histories in, batches out: everything between a prepared folder and the model, in host memory.
//!
//! [`Prepared`] opens a folder as a [`Catalog`] and [`Histories`]; a [`Protocol`] says which events train and which are
//! asked for; [`Batches`] cuts the training events into jagged [`Batch`]es. Chance comes from [`chance`] alone. This
//! crate knows no tensors, no models and no table formats.

#![forbid(unsafe_code)]

mod batch;
mod catalog;
pub mod chance;
mod error;
mod folder;
mod history;
mod id;
mod manifest;
pub mod popularity;
mod protocol;
pub mod sealed;
mod strings;
pub mod synthetic;
pub mod window;

pub use batch::{Batch, BatchSize, Batches, Epoch};
pub use catalog::{Catalog, Column};
pub use error::{Error, Result};
pub use folder::Prepared;
pub use history::{Histories, History};
pub use id::{ItemId, UserId};
pub use manifest::Manifest;
pub use protocol::{Protocol, ProtocolError, Question, Split};
pub use strings::Strings;
