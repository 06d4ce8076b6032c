//! Histories in, batches out: everything between a prepared folder and the model, in host memory.
//!
//! [`Prepared`] opens a folder as a [`Catalog`] and [`Histories`]; a [`Protocol`] says which events train and which are
//! asked for; [`Batches`] cuts the training events into jagged [`Batch`]es. Chance comes from [`chance`] alone. This
//! crate knows no tensors, no models and no table formats.
//!
//! ```
//! use upnext_data::{BatchSize, Batches, Histories, ItemId, Protocol};
//!
//! // Ann watched four items, Bob three.
//! let items = [0, 1, 2, 3, 2, 1, 0].map(ItemId).to_vec();
//! let users = ["ann", "bob"].iter().collect();
//! let histories = Histories::new(users, vec![0, 4, 7], items, vec![10, 20, 30, 40, 11, 12, 13])?;
//!
//! // The last event of each tests, the one before validates: Ann trains on two events, Bob on one.
//! let split = Protocol::LeaveOneOut.split(&histories)?;
//! assert_eq!(split.train, [2, 1]);
//! assert_eq!(split.test[0].held_out(&histories).items, [ItemId(3)]);
//!
//! // One pair to learn from: item 1 follows item 0.
//! let batches = Batches::new(&histories, &split.train, 200, BatchSize::Users(128), 1)?;
//! let batch = batches.epoch(0).batch(0);
//! assert_eq!((batch.tokens, batch.targets), (vec![ItemId(0)], vec![ItemId(1)]));
//! # Ok::<(), upnext_data::Error>(())
//! ```

#![forbid(unsafe_code)]

mod batch;
pub mod calendar;
mod catalog;
pub mod chance;
mod error;
mod event_column;
mod features;
mod folder;
mod history;
mod id;
mod manifest;
pub mod popularity;
pub mod profile;
mod protocol;
pub mod sealed;
mod shards;
pub mod spread;
mod strings;
pub mod synthetic;
pub mod window;

pub use batch::{Batch, BatchSize, Batches, Epoch};
pub use catalog::{Catalog, Column};
pub use error::{Error, Result};
pub use event_column::{ColumnKind, EventColumn, EventValues};
pub use features::{Coverage, FeatureFile, ItemFeatures, Modality};
pub use folder::{Prepared, Reader};
pub use history::{Histories, History};
pub use id::{ItemId, UserId};
pub use manifest::Manifest;
pub use profile::Profile;
pub use protocol::{Protocol, ProtocolError, Question, Split, Training};
pub use shards::Shards;
pub use strings::Strings;
