//! Lists as text: CSV, and JSON lines with a row an item or a row a user.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use super::{List, ListFile, Score};

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 17;

/// The score's shortest form that reads back to the same number.
fn shortest(score: Score) -> String {
    match score {
        Score::Single(score) => format!("{score:?}"),
        Score::Double(score) => format!("{score:?}"),
    }
}

/// CSV with a header, a row an item.
pub(super) struct CsvRows(csv::Writer<File>);

impl CsvRows {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let mut out = csv::WriterBuilder::new().buffer_capacity(BUFFER_BYTES).from_writer(file);
        out.write_record(["user_id", "rank", "item_id", "score"])?;
        Ok(Self(out))
    }
}

impl ListFile for CsvRows {
    fn add(&mut self, list: &List) -> io::Result<()> {
        for place in &list.places {
            self.0.write_record([
                &list.user,
                &place.rank.to_string(),
                &place.item,
                &shortest(place.score),
            ])?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<&File> {
        self.0.flush()?;
        Ok(self.0.get_ref())
    }
}

/// JSON lines, an object an item.
pub(super) struct JsonRows(BufWriter<File>);

impl JsonRows {
    pub(super) fn new(file: File) -> Self {
        Self(BufWriter::with_capacity(BUFFER_BYTES, file))
    }
}

impl ListFile for JsonRows {
    fn add(&mut self, list: &List) -> io::Result<()> {
        let out = &mut self.0;
        for place in &list.places {
            out.write_all(b"{\"user_id\":")?;
            serde_json::to_writer(&mut *out, &list.user)?;
            write!(out, ",\"rank\":{},\"item_id\":", place.rank)?;
            serde_json::to_writer(&mut *out, &place.item)?;
            writeln!(out, ",\"score\":{}}}", shortest(place.score))?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<&File> {
        self.0.flush()?;
        Ok(self.0.get_ref())
    }
}

/// JSON lines, an object a user with its items and their scores, best first.
pub(super) struct JsonLists(BufWriter<File>);

impl JsonLists {
    pub(super) fn new(file: File) -> Self {
        Self(BufWriter::with_capacity(BUFFER_BYTES, file))
    }
}

impl ListFile for JsonLists {
    fn add(&mut self, list: &List) -> io::Result<()> {
        let out = &mut self.0;
        out.write_all(b"{\"user_id\":")?;
        serde_json::to_writer(&mut *out, &list.user)?;
        out.write_all(b",\"items\":")?;
        let items: Vec<&str> = list.places.iter().map(|place| place.item.as_str()).collect();
        serde_json::to_writer(&mut *out, &items)?;
        let scores: Vec<String> = list.places.iter().map(|place| shortest(place.score)).collect();
        writeln!(out, ",\"scores\":[{}]}}", scores.join(","))
    }

    fn finish(&mut self) -> io::Result<&File> {
        self.0.flush()?;
        Ok(self.0.get_ref())
    }
}
