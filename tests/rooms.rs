//! The walls of the house: which crate may import which, and where files and chance may be touched.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The line from left to right; a crate may use crates to its left only.
const LINE: [&str; 5] = ["upnext-data", "upnext-model", "upnext-generate", "upnext-eval", "upnext-train"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Workspace crates named in the `[dependencies]` section of a crate's manifest.
fn upnext_dependencies(name: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
    let section = manifest.split("[dependencies]").nth(1).unwrap();
    let section = section.split("\n[").next().unwrap();
    section
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|dependency| dependency.starts_with("upnext-"))
        .map(str::to_owned)
        .collect()
}

/// Every package that cargo would link into `package`.
fn linked_packages(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", package, "--edges", "normal", "--prefix", "none"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn data_flows_one_way_through_the_crates() {
    for (position, name) in LINE.iter().enumerate() {
        let mut allowed: BTreeSet<String> = LINE[..position].iter().map(|&left| left.to_owned()).collect();
        if *name != "upnext-data" {
            allowed.insert("upnext-kernels".to_owned());
        }
        let found = upnext_dependencies(name);
        assert!(found.is_subset(&allowed), "{name} imports {found:?}, allowed {allowed:?}");
    }
    assert!(upnext_dependencies("upnext-kernels").is_empty());
    let tables: BTreeSet<String> = ["upnext-data", "upnext-generate"].map(str::to_owned).into();
    assert!(upnext_dependencies("upnext-tables").is_subset(&tables));
    let encode: BTreeSet<String> = ["upnext-data", "upnext-kernels"].map(str::to_owned).into();
    assert_eq!(upnext_dependencies("upnext-encode"), encode);
}

#[test]
fn a_server_links_no_table_formats_no_argument_parser_and_no_runtime() {
    let linked = linked_packages("upnext-generate");
    assert!(linked.contains("upnext-model"), "cargo tree printed {linked:?}");
    for forbidden in ["arrow", "parquet", "csv", "clap", "tokio", "upnext-tables", "upnext-train"] {
        assert!(!linked.contains(forbidden), "upnext-generate links {forbidden}");
    }
}

#[test]
fn text_encoders_live_in_one_room() {
    for package in LINE.into_iter().chain(["upnext-kernels", "upnext-tables"]) {
        assert!(!linked_packages(package).contains("candle-transformers"), "{package} links text encoders");
    }
    assert!(linked_packages("upnext-encode").contains("candle-transformers"));
    for (name, text) in library_sources() {
        assert!(
            name.starts_with("upnext-encode") || !text.contains("tokenizers::"),
            "{name} cuts texts into tokens"
        );
    }
}

#[test]
fn kernels_and_data_know_no_tensors() {
    for package in ["upnext-kernels", "upnext-data"] {
        let linked = linked_packages(package);
        assert!(!linked.iter().any(|name| name.starts_with("candle")), "{package} links candle");
    }
}

/// Source files of one crate, with tests left out.
fn sources(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The part of a source file before its tests.
fn without_tests(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

fn library_sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let path = entry.unwrap().path().join("src");
        if path.is_dir() {
            sources(&path, &mut files);
        }
    }
    files.sort();
    let crates = root().join("crates");
    files
        .into_iter()
        .filter(|path| !path.file_stem().is_some_and(|stem| stem == "tests" || stem == "testing"))
        .filter(|path| !path.components().any(|part| part.as_os_str() == "tests"))
        .map(|path| {
            let name = path.strip_prefix(&crates).unwrap().to_string_lossy().replace('\\', "/");
            let text = without_tests(&path);
            (name, text)
        })
        .collect()
}

#[test]
fn only_the_kernels_and_their_launches_hold_unsafe_code() {
    for (name, text) in library_sources() {
        if name.ends_with("/src/lib.rs") && !name.starts_with("upnext-kernels") {
            let launches = name.starts_with("upnext-model");
            let forbids = "#![forbid(unsafe_code)]";
            let forbids_but_launches = "#![cfg_attr(not(feature = \"cuda\"), forbid(unsafe_code))]";
            let wanted = if launches { forbids_but_launches } else { forbids };
            assert!(text.contains(wanted), "{name} does not forbid unsafe code");
        }
        let island = name.starts_with("upnext-kernels") || name == "upnext-model/src/ops/rows/cuda.rs";
        assert!(island || !text.contains("unsafe {"), "{name} holds unsafe code");
    }
}

#[test]
fn chance_is_drawn_in_its_own_rooms_only() {
    let rooms = [
        "chance.rs",
        "batch.rs",
        "synthetic",
        "init.rs",
        "items.rs",
        "dropout.rs",
        "negatives.rs",
        "protocol.rs",
        "bootstrap.rs",
        "random.rs",
        "align.rs",
        "search/sample.rs",
        "explore.rs",
    ];
    for (name, text) in library_sources() {
        let allowed = rooms.iter().any(|room| name.contains(room));
        assert!(allowed || !text.contains(".rng()"), "{name} draws random numbers");
    }
}
