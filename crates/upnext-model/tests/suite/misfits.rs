//! A folder whose files are what its manifest says, but not a model, is refused by what does not fit.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use upnext_data::sealed::{Tensor, Values, write_tensors};
use upnext_model::folder::open_model;

use super::damage::{
    CATALOG, MODEL, VECTORS, check, check_sealed, edit_header, edit_json, edit_tensors, intact, join, poke,
    remove_tensor, reseal, split,
};
use super::world::{catalog, chain, counts};

#[test]
fn tensors_are_those_of_the_configuration() {
    for (file, tensor) in
        [(MODEL, "decoder.0.mlp.down"), (MODEL, "head.horizons"), (MODEL, "items.input"), (VECTORS, "counts")]
    {
        check_sealed("a missing tensor", &[file, tensor, "missing"], |dir| {
            remove_tensor(&dir.join(file), tensor);
        });
    }
    check_sealed("a missing tensor", &[CATALOG], |dir| remove_tensor(&dir.join(CATALOG), "order"));
    for file in [MODEL, VECTORS, CATALOG] {
        check_sealed("an unknown tensor", &[file, "extra"], |dir| {
            edit_tensors(&dir.join(file), |header, data| {
                let end = data.len();
                header.insert(
                    "extra".into(),
                    json!({"dtype": "F32", "shape": [1], "data_offsets": [end, end + 4]}),
                );
                data.extend([0; 4]);
            });
        });
    }
    for (file, tensor, shape) in [
        (MODEL, "decoder.0.mlp.down", json!([6, 8])),
        (MODEL, "head.horizons", json!([8, 2])),
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
        let header =
            |what, damage: &dyn Fn(&Path)| check_sealed(what, &[file], |dir| damage(&dir.join(file)));
        header("a header of 2^64 - 1 bytes", &|path| patch(path, &u64::MAX.to_le_bytes()));
        header("a header past the end", &|path| patch(path, &(1_u64 << 19).to_le_bytes()));
        header("a huge header", &|path| join(path, &vec![b' '; 2 << 20], &[]));
        header("a header of no bytes", &|path| join(path, b"", &split(path).1));
        header("a header that is no JSON", &|path| edit_header(path, |text| text.replace('{', "[")));
        header("a header in deep brackets", &|path| join(path, "[".repeat(200_000).as_bytes(), &[]));
        header("a header that is not UTF-8", &|path| join(path, b"{\"\xff\xfe\":1}", &split(path).1));
        header("data that no tensor has", &|path| edit_tensors(path, |_, data| data.extend([0; 8])));
        header("data that is missing", &|path| edit_tensors(path, |_, data| data.truncate(data.len() - 4)));
    }
    let counts = |what, damage: &dyn Fn(&mut Value)| {
        check_sealed(what, &[VECTORS, "the tensor \""], |dir| {
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
        edit_json(&dir.join("config.json"), |config| {
            drop(config["model"].as_object_mut().unwrap().remove("rank"));
        });
    });
    check_sealed("an unknown key", &["config.json", "extra"], |dir| {
        edit_json(&dir.join("config.json"), |config| config["extra"] = json!(1));
    });
    // Sizes that could be, but are not those of the tensors.
    for (key, value) in
        [("width", json!(1 << 14)), ("window", json!(1 << 20)), ("layers", json!(3)), ("tied", json!(false))]
    {
        check_sealed("another size", &["safetensors"], |dir| {
            edit_json(&dir.join("config.json"), |config| config["model"][key] = value.clone());
        });
    }
}

/// What the error must name: the key, unless serde can only name the value.
fn key_or_value<'a>(key: &'a str, value: &Value) -> &'a str {
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
