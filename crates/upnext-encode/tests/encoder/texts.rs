//! Texts of a catalogue through an encoder: batches, cache, and encoding again.

use std::ops::ControlFlow;
use std::path::Path;

use upnext_data::{Catalog, Column, FeatureFile};
use upnext_encode::{Counts, Encoder, Error, Progress, Template, TextEncoding, again, save};

use crate::{copy, fixture};

fn catalog(titles: &[&str]) -> Catalog {
    let column = Column { name: "title".into(), values: titles.iter().collect() };
    Catalog::new((0..titles.len()).map(|item| format!("i{item}")).collect(), vec![column]).unwrap()
}

fn encode(titles: &[&str], cache: Option<&Path>) -> (FeatureFile, Counts) {
    let encoder = Encoder::open(&fixture("tiny-bert")).unwrap();
    let encoding = TextEncoding::new(&Template::parse("{title}").unwrap(), &encoder, "text");
    encoding.encode(&catalog(titles), &encoder, cache, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// Texts of many lengths.
fn many() -> Vec<String> {
    (0..300).map(|n| format!("{} {n}", "The Silent Harbour ".repeat(n % 7))).collect()
}

#[test]
fn a_text_has_the_same_bits_alone_and_among_others() {
    for name in ["tiny-bert", "tiny-distilbert", "tiny-xlm-roberta"] {
        let encoder = Encoder::open(&fixture(name)).unwrap();
        let (texts, width) = (many(), encoder.width());
        let together = encoder.encode(&texts).unwrap();
        for (text, row) in texts.iter().zip(together.chunks_exact(width)).step_by(17) {
            assert_eq!(encoder.encode(&[text]).unwrap(), row, "{name}: {text}");
        }
    }
}

#[test]
fn modernbert_gives_a_text_the_same_vector_to_a_millionth() {
    let encoder = Encoder::open(&fixture("tiny-modernbert")).unwrap();
    let (texts, width) = (many(), encoder.width());
    let together = encoder.encode(&texts).unwrap();
    let mut worst = 0.0_f32;
    for (text, row) in texts.iter().zip(together.chunks_exact(width)).step_by(17) {
        let alone = encoder.encode(&[text]).unwrap();
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        worst = alone.iter().zip(row).map(|(a, b)| (a - b).abs() / length).fold(worst, f32::max);
    }
    assert!(worst < 1e-6, "{worst}");
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    for name in ["tiny-bert", "tiny-modernbert"] {
        let encoder = Encoder::open(&fixture(name)).unwrap();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| encoder.encode(&many()).unwrap())
        };
        let one = with(1);
        assert_eq!(with(2), one);
        assert_eq!(with(5), one);
    }
}

#[test]
fn a_second_run_encodes_only_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (first, counts) = encode(&["Heat", "Alien", "", "Heat"], Some(dir.path()));
    assert_eq!(counts, Counts { texts: 2, cached: 0, without_text: 1, damaged: 0 });
    assert_eq!(first.modalities[0].items, [0, 1, 3]);
    let values = &first.modalities[0].values;
    assert_eq!(values[..32], values[64..], "equal texts have equal vectors");
    let (second, counts) = encode(&["Alien", "Heat", "Dune"], Some(dir.path()));
    assert_eq!(counts, Counts { texts: 3, cached: 2, without_text: 0, damaged: 0 });
    assert_eq!(second.modalities[0].values[..32], values[32..64]);
    assert_eq!(second.modalities[0].values[32..64], values[..32]);
}

#[test]
fn a_damaged_cache_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _) = encode(&["Heat", "Alien"], Some(dir.path()));
    let folder = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (second, counts) = encode(&["Heat", "Alien"], Some(dir.path()));
    assert_eq!(counts, Counts { texts: 2, cached: 0, without_text: 0, damaged: 1 });
    assert_eq!(second, first);
    let (_, counts) = encode(&["Heat", "Alien"], Some(dir.path()));
    assert_eq!((counts.cached, counts.damaged), (2, 0));
}

#[test]
fn what_was_done_before_an_interruption_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let titles: Vec<String> = (0..200).map(|n| format!("Harbour {}", "of Rain ".repeat(1 + n % 9))).collect();
    let titles: Vec<String> = titles.iter().enumerate().map(|(n, title)| format!("{title} {n}")).collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let encoder = Encoder::open(&fixture("tiny-bert")).unwrap();
    let encoding = TextEncoding::new(&Template::parse("{title}").unwrap(), &encoder, "text");
    let mut stop = |progress: Progress| match progress.done {
        0..100 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    let error = encoding.encode(&catalog(&titles), &encoder, Some(dir.path()), &mut stop).unwrap_err();
    assert!(matches!(error, Error::Interrupted));
    let (_, counts) = encode(&titles, Some(dir.path()));
    assert!((100..200).contains(&counts.cached), "{counts:?}");
}

#[test]
fn new_items_are_encoded_as_the_old_ones_were_and_by_no_other_encoder() {
    let (old, _) = encode(&["Heat", "Alien"], None);
    let new = |dir: Option<&Path>| {
        again(&old.encoder, &catalog(&["Alien"]), dir, None, &mut |_| ControlFlow::Continue(()))
    };
    let same = new(Some(&fixture("tiny-bert"))).unwrap();
    assert_eq!((&same.encoder, same.modalities[0].values.len()), (&old.encoder, 32));
    assert_eq!(same.modalities[0].values, old.modalities[0].values[32..]);
    let refused = |dir: Option<&Path>| new(dir).unwrap_err().to_string();
    assert!(refused(None).contains("the encoder \"tiny-bert\" made the features: name its folder"));
    let text = refused(Some(&fixture("tiny-distilbert")));
    assert!(text.contains("config.json: not the encoder \"tiny-bert\""), "{text}");
    let tampered = copy("tiny-bert");
    let weights = tampered.path().join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let last = bytes.len() - 4;
    bytes[last] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let text = refused(Some(tampered.path()));
    assert!(text.contains("model.safetensors: not the encoder") && text.contains("its blake3 is"), "{text}");
    let pooled = copy("tiny-bert");
    std::fs::write(pooled.path().join("1_Pooling/config.json"), r#"{"pooling_mode":"cls"}"#).unwrap();
    let text = refused(Some(pooled.path()));
    assert!(text.contains("its pooling is Cls, not Mean"), "{text}");
}

#[test]
fn a_feature_file_is_replaced_only_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("features.safetensors");
    let (file, _) = encode(&["Heat"], None);
    save(&file, &path, false).unwrap();
    assert!(matches!(save(&file, &path, false), Err(Error::Exists(_))));
    save(&file, &path, true).unwrap();
    assert_eq!(FeatureFile::read(&path).unwrap(), file);
}
