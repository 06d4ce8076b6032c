//! A damaged folder is refused at once, by an error that names the file, and never by a panic.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use upnext_data::sealed::{Tensor, Values, write_tensors};
use upnext_model::ModelConfig;
use upnext_model::folder::{open, open_model, save};

use crate::damage::{
    FILES, edit_header, edit_json, edit_tensors, join, poke, remove_tensor, reseal, seal, split,
};
use crate::world::{card, catalog, chain, counts, model};

const ITEMS: usize = 6;

fn config() -> ModelConfig {
    ModelConfig { layers: 1, width: 8, heads: 2, hidden: 6, rank: 4, window: 5, ..Default::default() }
}

fn intact() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("model");
    save(&dir, &model(&config(), ITEMS), &catalog(ITEMS), &counts(ITEMS), &card(), false).unwrap();
    (root, dir)
}

/// Opens a folder after `damage`, as a server and as a trainer: the first must refuse it, naming all of `named`.
fn check(what: &str, named: &[&str], damage: impl FnOnce(&Path)) {
    let (_root, dir) = intact();
    damage(&dir);
    let start = Instant::now();
    let served = open(&dir).map(|_| ()).expect_err(what);
    let _may_not_look_at_every_file = open_model(&dir);
    assert!(start.elapsed() < Duration::from_secs(1), "{what}: took {:?}", start.elapsed());
    let message = chain(&served);
    for part in named {
        assert!(message.contains(part), "{what}: {part:?} is not in {message:?}");
    }
}

/// As [`check`], with a manifest that agrees with the damage.
fn check_sealed(what: &str, named: &[&str], damage: impl FnOnce(&Path)) {
    check(what, named, |dir| {
        damage(dir);
        reseal(dir);
    });
}

#[test]
fn an_intact_folder_opens() {
    let (_root, dir) = intact();
    reseal(&dir);
    open(&dir).unwrap();
    open_model(&dir).unwrap();
}

#[test]
fn every_file_is_missed() {
    for name in FILES {
        check("missing", &[name, "missing"], |dir| fs::remove_file(dir.join(name)).unwrap());
    }
    check("no folder", &["manifest.json", "missing"], |dir| fs::remove_dir_all(dir).unwrap());
}

#[test]
fn every_file_is_noticed_when_cut_short() {
    for name in FILES {
        let bytes = fs::read(intact().1.join(name)).unwrap_or_default().len();
        for keep in [0, 1, 7, bytes / 2, bytes.saturating_sub(1)] {
            check("cut short", &[name], |dir| {
                let bytes = fs::read(dir.join(name)).unwrap();
                fs::write(dir.join(name), &bytes[..keep.min(bytes.len() - 1)]).unwrap();
            });
        }
    }
}

#[test]
fn every_flipped_byte_is_noticed() {
    for name in FILES {
        let length = {
            let (_root, dir) = intact();
            fs::read(dir.join(name)).unwrap().len()
        };
        // The last byte of the manifest is the end of its last line, which says nothing.
        for place in [0, 4, 9, length / 3, length / 2, length - 4] {
            check("a flipped byte", &[name], |dir| {
                let mut bytes = fs::read(dir.join(name)).unwrap();
                bytes[place] ^= 0x11;
                fs::write(dir.join(name), bytes).unwrap();
            });
        }
    }
}

#[test]
fn a_folder_in_place_of_a_file_is_named() {
    for name in FILES {
        check("a folder", &[name, "no plain file"], |dir| {
            fs::remove_file(dir.join(name)).unwrap();
            fs::create_dir(dir.join(name)).unwrap();
        });
    }
}

#[cfg(unix)]
#[test]
fn a_link_in_place_of_a_file_is_refused() {
    for name in FILES {
        check("a link", &[name, "no plain file"], |dir| {
            let outside = dir.with_file_name("outside");
            fs::rename(dir.join(name), &outside).unwrap();
            std::os::unix::fs::symlink(&outside, dir.join(name)).unwrap();
        });
    }
}

const MODEL: &str = "model.safetensors";
const VECTORS: &str = "vectors.safetensors";
const CATALOG: &str = "catalog.safetensors";

#[test]
fn tensors_are_those_of_the_configuration() {
    for (file, tensor) in [(MODEL, "decoder.0.mlp.down"), (MODEL, "items.input"), (VECTORS, "counts"), (CATALOG, "order")]
    {
        check_sealed("a missing tensor", &[file, tensor, "missing"], |dir| remove_tensor(&dir.join(file), tensor));
    }
    for file in [MODEL, VECTORS, CATALOG] {
        check_sealed("an unknown tensor", &[file, "extra"], |dir| {
            edit_tensors(&dir.join(file), |header, data| {
                let end = data.len();
                header.insert("extra".into(), json!({"dtype": "F32", "shape": [1], "data_offsets": [end, end + 4]}));
                data.extend([0; 4]);
            });
        });
    }
    for (file, tensor, shape) in [
        (MODEL, "decoder.0.mlp.down", json!([6, 8])),
        (MODEL, "items.input", json!([24])),
        (MODEL, "positions", json!([5, 8, 1])),
        (VECTORS, "input", json!([4, 6])),
        (VECTORS, "counts", json!([2, 3])),
    ] {
        check_sealed("another shape", &[file, tensor, "shape"], |dir| {
            edit_tensors(&dir.join(file), |header, _| header[tensor]["shape"] = shape);
        });
    }
    for (file, tensor, dtype) in [
        (MODEL, "head.project", "U32"),
        (MODEL, "items.project_in", "I32"),
        (VECTORS, "input", "U32"),
        (VECTORS, "counts", "I64"),
    ] {
        check_sealed("another type", &[file, tensor], |dir| {
            edit_tensors(&dir.join(file), |header, _| header[tensor]["dtype"] = dtype.into());
        });
    }
}

#[test]
fn values_are_finite() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for (file, tensor) in [(MODEL, "decoder.0.attention.qkv"), (MODEL, "positions"), (VECTORS, "input")] {
            check_sealed("not finite", &[file, tensor, "at place 0", "finite"], |dir| {
                poke(&dir.join(file), tensor, &value.to_le_bytes());
            });
        }
    }
    let (_root, dir) = intact();
    poke(&dir.join(MODEL), "items.input", &f32::NAN.to_le_bytes());
    reseal(&dir);
    let message = chain(&open_model(&dir).err().unwrap());
    assert!(message.contains(MODEL) && message.contains("\"items.input\" holds NaN"), "{message}");
}

#[test]
fn headers_are_read_strictly() {
    for file in [MODEL, VECTORS, CATALOG] {
        let header = |what, damage: &dyn Fn(&Path)| check_sealed(what, &[file], |dir| damage(&dir.join(file)));
        header("a header of 2^64 - 1 bytes", &|path| patch(path, &u64::MAX.to_le_bytes()));
        header("a header past the end", &|path| patch(path, &(1_u64 << 19).to_le_bytes()));
        header("a huge header", &|path| join(path, &vec![b' '; 99 << 20], &[]));
        header("a header of no bytes", &|path| join(path, b"", &split(path).1));
        header("a header that is no JSON", &|path| edit_header(path, |text| text.replace('{', "[")));
        header("a header in deep brackets", &|path| join(path, "[".repeat(200_000).as_bytes(), &[]));
        header("a header that is not UTF-8", &|path| join(path, b"{\"\xff\xfe\":1}", &split(path).1));
        header("data that no tensor has", &|path| edit_tensors(path, |_, data| data.extend([0; 8])));
        header("data that is missing", &|path| edit_tensors(path, |_, data| data.truncate(data.len() - 4)));
    }
    let counts = |what, damage: &dyn Fn(&mut Value)| {
        check_sealed(what, &[VECTORS, "counts"], |dir| {
            edit_tensors(&dir.join(VECTORS), |header, _| damage(&mut header["counts"]));
        });
    };
    counts("offsets past 2^64", &|entry| entry["data_offsets"] = json!([u64::MAX - 1, u64::MAX]));
    counts("offsets that fall", &|entry| entry["data_offsets"] = json!([8, 0]));
    counts("offsets that overlap", &|entry| entry["data_offsets"][1] = json!(8));
    counts("a shape that overflows", &|entry| entry["shape"] = json!([1_u64 << 40, 1_u64 << 40]));
    check_sealed("a tensor named twice", &[MODEL, "\"positions\"", "twice"], |dir| {
        edit_header(&dir.join(MODEL), |text| text.replace("\"head.project\"", "\"positions\""));
    });
}

fn patch(path: &Path, first: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    bytes[..first.len()].copy_from_slice(first);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_configuration_that_cannot_be_is_refused() {
    let huge = 1_u64 << 40;
    for (key, value) in [
        ("width", json!(huge)),
        ("layers", json!(huge)),
        ("heads", json!(huge)),
        ("hidden", json!(huge)),
        ("rank", json!(huge)),
        ("window", json!(huge)),
        ("heads", json!(3)),
        ("dropout", json!(1.5)),
        ("block", json!("other")),
        ("width", json!(-1)),
        ("tied", json!("yes")),
        ("laeyrs", json!(2)),
    ] {
        check_sealed("a bad value", &["config.json", key_or_value(key, &value)], |dir| {
            edit_json(&dir.join("config.json"), |config| config["model"][key] = value.clone());
        });
    }
    check_sealed("a missing key", &["config.json", "`model.rank` is missing"], |dir| {
        edit_json(&dir.join("config.json"), |config| drop(config["model"].as_object_mut().unwrap().remove("rank")));
    });
    check_sealed("an unknown key", &["config.json", "extra"], |dir| {
        edit_json(&dir.join("config.json"), |config| config["extra"] = json!(1));
    });
    // Sizes that could be, but are not those of the tensors.
    for (key, value) in [("width", json!(1 << 14)), ("window", json!(1 << 20)), ("layers", json!(3)), ("tied", json!(false))]
    {
        check_sealed("another size", &["safetensors"], |dir| {
            edit_json(&dir.join("config.json"), |config| config["model"][key] = value.clone());
        });
    }
}

/// What the error must name: the key, unless serde can only name the value.
fn key_or_value<'a>(key: &'a str, value: &'a Value) -> &'a str {
    match key {
        "block" => "other",
        "tied" => "yes",
        "heads" if value.as_u64() == Some(3) => "`model.width` is 8",
        _ if value.as_i64() == Some(-1) => "-1",
        _ => key,
    }
}

#[test]
fn the_number_of_items_is_one_number() {
    for items in [0, 5, 7, 1_u64 << 33, 1 << 40, u64::MAX] {
        check("items of the configuration", &["config.json", "`items`"], |dir| {
            edit_json(&dir.join("config.json"), |config| config["items"] = json!(items));
            reseal(dir);
        });
        check("items everywhere but in the tensors", &["model"], |dir| {
            edit_json(&dir.join("config.json"), |config| config["items"] = json!(items));
            edit_json(&dir.join("manifest.json"), |manifest| manifest["items"] = json!(items));
            reseal(dir);
        });
    }
    check_sealed("a shorter catalog", &[CATALOG, "5 items", "6"], |dir| {
        catalog(5).write(&dir.join(CATALOG)).unwrap();
    });
    check_sealed("fewer vectors", &[VECTORS, "input", "[5, 4]"], |dir| {
        let (rows, counts) = (vec![0.5; 20], counts(6));
        let input = Tensor::new("input", &[5, 4], Values::F32(&rows));
        let counts = Tensor::new("counts", &[6], Values::U64(&counts));
        write_tensors(&dir.join(VECTORS), &[input, counts]).unwrap();
    });
}

#[test]
fn keys_are_text_without_repeats() {
    check_sealed("keys that are not UTF-8", &[CATALOG, "keys", "UTF-8"], |dir| {
        poke(&dir.join(CATALOG), "keys.bytes", &[0xff]);
    });
    check_sealed("a title that is not UTF-8", &[CATALOG, "column.0", "UTF-8"], |dir| {
        poke(&dir.join(CATALOG), "column.0.bytes", &[0xc0, 0x80]);
    });
    check_sealed("two keys alike", &[CATALOG, "key-0001"], |dir| {
        poke(&dir.join(CATALOG), "keys.bytes", b"key-0001");
    });
    check_sealed("offsets past the text", &[CATALOG, "keys"], |dir| {
        poke(&dir.join(CATALOG), "keys.offsets", &u64::MAX.to_le_bytes());
    });
    check_sealed("an order that is no permutation", &[CATALOG, "order"], |dir| {
        poke(&dir.join(CATALOG), "order", &u32::MAX.to_le_bytes());
    });
}

#[test]
fn another_version_is_called_another_version() {
    for (name, key) in [("config.json", "format"), ("generation.json", "format"), ("manifest.json", "version")] {
        check_sealed("a newer version", &[name, "version 2", "version 1"], |dir| {
            edit_json(&dir.join(name), |file| {
                file[key] = json!(2);
                file["something_new"] = json!(true);
            });
        });
        check_sealed("no version", &[name, key], |dir| {
            edit_json(&dir.join(name), |file| drop(file.as_object_mut().unwrap().remove(key)));
        });
    }
}

#[test]
fn the_manifest_vouches_for_every_file_and_for_itself() {
    let edit = |what, named: &[&str], edit: &dyn Fn(&mut Value)| {
        check(what, named, |dir| {
            edit_json(&dir.join("manifest.json"), |manifest| {
                edit(manifest);
                seal(manifest);
            });
        });
    };
    edit("another checksum", &[MODEL, "damaged"], &|manifest| {
        manifest["files"][MODEL]["blake3"] = json!("0".repeat(64));
    });
    edit("another length", &[VECTORS, "damaged"], &|manifest| manifest["files"][VECTORS]["bytes"] = json!(1_u64 << 40));
    edit("a file outside", &["manifest.json", "../outside"], &|manifest| {
        manifest["files"]["../outside"] = manifest["files"][MODEL].clone();
    });
    edit("an unlisted file", &["manifest.json", CATALOG], &|manifest| {
        drop(manifest["files"].as_object_mut().unwrap().remove(CATALOG));
    });
    edit("an unknown key", &["manifest.json", "extra"], &|manifest| manifest["extra"] = json!(1));
    check("metrics made better", &["manifest.json", "seal"], |dir| {
        edit_json(&dir.join("manifest.json"), |manifest| manifest["metrics"]["ndcg@10"] = json!(0.9));
    });
    check_sealed("a list of no items", &["generation.json", "length"], |dir| {
        edit_json(&dir.join("generation.json"), |file| file["length"] = json!(0));
    });
    for name in ["config.json", "generation.json"] {
        check_sealed("deep brackets", &[name], |dir| fs::write(dir.join(name), "[".repeat(100_000)).unwrap());
    }
    check("deep brackets", &["manifest.json"], |dir| {
        fs::write(dir.join("manifest.json"), "[".repeat(100_000)).unwrap();
    });
    for name in ["manifest.json", "config.json", "generation.json", "README.md"] {
        check("a huge text", &[name, "5242880"], |dir| fs::write(dir.join(name), vec![b' '; 5 << 20]).unwrap());
    }
}
