//! Every kind of damage is an error that names file, line and field, or a row that is skipped and counted.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use upnext_tables::{Format, PrepareOptions, Summary, TimeUnit, prepare};

/// A folder of test files.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn out(&self) -> PathBuf {
        self.0.path().join("prepared")
    }

    fn prepare(&self, options: &PrepareOptions) -> Result<Summary, String> {
        let summary = prepare(options, &self.out(), &mut |_| ControlFlow::Continue(()));
        summary.map_err(|error| {
            assert!(!self.out().exists(), "a failed preparation left a folder");
            chain(&error)
        })
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

fn events(path: &Path) -> PrepareOptions {
    PrepareOptions { events: vec![path.into()], ..PrepareOptions::default() }
}

/// Prepares one event file and expects an error that begins with its name and `expected`.
#[track_caller]
fn refuses(name: &str, bytes: impl AsRef<[u8]>, expected: &str) {
    let files = Files::new();
    let path = files.write(name, bytes);
    let error = files.prepare(&events(&path)).unwrap_err();
    assert_eq!(error, format!("{}{expected}", path.display()));
}

const HEAD: &str = "user_id,item_id,timestamp\n";

fn csv(rows: &str) -> String {
    format!("{HEAD}{rows}")
}

#[test]
fn damaged_rows_are_named_by_file_line_and_field() {
    let time = "is not a time; write Unix time or ISO 8601 (2020-01-31T10:00:00Z)";
    let range = "is out of the range of times; write Unix seconds";
    let count = "put fields that hold the separator in double quotes";
    refuses("e.csv", csv("a,x,1\na,y,soon\n"), &format!(":3: column \"timestamp\": \"soon\" {time}"));
    refuses("e.csv", csv("a,x,\n"), &format!(":2: column \"timestamp\": \"\" {time}"));
    refuses(
        "e.csv",
        csv("a,x,2020-13-01 10:00\n"),
        &format!(":2: column \"timestamp\": \"2020-13-01 10:00\" {time}"),
    );
    refuses(
        "e.csv",
        csv("a,x,1700000000\nb,x,1700000000123\n"),
        ":3: column \"timestamp\": \"1700000000123\" looks like milliseconds where the file began with seconds; \
         correct it, or name the unit of all with --time-unit",
    );
    refuses("e.csv", csv("a,x,nan\n"), &format!(":2: column \"timestamp\": \"nan\" {time}"));
    refuses(
        "e.csv",
        csv("a,x,9223372036854775808\n"),
        &format!(":2: column \"timestamp\": \"9223372036854775808\" {range}"),
    );
    refuses("e.csv", csv("a,x,1e30\n"), &format!(":2: column \"timestamp\": \"1e30\" {range}"));
    refuses("e.csv", csv(",x,1\n"), ":2: column \"user_id\": is empty; every row needs one");
    refuses("e.csv", csv("a,,1\n"), ":2: column \"item_id\": is empty; every row needs one");
    refuses("e.csv", csv("a,x,1\na,x\n"), &format!(":3: 2 fields where the header has 3; {count}"));
    refuses("e.csv", csv("a,x,y,1\n"), &format!(":2: 4 fields where the header has 3; {count}"));
    refuses("e.csv", csv("a,x\0y,1\n"), ":2: column \"item_id\": \"x\\0y\" holds a NUL byte; remove it");
    refuses(
        "e.csv",
        csv("a,x,1\n\"a,y,2\nb,z,3\n"),
        ":3: a quoted field begins in this row and does not end before the file does; close or double the quote",
    );
    refuses(
        "e.csv",
        csv("a,x,1\n\"a,y,2\nb,z,3"),
        ":3: a quoted field begins in this row and does not end before the file does; close or double the quote",
    );
}

#[test]
fn bytes_that_are_no_text_are_named() {
    let mut bytes = csv("a,x,1\n").into_bytes();
    bytes.extend_from_slice(b"caf\xe9,y,2\n");
    let iconv = "is not UTF-8; convert the file, for instance with iconv -t utf-8";
    refuses("e.csv", &bytes, &format!(":3: column \"user_id\": \"caf\u{fffd}\" {iconv}"));
    refuses(
        "e.csv",
        b"user_id,item_id,timestamp,caf\xe9\na,x,1,2\n",
        &format!(":1: column \"#4\": \"caf\u{fffd}\" {iconv}"),
    );
    refuses("e.csv", b"\xff\xfeu\0s\0e\0r\0", ": is UTF-16 text; save it as UTF-8");
    refuses(
        "e.bin",
        b"\x7fELF\x01\x02 binary \x00\x01 stuff\n\xff\n",
        ": not recognised as a table; an item file needs a header with commas or tabs, or is JSON lines or Parquet; of events say \
         which it is with --format csv|tsv|jsonl|parquet|movielens|recbole|sasrec",
    );
}

#[test]
fn long_keys_and_rows_are_refused_within_bounded_memory() {
    let long = "k".repeat(5000);
    let shown = "k".repeat(40);
    refuses(
        "e.csv",
        csv(&format!("a,{long},1\n")),
        &format!(":2: column \"item_id\": is 5000 bytes long, \"{shown}\"…; keys have at most 4096"),
    );
    let row = "is longer than 1048576 bytes; look for a quote that is not closed or a missing line end";
    let line = "x".repeat(3 << 20);
    refuses("e.csv", csv(&line), &format!(":2: the row {row}"));
    refuses("e.txt", format!("a x\nb y\n{line}"), &format!(":3: the row {row}"));
    // Many megabytes of one quoted field, in a few kilobytes.
    let files = Files::new();
    let path = files.0.path().join("bomb.csv.zst");
    let mut out = zstd::Encoder::new(std::fs::File::create(&path).unwrap(), 1).unwrap();
    let piece = vec![b'\n'; 1 << 20];
    std::io::Write::write_all(&mut out, csv("\"").as_bytes()).unwrap();
    for _ in 0..64 {
        std::io::Write::write_all(&mut out, &piece).unwrap();
    }
    out.finish().unwrap();
    let error = files.prepare(&events(&path)).unwrap_err();
    assert!(error.ends_with(row), "{error}");
}

#[test]
fn headers_that_do_not_serve_are_explained() {
    refuses(
        "e.csv",
        "user_id,item_id,moment\na,x,1\n",
        ":1: no column \"timestamp\"; found \"user_id\", \"item_id\", \"moment\"; name the right one with --time",
    );
    refuses(
        "e.csv",
        "person,item_id,timestamp\na,x,1\n",
        ":1: no column \"user_id\"; found \"person\", \"item_id\", \"timestamp\"; name the right one with --user",
    );
    refuses(
        "e.csv",
        "user_id;item_id;timestamp\na;x;1\n",
        ": fields are separated by semicolons; save it with commas or tabs",
    );
    refuses(
        "e.csv",
        "\n\nuser_id,thing,timestamp\n",
        ":3: no column \"item_id\"; found \"user_id\", \"thing\", \"timestamp\"; name the right one with --item",
    );
    refuses(
        "e.csv",
        "user_id,item_id,user_id,timestamp\na,x,b,1\n",
        ":1: column \"user_id\" stands twice in the header; rename one of them",
    );
    refuses(
        "e.csv",
        "user_id,item_id,userId,timestamp\na,x,b,1\n",
        ":1: columns \"user_id\" and \"userId\" could both be meant; say which with --user",
    );
    refuses("e.csv", "", ": is empty; expected a header line or `user item` lines");
    refuses("e.csv", "\u{feff}", ": is empty; expected a header line or `user item` lines");
    refuses("e.csv", HEAD, ": no event in it; there is a header and nothing below it");
}

#[test]
fn sasrec_text_is_checked_too() {
    refuses("e.txt", "a x\na y\nb\n", ":3: word count is 1; `user item` has 2");
    let files = Files::new();
    let path = files.write("e.dat", "a x\na y z\n");
    let options = PrepareOptions { format: Some(Format::SasRec), ..events(&path) };
    let error = files.prepare(&options).unwrap_err();
    assert_eq!(error, format!("{}:2: word count is 3; `user item` has 2", path.display()));
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let files = Files::new();
    let missing = files.0.path().join("none.csv");
    let error = files.prepare(&events(&missing)).unwrap_err();
    assert!(error.starts_with(&format!("{}: cannot be read: No such file", missing.display())), "{error}");
    let error = files.prepare(&events(files.0.path())).unwrap_err();
    assert_eq!(error, format!("{}: no file in this folder", files.0.path().display()));
    let pattern = files.0.path().join("*.csv");
    let error = files.prepare(&events(&pattern)).unwrap_err();
    assert_eq!(error, format!("{}: no file matches", pattern.display()));
    assert_eq!(
        files.prepare(&PrepareOptions::default()).unwrap_err(),
        "no event file was named; give at least one"
    );
    let whole = zstd::encode_all(csv(&"a,x,1\n".repeat(1000)).as_bytes(), 3).unwrap();
    let broken = files.write("cut.csv.zst", &whole[..whole.len() - 5]);
    let error = files.prepare(&events(&broken)).unwrap_err();
    assert!(error.starts_with(&format!("{}: cannot be read: ", broken.display())), "{error}");
    let mut garbage = whole;
    garbage.extend_from_slice(b"garbage");
    let path = files.write("garbage.csv.zst", garbage);
    let error = files.prepare(&events(&path)).unwrap_err();
    assert!(error.starts_with(&format!("{}: cannot be read: ", path.display())), "{error}");
}

#[test]
fn damaged_item_files_are_named() {
    let files = Files::new();
    let log = files.write("e.csv", csv("a,x,1\n"));
    let check = |bytes: &[u8], expected: &str| {
        let items = files.write("i.csv", bytes);
        let options = PrepareOptions { items: Some(items.clone()), ..events(&log) };
        assert_eq!(files.prepare(&options).unwrap_err(), format!("{}{expected}", items.display()));
    };
    let quotes = "put fields that hold the separator in double quotes";
    check(
        b"item_id,title\nx,One\ny,Two\nx,Three\n",
        ":4: column \"item_id\": item \"x\" already has a row (see :2); keep one of them",
    );
    check(b"item_id,title\nx,One, Two\n", &format!(":2: 3 fields where the header has 2; {quotes}"));
    check(b"item_id,title\n,One\n", ":2: column \"item_id\": is empty; every row needs one");
    check(
        b"item_id,title\nx,caf\xe9\n",
        ":2: column \"title\": \"caf\u{fffd}\" is not UTF-8; convert the file, for instance with iconv -t utf-8",
    );
    check(
        b"item_id,title,title\nx,1,2\n",
        ":1: column \"title\" stands twice in the header; rename one of them",
    );
    check(b"item_id,title,\nx,1,2\n", ":1: column 3 has no name; name it or remove it");
    check(
        b"key,title\nx,1\n",
        ":1: no column \"item_id\"; found \"key\", \"title\"; name the right one with --item",
    );
}

#[test]
fn bad_rows_are_skipped_and_counted_up_to_the_limit() {
    let files = Files::new();
    let log = files.write("e.csv", csv("a,x,1\na,y,soon\nb,x,2\n,x,3\nb,y,4\n"));
    let items = files.write("i.csv", "item_id,title\nx,One\nx,Again\ny,Two\nz,Three\n");
    let options = PrepareOptions { items: Some(items.clone()), max_bad_rows: 3, ..events(&log) };
    let summary = files.prepare(&options).unwrap();
    assert_eq!((summary.users, summary.items, summary.events, summary.bad_rows), (2, 2, 3, 3));
    assert!(summary.bad_row_reasons[0].starts_with(&format!("{}:3: column \"timestamp\"", log.display())));
    assert!(summary.bad_row_reasons[2].starts_with(&format!("{}:3: column \"item_id\"", items.display())));
    assert_eq!((summary.items_without_events, summary.items_without_row), (1, 0));
    let options = PrepareOptions { max_bad_rows: 1, overwrite: true, ..options };
    let error = chain(&prepare(&options, &files.out(), &mut |_| ControlFlow::Continue(())).unwrap_err());
    let expected = "more than 1 bad rows; correct the file or raise --max-bad-rows: ";
    assert_eq!(
        error,
        format!("{expected}{}:5: column \"user_id\": is empty; every row needs one", log.display())
    );
    assert!(files.out().exists(), "the folder of the earlier preparation is unharmed");
}

#[test]
fn an_open_quote_is_never_skipped() {
    let files = Files::new();
    let path = files.write("e.csv", csv("a,x,1\na,\"y,2\na,z,3\n"));
    let error = files.prepare(&PrepareOptions { max_bad_rows: 10, ..events(&path) }).unwrap_err();
    assert!(error.starts_with(&format!("{}:3: a quoted field begins", path.display())), "{error}");
}

#[test]
fn lines_are_counted_over_quoted_line_ends_blank_lines_and_carriage_returns() {
    for end in ["\n", "\r\n"] {
        let text =
            ["user_id,item_id,timestamp,note", "a,x,1,\"two", "lines\"", "", "a,y,2,", "b,z,soon,", ""]
                .join(end);
        refuses(
            "e.csv",
            &text,
            ":6: column \"timestamp\": \"soon\" is not a time; write Unix time or ISO 8601 (2020-01-31T10:00:00Z)",
        );
        let cut = &text[..text.len() - end.len()];
        refuses(
            "e.csv",
            cut,
            ":6: column \"timestamp\": \"soon\" is not a time; write Unix time or ISO 8601 (2020-01-31T10:00:00Z)",
        );
    }
}

#[test]
fn an_existing_folder_is_replaced_only_when_told() {
    let files = Files::new();
    let path = files.write("e.csv", csv("a,x,1\n"));
    files.prepare(&events(&path)).unwrap();
    assert!(prepare(&events(&path), &files.out(), &mut |_| ControlFlow::Continue(())).is_err());
    prepare(&PrepareOptions { overwrite: true, ..events(&path) }, &files.out(), &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap();
}

#[test]
fn damaged_json_lines_are_named() {
    let good = "{\"user_id\": 1, \"item_id\": \"x\", \"timestamp\": 5}\n";
    let refuses =
        |row: &str, expected: &str| refuses("e.jsonl", format!("{good}{row}\n"), &format!(":2: {expected}"));
    refuses(
        "{\"user_id\": 1, \"item_id\": ",
        "\"{\\\"user_id\\\": 1, \\\"item_id\\\": \" is not a JSON object: EOF while parsing a value at byte 26",
    );
    refuses("[1, 2]", "\"[1, 2]\" is not a JSON object: an object such as {\"user_id\": …} is expected");
    refuses("{\"item_id\": 1, \"timestamp\": 1}", "column \"user_id\": is null; every row needs a value");
    refuses(
        "{\"user_id\": null, \"item_id\": 1, \"timestamp\": 1}",
        "column \"user_id\": is null; every row needs a value",
    );
    refuses(
        "{\"user_id\": 1.5, \"item_id\": 1, \"timestamp\": 1}",
        "column \"user_id\": the number 1.5 cannot be a key; write keys as text or whole numbers",
    );
    refuses(
        "{\"user_id\": {\"a\": 1}, \"item_id\": 1, \"timestamp\": 1}",
        "column \"user_id\": is a list or an object; write one value, or leave the column out",
    );
    refuses(
        "{\"user_id\": \"\", \"item_id\": 1, \"timestamp\": 1}",
        "column \"user_id\": is empty; every row needs one",
    );
    refuses(
        "{\"user_id\": 1, \"item_id\": 1, \"timestamp\": true}",
        "column \"timestamp\": \"true\" is not a time; write Unix time or ISO 8601 (2020-01-31T10:00:00Z)",
    );
    refuses(
        "{\"user_id\": 1, \"item_id\": 1, \"timestamp\": 1e300}",
        &format!(
            "column \"timestamp\": \"1{}\" is out of the range of times; write Unix seconds",
            "0".repeat(300)
        ),
    );
    let deep = "[".repeat(100_000);
    let files = Files::new();
    let path = files.write("deep.jsonl", format!("{good}{{\"user_id\": {deep}\n"));
    let error = files.prepare(&events(&path)).unwrap_err();
    assert!(error.contains("recursion limit exceeded"), "{error}");
}

#[test]
fn damaged_movielens_and_recbole_files_are_named() {
    refuses("r.dat", "1::2::3::4\n1::2::3\n", ":2: 3 fields where a line has 4");
    refuses("r.dat", "1::2::3::4\n1::2::3::4::5\n", ":2: 5 fields where a line has 4");
    refuses("r.dat", "1::2::3::4\n::2::3::4\n", ":2: column \"user_id\": is empty; every row needs one");
    let time = "is not a time; write Unix time or ISO 8601 (2020-01-31T10:00:00Z)";
    refuses("r.dat", "1::2::3::4\n1::2::3::x\n", &format!(":2: column \"timestamp\": \"x\" {time}"));
    let head = "user_id:token\titem_id:token\ttimestamp:float\n";
    let count = "put fields that hold the separator in double quotes";
    refuses("e.inter", format!("{head}1\t2\n"), &format!(":2: 2 fields where the header has 3; {count}"));
    refuses("e.inter", format!("{head}1\t2\tx\n"), &format!(":2: column \"timestamp\": \"x\" {time}"));
    refuses(
        "e.inter",
        "user_id:token\trating:float\n1\t2\n",
        ":1: no column \"item_id\"; found \"user_id\", \"rating\"; name the right one with --item",
    );
    // A file of items where events are expected.
    refuses(
        "movies.dat",
        "1::Toy Story (1995)::Animation\n",
        ":1: no column \"user_id\"; found \"item_id\", \"title\", \"genres\"; name the right one with --user",
    );
}

#[test]
fn times_in_two_units_are_named() {
    let mixed = |value: &str, unit: &str, first: &str| {
        format!(
            ":3: column \"timestamp\": \"{value}\" looks like {unit} where the file began with {first}; correct it, \
             or name the unit of all with --time-unit"
        )
    };
    let check = |one: &str, two: &str, unit: &str, first: &str| {
        refuses("e.csv", csv(&format!("a,x,{one}\na,y,{two}\n")), &mixed(two, unit, first));
    };
    check("1700000000123", "1700000000", "seconds", "milliseconds");
    check("1700000000", "2020-01-01", "dates", "seconds");
    check("2020-01-01", "1700000000", "seconds", "dates");
    check("1700000000123456", "1700000000123456789", "nanoseconds", "microseconds");
    let files = Files::new();
    let path = files.write("e.csv", csv("a,x,1700000000123\na,y,1700000000\n"));
    let told = PrepareOptions { time_unit: Some(TimeUnit::Milliseconds), ..events(&path) };
    assert_eq!(files.prepare(&told).unwrap().events, 2);
}

#[test]
fn compressed_files_that_are_cut_or_damaged_are_named() {
    let files = Files::new();
    let text = csv(&"a,x,1\n".repeat(5000));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gzip, text.as_bytes()).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 3);
    std::io::Write::write_all(&mut xz, text.as_bytes()).unwrap();
    for (name, whole) in [("e.csv.gz", gzip.finish().unwrap()), ("e.csv.xz", xz.finish().unwrap())] {
        let check = |bytes: &[u8]| {
            let path = files.write(name, bytes);
            let error = files.prepare(&events(&path)).unwrap_err();
            assert!(error.starts_with(&format!("{}: cannot be read: ", path.display())), "{error}");
        };
        check(&whole[..whole.len() / 2]);
        check(&whole[..whole.len() - 1]);
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x10;
        check(&flipped);
        let mut garbage = whole;
        garbage.extend_from_slice(b"garbage");
        check(&garbage);
    }
}

#[test]
fn limits_that_cannot_be_kept_are_refused() {
    let files = Files::new();
    let path = files.write("e.csv", csv("a,x,1\n"));
    let small = PrepareOptions { memory_limit: Some(1000), ..events(&path) };
    let error = files.prepare(&small).unwrap_err();
    assert_eq!(error, "a memory limit of 1000 bytes is too small; give at least 134217728");
}
