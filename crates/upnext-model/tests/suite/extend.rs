//! New items join a model: nothing that was there moves, and what is new is served by its features.

use std::fs;
use std::path::Path;

use upnext_data::{Catalog, Column, FeatureFile, ItemFeatures, ItemId, Modality, Strings};
use upnext_kernels::products::Products;
use upnext_kernels::{Rows, score};
use upnext_model::folder::{extend, open, open_model, save};
use upnext_model::{ModelConfig, Served, TowerConfig, tower};

use super::world::{bits, card, catalog, chain, configs, counts, history, model};

const ITEMS: usize = 41;
const NEW: usize = 9;

/// Features 6 wide of every item but those in `without`.
fn features(catalog: &Catalog, without: &[usize]) -> ItemFeatures {
    let items: Vec<u32> =
        (0..catalog.len()).filter(|item| !without.contains(item)).map(|item| item as u32).collect();
    let value = |at: usize| (at as f32 * 1.3).sin();
    let values = items.iter().flat_map(|&item| (0..6).map(move |at| value(item as usize * 7 + at))).collect();
    let text = Modality { name: "text".into(), width: 6, items, values };
    let file =
        FeatureFile { keys: catalog.keys().clone(), encoder: "by hand".into(), modalities: vec![text] };
    ItemFeatures::of(catalog, &[file]).unwrap().0
}

/// New items, and two that every model of [`ITEMS`] items knows.
fn offered() -> Catalog {
    let mut keys: Vec<String> = vec!["key-0003".into(), "key-0040".into()];
    keys.extend((0..NEW).map(|item| format!("a-new-{item:02}")));
    let titles = keys.iter().map(|key| format!("Title of {key}")).collect();
    let year = (0..keys.len()).map(|_| "2026").collect();
    let column = |name: &str, values: Strings| Column { name: name.to_owned(), values };
    Catalog::new(keys.iter().collect(), vec![column("year", year), column("title", titles)]).unwrap()
}

fn towered(config: &ModelConfig, mask: f32) -> ModelConfig {
    let modalities = vec![("text".to_owned(), 6)];
    let tower =
        TowerConfig { hidden: 7, mask_input: mask, mask_output: mask, modalities, ..TowerConfig::default() };
    ModelConfig { tower: Some(tower), ..config.clone() }
}

fn scores(served: &Served, history: &[ItemId]) -> Vec<f32> {
    let state = served.network.prefill(&[history], &served.vectors, None, false).unwrap();
    let mut scores = vec![0.0; served.vectors.items()];
    score::scores(Rows::new(&state, 1, served.config.rank), &served.vectors.table(), &mut scores, false);
    scores
}

#[test]
fn warm_items_keep_their_bits_and_new_ones_are_served_by_their_features() {
    for (mask, config) in configs().iter().enumerate().map(|(at, config)| ((at % 2) as f32 * 0.1, config)) {
        let (root, config) = (tempfile::tempdir().unwrap(), towered(config, mask));
        let [old, new] = ["old", "new"].map(|name| root.path().join(name));
        let (saved, offered) = (model(&config, ITEMS), offered());
        let own = features(&catalog(ITEMS), &[]);
        let mut counts = counts(ITEMS);
        counts[7] = 0;
        save(&old, &saved, &catalog(ITEMS), &counts, Some(&own), &card(), false).unwrap();
        let given = features(&offered, &[4]);
        let addition = extend(&old, &offered, &given, &new, false).unwrap();
        assert_eq!((addition.items, addition.without_features, addition.known), (NEW, 1, 2));

        let (before, after) = (open(&old).unwrap(), open(&new).unwrap());
        assert_eq!(after.catalog.len(), ITEMS + NEW);
        for item in 0..ITEMS as u32 {
            assert_eq!(after.catalog.key(ItemId(item)), before.catalog.key(ItemId(item)));
        }
        let first = after.catalog.find("a-new-00").unwrap();
        assert_eq!((first, after.catalog.title(first)), (ItemId(ITEMS as u32), Some("Title of a-new-00")));
        assert_eq!(after.counts[ITEMS..], [0; NEW]);
        // Offered as number 4, appended as number 2 of the new ones.
        assert_eq!(after.ineligible, [ITEMS as u32 + 2]);
        assert_eq!(after.manifest.additions, [addition]);
        assert_eq!(after.manifest.additions[0].to, before.manifest.seal);

        let read = history(3, 8, ITEMS);
        let (old_scores, new_scores) = (scores(&before, &read), scores(&after, &read));
        assert_eq!(bits(&old_scores), bits(&new_scores[..ITEMS]), "no warm score moves");
        // A history may hold new items, too.
        assert!(scores(&after, &[read.clone(), vec![first]].concat()).iter().all(|score| score.is_finite()));

        // What a new item is served by is what a cold item of a training is served by.
        let all = Catalog::new(
            (0..ITEMS)
                .map(|item| format!("key-{item:04}"))
                .chain((0..NEW).map(|item| format!("a-new-{item:02}")))
                .collect(),
            vec![],
        )
        .unwrap();
        let longer = open_model(&new).unwrap();
        assert_eq!(longer.items(), all.len());
        let mut row = vec![0.0; config.rank];
        after.vectors.output_row(first, &mut row).unwrap();
        let content = tower::content(&given, &[2]).unwrap();
        let said = tower::semantic(&saved, &content, Products::F32)
            .unwrap()
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        let stand_in = tower::stand_in(&saved, saved.output_table().rows(), &counts).unwrap();
        for ((row, said), stand_in) in row.iter().zip(said).zip(stand_in) {
            assert!((row - (said + stand_in)).abs() < 1e-6);
        }
    }
}

#[test]
fn an_extended_model_can_be_extended_again() {
    let root = tempfile::tempdir().unwrap();
    let [one, two, three] = ["one", "two", "three"].map(|name| root.path().join(name));
    let config = towered(&configs()[0], 0.1);
    let own = features(&catalog(ITEMS), &[]);
    save(&one, &model(&config, ITEMS), &catalog(ITEMS), &counts(ITEMS), Some(&own), &card(), false).unwrap();
    extend(&one, &offered(), &features(&offered(), &[]), &two, false).unwrap();
    let more = Catalog::new(["b-new"].iter().collect(), vec![]).unwrap();
    extend(&two, &more, &features(&more, &[]), &three, false).unwrap();
    let served = open(&three).unwrap();
    assert_eq!(served.catalog.len(), ITEMS + NEW + 1);
    assert_eq!(served.manifest.additions.len(), 2);
    assert_eq!(served.catalog.title(served.catalog.find("b-new").unwrap()), None);
}

#[test]
fn an_item_that_joined_without_features_is_recommended_once_it_has_some() {
    let root = tempfile::tempdir().unwrap();
    let [one, two, three] = ["one", "two", "three"].map(|name| root.path().join(name));
    let config = towered(&configs()[3], 0.1);
    let own = features(&catalog(ITEMS), &[]);
    save(&one, &model(&config, ITEMS), &catalog(ITEMS), &counts(ITEMS), Some(&own), &card(), false).unwrap();
    let (offered, whole) = (offered(), features(&offered(), &[]));
    // Nothing is said of two of them at first.
    let untitled = |column: &Column| Column {
        name: column.name.clone(),
        values: (0..)
            .zip(column.values.iter())
            .map(|(item, text)| if [4, 6].contains(&item) { "" } else { text })
            .collect(),
    };
    let columns = offered.columns().iter().map(untitled).collect();
    let early = Catalog::new(offered.keys().clone(), columns).unwrap();
    extend(&one, &early, &features(&early, &[4, 6]), &two, false).unwrap();
    let told = |dir: &Path| {
        let served = open(dir).unwrap();
        served.catalog.title(served.catalog.find(offered.key(ItemId(4))).unwrap()).map(str::to_owned)
    };
    assert_eq!(told(&two), None);
    let addition = extend(&two, &offered, &whole, &three, false).unwrap();
    assert_eq!((addition.items, addition.known, addition.revived), (0, offered.len(), 2));
    let (direct, revived) = (root.path().join("direct"), open(&three).unwrap());
    extend(&one, &offered, &whole, &direct, false).unwrap();
    let direct = open(&direct).unwrap();
    assert!(revived.ineligible.is_empty());
    assert_eq!(told(&three).as_deref(), offered.title(ItemId(4)));
    let read = history(3, 8, ITEMS);
    assert_eq!(bits(&scores(&revived, &read)), bits(&scores(&direct, &read)));
}

#[test]
fn what_cannot_be_added_says_why_and_writes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let [plain, towers, out] = ["plain", "towers", "out"].map(|name| root.path().join(name));
    let config = configs()[0].clone();
    save(&plain, &model(&config, ITEMS), &catalog(ITEMS), &counts(ITEMS), None, &card(), false).unwrap();
    let config = towered(&config, 0.1);
    let own = features(&catalog(ITEMS), &[]);
    save(&towers, &model(&config, ITEMS), &catalog(ITEMS), &counts(ITEMS), Some(&own), &card(), false)
        .unwrap();
    let (offered, known) = (offered(), catalog(3));
    let all: Vec<usize> = (0..offered.len()).collect();
    let wide = {
        let text = Modality { name: "text".into(), width: 2, items: vec![2], values: vec![1.0, 2.0] };
        let keys = offered.keys().clone();
        let file = FeatureFile { keys, encoder: String::new(), modalities: vec![text] };
        ItemFeatures::of(&offered, &[file]).unwrap().0
    };
    for (dir, items, features, expected) in [
        (&plain, &offered, features(&offered, &[]), "has no semantic tower"),
        (&towers, &known, features(&known, &[]), "knows all 3 items already"),
        (
            &towers,
            &offered,
            features(&offered, &all),
            "none of the 9 new items has features (\"a-new-00\" the first)",
        ),
        (&towers, &offered, wide, "reads \"text\" (6 wide), but the features have \"text\" (2 wide)"),
        (&towers, &offered, features(&known, &[]), "11 items are offered with features of 3"),
    ] {
        let error = chain(&extend(dir, items, &features, &out, false).unwrap_err());
        assert!(error.contains(expected), "{error}");
        assert!(!out.exists());
    }
    fs::create_dir(&out).unwrap();
    fs::write(out.join("notes.txt"), "mine").unwrap();
    assert!(extend(&towers, &offered, &features(&offered, &[]), &out, true).is_err());
    assert_eq!(fs::read_to_string(out.join("notes.txt")).unwrap(), "mine");
}
