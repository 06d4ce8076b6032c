//! The same vectors as the reference library gives; `fixtures/make_tiny_bert.py` made them.

use std::path::Path;

use upnext_data::sealed::TensorFile;
use upnext_encode::Encoder;

use crate::{copy, fixture};

fn lines(name: &str) -> Vec<String> {
    std::fs::read_to_string(fixture(name)).unwrap().lines().map(str::to_owned).collect()
}

/// The least cosine and the greatest difference of lengths, over all texts.
fn compare(dir: &Path, texts: &[String], reference: &Path) -> (f64, f64) {
    let encoder = Encoder::open(dir).unwrap();
    let ours = encoder.encode(texts).unwrap();
    let theirs = TensorFile::open(reference).unwrap().floats("vectors").unwrap();
    assert_eq!((ours.len(), ours.len() % texts.len()), (theirs.len(), 0));
    let (mut cosine, mut lengths) = (f64::MAX, 0.0_f64);
    for (a, b) in ours.chunks_exact(encoder.width()).zip(theirs.chunks_exact(encoder.width())) {
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let (length_a, length_b) = (dot(a, a).sqrt(), dot(b, b).sqrt());
        cosine = cosine.min(dot(a, b) / (length_a * length_b));
        lengths = lengths.max((length_a / length_b - 1.0).abs());
    }
    (cosine, lengths)
}

fn check(name: &str) {
    let reference = fixture(name).join("reference.safetensors");
    let (cosine, lengths) = compare(&fixture(name), &lines("texts.txt"), &reference);
    assert!(cosine > 1.0 - 1e-6 && lengths < 1e-4, "{name}: cosine {cosine}, lengths differ by {lengths}");
}

#[test]
fn bert_pooled_by_the_mean_and_normalised_is_the_reference() {
    check("tiny-bert");
}

#[test]
fn distilbert_with_a_prompt_and_its_first_token_is_the_reference() {
    check("tiny-distilbert");
}

#[test]
fn xlm_roberta_out_of_a_plain_folder_is_the_reference() {
    check("tiny-xlm-roberta");
}

#[test]
fn modernbert_with_local_and_global_layers_is_the_reference() {
    check("tiny-modernbert");
}

#[test]
fn prefixes_of_a_family_and_heads_change_nothing() {
    let dir = copy("tiny-bert");
    let path = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + length]).unwrap();
    let renamed = header.replace("\"embeddings.", "\"bert.embeddings.");
    let renamed = renamed.replace("\"encoder.", "\"bert.encoder.").replace("\"pooler.", "\"bert.pooler.");
    assert!(header.contains("\"pooler.dense.weight\"") && renamed.len() > header.len());
    let mut out = (renamed.len() as u64).to_le_bytes().to_vec();
    out.extend(renamed.as_bytes());
    out.extend(&bytes[8 + length..]);
    std::fs::write(&path, out).unwrap();
    let encode = |dir: &Path| Encoder::open(dir).unwrap().encode(&["Heat"]).unwrap();
    assert_eq!(encode(dir.path()), encode(&fixture("tiny-bert")));
}

#[test]
fn minilm_is_the_reference_where_it_is_present() {
    let Some(dir) = std::env::var_os("UPNEXT_MINILM") else {
        println!("skipped: UPNEXT_MINILM does not name the folder of all-MiniLM-L6-v2");
        return;
    };
    let (cosine, lengths) = compare(Path::new(&dir), &lines("minilm.txt"), &fixture("minilm.safetensors"));
    // The reference is kept in 16 bits.
    assert!(cosine > 0.9999 && lengths < 1e-3, "cosine {cosine}, lengths differ by {lengths}");
    println!("200 texts: least cosine {cosine:.7}");
}
