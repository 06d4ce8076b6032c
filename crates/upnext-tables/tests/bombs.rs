//! Parquet files that declare more than they hold: refused before anything is reserved or unpacked.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use upnext_tables::{PrepareOptions, read};

/// Reads a file of nothing but this footer, and gives the error.
fn footer_error(footer: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.parquet");
    let length = (footer.len() as u32).to_le_bytes();
    std::fs::write(&path, [b"PAR1", footer, &length, b"PAR1"].concat()).unwrap();
    error(&path)
}

fn error(path: &Path) -> String {
    let options = PrepareOptions { events: vec![path.into()], ..PrepareOptions::default() };
    let error = read(&options, &mut |_| ControlFlow::Continue(())).unwrap_err();
    let source = std::error::Error::source(&error).map(ToString::to_string);
    format!("{error}: {}", source.unwrap_or_default())
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 127 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Puts another number, of as many bytes, in the place of each `number`.
fn forge(bytes: &mut [u8], number: u64, other: u64) {
    let (number, other) = (varint(2 * number), varint(2 * other));
    assert_eq!(number.len(), other.len());
    let at: Vec<usize> =
        (0..=bytes.len() - number.len()).filter(|&at| bytes[at..].starts_with(&number)).collect();
    assert!(!at.is_empty());
    for at in at {
        bytes[at..at + other.len()].copy_from_slice(&other);
    }
}

/// A file whose users are `count` keys of `length` bytes on one page; gives the bytes and the column's size unpacked.
fn wide(path: &Path, compression: Compression, count: usize, length: usize) -> (Vec<u8>, u64) {
    let schema =
        "message log { required binary user_id (STRING); required int64 item_id; required int64 ts; }";
    let options = WriterProperties::builder()
        .set_compression(compression)
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(1 << 30);
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut file =
        SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(options.build())).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut users = group.next_column().unwrap().unwrap();
    let key = ByteArray::from(vec![b'x'; length]);
    users.typed::<ByteArrayType>().write_batch(&vec![key; count], None, None).unwrap();
    users.close().unwrap();
    while let Some(mut column) = group.next_column().unwrap() {
        column.typed::<Int64Type>().write_batch(&vec![1; count], None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    file.close().unwrap();
    let metadata = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let size = metadata.metadata().row_group(0).column(0).uncompressed_size() as u64;
    (std::fs::read(path).unwrap(), size)
}

/// The most memory that this process ever had, where the system says.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or_default() << 10
}

#[test]
fn pages_are_measured_whatever_the_footer_and_their_headers_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.parquet");
    let [zstd, gzip] = [Compression::ZSTD(ZstdLevel::default()), Compression::GZIP(GzipLevel::default())];
    // 140 MiB on one page, a footer that says 130.
    let (mut bytes, size) = wide(&path, zstd, 140, 1 << 20);
    forge(&mut bytes, size, 130 << 20);
    std::fs::write(&path, bytes).unwrap();
    let before = peak();
    let text = error(&path);
    assert!(text.contains("a page declares") && text.contains("bomb.parquet"), "{text}");
    // 40 MiB on one page, a header that says 2.
    let (mut bytes, _) = wide(&path, gzip, 10, 4 << 20);
    forge(&mut bytes[..32], 10 * ((4 << 20) + 4), 2 << 20);
    std::fs::write(&path, bytes).unwrap();
    let text = error(&path);
    assert!(text.contains("a page holds more than the 2097152 bytes that it declares"), "{text}");
    assert!(peak() - before < 256 << 20, "{} bytes more", peak() - before);
}

/// In Thrift's compact protocol: version 1, then the schema, a list of structures.
const SCHEMA: [u8; 3] = [0x15, 2, 0x19];
/// 2^31 - 1 as a varint, plain and zigzag.
const MOST: [u8; 5] = [0xff, 0xff, 0xff, 0xff, 0x07];
const MOST_SIGNED: [u8; 5] = [0xfe, 0xff, 0xff, 0xff, 0x0f];

#[test]
fn a_schema_with_more_children_than_it_lists_is_refused() {
    // One element: name "m", two thousand million children.
    let element = [&[0x1c, 0x48, 1, b'm', 0x15][..], &MOST_SIGNED, &[0]].concat();
    let error = footer_error(&[&SCHEMA[..], &element, &[0x16, 0, 0x19, 0x0c, 0]].concat());
    assert!(error.contains("bomb.parquet"), "{error}");
}

#[test]
fn more_row_groups_than_there_are_bytes_are_refused() {
    let element = [0x1c, 0x48, 1, b'm', 0x15, 0, 0];
    let error = footer_error(&[&SCHEMA[..], &element, &[0x16, 0, 0x19, 0xfc], &MOST, &[0]].concat());
    assert!(error.contains("bomb.parquet"), "{error}");
}

#[test]
fn groups_within_groups_without_end_are_refused() {
    // Every element has one child, the next.
    let count = 2_000_000_u32;
    let element = [0x35, 0, 0x18, 1, b'm', 0x15, 2, 0].repeat(count as usize);
    let error = footer_error(
        &[&SCHEMA[..], &[0xfc], &varint(u64::from(count)), &element, &[0x16, 0, 0x19, 0x0c, 0]].concat(),
    );
    assert!(error.contains("bomb.parquet"), "{error}");
}
