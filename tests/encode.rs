//! `upnext encode`: hashed columns, a tiny encoder and imported vectors, from items to a feature file.

use std::fs;
use std::path::PathBuf;

use upnext_data::{FeatureFile, Prepared};

use crate::support::{Place, fail, succeed};

fn fixture(name: &str) -> String {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("crates/upnext-encode/tests/fixtures");
    fixtures.join(name).to_str().unwrap().to_owned()
}

/// Runs `encode` with these arguments, gives the summary and the file.
fn encode(place: &Place, arguments: &[&str]) -> (serde_json::Value, FeatureFile) {
    let out = place.text("features.safetensors");
    let summary = succeed([&["encode", "--out", &out, "--overwrite", "--json"], arguments].concat());
    (serde_json::from_str(&summary).unwrap(), FeatureFile::read(&place.path("features.safetensors")).unwrap())
}

#[test]
fn columns_are_hashed_from_a_prepared_folder_or_an_item_file() {
    let place = Place::prepared();
    let (summary, file) = encode(&place, &["--data", &place.text("data"), "--hashing", "--width", "64"]);
    let catalog = Prepared::open(&place.path("data")).unwrap().catalog;
    assert_eq!(summary["coverage"][0]["items"], catalog.len());
    assert_eq!((summary["encoder"]["kind"].as_str(), file.modalities[0].width), (Some("hashing"), 64));
    let items = place.text("items.csv");
    let (_, of_file) = encode(&place, &["--items", &items, "--hashing", "--width", "64"]);
    let vector = |file: &FeatureFile, key: &str| {
        let at = file.keys.iter().position(|other| other == key).unwrap();
        file.modalities[0].values[at * 64..][..64].to_vec()
    };
    let key = catalog.keys().get(3);
    assert_eq!(vector(&of_file, key), vector(&file, key));
    let (summary, file) =
        encode(&place, &["--items", &items, "--hashing", "--text", "title", "--modality", "words"]);
    assert_eq!((summary["coverage"][0]["modality"].as_str(), file.modalities[0].width), (Some("words"), 256));
    // What a training would refuse is refused before anything is encoded.
    let out = place.text("other.safetensors");
    let error =
        fail(2, ["encode", "--items", &items, "--hashing", "--out", &out, "--modality", "movie poster"]);
    assert!(
        error.contains("letters, digits, - and _") && !place.path("other.safetensors").exists(),
        "{error}"
    );
}

#[test]
fn texts_go_through_an_encoder_once_and_then_out_of_the_cache() {
    let place = Place::prepared();
    let (data, encoder, cache) = (place.text("data"), fixture("tiny-bert"), place.text("cache"));
    let arguments =
        ["--data", &data, "--encoder", &encoder, "--cache", &cache, "--template", "{title}. {genres}"];
    let (summary, first) = encode(&place, &arguments);
    let texts = summary["texts"]["texts"].as_u64().unwrap();
    assert!(texts > 0 && summary["texts"]["cached"] == 0, "{summary}");
    assert_eq!(summary["encoder"]["model"]["name"], "tiny-bert");
    let (summary, second) = encode(&place, &arguments);
    assert_eq!(summary["texts"]["cached"], texts);
    assert_eq!(second, first);
}

#[test]
fn vectors_made_elsewhere_are_imported_with_their_keys() {
    let place = Place::prepared();
    let catalog = Prepared::open(&place.path("data")).unwrap().catalog;
    let mut header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }".to_owned();
    header.push_str(&" ".repeat(117 - header.len()));
    let mut bytes = [b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes(), b"\n"].concat();
    bytes.extend([1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|value| value.to_le_bytes()));
    fs::write(place.path("posters.npy"), bytes).unwrap();
    let keys = format!("{}\ntonight\n{}\n", catalog.keys().get(1), catalog.keys().get(0));
    fs::write(place.path("keys.txt"), keys).unwrap();
    let (data, vectors, keys) = (place.text("data"), place.text("posters.npy"), place.text("keys.txt"));
    let arguments = ["--data", &data, "--import", &vectors, "--keys", &keys, "--modality", "poster"];
    let (summary, file) = encode(&place, &arguments);
    let coverage = &summary["coverage"][0];
    assert_eq!((&coverage["items"], &coverage["unknown"]), (&2.into(), &1.into()), "{summary}");
    assert_eq!((file.keys.len(), file.modalities[0].name.as_str()), (3, "poster"));
    let out = place.text("new.safetensors");
    let wrong = fail(2, [&["encode", "--out", &out], &arguments[..], &["--width", "3"]].concat());
    assert!(wrong.contains("posters.npy: its vectors are 2 wide, not 3"), "{wrong}");
    let keyless = fail(2, ["encode", "--out", &out, "--data", &data, "--import", &vectors]);
    assert!(keyless.contains("posters.npy") && keyless.contains("--keys"), "{keyless}");
    let kind = fail(2, ["encode", "--out", &out, "--data", &data, "--import", &keys]);
    assert!(kind.contains(".npy, .safetensors and .parquet"), "{kind}");
    assert!(!place.path("new.safetensors").exists());
}

#[test]
fn what_cannot_be_encoded_is_refused_before_any_work() {
    let place = Place::prepared();
    let (data, out) = (place.text("data"), place.text("features.safetensors"));
    let refused = |more: &[&str]| fail(2, [&["encode", "--data", &data, "--out", &out], more].concat());
    assert!(refused(&["--hashing", "--text", "plot"]).contains("no column \"plot\""));
    assert!(refused(&[]).contains("--hashing"));
    for flag in ["--cache", "--template", "--keys", "--tensor", "--key-column", "--vector-column"] {
        assert!(refused(&["--hashing", flag, "x"]).contains("cannot be used with"), "{flag}");
    }
    let encoder = fixture("tiny-bert");
    assert!(refused(&["--encoder", &encoder, "--template", "{title"]).contains("never closed"));
    assert!(refused(&["--encoder", &data]).contains("config.json"));
    fs::write(place.path("features.safetensors"), "mine").unwrap();
    assert!(refused(&["--hashing"]).contains("--overwrite replaces it"));
    let items = place.text("items.csv");
    let own = fail(2, ["encode", "--items", &items, "--hashing", "--out", &items, "--overwrite"]);
    assert!(own.contains("also read as input"), "{own}");
}
