//! Damaged prepared folders: each a typed error that names the file, and the tensor where there is one.

use std::fs;
use std::path::{Path, PathBuf};

use upnext_data::sealed::{FileHash, Tensor, Values, hash_file, write_tensors};
use upnext_data::{Error, ItemId, Manifest, Prepared};

use crate::world::{chain, prepared};

const CATALOG: &str = "catalog.safetensors";
const SHARD: &str = "histories-00000.safetensors";
const MANIFEST: &str = "manifest.json";

/// Makes the manifest agree with a file that was changed, so that what lies behind the hashes is reached.
pub(crate) fn reseal(dir: &Path, file: &str) {
    let mut manifest = Manifest::read(dir).unwrap();
    let (blake3, bytes) = hash_file(&dir.join(file)).unwrap();
    manifest.files.insert(file.to_owned(), FileHash { blake3, bytes });
    fs::write(dir.join(MANIFEST), manifest.to_json(dir).unwrap()).unwrap();
}

/// Damages a fresh folder and checks what opening it says: the file's name and this text.
fn check(damage: impl FnOnce(&Path), file: &str, expected: &str) {
    let home = tempfile::tempdir().unwrap();
    let dir: PathBuf = home.path().join("data");
    prepared(&dir);
    damage(&dir);
    let text = chain(&Prepared::open(&dir).unwrap_err());
    assert!(text.contains(file) && text.contains(expected), "{text}");
}

fn bytes(dir: &Path, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(dir.join(file)).unwrap();
    change(&mut bytes);
    fs::write(dir.join(file), bytes).unwrap();
}

fn sealed_bytes(dir: &Path, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
    bytes(dir, file, change);
    reseal(dir, file);
}

fn manifest(dir: &Path, change: impl FnOnce(&mut Manifest)) {
    let mut manifest = Manifest::read(dir).unwrap();
    change(&mut manifest);
    fs::write(dir.join(MANIFEST), manifest.to_json(dir).unwrap()).unwrap();
}

/// A shard of two users that is right but for what is changed.
struct Shard {
    users: (&'static str, Vec<u64>),
    offsets: Vec<u64>,
    items: Vec<u32>,
    times: Vec<i64>,
}

fn shard(change: impl FnOnce(&mut Shard)) -> impl FnOnce(&Path) {
    let mut shard = Shard {
        users: ("annbob", vec![0, 3, 6]),
        offsets: vec![0, 2, 3],
        items: vec![0, 1, 2],
        times: vec![1, 2, 1],
    };
    change(&mut shard);
    move |dir| {
        let items: Vec<ItemId> = shard.items.iter().copied().map(ItemId).collect();
        let (keys, cuts) = &shard.users;
        let tensors = [
            Tensor::new("users.bytes", &[keys.len()], Values::U8(keys.as_bytes())),
            Tensor::new("users.offsets", &[cuts.len()], Values::U64(cuts)),
            Tensor::new("offsets", &[shard.offsets.len()], Values::U64(&shard.offsets)),
            Tensor::new("items", &[items.len()], Values::Ids(&items)),
            Tensor::new("times", &[shard.times.len()], Values::I64(&shard.times)),
        ];
        write_tensors(&dir.join(SHARD), &tensors).unwrap();
        manifest(dir, |manifest| (manifest.users, manifest.events) = (2, 3));
        reseal(dir, SHARD);
    }
}

#[test]
fn an_undamaged_shard_opens() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    prepared(&dir);
    shard(|_| ())(&dir);
    assert_eq!(Prepared::open(&dir).unwrap().histories.users(), 2);
}

#[test]
fn missing_and_shortened_files_are_named() {
    check(|dir| fs::remove_dir_all(dir).unwrap(), MANIFEST, "opening");
    for file in [MANIFEST, CATALOG, SHARD] {
        check(|dir| fs::remove_file(dir.join(file)).unwrap(), file, "opening");
        check(|dir| bytes(dir, file, |bytes| bytes.truncate(bytes.len() / 2)), file, "");
        check(|dir| bytes(dir, file, Vec::clear), file, "");
    }
    for file in [CATALOG, SHARD] {
        check(
            |dir| bytes(dir, file, |bytes| bytes.truncate(99)),
            file,
            "damaged: it has 99 bytes, its manifest says",
        );
        check(|dir| sealed_bytes(dir, file, |bytes| bytes.truncate(99)), file, "it was cut short");
        check(|dir| sealed_bytes(dir, file, |bytes| bytes.truncate(5)), file, "5 bytes, too few");
        check(
            |dir| sealed_bytes(dir, file, |bytes| bytes.truncate(bytes.len() - 1)),
            file,
            "its tensors take",
        );
        check(|dir| sealed_bytes(dir, file, |bytes| bytes.push(0)), file, "its tensors take");
        check(|dir| bytes(dir, file, |bytes| bytes.push(0)), file, "damaged: it has");
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    prepared(&dir);
    for file in [MANIFEST, CATALOG, SHARD] {
        let good = fs::read(dir.join(file)).unwrap();
        for place in (0..good.len()).step_by(1 + good.len() / 400) {
            let mut bad = good.clone();
            bad[place] ^= 1 << (place % 8);
            fs::write(dir.join(file), bad).unwrap();
            let error = Prepared::open(&dir).map(|opened| opened.manifest).unwrap_err();
            if file == MANIFEST {
                assert!(!chain(&error).is_empty());
            } else {
                assert!(matches!(error, Error::Hash { .. }), "byte {place}: {}", chain(&error));
            }
        }
        fs::write(dir.join(file), good).unwrap();
    }
    Prepared::open(&dir).unwrap();
}

#[test]
fn a_manifest_that_does_not_fit_is_refused() {
    check(
        |dir| manifest(dir, |manifest| manifest.version = 2),
        MANIFEST,
        "format version 2, this build reads 1",
    );
    check(
        |dir| manifest(dir, |manifest| manifest.users += 1),
        MANIFEST,
        "says 41 users, the folder's files hold 40",
    );
    check(
        |dir| manifest(dir, |manifest| manifest.items = 0),
        MANIFEST,
        "says 0 items, the folder's files hold",
    );
    check(
        |dir| manifest(dir, |manifest| manifest.events = usize::MAX),
        MANIFEST,
        "events, the folder's files hold",
    );
    check(
        |dir| manifest(dir, |manifest| drop(manifest.files.remove(SHARD))),
        MANIFEST,
        "lists no histories-00000",
    );
    check(|dir| manifest(dir, |manifest| drop(manifest.files.remove(CATALOG))), MANIFEST, "lists no catalog");
    let extra = |name: &'static str| {
        move |dir: &Path| {
            manifest(dir, |manifest| {
                let hash = manifest.files[SHARD].clone();
                manifest.files.insert(name.to_owned(), hash);
            });
        }
    };
    check(extra("../histories-00001.safetensors"), MANIFEST, "no file of a prepared folder");
    check(extra("histories-00002.safetensors"), MANIFEST, "shards are numbered without gaps");
    check(extra("histories-00001.safetensors"), "histories-00001.safetensors", "opening");
}

#[test]
fn a_manifest_that_was_edited_is_refused() {
    let edit = |from: &'static str, to: &'static str| {
        move |dir: &Path| {
            let text = fs::read_to_string(dir.join(MANIFEST)).unwrap();
            assert!(text.contains(from));
            fs::write(dir.join(MANIFEST), text.replacen(from, to, 1)).unwrap();
        }
    };
    check(edit("a test", "a lie"), MANIFEST, "was changed after it was written");
    check(edit("\"users\"", "\"usres\""), MANIFEST, "unknown field `usres`");
    check(edit("\"users\": 40,", ""), MANIFEST, "missing field `users`");
    check(edit("\"users\": 40,", "\"users\": 40, \"users\": 40,"), MANIFEST, "duplicate field `users`");
    check(edit("\"users\": 40", "\"users\": -1"), MANIFEST, "invalid value");
    check(edit("{", ""), MANIFEST, "is not what upnext writes");
    check(|dir| bytes(dir, MANIFEST, |bytes| bytes.insert(0, 0xff)), MANIFEST, "is not what upnext writes");
    check(
        |dir| bytes(dir, MANIFEST, |bytes| bytes.resize((1 << 24) + 1, b' ')),
        MANIFEST,
        "16777217 bytes, more than",
    );
}

#[test]
fn a_hostile_header_is_refused() {
    let length = |length: u64| {
        move |dir: &Path| sealed_bytes(dir, SHARD, |bytes| bytes[..8].copy_from_slice(&length.to_le_bytes()))
    };
    check(length(u64::MAX), SHARD, "more than the 1048576 that are allowed");
    check(length(99_000_000), SHARD, "more than the 1048576 that are allowed");
    check(length(1_000_000), SHARD, "it was cut short");
    check(length(0), SHARD, "is not the JSON");
    let header = |from: &'static str, to: &'static str| {
        assert_eq!(from.len(), to.len());
        move |dir: &Path| {
            sealed_bytes(dir, SHARD, |bytes| {
                let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
                bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            });
        }
    };
    check(header("\"items\"", "\"times\""), SHARD, "the tensor \"times\" occurs twice");
    check(header("\"items\"", "\"itmes\""), SHARD, "tensor \"items\"");
    check(header("\"U32\"", "\"F32\""), SHARD, "it holds F32, not U32");
    check(header("\"U32\"", "\"I32\""), SHARD, "elements of type \"I32\"");
    check(header("\"offsets\":{", "\"offsets\":["), SHARD, "is not the JSON");
}

#[test]
fn contents_that_make_no_sense_are_refused() {
    let users = |keys, cuts: &[u64]| {
        let cuts = cuts.to_vec();
        shard(move |shard| shard.users = (keys, cuts))
    };
    check(users("bobann", &[0, 3, 6]), SHARD, "the user \"ann\" (at 1) is not after");
    check(users("annann", &[0, 3, 6]), SHARD, "the user \"ann\" occurs twice");
    check(users("annbob", &[0, 3, 7]), SHARD, "tensor \"users\"");
    check(users("ann", &[0, 3]), SHARD, "offsets has 3 entries where 2 are needed");
    check(
        shard(|shard| shard.offsets = vec![0, 2, 4]),
        SHARD,
        "offsets[2] is 4, where the last must be the number",
    );
    check(shard(|shard| shard.offsets = vec![0, 4, 3]), SHARD, "offsets[2] is 3, where they must not fall");
    check(shard(|shard| shard.offsets = vec![1, 2, 3]), SHARD, "offsets[0] is 1, where the first must be 0");
    check(shard(|shard| shard.offsets = vec![0, u64::MAX, 3]), SHARD, "offsets[2] is 3");
    check(shard(|shard| shard.items = vec![0, 1, u32::MAX]), SHARD, "items[2] is item 4294967295");
    check(shard(|shard| shard.items = vec![0, 1]), SHARD, "times has 3 entries where 2 are needed");
    check(shard(|shard| shard.times = vec![2, 1, 1]), SHARD, "times[1] of user \"ann\" is 1, before the 2");
}

#[test]
fn a_catalog_that_makes_no_sense_is_refused() {
    let catalog = |keys: &'static [u8], order: &'static [u32], columns: &'static [u64]| {
        move |dir: &Path| {
            let tensors = [
                Tensor::new("keys.bytes", &[keys.len()], Values::U8(keys)),
                Tensor::new("keys.offsets", &[3], Values::U64(&[0, 1, 2])),
                Tensor::new("order", &[order.len()], Values::U32(order)),
                Tensor::new("columns.bytes", &[0], Values::U8(&[])),
                Tensor::new("columns.offsets", &[columns.len()], Values::U64(columns)),
            ];
            write_tensors(&dir.join(CATALOG), &tensors).unwrap();
            reseal(dir, CATALOG);
        }
    };
    check(catalog(b"ab", &[0, 1], &[0]), MANIFEST, "items, the folder's files hold 2");
    check(catalog(b"ab", &[1, 0], &[0]), CATALOG, "is not after the one before it");
    check(catalog(b"ab", &[0, 0], &[0]), CATALOG, "is not after the one before it");
    check(catalog(b"ab", &[0, 2], &[0]), CATALOG, "order[1] is 2, where entries are ids");
    check(catalog(b"ab", &[0], &[0]), CATALOG, "order has 1 entries where 2 are needed");
    check(catalog(b"aa", &[0, 1], &[0]), CATALOG, "the item \"a\" occurs twice");
    check(catalog(b"a\xff", &[0, 1], &[0]), CATALOG, "the text is not UTF-8");
    check(catalog(b"ab", &[0, 1], &[0, 0]), CATALOG, "columns has 1 entries where 0 are needed");
    check(catalog(b"ab", &[0, 1], &[]), CATALOG, "tensor \"columns\"");
}
