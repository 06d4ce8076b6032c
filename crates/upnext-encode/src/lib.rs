//! What items are like, as vectors: the columns of a catalogue in, a feature file out.
//!
//! [`hashing`] needs no model: words, character n-grams and categories are hashed into a fixed number of dimensions, so
//! tonight's titles get vectors that go with yesterday's without anything being fitted.

#![forbid(unsafe_code)]

mod columns;
mod error;
pub mod hashing;

pub use columns::{Columns, Role};
pub use error::{Error, Result};
