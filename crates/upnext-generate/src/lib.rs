//! Histories to next-item lists: what a server embeds.
//!
//! A [`Generator`] is opened once from a model folder and shared between threads. It answers [`Request`]s with
//! [`Slate`]s, one a request and in order; each answer is a `Result` of its own, so that a bad request never harms
//! its neighbours, and each has the bits that it would have alone.
//!
//! ```no_run
//! use upnext_generate::{Event, Generator, Method, Options, Request};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let generator = Generator::open("models/demo", Options::default())?;
//! let history = [Event { key: "The Third Man", at: 100 }, Event { key: "Rebecca", at: 200 }];
//! let request = Request::builder(&history).length(10).method(Method::Beam { width: 8 }).build()?;
//! for slate in generator.generate(&[request]) {
//!     for place in slate?.items {
//!         println!("{} {}", place.key, place.score);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Letters: b histories · d model width · r rank · i catalogue · w beams · s list length · T window.
//! This crate knows no table format and no command line, looks at the clock for deadlines alone, and its arithmetic goes through
//! `upnext-kernels`: no candle op runs while it generates.
#![forbid(unsafe_code)]

mod attribute;
mod eligible;
mod error;
mod explain;
mod fallback;
mod generator;
mod item_map;
mod item_set;
mod one_pass;
mod options;
mod plan;
mod request;
mod rules;
mod score;
mod search;
mod session;
mod similar;
mod slate;
mod stop;

pub use attribute::Attribute;
pub use error::{Error, RequestError, Result, SnapshotError};
pub use explain::{Explanation, Reason};
pub use generator::Generator;
pub use item_map::ItemMap;
pub use item_set::{ConditionError, ItemSet};
pub use options::{Options, Threads};
pub use request::{Event, MAX_WIDTH, Method, Request, RequestBuilder};
pub use session::Session;
pub use slate::{Alternative, Exactness, ScoredItem, Slate};
pub use stop::Cancel;
pub use upnext_model::Adjustment;
