//! Parquet: every type that can be a key or a time, nulls, and files with random damage.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use upnext_data::chance::{self, Key, Purpose};
use upnext_data::{Catalog, Histories, ItemId, UserId};
use upnext_tables::{PrepareOptions, read};

/// A column's values; nothing is null.
enum Values {
    Whole(Vec<Option<i64>>),
    Narrow(Vec<i32>),
    Real(Vec<f64>),
    Text(Vec<Option<&'static str>>),
    Truth(Vec<bool>),
}

/// Writes columns with the types of a schema, in two row groups.
fn write(path: &Path, schema: &str, columns: &[Values]) {
    let schema = Arc::new(parse_message_type(&format!("message log {{ {schema} }}")).unwrap());
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut file =
        SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties)).unwrap();
    let rows = match &columns[0] {
        Values::Whole(values) => values.len(),
        Values::Narrow(values) => values.len(),
        Values::Real(values) => values.len(),
        Values::Text(values) => values.len(),
        Values::Truth(values) => values.len(),
    };
    for part in [0..rows / 2, rows / 2..rows] {
        let mut group = file.next_row_group().unwrap();
        for column in columns {
            let mut writer = group.next_column().unwrap().unwrap();
            match column {
                Values::Whole(values) => {
                    let values = &values[part.clone()];
                    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
                    let there: Vec<i64> = values.iter().copied().flatten().collect();
                    writer.typed::<Int64Type>().write_batch(&there, Some(&levels), None).unwrap();
                }
                Values::Narrow(values) => {
                    writer.typed::<Int32Type>().write_batch(&values[part.clone()], None, None).unwrap();
                }
                Values::Real(values) => {
                    writer.typed::<DoubleType>().write_batch(&values[part.clone()], None, None).unwrap();
                }
                Values::Text(values) => {
                    let values = &values[part.clone()];
                    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
                    let there: Vec<ByteArray> = values.iter().flatten().map(|&text| text.into()).collect();
                    writer.typed::<ByteArrayType>().write_batch(&there, Some(&levels), None).unwrap();
                }
                Values::Truth(values) => {
                    writer.typed::<BoolType>().write_batch(&values[part.clone()], None, None).unwrap();
                }
            }
            writer.close().unwrap();
        }
        group.close().unwrap();
    }
    file.close().unwrap();
}

fn options(events: &Path) -> PrepareOptions {
    PrepareOptions { events: vec![events.into()], ..PrepareOptions::default() }
}

fn open(options: &PrepareOptions) -> Result<(Catalog, Histories), String> {
    read(options, &mut |_| ControlFlow::Continue(())).map_err(|error| error.to_string())
}

fn some<T: Copy>(values: &[T]) -> Vec<Option<T>> {
    values.iter().copied().map(Some).collect()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a log and reads it.
    fn log(&self, schema: &str, columns: &[Values]) -> Result<(Catalog, Histories), String> {
        let path = self.path("log.parquet");
        write(&path, schema, columns);
        open(&options(&path)).map_err(|error| error.replace(path.to_str().unwrap(), "log"))
    }
}

const SECONDS: [i64; 4] = [1_600_000_000, 1_600_000_500, 1_600_000_100, 1_600_000_100];

#[test]
fn every_type_of_key_and_time_gives_the_same_histories() {
    let folder = Folder::new();
    let csv = folder.path("log.csv");
    let rows = "7,20,1600000000\n7,3,1600000500\n11,20,1600000100\n11,3,1600000100\n";
    std::fs::write(&csv, format!("user_id,item_id,timestamp\n{rows}")).unwrap();
    let expected = open(&options(&csv)).unwrap();
    let users = || Values::Narrow(vec![7, 7, 11, 11]);
    let items = || Values::Text(some(&["20", "3", "20", "3"]));
    let scaled = |by: i64| Values::Whole(SECONDS.iter().map(|time| Some(time * by)).collect());
    let (user, item) = ("required int32 user_id;", "optional binary item_id (STRING);");
    for (time, by) in [
        ("optional int64 timestamp;", 1),
        ("optional int64 timestamp;", 1_000),
        ("optional int64 timestamp (TIMESTAMP(MILLIS,true));", 1_000),
        ("optional int64 timestamp (TIMESTAMP(MICROS,false));", 1_000_000),
        ("optional int64 timestamp (TIMESTAMP(NANOS,true));", 1_000_000_000),
    ] {
        let found = folder.log(&format!("{user} {item} {time}"), &[users(), items(), scaled(by)]).unwrap();
        assert_eq!(found, expected, "{time}");
    }
    let time = "required double timestamp;";
    let real = Values::Real(SECONDS.map(|time| time as f64).to_vec());
    assert_eq!(folder.log(&format!("{user} {item} {time}"), &[users(), items(), real]).unwrap(), expected);
    let time = "optional binary timestamp (STRING);";
    let dates =
        ["2020-09-13T12:26:40Z", "2020-09-13T12:35:00Z", "2020-09-13 12:28:20", "2020-09-13 12:28:20"];
    let dates = Values::Text(some(&dates));
    assert_eq!(folder.log(&format!("{user} {item} {time}"), &[users(), items(), dates]).unwrap(), expected);
    let (user, time) = ("required int32 user_id (INTEGER(16,false));", "optional int64 timestamp;");
    let item = "optional int64 item_id;";
    let whole = Values::Whole(some(&[20, 3, 20, 3]));
    assert_eq!(folder.log(&format!("{user} {item} {time}"), &[users(), whole, scaled(1)]).unwrap(), expected);
}

#[test]
fn unsigned_keys_days_and_other_columns_are_what_they_mean() {
    let folder = Folder::new();
    let schema = "optional int64 user_id (INTEGER(64,false)); required int32 date (DATE); \
                  optional binary item_id; required boolean live;";
    let path = folder.path("log.parquet");
    let columns = [
        Values::Whole(some(&[-1, 5])),
        Values::Narrow(vec![18_518, -1]),
        Values::Text(some(&["a", "b"])),
        Values::Truth(vec![true, false]),
    ];
    write(&path, schema, &columns);
    let live = PrepareOptions { keep: vec!["live = true".parse().unwrap()], ..options(&path) };
    let (_, histories) = open(&live).unwrap();
    assert_eq!((histories.user_key(UserId(0)), histories.events()), ("18446744073709551615", 1));
    assert_eq!(histories.times(), [18_518 * 86_400]);
}

#[test]
fn what_cannot_be_a_key_or_a_time_is_named() {
    let folder = Folder::new();
    let base = "optional int64 user_id; optional int64 item_id; optional int64 timestamp;";
    let good = || Values::Whole(some(&[1, 2, 3]));
    let null = || Values::Whole(vec![Some(1), None, Some(3)]);
    let error = |result: Result<(Catalog, Histories), String>| result.unwrap_err();
    assert_eq!(
        error(folder.log(base, &[good(), null(), good()])),
        "log: row 2: column \"item_id\": is null; every row needs a value"
    );
    assert_eq!(
        error(folder.log(base, &[good(), good(), null()])),
        "log: row 2: column \"timestamp\": is null; every row needs a value"
    );
    let real = "required double user_id; optional int64 item_id; optional int64 timestamp;";
    assert_eq!(
        error(folder.log(real, &[Values::Real(vec![1.0, 2.0, 3.0]), good(), good()])),
        "log: row 1: column \"user_id\": the number 1.0 cannot be a key; write keys as text or whole numbers"
    );
    let decimal = "optional int64 user_id; optional int64 item_id; required boolean timestamp;";
    let truth = Values::Truth(vec![true; 3]);
    assert!(
        error(folder.log(decimal, &[good(), good(), truth])).starts_with("log: row 1: column \"timestamp\"")
    );
    let renamed = "optional int64 user_id; optional int64 thing; optional int64 timestamp;";
    assert_eq!(
        error(folder.log(renamed, &[good(), good(), good()])),
        "log: no column \"item_id\"; found \"user_id\", \"thing\", \"timestamp\"; name the right one with --item"
    );
    let empty = Values::Whole(Vec::new());
    let none = [empty, Values::Whole(Vec::new()), Values::Whole(Vec::new())];
    assert!(error(folder.log(base, &none)).starts_with("log: no event in it"));
    // Skipped rows are counted as in text.
    let path = folder.path("log.parquet");
    write(&path, base, &[good(), null(), good()]);
    assert_eq!(open(&PrepareOptions { max_bad_rows: 1, ..options(&path) }).unwrap().1.events(), 2);
}

#[test]
fn item_files_and_folders_of_parts_are_read() {
    let folder = Folder::new();
    let parts = folder.path("parts");
    std::fs::create_dir(&parts).unwrap();
    let base = "optional int64 user_id; optional int64 item_id; optional int64 timestamp;";
    for (name, item) in [("part-1.parquet", 5), ("part-0.parquet", 6)] {
        let columns = [vec![1, 2], vec![item, item], vec![9, 9]].map(|values| Values::Whole(some(&values)));
        write(&parts.join(name), base, &columns);
    }
    std::fs::write(parts.join("_SUCCESS"), "").unwrap();
    let items = folder.path("items.parquet");
    let schema = "optional int64 item_id; optional binary title (STRING); optional int64 year;";
    let titles = Values::Text(vec![Some("Five"), None]);
    write(&items, schema, &[Values::Whole(some(&[5, 6])), titles, Values::Whole(vec![None, Some(1999)])]);
    let (catalog, histories) = open(&PrepareOptions { items: Some(items), ..options(&parts) }).unwrap();
    let keys: Vec<&str> = histories.of(UserId(0)).items.iter().map(|&item| catalog.key(item)).collect();
    assert_eq!(keys, ["6", "5"], "equal times keep the order of the files, by name");
    assert_eq!(catalog.title(ItemId(0)), Some("Five"));
    let years = &catalog.column("year").unwrap().values;
    assert_eq!([years.get(0), years.get(1)], ["", "1999"]);
}

#[test]
fn a_column_that_unpacks_into_an_absurd_size_is_refused() {
    let folder = Folder::new();
    let path = folder.path("bomb.parquet");
    let schema = "message log { required int64 user_id; required int64 item_id; required int64 timestamp; }";
    let plain = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false);
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut file =
        SerializedFileWriter::new(File::create(&path).unwrap(), schema, Arc::new(plain.build())).unwrap();
    let mut group = file.next_row_group().unwrap();
    let zeros = vec![0_i64; 1 << 20];
    while let Some(mut column) = group.next_column().unwrap() {
        for _ in 0..34 {
            column.typed::<Int64Type>().write_batch(&zeros, None, None).unwrap();
        }
        column.close().unwrap();
    }
    group.close().unwrap();
    file.close().unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < 1 << 20);
    let error = open(&options(&path)).unwrap_err();
    assert!(
        error.contains("row group 0, column \"user_id\"") && error.ends_with("that is no data"),
        "{error}"
    );
}

#[test]
fn five_hundred_mutants_are_errors_or_histories() {
    let folder = Folder::new();
    let path = folder.path("good.parquet");
    let base = "optional int64 user_id; optional binary item_id (STRING); optional int64 timestamp;";
    let whole = |modulus: i64| Values::Whole((0..400).map(|n| (n % 57 > 0).then_some(n % modulus)).collect());
    let words = ["a", "b", "cc", "ddd"];
    let items = Values::Text((0..400).map(|n| Some(words[n % 4])).collect());
    write(&path, base, &[whole(31), items, whole(400)]);
    let good = std::fs::read(&path).unwrap();
    let mut rng = Key { seed: 2, purpose: Purpose::Sampling, step: 0, part: 0 }.rng();
    let mut draw = move |bound: usize| chance::below(&mut rng, bound.max(1) as u64) as usize;
    let mutant = folder.path("mutant.parquet");
    let (mut fine, mut refused) = (0, 0);
    for round in 0..500 {
        let mut bytes = good.clone();
        for _ in 0..=draw(3) {
            // Half of the damage goes to the metadata behind the pages.
            let from = if draw(2) == 0 { bytes.len() * 3 / 5 } else { 0 };
            let at = from + draw(bytes.len() - from);
            let to = (at + 1 + draw(16)).min(bytes.len());
            match draw(6) {
                0 => bytes[at] = draw(256) as u8,
                1 => bytes[at] ^= 1 << draw(8),
                2 => bytes[at..to].fill(0),
                3 => bytes[at..to].fill(0xff),
                4 => drop(bytes.drain(at..to)),
                _ if round % 5 == 0 => bytes.truncate(at.max(4)),
                _ => bytes[at] = bytes[at].wrapping_add(1),
            }
        }
        std::fs::write(&mutant, &bytes).unwrap();
        match open(&PrepareOptions { max_bad_rows: draw(2) as u64 * 500, ..options(&mutant) }) {
            Ok(_) => fine += 1,
            Err(error) => {
                assert!(error.contains("mutant.parquet") || error.contains("bad rows"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(fine > 0 && refused > 100, "{fine} {refused}");
}
