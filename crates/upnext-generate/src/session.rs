//! A history that goes on: events are pushed, lists are asked for in between, and what was read is not read again until
//! the window moves.

use std::ops::Deref;

use serde::{Deserialize, Serialize};
use upnext_data::chance::name_key;
use upnext_model::Cache;

use crate::plan::{Known, Plan};
use crate::request::Past;
use crate::{Event, Generator, Request, RequestError, Slate, SnapshotError};

/// Version of snapshots.
const VERSION: u32 = 2;

/// One user's history, read as far as it goes.
///
/// The window slides in hops of a quarter, so that an event costs one decode step and only every T / 4th reads the window
/// again. A session answers as a fresh request would, bit for bit: one whose method reserves as much of the window as the
/// session does. It works on the caller's thread, and belongs to a generator by reference or by `Arc`.
///
/// ```no_run
/// use upnext_generate::{Event, Generator, Options, Request, Session};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let generator = Generator::open("models/demo", Options::default())?;
/// let mut session = Session::open(&generator, &[Event { key: "Rebecca", at: 100 }], 0)?;
/// let ask = Request::builder(&[]).length(10).build()?;
/// println!("{:?}", session.next(&ask)?);
/// session.push(Event { key: "The Third Man", at: 200 })?;
/// println!("{:?}", session.next(&ask)?);
/// # Ok(())
/// # }
/// ```
pub struct Session<G> {
    generator: G,
    /// Decode steps that the window is kept free for.
    reserve: usize,
    /// Keys and times, oldest first: what a snapshot holds.
    events: Vec<(String, i64)>,
    known: Known,
    /// Keys and values of the window.
    cache: Cache,
    /// The event, among those that are read, at which the window begins.
    start: usize,
    /// `(k, r)` the states after the window, of all horizons of the model; empty when nothing is read.
    states: Vec<f32>,
    /// Why the window could not be read, if it could not: then nothing else is to be trusted.
    broken: Option<RequestError>,
}

/// A session as bytes: JSON, so that it outlives a model.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Snapshot {
    version: u32,
    reserve: usize,
    events: Vec<(String, i64)>,
    /// Of the reserve and the events.
    checksum: u64,
}

/// What every version of a snapshot has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl<G: Deref<Target = Generator>> Session<G> {
    /// Reads a history. `reserve` is the decode steps of the longest list that will be asked for: its length - 1 by
    /// beams or draws, 0 for [`crate::Method::TopK`] and [`crate::Method::MultiToken`].
    ///
    /// # Errors
    /// [`RequestError::Reserve`] when more than half of the window is to be reserved.
    pub fn open(generator: G, history: &[Event<'_>], reserve: usize) -> Result<Self, RequestError> {
        let window = generator.config().window;
        if reserve > window / 2 {
            return Err(RequestError::Reserve {
                length: reserve.saturating_add(1),
                reserve,
                most: window / 2,
                window,
            });
        }
        let mut events: Vec<(String, i64)> =
            history.iter().map(|event| (event.key.to_owned(), event.at)).collect();
        events.sort_by_key(|(_, at)| *at);
        let cache = Cache::with_capacity(generator.config(), window);
        let (known, start, states, broken) = (Known::default(), 0, Vec::new(), None);
        let mut session = Self { generator, reserve, events, known, cache, start, states, broken };
        session.read_all()?;
        Ok(session)
    }

    /// A session from the bytes of another, by this generator or by that of another model: events are kept by key.
    ///
    /// # Errors
    /// When the bytes are no snapshot, or not as they were written; or as for [`Session::open`].
    pub fn restore(generator: G, snapshot: &[u8]) -> Result<Self, SnapshotError> {
        let Version { version } = serde_json::from_slice(snapshot).map_err(SnapshotError::Format)?;
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        let Snapshot { reserve, events, checksum: written, .. } =
            serde_json::from_slice(snapshot).map_err(SnapshotError::Format)?;
        if checksum(reserve, &events)? != written {
            return Err(SnapshotError::Damaged);
        }
        let events: Vec<Event<'_>> = events.iter().map(|(key, at)| Event { key, at: *at }).collect();
        Ok(Self::open(generator, &events, reserve)?)
    }

    /// The session as bytes, for [`Session::restore`].
    ///
    /// # Errors
    /// Never in practice: a history has no part that JSON lacks.
    pub fn snapshot(&self) -> Result<Vec<u8>, SnapshotError> {
        let (reserve, events) = (self.reserve, self.events.clone());
        let checksum = checksum(reserve, &events)?;
        let snapshot = Snapshot { version: VERSION, reserve, events, checksum };
        serde_json::to_vec(&snapshot).map_err(SnapshotError::Format)
    }

    /// One more event. It may be older than the last one: then it is put where its time belongs, behind those of the same
    /// instant, and the history is read again.
    ///
    /// # Errors
    /// [`RequestError::Network`] when the network refuses its input. The event is in the history nevertheless.
    pub fn push(&mut self, event: Event<'_>) -> Result<(), RequestError> {
        let place = self.events.partition_point(|(_, at)| *at <= event.at);
        self.events.insert(place, (event.key.to_owned(), event.at));
        if place + 1 < self.events.len() {
            return self.read_all();
        }
        if self.broken.is_some() {
            return self.read_all();
        }
        let before = self.known.read.len();
        self.known.push(self.generator.catalog().find(event.key), self.generator.served());
        if self.known.read.len() > before { self.read_last() } else { Ok(()) }
    }

    /// The list that a request asks for after the history as it is; the request's own history and `at` are not looked at.
    ///
    /// # Errors
    /// As [`Generator::generate`]; [`RequestError::Session`] when the list needs more decode steps than are reserved.
    pub fn next(&self, request: &Request) -> Result<Slate, RequestError> {
        self.generator.refuse_foreign(request)?;
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let plan = Plan::after(&self.known, Some(self.reserve), request, self.generator.served())?;
        self.generator.answer_after(&plan, &self.states, &self.cache)
    }

    /// How many events the history has, read or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Looks everything up and reads the window.
    fn read_all(&mut self) -> Result<(), RequestError> {
        self.broken = None;
        let keys = self.events.iter().map(|(key, _)| key.clone()).collect();
        self.known = Known::of(&Past::Keys(keys), self.generator.served());
        self.read_window()
    }

    fn read_window(&mut self) -> Result<(), RequestError> {
        let prompt = self.known.prompt(self.generator.config().window, self.reserve);
        self.start = self.known.read.len() - prompt.len();
        self.states.clear();
        if !prompt.is_empty() {
            let caches = std::slice::from_mut(&mut self.cache);
            let horizons = self.generator.config().own_horizons();
            let read = self.generator.engine_of_caller().prefill_ahead(&[prompt], Some(caches), horizons);
            return self.keep(read);
        }
        Ok(())
    }

    fn keep(&mut self, read: Result<Vec<f32>, RequestError>) -> Result<(), RequestError> {
        match read {
            Ok(states) => self.states = states,
            Err(error) => self.broken = Some(error),
        }
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Reads the newest of the events that are read: alone, unless the window moves.
    fn read_last(&mut self) -> Result<(), RequestError> {
        let prompt = self.known.prompt(self.generator.config().window, self.reserve);
        let moves = self.known.read.len() - prompt.len() != self.start;
        let [.., last] = *prompt else { return self.read_window() };
        if moves || self.states.is_empty() {
            return self.read_window();
        }
        let (nothing, own) = (Cache::new(self.generator.config()), std::slice::from_mut(&mut self.cache));
        let horizons = self.generator.config().own_horizons();
        let read = self.generator.engine_of_caller().extend_ahead(&[last], &[&nothing], own, horizons);
        self.keep(read)
    }
}

/// Tells what a snapshot holds from anything else.
fn checksum(reserve: usize, events: &[(String, i64)]) -> Result<u64, SnapshotError> {
    Ok(name_key(&serde_json::to_string(&(reserve, events)).map_err(SnapshotError::Format)?))
}

impl<G> std::fmt::Debug for Session<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("events", &self.events.len())
            .field("reserve", &self.reserve)
            .finish_non_exhaustive()
    }
}
