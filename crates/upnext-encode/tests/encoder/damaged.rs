//! Folders that somebody tampered with: typed errors that name the file, never a panic or a great allocation.

use std::fs;
use std::path::Path;

use upnext_data::chance::{self, Key, Purpose};
use upnext_encode::{Encoder, Error};

use crate::{copy, fixture};

/// Opens a copy of a fixture after something was done to it.
fn opened(name: &str, damage: impl FnOnce(&Path)) -> Result<Encoder, Error> {
    let dir = copy(name);
    damage(dir.path());
    Encoder::open(dir.path())
}

/// As [`opened`], with the whole chain of what was wrong.
fn refused(name: &str, damage: impl FnOnce(&Path)) -> String {
    let error = opened(name, damage).map(|_| ()).unwrap_err();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

fn check(damage: impl FnOnce(&Path), expected: &[&str]) {
    let text = refused("tiny-bert", damage);
    for part in expected {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from} is not in {}", path.display());
    fs::write(path, text.replace(from, to)).unwrap();
}

/// Changes the header of the weights, and pads it to the length it had.
fn reheader(dir: &Path, change: impl FnOnce(String) -> String) {
    let path = dir.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = change(String::from_utf8(bytes[8..8 + length].to_vec()).unwrap());
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.extend(&bytes[8 + length..]);
    fs::write(path, out).unwrap();
}

#[test]
fn tensors_that_are_missing_unknown_or_of_another_shape_are_named() {
    let query = "encoder.layer.1.attention.self.query.weight";
    check(
        |dir| reheader(dir, |header| header.replace(query, "encoder.layer.1.attention.self.kuery.weight")),
        &["model.safetensors", query, "missing"],
    );
    check(
        |dir| replace(&dir.join("config.json"), "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1"),
        &["model.safetensors", "encoder.layer.1.", "belongs to no BERT encoder of this size"],
    );
    check(
        |dir| replace(&dir.join("config.json"), "\"vocab_size\": 391", "\"vocab_size\": 390"),
        &["model.safetensors", "embeddings.word_embeddings.weight", "[391, 32]", "[390, 32]"],
    );
    check(
        |dir| reheader(dir, |header| header.replace("\"embeddings.word_", "\"embeddings.ward_")),
        &["model.safetensors", "embeddings.word_embeddings.weight", "missing"],
    );
}

#[test]
fn numbers_that_are_not_finite_are_named() {
    check(
        |dir| {
            let path = dir.join("model.safetensors");
            let mut bytes = fs::read(&path).unwrap();
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            // The first tensor of the file.
            bytes[8 + length..8 + length + 4].copy_from_slice(&f32::NAN.to_le_bytes());
            fs::write(path, bytes).unwrap();
        },
        &["model.safetensors", "tensor \"embeddings.", "holds NaN"],
    );
}

#[test]
fn headers_that_are_too_long_cut_or_name_a_tensor_twice_are_refused() {
    let weights =
        |bytes: &'static [u8]| move |dir: &Path| fs::write(dir.join("model.safetensors"), bytes).unwrap();
    check(weights(&[0xff; 16]), &["model.safetensors", "18446744073709551615 bytes"]);
    check(weights(b""), &["model.safetensors", "too few"]);
    check(weights(b"\x80\x04\x95 a pickle"), &["model.safetensors"]);
    check(
        |dir| {
            let path = dir.join("model.safetensors");
            let bytes = fs::read(&path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 5]).unwrap();
        },
        &["model.safetensors", "bytes"],
    );
    check(
        |dir| {
            reheader(dir, |header| {
                header.replace("encoder.layer.1.output.dense.bias", "encoder.layer.0.output.dense.bias")
            });
        },
        &["\"encoder.layer.0.output.dense.bias\" occurs twice"],
    );
}

#[test]
fn files_that_are_missing_or_in_pickle_format_are_named() {
    for name in ["config.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json"] {
        check(|dir| fs::remove_file(dir.join(name)).unwrap(), &[name]);
    }
    let pickle = |dir: &Path| {
        fs::remove_file(dir.join("model.safetensors")).unwrap();
        fs::write(dir.join("pytorch_model.bin"), "x").unwrap();
    };
    check(pickle, &["pytorch_model.bin", "pickle format", "save the model as model.safetensors"]);
    let error = Encoder::open(Path::new("no/such/folder")).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("no/such/folder: is no folder"), "{error}");
}

#[test]
fn architectures_and_modules_that_are_not_read_say_what_to_do() {
    let config =
        |from: &'static str, to: &'static str| move |dir: &Path| replace(&dir.join("config.json"), from, to);
    check(
        config("\"model_type\": \"bert\"", "\"model_type\": \"mpnet\""),
        &["config.json", "\"mpnet\"", "import its vectors instead"],
    );
    check(config("\"hidden_act\": \"gelu\"", "\"hidden_act\": \"swish\""), &["\"hidden_act\" is \"swish\""]);
    check(config("\"num_attention_heads\": 4", "\"num_attention_heads\": 5"), &["divisor of the width 32"]);
    check(config("\"hidden_size\": 32", "\"hidden_size\": 1e18"), &["\"hidden_size\" is", "1 to 16384"]);
    check(config("\"max_position_embeddings\": 64", "\"max_position_embeddings\": 0"), &["max_position"]);
    check(config("{", "["), &["config.json", "no JSON"]);
    let modules =
        |from: &'static str, to: &'static str| move |dir: &Path| replace(&dir.join("modules.json"), from, to);
    check(
        modules("normalize.Normalize", "dense.Dense"),
        &["modules.json", "dense.Dense", "import its vectors"],
    );
    check(modules("1_Pooling", "../1_Pooling"), &["modules.json", "outside the folder"]);
    let relative = |dir: &Path| {
        let path = dir.join("config_sentence_transformers.json");
        fs::write(path, r#"{"default_prompt_name":"item","prompts":{"query":"q: "}}"#).unwrap();
    };
    check(relative, &["config_sentence_transformers.json", "\"item\"", "query"]);
    let short =
        |dir: &Path| fs::write(dir.join("sentence_bert_config.json"), r#"{"max_seq_length":0}"#).unwrap();
    check(short, &["sentence_bert_config.json", "\"max_seq_length\" is 0"]);
}

#[test]
fn a_foreign_tokenizer_is_refused_before_the_model_sees_its_ids() {
    check(|dir| fs::write(dir.join("tokenizer.json"), "{}").unwrap(), &["tokenizer.json", "no tokenizer"]);
    let foreign = opened("tiny-xlm-roberta", |dir| {
        fs::copy(fixture("tiny-bert").join("tokenizer.json"), dir.join("tokenizer.json")).unwrap();
    });
    let texts: Vec<String> =
        fs::read_to_string(fixture("texts.txt")).unwrap().lines().map(str::to_owned).collect();
    let error = foreign.unwrap().encode(&texts).unwrap_err().to_string();
    assert!(error.contains("its tokenizer gives token") && error.contains("knows 194"), "{error}");
}

#[test]
fn a_tokenizer_that_makes_its_crate_panic_is_told_as_an_error() {
    // The hook would print what is about to be caught.
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !upnext_encode::is_tokenizing() {
            told(panic);
        }
    }));
    let encoder = opened("tiny-bert", |dir| {
        replace(&dir.join("tokenizer.json"), "\"id\": \"[SEP]\"", "\"id\": \"[SEK]\"");
    });
    let refused = encoder.and_then(|encoder| encoder.encode(&["Heat"])).unwrap_err().to_string();
    assert!(refused.contains("tokenizer"), "{refused}");
}

#[test]
fn random_damage_is_an_error_or_harmless_and_never_a_panic() {
    let names = ["tiny-bert", "tiny-distilbert", "tiny-modernbert", "tiny-xlm-roberta"];
    let mut rng = Key { seed: 3, purpose: Purpose::Sampling, step: 0, part: 0 }.rng();
    let mut draw = move |bound: usize| chance::below(&mut rng, bound as u64) as usize;
    for round in 0..160 {
        let dir = copy(names[round % names.len()]);
        let file =
            ["config.json", "tokenizer.json", "model.safetensors", "tokenizer_config.json"][round / 40];
        let path = dir.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        // The header of the weights, the beginning of everything else.
        let reach = bytes.len().min(4000);
        for _ in 0..=draw(3) {
            bytes[draw(reach)] = b"0919{}[]\",:-x\xff"[draw(14)];
        }
        fs::write(&path, bytes).unwrap();
        if let Ok(encoder) = Encoder::open(dir.path()) {
            drop(encoder.encode(&["The Silent Harbour", "a b c é"]));
        }
    }
}
