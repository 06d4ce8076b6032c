//! Lists as text: CSV, and JSON lines with a row an item or a row a user.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use super::{Form, List, ListFile, Placed, Score};

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
pub(super) struct CsvRows {
    out: csv::Writer<File>,
    because: bool,
}

impl CsvRows {
    pub(super) fn new(file: File, form: &Form) -> io::Result<Self> {
        let mut out = csv::WriterBuilder::new().buffer_capacity(BUFFER_BYTES).from_writer(file);
        let columns = form.columns.iter().map(String::as_str);
        let header = ["user_id", "rank", "item_id", "score"].into_iter().chain(columns);
        out.write_record(header.chain(form.because.then_some("because")))?;
        Ok(Self { out, because: form.because })
    }
}

impl ListFile for CsvRows {
    fn add(&mut self, list: &List) -> io::Result<()> {
        for place in &list.places {
            let (rank, score) = (place.rank.to_string(), shortest(place.score));
            for field in [&list.user, &rank, &place.item, &score].into_iter().chain(&place.texts) {
                self.out.write_field(field)?;
            }
            if self.because {
                self.out.write_field(place.because.join("|"))?;
            }
            self.out.write_record(None::<&[u8]>)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<&File> {
        self.out.flush()?;
        Ok(self.out.get_ref())
    }
}

/// The names of a form's columns as JSON, each behind a comma and before a colon.
struct Names {
    columns: Vec<String>,
    because: bool,
}

impl Names {
    fn of(form: &Form) -> Self {
        let name = |column: &String| format!(",{}:", serde_json::Value::from(column.as_str()));
        Self { columns: form.columns.iter().map(name).collect(), because: form.because }
    }
}

/// JSON lines, an object an item.
pub(super) struct JsonRows {
    out: BufWriter<File>,
    names: Names,
}

impl JsonRows {
    pub(super) fn new(file: File, form: &Form) -> Self {
        Self { out: BufWriter::with_capacity(BUFFER_BYTES, file), names: Names::of(form) }
    }
}

impl ListFile for JsonRows {
    fn add(&mut self, list: &List) -> io::Result<()> {
        let Self { out, names } = self;
        for place in &list.places {
            out.write_all(b"{\"user_id\":")?;
            serde_json::to_writer(&mut *out, &list.user)?;
            write!(out, ",\"rank\":{},\"item_id\":", place.rank)?;
            serde_json::to_writer(&mut *out, &place.item)?;
            write!(out, ",\"score\":{}", shortest(place.score))?;
            for (name, text) in names.columns.iter().zip(&place.texts) {
                out.write_all(name.as_bytes())?;
                serde_json::to_writer(&mut *out, text)?;
            }
            if names.because {
                out.write_all(b",\"because\":")?;
                serde_json::to_writer(&mut *out, &place.because)?;
            }
            out.write_all(b"}\n")?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<&File> {
        self.out.flush()?;
        Ok(self.out.get_ref())
    }
}

/// JSON lines, an object a user with its items and what is written of them, best first.
pub(super) struct JsonLists {
    out: BufWriter<File>,
    names: Names,
}

impl JsonLists {
    pub(super) fn new(file: File, form: &Form) -> Self {
        Self { out: BufWriter::with_capacity(BUFFER_BYTES, file), names: Names::of(form) }
    }
}

impl ListFile for JsonLists {
    fn add(&mut self, list: &List) -> io::Result<()> {
        fn all<'l, T>(list: &'l List, of: impl Fn(&'l Placed) -> T) -> Vec<T> {
            list.places.iter().map(of).collect()
        }
        let Self { out, names } = self;
        out.write_all(b"{\"user_id\":")?;
        serde_json::to_writer(&mut *out, &list.user)?;
        out.write_all(b",\"items\":")?;
        serde_json::to_writer(&mut *out, &all(list, |place| &place.item))?;
        write!(out, ",\"scores\":[{}]", all(list, |place| shortest(place.score)).join(","))?;
        for (index, name) in names.columns.iter().enumerate() {
            out.write_all(name.as_bytes())?;
            serde_json::to_writer(&mut *out, &all(list, |place| &place.texts[index]))?;
        }
        if names.because {
            out.write_all(b",\"because\":")?;
            serde_json::to_writer(&mut *out, &all(list, |place| &place.because))?;
        }
        out.write_all(b"}\n")
    }

    fn finish(&mut self) -> io::Result<&File> {
        self.out.flush()?;
        Ok(self.out.get_ref())
    }
}
