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
//! # From `open` to production
//!
//! **Threads.** A generator is `Send + Sync`; open it once and share it. By default the thread that calls does all the
//! work, which is what a server with a pool of its own wants: as many calls at a time as there are cores, each on its
//! own. A batch job gives it a pool ([`Threads::Pool`]). No option moves a bit of any slate.
//!
//! **Batches.** One call may hold any number of requests; they are read and scored together. That pays where the
//! catalogue is large, because its vectors are read once for all of them. [`Options::bytes`] bounds what searches hold at
//! a time.
//!
//! **What may be shown** is looked up once and shared: sets of items by a condition on the model's columns or by keys,
//! and attributes for caps. They belong to the generator that made them.
//!
//! ```no_run
//! # use upnext_generate::{Event, Generator, Options, Request};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let generator = Generator::open("models/demo", Options::default())?;
//! # let history = [Event { key: "Rebecca", at: 200 }];
//! let tonight = generator.items_where("available = true and maturity <= 12")?;
//! let genres = generator.attribute("genres").ok_or("the model's items have no genres")?;
//! let row = Request::builder(&history)
//!     .only(&tonight)
//!     .at_most(3, &genres)
//!     .at_least(2, &generator.items_where("genres has Documentary")?)
//!     .pin(0, "Casablanca")
//!     .build()?;
//! # let _ = generator.generate(&[row]);
//! # Ok(())
//! # }
//! ```
//!
//! **Deadlines.** A request that is no longer wanted is refused by itself, [`RequestError::Late`] or
//! [`RequestError::Cancelled`]; its neighbours are not touched.
//!
//! ```no_run
//! # use std::time::{Duration, Instant};
//! # use upnext_generate::{Cancel, Request};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let gone = Cancel::new();
//! let soon = Instant::now() + Duration::from_millis(20);
//! let request = Request::builder(&[]).deadline(soon).cancelled_by(&gone).build()?;
//! // When the client hangs up, on whichever thread that is noticed:
//! gone.cancel();
//! # drop(request);
//! # Ok(())
//! # }
//! ```
//!
//! **Visits.** A [`Session`] reads each event once and answers as a fresh request would; a [`Session::snapshot`] goes
//! where the user goes, and is restored by the next model as well.
//!
//! **New models** are opened beside the old one and take its place between two calls, here under a lock that is held for
//! the copy of a pointer (the crate arc-swap does without one; the repository's `examples/server.rs` is a whole server):
//!
//! ```no_run
//! # use std::sync::{Arc, PoisonError, RwLock};
//! # use upnext_generate::{Generator, Options, Request};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let serving = RwLock::new(Arc::new(Generator::open("models/monday", Options::default())?));
//! // A call keeps the model that it began with:
//! let generator = Arc::clone(&serving.read().unwrap_or_else(PoisonError::into_inner));
//! # let _ = generator.generate(&[Request::builder(&[]).build()?]);
//! // Another thread, once the next model is there. One that cannot be opened changes nothing:
//! let next = Arc::new(Generator::open("models/tuesday", Options::default())?);
//! *serving.write().unwrap_or_else(PoisonError::into_inner) = next;
//! # Ok(())
//! # }
//! ```
//!
//! **What can go wrong** is in two types: [`Error`] when a model is opened, [`RequestError`] for one request. Neither is a
//! panic, whatever is asked: unknown items are skipped and counted in the [`Slate`], an empty history gets what is popular
//! and says so, a list that runs out of items is short and says so.
//!
//! Letters: b histories · d model width · r rank · i catalogue · w beams · s list length · T window.
//! This crate knows no table format and no command line, looks at the clock for deadlines alone, and its arithmetic goes through
//! `upnext-kernels`: no candle op runs while it generates.
#![forbid(unsafe_code)]

mod attribute;
mod caveat;
mod eligible;
mod error;
mod explain;
mod explore;
mod fallback;
mod generator;
mod item_map;
mod item_set;
mod multi_token;
mod one_pass;
mod options;
mod plan;
mod request;
mod rules;
mod score;
mod scoring;
mod search;
mod session;
mod similar;
mod slate;
mod stop;

pub use attribute::Attribute;
pub use caveat::Caveat;
pub use error::{Error, RequestError, Result, SnapshotError};
pub use explain::{Explanation, Reason};
pub use generator::Generator;
pub use item_map::ItemMap;
pub use item_set::{ConditionError, ItemSet};
pub use options::{Options, Threads};
pub use request::{Event, MAX_WIDTH, Method, Request, RequestBuilder};
pub use scoring::Scoring;
pub use session::Session;
pub use slate::{Alternative, Exactness, ScoredItem, Slate};
pub use stop::Cancel;
pub use upnext_model::Adjustment;
