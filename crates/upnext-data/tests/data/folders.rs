//! Prepared folders: what is written is opened, and the same contents give the same bytes.

use std::fs;

use upnext_data::{Catalog, Error, Histories, Manifest, Prepared, Strings};

use crate::world;

#[test]
fn a_folder_opens_as_it_was_written() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let histories = world::histories(2, 100, 30);
    let catalog = world::catalog(histories.events() + 3);
    let origin = serde_json::json!({ "sources": ["events.csv"], "skipped": 3, "float": 0.1, "none": null });
    let manifest = Prepared::write(&dir, &catalog, &histories, origin.clone(), false).unwrap();
    let opened = Prepared::open(&dir).unwrap();
    assert_eq!((&opened.catalog, &opened.histories, &opened.manifest), (&catalog, &histories, &manifest));
    assert_eq!(opened.manifest.origin, origin);
    assert_eq!((manifest.version, manifest.users, manifest.events), (1, 100, histories.events()));
    assert_eq!(Manifest::read(&dir).unwrap(), manifest);
    assert_eq!(opened.catalog.columns()[0].name, "title", "columns keep their order");
}

#[test]
fn the_same_contents_give_the_same_bytes() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = (home.path().join("a"), home.path().join("b"));
    world::prepared(&a);
    world::prepared(&b);
    for entry in fs::read_dir(&a).unwrap() {
        let name = entry.unwrap().file_name();
        assert_eq!(fs::read(a.join(&name)).unwrap(), fs::read(b.join(&name)).unwrap(), "{name:?}");
    }
}

#[test]
fn the_data_hash_names_the_data_and_not_its_origin() {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, number, origin: &str| {
        let histories = world::histories(number, 20, 9);
        let catalog = world::catalog(500);
        Prepared::write(&home.path().join(name), &catalog, &histories, origin.into(), false)
            .unwrap()
            .data_hash()
    };
    let first = write("a", 1, "here");
    assert_eq!(first, write("b", 1, "there"));
    assert_ne!(first, write("c", 2, "here"));
    assert_eq!(first.len(), 64);
}

#[test]
fn a_folder_of_nothing_opens() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let catalog = Catalog::new(Strings::new(), vec![]).unwrap();
    let histories = Histories::new(Strings::new(), vec![0], vec![], vec![]).unwrap();
    Prepared::write(&dir, &catalog, &histories, serde_json::Value::Null, false).unwrap();
    let opened = Prepared::open(&dir).unwrap();
    assert_eq!((opened.catalog, opened.histories), (catalog, histories));
}

#[test]
fn an_event_outside_the_catalog_is_not_written() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let histories = world::histories(1, 20, 9);
    let written = Prepared::write(&dir, &world::catalog(3), &histories, serde_json::Value::Null, false);
    assert!(matches!(written.unwrap_err(), Error::NoSuchItem { event: 3, item: 3, items: 3 }));
    assert!(!dir.exists());
}
