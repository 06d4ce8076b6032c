//! What is saved comes back bit for bit, and a failed save harms nothing.

use std::fs;

use upnext_data::ItemId;
use upnext_model::folder::{open, open_model, save};
use upnext_model::{Card, Error, Served};

use super::world::{bits, card, catalog, chain, configs, counts, history, model};

const ITEMS: usize = 41;

#[test]
fn a_saved_model_comes_back_bit_for_bit() {
    for config in configs() {
        let (root, saved) = (tempfile::tempdir().unwrap(), model(&config, ITEMS));
        let dir = root.path().join("model");
        save(&dir, &saved, &catalog(ITEMS), &counts(ITEMS), None, &card(), false).unwrap();
        let loaded = open_model(&dir).unwrap();
        assert_eq!(loaded.config(), saved.config());
        assert_eq!(loaded.input_table(), saved.input_table());
        assert_eq!(loaded.output_table(), saved.output_table());
        let names = |model: &upnext_model::Model| {
            model.parameters().iter().map(|(n, _)| n.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&loaded), names(&saved));
        for name in names(&saved) {
            let (found, expected) = (loaded.parameters().values(&name), saved.parameters().values(&name));
            assert_eq!(bits(&found.unwrap()), bits(&expected.unwrap()), "{name}");
        }
    }
}

#[test]
fn a_server_sees_what_was_trained() {
    for config in configs() {
        let (root, saved) = (tempfile::tempdir().unwrap(), model(&config, ITEMS));
        let dir = root.path().join("model");
        save(&dir, &saved, &catalog(ITEMS), &counts(ITEMS), None, &card(), false).unwrap();
        let served = open(&dir).unwrap();
        let direct = Served::from_model(&saved, catalog(ITEMS), counts(ITEMS), None, &card()).unwrap();
        assert_eq!(
            (&served.config, &served.catalog, &served.counts),
            (&config, &catalog(ITEMS), &counts(ITEMS))
        );
        assert_eq!(served.manifest.metrics, card().metrics);
        assert_eq!((&served.manifest.protocol, served.manifest.trained.steps), (&card().protocol, 1200));
        assert_eq!(served.generation, direct.generation);
        let input = history(3, 8, ITEMS);
        let states = |served: &Served| bits(&served.network.states(&input, &served.vectors).unwrap());
        assert_eq!(states(&served), states(&direct));
        let mut scores = [vec![0.0; ITEMS], vec![0.0; ITEMS]];
        let state = served.network.prefill(&[&input], &served.vectors, None, false).unwrap();
        for (vectors, scores) in [&served.vectors, &saved.vectors().unwrap()].into_iter().zip(&mut scores) {
            let query = upnext_kernels::view::Rows::new(&state, 1, config.rank);
            upnext_kernels::score::scores(query, &vectors.table(), scores, false);
        }
        assert_eq!(bits(&scores[0]), bits(&scores[1]), "packed and borrowed vectors score alike");
    }
}

#[test]
fn an_existing_folder_is_replaced_only_when_asked() {
    let root = tempfile::tempdir().unwrap();
    let (dir, config) = (root.path().join("model"), &configs()[0]);
    save(&dir, &model(config, 5), &catalog(5), &counts(5), None, &card(), false).unwrap();
    let error = save(&dir, &model(config, 6), &catalog(6), &counts(6), None, &card(), false).unwrap_err();
    assert!(chain(&error).contains("model"), "{}", chain(&error));
    assert_eq!(open(&dir).unwrap().catalog.len(), 5);
    save(&dir, &model(config, 6), &catalog(6), &counts(6), None, &card(), true).unwrap();
    assert_eq!(open(&dir).unwrap().catalog.len(), 6);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing temporary is left");
}

#[test]
fn the_same_model_saves_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    let [first, second] = ["a", "b"].map(|name| root.path().join(name));
    for dir in [&first, &second] {
        save(dir, &model(&configs()[3], 9), &catalog(9), &counts(9), None, &card(), false).unwrap();
    }
    for entry in fs::read_dir(&first).unwrap() {
        let name = entry.unwrap().file_name();
        assert_eq!(fs::read(first.join(&name)).unwrap(), fs::read(second.join(&name)).unwrap(), "{name:?}");
    }
}

#[test]
fn a_model_that_diverged_is_not_saved() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("model");
    let mut broken = model(&configs()[0], 5);
    let mut values = broken.parameters().values("decoder.1.mlp.down").unwrap();
    values[3] = f32::NAN;
    broken.parameters_mut().set("decoder.1.mlp.down", &values).unwrap();
    let error = save(&dir, &broken, &catalog(5), &counts(5), None, &card(), false).unwrap_err();
    assert!(chain(&error).contains("\"decoder.1.mlp.down\" holds NaN at place 3"), "{}", chain(&error));
    let mut broken = model(&configs()[0], 5);
    broken.tables_mut().0.rows_mut()[7] = f32::INFINITY;
    let error = save(&dir, &broken, &catalog(5), &counts(5), None, &card(), false).unwrap_err();
    assert!(chain(&error).contains("\"items.input\" holds inf at place 7"), "{}", chain(&error));
    assert!(!dir.exists());
}

#[test]
fn a_catalog_of_another_size_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let (dir, saved) = (root.path().join("model"), model(&configs()[0], 5));
    for (keys, events) in [(4, 5), (5, 4)] {
        let error = save(&dir, &saved, &catalog(keys), &counts(events), None, &card(), false).unwrap_err();
        assert!(matches!(error, Error::Size { found: 4, expected: 5, .. }), "{error}");
    }
}

#[test]
fn the_model_card_names_what_matters() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("model");
    save(&dir, &model(&configs()[0], 5), &catalog(5), &counts(5), None, &card(), false).unwrap();
    let text = fs::read_to_string(dir.join("README.md")).unwrap();
    for part in ["| ndcg@10 | 0.1651 |", "`loo`", "1200 steps", "| items | 5 |", "\"lr\": 0.001"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn a_card_that_could_not_be_read_again_is_not_written() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("model");
    let long = Card { run: "x".repeat(1 << 20).into(), ..card() };
    let error =
        save(&dir, &model(&configs()[0], 5), &catalog(5), &counts(5), None, &long, false).unwrap_err();
    assert!(chain(&error).contains("config.json: would have"), "{}", chain(&error));
    assert!(!dir.exists());
}

#[test]
fn a_model_without_items_can_be_saved() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("model");
    save(&dir, &model(&configs()[0], 0), &catalog(0), &[], None, &card(), false).unwrap();
    let served = open(&dir).unwrap();
    assert_eq!((served.catalog.len(), served.vectors.items()), (0, 0));
    let error = served.network.prefill(&[&[ItemId(0)]], &served.vectors, None, false).unwrap_err();
    assert!(matches!(error, Error::UnknownItem { item: 0, items: 0 }), "{error}");
}
