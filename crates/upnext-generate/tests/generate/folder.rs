//! From a model folder to the same lists.

use upnext_generate::{Error, Generator, Options, Request};
use upnext_model::folder::{self, Card, Trained};

use crate::support::{all_bits, catalog, config, counts, generator, model, request};

const ITEMS: usize = 120;

#[test]
fn a_generator_opened_from_a_folder_gives_the_lists_of_the_model_in_memory() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("model");
    let card = Card {
        run: Default::default(),
        protocol: "loo".to_owned(),
        data_hash: String::new(),
        metrics: Default::default(),
        trained: Trained::default(),
    };
    folder::save(&dir, &model(config(), ITEMS, 40.0), &catalog(ITEMS), &counts(ITEMS), &card, false).unwrap();
    let opened = Generator::open(&dir, Options::default()).unwrap();
    let requests: Vec<Request> = (0..12).map(|case| request(case, ITEMS)).collect();
    assert_eq!(all_bits(&opened.generate(&requests)), all_bits(&generator(ITEMS).generate(&requests)));
}

#[test]
fn a_missing_folder_is_an_error() {
    let parent = tempfile::tempdir().unwrap();
    let error = Generator::open(parent.path().join("no such model"), Options::default()).unwrap_err();
    assert!(matches!(error, Error::Model(_)));
}
