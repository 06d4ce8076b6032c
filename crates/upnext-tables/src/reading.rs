//! Reads the event files on a thread of its own, so that parsing and whatever is done with the events overlap.

use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::{self, SyncSender};

use crate::bad_rows::BadRows;
use crate::error::{Error, Result};
use crate::event_file::{Event, EventFile};
use crate::options::{Listener, PROGRESS_ROWS, PrepareOptions, Progress, tell};
use crate::source::Source;

/// Events of a chunk.
const CHUNK_EVENTS: usize = 4096;
/// Chunks that may wait.
const CHUNKS: usize = 8;

/// What reading the event files came to.
pub(crate) struct Outcome {
    /// Of each file, what the prepared folder remembers.
    pub(crate) origins: Vec<serde_json::Value>,
    /// Rows that were skipped.
    pub(crate) bad: BadRows,
    /// Events that a condition or a bound in time left out.
    pub(crate) filtered: u64,
}

enum Word {
    Progress(Progress),
    Events(Chunk),
}

/// Some events, their keys joined.
#[derive(Default)]
struct Chunk {
    keys: Vec<u8>,
    /// Of each event the bytes of its user's key, of its item's key, and its time.
    events: Vec<(u16, u16, Option<i64>)>,
}

impl Chunk {
    fn push(&mut self, event: &Event<'_>) {
        self.keys.extend_from_slice(event.user.as_bytes());
        self.keys.extend_from_slice(event.item.as_bytes());
        // Keys have at most 4,096 bytes.
        self.events.push((event.user.len() as u16, event.item.len() as u16, event.time));
    }

    fn each(&self, mut take: impl FnMut(&[u8], &[u8], Option<i64>) -> Result<()>) -> Result<()> {
        let mut keys = self.keys.as_slice();
        for &(user, item, time) in &self.events {
            let (user, rest) = keys.split_at(usize::from(user));
            let (item, rest) = rest.split_at(usize::from(item));
            take(user, item, time)?;
            keys = rest;
        }
        Ok(())
    }
}

/// Reads all `files` in order and hands over their events: user, item, and time in microseconds.
pub(crate) fn read(
    files: &[std::path::PathBuf],
    options: &PrepareOptions,
    listener: &mut Listener<'_>,
    mut take: impl FnMut(&[u8], &[u8], Option<i64>) -> Result<()>,
) -> Result<Outcome> {
    let (send, receive) = mpsc::sync_channel(CHUNKS);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || read_files(files, options, &send));
        let taken = receive.iter().try_for_each(|word| match word {
            Word::Progress(progress) => tell(listener, progress),
            Word::Events(chunk) => chunk.each(&mut take),
        });
        // A reader whose words nobody takes stops.
        drop(receive);
        match reader.join() {
            Ok(read) => taken.and(read),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn read_files(
    files: &[std::path::PathBuf],
    options: &PrepareOptions,
    send: &SyncSender<Word>,
) -> Result<Outcome> {
    let bad = BadRows::new(options.max_bad_rows);
    let mut outcome = Outcome { origins: Vec::with_capacity(files.len()), bad, filtered: 0 };
    for path in files {
        read_file(path, options, send, &mut outcome)?;
    }
    Ok(outcome)
}

fn read_file(
    path: &Path,
    options: &PrepareOptions,
    send: &SyncSender<Word>,
    outcome: &mut Outcome,
) -> Result<()> {
    let say = |word| send.send(word).map_err(|_| Error::Interrupted);
    let source = Source::open(path)?;
    let (meter, of, compression) = (Rc::clone(&source.meter), source.size, source.compression);
    let told = |rows| {
        let bytes = meter.borrow().bytes;
        say(Word::Progress(Progress::Reading { path: path.into(), bytes, of, rows }))
    };
    let mut file = EventFile::open(source, options)?;
    told(0)?;
    let (mut rows, mut chunk) = (0_u64, Chunk::default());
    let mut digits = [itoa::Buffer::new(), itoa::Buffer::new()];
    while let Some((place, row)) = file.advance(&mut digits)? {
        match row {
            Ok(Some(event)) => chunk.push(&event),
            Ok(None) => outcome.filtered += 1,
            Err(problem) => outcome.bad.skip(Error::Row { path: path.into(), place, problem })?,
        }
        if chunk.events.len() == CHUNK_EVENTS {
            say(Word::Events(std::mem::take(&mut chunk)))?;
        }
        rows += 1;
        if rows.is_multiple_of(PROGRESS_ROWS) {
            told(rows)?;
        }
    }
    say(Word::Events(chunk))?;
    told(rows)?;
    outcome.origins.push(file.describe(path, compression, rows, &meter.borrow()));
    Ok(())
}
