//! Reads the event files on a thread of its own, so that parsing and whatever is done with the events overlap.

use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::{self, SyncSender};

use upnext_data::ColumnKind;

use crate::bad_rows::BadRows;
use crate::error::{Error, Problem, Result};
use crate::event_columns::Kept;
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
    /// Kinds of the kept columns; `None` where none has a value.
    pub(crate) kinds: Vec<Option<ColumnKind>>,
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
    /// Of each event the values of the kept columns; the text of categories stands behind the event's keys.
    kept: Vec<Piece>,
}

/// A value of a kept column.
enum Piece {
    Nothing,
    Number(f32),
    /// Bytes of the text.
    Category(u16),
}

/// What is done with an event: user, item, time in microseconds, values of the kept columns.
pub(crate) type Take<'a> = &'a mut dyn FnMut(&[u8], &[u8], Option<i64>, &[Kept<'_>]) -> Result<()>;

impl Chunk {
    fn push(&mut self, event: &Event<'_>) {
        self.keys.extend_from_slice(event.user.as_bytes());
        self.keys.extend_from_slice(event.item.as_bytes());
        // Keys have at most 4,096 bytes.
        self.events.push((event.user.len() as u16, event.item.len() as u16, event.time));
    }

    /// Takes an event's keys back, and values that were kept of it.
    fn cut(&mut self, keys: usize, kept: usize) {
        self.keys.truncate(keys);
        self.kept.truncate(kept);
    }

    fn keep(&mut self, value: Kept<'_>) {
        self.kept.push(match value {
            Kept::Nothing => Piece::Nothing,
            Kept::Number(number) => Piece::Number(number),
            Kept::Category(text) => {
                self.keys.extend_from_slice(text.as_bytes());
                Piece::Category(text.len() as u16)
            }
        });
    }

    /// Hands over event by event, each with so many values of kept columns.
    fn each(&self, columns: usize, take: Take<'_>) -> Result<()> {
        let (mut keys, mut pieces) = (self.keys.as_slice(), self.kept.as_slice());
        let mut kept = Vec::with_capacity(columns);
        for &(user, item, time) in &self.events {
            let (user, rest) = keys.split_at(usize::from(user));
            let (item, mut rest) = rest.split_at(usize::from(item));
            let (mine, others) = pieces.split_at(columns);
            kept.clear();
            for piece in mine {
                kept.push(match *piece {
                    Piece::Nothing => Kept::Nothing,
                    Piece::Number(number) => Kept::Number(number),
                    Piece::Category(bytes) => {
                        let (text, after) = rest.split_at(usize::from(bytes));
                        rest = after;
                        // Cut where it was joined.
                        Kept::Category(std::str::from_utf8(text).unwrap_or_default())
                    }
                });
            }
            take(user, item, time, &kept)?;
            (keys, pieces) = (rest, others);
        }
        Ok(())
    }
}

/// Reads all `files` in order and hands over their events.
pub(crate) fn read(
    files: &[std::path::PathBuf],
    options: &PrepareOptions,
    listener: &mut Listener<'_>,
    take: Take<'_>,
) -> Result<Outcome> {
    let columns = options.event_columns.len() + options.item_columns.len();
    let (send, receive) = mpsc::sync_channel(CHUNKS);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || read_files(files, options, &send));
        let taken = receive.iter().try_for_each(|word| match word {
            Word::Progress(progress) => tell(listener, progress),
            Word::Events(chunk) => chunk.each(columns, take),
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
    let kinds = options.event_columns.iter().map(|column| column.kind).collect();
    let mut outcome = Outcome { origins: Vec::with_capacity(files.len()), bad, filtered: 0, kinds };
    for path in files {
        read_file(path, options, send, &mut outcome)?;
    }
    Ok(outcome)
}

/// Adds the current row's values of the kept columns, and what it says of its item.
fn keep(
    file: &EventFile<'_>,
    chunk: &mut Chunk,
    kinds: &mut [Option<ColumnKind>],
    item_columns: usize,
) -> std::result::Result<(), Problem> {
    let mut digits = itoa::Buffer::new();
    for (index, kind) in kinds.iter_mut().enumerate() {
        chunk.keep(file.kept(index, kind, &mut digits)?);
    }
    let mut number = String::new();
    for index in 0..item_columns {
        chunk.keep(file.described(index, &mut digits, &mut number)?);
    }
    Ok(())
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
        let (keys, kept) = (chunk.keys.len(), chunk.kept.len());
        let row = row.map(|event| event.map(|event| chunk.push(&event)));
        let row = row.and_then(|event| match event {
            Some(()) => keep(&file, &mut chunk, &mut outcome.kinds, options.item_columns.len()),
            None => {
                outcome.filtered += 1;
                Ok(())
            }
        });
        if let Err(problem) = row {
            if chunk.keys.len() > keys {
                chunk.cut(keys, kept);
                chunk.events.pop();
            }
            outcome.bad.skip(Error::Row { path: path.into(), place, problem })?;
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
