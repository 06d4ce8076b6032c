//! A damaged folder is refused at once, by an error that names the file, and never by a panic.

use std::fs;

use serde_json::{Value, json};
use upnext_model::folder::{describe, open, open_model};

use super::damage::{
    CARD, CATALOG, MODEL, VECTORS, check, check_sealed, edit_json, files, intact, reseal, seal,
};

#[test]
fn an_intact_folder_opens() {
    let (_root, dir) = intact();
    reseal(&dir);
    open(&dir).unwrap();
    open_model(&dir).unwrap();
}

/// All files but the card, which people may edit.
fn checked() -> impl Iterator<Item = &'static (&'static str, Vec<u8>)> {
    files().iter().filter(|(name, _)| *name != CARD)
}

#[test]
fn the_card_is_the_users_to_edit() {
    let (_root, dir) = intact();
    fs::write(dir.join(CARD), "# Our shop's model\n").unwrap();
    open(&dir).unwrap();
    describe(&dir).unwrap();
    fs::remove_file(dir.join(CARD)).unwrap();
    open_model(&dir).unwrap();
    describe(&dir).unwrap();
}

#[test]
fn every_file_is_missed() {
    for (name, _) in checked() {
        check("missing", &[name, "missing"], |dir| fs::remove_file(dir.join(name)).unwrap());
    }
    check("no folder", &["manifest.json", "missing"], |dir| fs::remove_dir_all(dir).unwrap());
}

#[test]
fn every_file_is_noticed_when_cut_short() {
    for (name, bytes) in checked() {
        // Without its last byte, the end of a line, a manifest still says all it has to say.
        for keep in [0, 1, 7, 8, bytes.len() / 2, bytes.len() - 2] {
            check("cut short", &[name], |dir| fs::write(dir.join(name), &bytes[..keep]).unwrap());
        }
    }
}

#[test]
fn every_flipped_byte_is_noticed() {
    for (name, bytes) in checked() {
        for place in (0..bytes.len() - 1).step_by(bytes.len() / 40 + 1) {
            check("a flipped byte", &[name], |dir| {
                let mut bytes = bytes.clone();
                bytes[place] ^= 0x11;
                fs::write(dir.join(name), bytes).unwrap();
            });
        }
    }
}

#[test]
fn a_folder_in_place_of_a_file_is_named() {
    for (name, _) in checked() {
        check("a folder", &[name, "no plain file"], |dir| {
            fs::remove_file(dir.join(name)).unwrap();
            fs::create_dir(dir.join(name)).unwrap();
        });
    }
}

#[cfg(unix)]
#[test]
fn a_link_in_place_of_a_file_is_refused() {
    for (name, _) in checked() {
        check("a link", &[name, "no plain file"], |dir| {
            let outside = dir.with_file_name("outside");
            fs::rename(dir.join(name), &outside).unwrap();
            std::os::unix::fs::symlink(&outside, dir.join(name)).unwrap();
        });
    }
}

#[test]
fn another_version_is_called_another_version() {
    for (name, key) in
        [("config.json", "format"), ("generation.json", "format"), ("manifest.json", "version")]
    {
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
    edit("another length", &[VECTORS, "damaged"], &|manifest| {
        manifest["files"][VECTORS]["bytes"] = json!(1_u64 << 40);
    });
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
    for name in ["manifest.json", "config.json", "generation.json"] {
        check("a huge text", &[name, "2097152"], |dir| {
            fs::write(dir.join(name), vec![b' '; 2 << 20]).unwrap();
        });
    }
}
