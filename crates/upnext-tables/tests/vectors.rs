//! Vectors in Parquet: the kinds of list columns there are, and what is no vector.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use upnext_data::chance::{self, Key, Purpose};
use upnext_tables::{KeyedVectors, read_items, read_vectors};

const OPTIONAL: &str = "optional group v (LIST) { repeated group list { optional float element; } }";
const KEYS: &str = "required binary item_id (STRING);";

/// Values of a list column with their levels.
struct Lists<'a> {
    schema: &'a str,
    values: &'a [f32],
    definition: &'a [i16],
    repetition: &'a [i16],
}

fn write(path: &Path, keys: &[&str], lists: &Lists<'_>) {
    let schema = parse_message_type(&format!("message t {{ {KEYS} {} }}", lists.schema)).unwrap();
    let options = Arc::new(WriterProperties::builder().build());
    let mut file = SerializedFileWriter::new(File::create(path).unwrap(), Arc::new(schema), options).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let keys: Vec<ByteArray> = keys.iter().map(|&key| key.into()).collect();
    column.typed::<ByteArrayType>().write_batch(&keys, None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let (definition, repetition) = (Some(lists.definition), Some(lists.repetition));
    if lists.schema.contains("double") {
        let values: Vec<f64> = lists.values.iter().map(|&value| value.into()).collect();
        column.typed::<DoubleType>().write_batch(&values, definition, repetition).unwrap();
    } else {
        column.typed::<FloatType>().write_batch(lists.values, definition, repetition).unwrap();
    }
    column.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();
}

fn read(keys: &[&str], lists: &Lists<'_>) -> Result<KeyedVectors, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.parquet");
    write(&path, keys, lists);
    read_vectors(&path, None, None).map_err(|error| error.to_string())
}

#[test]
fn lists_of_every_kind_are_vectors() {
    for (schema, full) in [
        (OPTIONAL, 3),
        ("required group v (LIST) { repeated group list { required float element; } }", 1),
        ("required group v (LIST) { repeated group list { required double element; } }", 1),
        ("optional group v (LIST) { repeated float array; }", 2),
        ("repeated float v;", 1),
    ] {
        let (definition, repetition) = ([full; 4], [0, 1, 0, 1]);
        let lists =
            Lists { schema, values: &[1.0, 2.0, 3.0, 4.0], definition: &definition, repetition: &repetition };
        let read = read(&["b", "a"], &lists).unwrap();
        assert_eq!(read.keys.iter().collect::<Vec<_>>(), ["b", "a"], "{schema}");
        assert_eq!((read.width, read.values, read.without), (2, vec![1.0, 2.0, 3.0, 4.0], 0), "{schema}");
    }
}

#[test]
fn a_row_without_a_vector_is_left_out() {
    // A null list, a vector, an empty list.
    let lists =
        Lists { schema: OPTIONAL, values: &[5.0, 6.0], definition: &[0, 3, 3, 1], repetition: &[0, 0, 1, 0] };
    let read = read(&["a", "b", "c"], &lists).unwrap();
    assert_eq!((read.keys.iter().collect::<Vec<_>>(), read.without), (vec!["b"], 2));
}

#[test]
fn holes_and_other_widths_are_named_with_row_and_key() {
    let lists = |values, definition, repetition| Lists { schema: OPTIONAL, values, definition, repetition };
    let error = read(&["a", "b"], &lists(&[1.0, 2.0, 3.0], &[3, 3, 3, 2], &[0, 1, 0, 1])).unwrap_err();
    assert!(error.contains("v.parquet: row 2: column \"v\": the vector of item \"b\" has a null"), "{error}");
    let error = read(&["a", "b"], &lists(&[1.0, 2.0, 3.0], &[3, 3, 3], &[0, 1, 0])).unwrap_err();
    assert!(
        error.contains("row 2") && error.contains("item \"b\" is 1 wide where the first is 2"),
        "{error}"
    );
}

#[test]
fn columns_are_found_or_the_flag_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.parquet");
    let lists = Lists { schema: OPTIONAL, values: &[1.0], definition: &[3], repetition: &[0] };
    write(&path, &["a"], &lists);
    let refused = |key, vector| read_vectors(&path, key, vector).unwrap_err().to_string();
    assert!(refused(Some("id"), None).contains("name the right one with --key-column"));
    assert!(refused(None, Some("w")).contains("no column \"w\"; found \"v\""));
    assert!(read_vectors(&path, Some("item_id"), Some("v")).is_ok());
}

#[test]
fn damage_is_an_error_and_runs_of_levels_are_no_bomb() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.parquet");
    let (keys, values): (Vec<String>, Vec<f32>) = (0..50).map(|row| (format!("k{row}"), row as f32)).unzip();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    write(
        &path,
        &keys,
        &Lists { schema: OPTIONAL, values: &values, definition: &[3; 50], repetition: &[0; 50] },
    );
    let bytes = std::fs::read(&path).unwrap();
    let mut rng = Key { seed: 7, purpose: Purpose::Sampling, step: 0, part: 0 }.rng();
    let mut draw = move |bound: usize| chance::below(&mut rng, bound as u64) as usize;
    for _ in 0..400 {
        let mut bytes = bytes.clone();
        for _ in 0..3 {
            let place = draw(bytes.len());
            bytes[place] = draw(256) as u8;
        }
        std::fs::write(&path, bytes).unwrap();
        drop(read_vectors(&path, None, None));
    }
    // One row of thirty million nulls: runs of levels, and hardly a byte.
    let count = 30_000_000;
    let (definition, mut repetition) = (vec![2; count], vec![1; count]);
    repetition[0] = 0;
    write(
        &path,
        &["a"],
        &Lists { schema: OPTIONAL, values: &[], definition: &definition, repetition: &repetition },
    );
    assert!(std::fs::metadata(&path).unwrap().len() < 1 << 20);
    let error = read_vectors(&path, None, None).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("pages do not fit into memory"), "{error}: {source}");
}

#[test]
fn an_item_file_is_a_catalogue_in_the_order_of_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("items.csv");
    std::fs::write(&path, "movieId,title,genres\n9,Heat,Crime\n2,Alien,\n").unwrap();
    let catalog = read_items(&path, None).unwrap();
    assert_eq!(catalog.keys().iter().collect::<Vec<_>>(), ["9", "2"]);
    assert_eq!(catalog.column("title").unwrap().values.iter().collect::<Vec<_>>(), ["Heat", "Alien"]);
    std::fs::write(&path, "movieId,title\n").unwrap();
    assert!(read_items(&path, None).unwrap_err().to_string().contains("no item in it"));
    std::fs::write(&path, "movieId,title\n1,a\n1,b\n").unwrap();
    assert!(read_items(&path, None).unwrap_err().to_string().contains("already has a row"));
}
