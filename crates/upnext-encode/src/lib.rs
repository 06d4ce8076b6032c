//! What items are like, as vectors: the columns of a catalogue in, a feature file out.
//!
//! Three ways lead there. [`hashing`] needs no model: words, character n-grams and categories are hashed into a fixed
//! number of dimensions, so tonight's titles get vectors that go with yesterday's without anything being fitted. An
//! [`Encoder`] is a frozen language model out of a local folder, which a [`TextEncoding`] sends the text of a
//! [`Template`] through, with a cache by content. [`import`] takes vectors that were made elsewhere. A feature file
//! remembers which way it was ([`Description`]), and [`again`] encodes new items in exactly the same way.
//!
//! This crate reads no tables and fetches nothing: it is given a catalogue and local files.

#![forbid(unsafe_code)]

mod cache;
mod columns;
mod describe;
mod encoder;
mod error;
pub mod hashing;
pub mod import;
mod save;
mod template;
mod text;

pub use columns::{Columns, Role};
pub use describe::{Description, Imported, again, alike};
pub use encoder::{Encoder, Family, Identity, Pooling, is_tokenizing};
pub use error::{Error, Result};
pub use save::{check_free, save};
pub use template::{Template, Texts};
pub use text::{Counts, Listener, Progress, TextEncoding};
