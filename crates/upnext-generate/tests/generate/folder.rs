//! From a model folder to the same lists.

use upnext_data::ItemId;
use upnext_generate::{Error, Generator, Options, Request};
use upnext_model::folder;

use crate::support::{all_bits, card, catalog, config, counts, generator, ids, model, one, request, served};

const ITEMS: usize = 120;

#[test]
fn a_generator_opened_from_a_folder_gives_the_lists_of_the_model_in_memory() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("model");
    folder::save(&dir, &model(config(), ITEMS, 40.0), &catalog(ITEMS), &counts(ITEMS), None, &card(), false)
        .unwrap();
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

#[test]
fn what_a_request_leaves_open_the_folder_decides() {
    let mut parts = served(ITEMS);
    (parts.generation.length, parts.generation.keep_seen) = (3, true);
    let generator = Generator::from_parts(parts, Options::default()).unwrap();
    let everything: Vec<ItemId> = (0..ITEMS as u32).map(ItemId).collect();
    let open = Request::from_items(&everything);
    assert_eq!(ids(&one(&generator, &open.clone().build().unwrap())).len(), 3);
    let told = open.length(5).keep_seen(false).build().unwrap();
    assert!(one(&generator, &told).items.is_empty());
}
