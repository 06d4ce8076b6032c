//! No bytes whatever make opening a folder panic.

use std::fs;
use std::path::Path;

use rand_chacha::rand_core::RngCore;
use upnext_data::chance::below;
use upnext_data::{Manifest, Prepared};

use crate::damage::reseal;
use crate::world::{chain, prepared, rng};

/// One random change: some bytes replaced, a stretch removed, doubled or overwritten by an interesting number.
fn mutate(bytes: &mut Vec<u8>, rng: &mut impl RngCore, within: usize) {
    let place = |rng: &mut _, bytes: &Vec<u8>| below(rng, bytes.len().min(within) as u64) as usize;
    match below(rng, 5) {
        0 | 1 => {
            for _ in 0..=below(rng, 4) {
                let at = place(rng, bytes);
                bytes[at] = rng.next_u32() as u8;
            }
        }
        2 => {
            let at = place(rng, bytes);
            let end = (at + 1 + below(rng, 40) as usize).min(bytes.len());
            bytes.drain(at..end);
        }
        3 => {
            let at = place(rng, bytes);
            let end = (at + 1 + below(rng, 40) as usize).min(bytes.len());
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
        _ => {
            let at = place(rng, bytes);
            let number = [0, u64::MAX, i64::MAX as u64, 1 << 32, 1 << 40, 0x3939_3939_3939_3939]
                [below(rng, 6) as usize];
            let end = (at + 8).min(bytes.len());
            bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
        }
    }
}

/// Mutates a file so often, half the time near its beginning, and opens the folder each time.
fn mutations(file: &str, count: u64, seal: fn(&Path, &str)) {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    prepared(&dir);
    let path = dir.join(file);
    let good = fs::read(&path).unwrap();
    let good_manifest = Manifest::read(&dir).unwrap().to_json(&dir).unwrap();
    let mut refused = 0;
    for number in 0..count {
        let (mut bytes, mut rng) = (good.clone(), rng(number));
        let within = if number % 2 == 0 { good.len() } else { 600 };
        mutate(&mut bytes, &mut rng, within);
        fs::write(dir.join("manifest.json"), &good_manifest).unwrap();
        fs::write(&path, &bytes).unwrap();
        seal(&dir, file);
        match Prepared::open(&dir) {
            // Some texts and times may change without harm.
            Ok(opened) => assert_eq!(opened.histories.users(), opened.manifest.users),
            Err(error) => {
                refused += 1;
                let text = chain(&error);
                assert!(
                    text.contains(&*dir.to_string_lossy()),
                    "the error names a file of the folder: {text}"
                );
            }
        }
    }
    assert!(refused > count / 3, "only {refused} of {count} mutations were refused");
}

#[test]
fn a_mutated_catalog_never_panics_even_when_its_hash_agrees() {
    mutations("catalog.safetensors", 500, reseal);
}

#[test]
fn a_mutated_shard_never_panics_even_when_its_hash_agrees() {
    mutations("histories-00000.safetensors", 500, reseal);
}

#[test]
fn a_mutated_manifest_never_panics() {
    mutations("manifest.json", 500, |_, _| ());
}

#[test]
fn a_mutated_manifest_whose_seal_agrees_never_panics() {
    mutations("manifest.json", 500, |dir, _| {
        let text = fs::read(dir.join("manifest.json")).unwrap();
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(&text) else { return };
        let Some(Ok(manifest)) =
            value.get("manifest").map(|value| serde_json::from_value::<Manifest>(value.clone()))
        else {
            return;
        };
        fs::write(dir.join("manifest.json"), manifest.to_json(dir).unwrap()).unwrap();
    });
}
