//! The encoder against the reference library, against damage, and with its cache.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod damaged;
mod parity;
mod texts;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder beside the tests.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A copy that may be damaged.
fn copy(name: &str) -> TempDir {
    fn all(from: &Path, to: &Path) {
        for entry in std::fs::read_dir(from).unwrap() {
            let (path, to) = {
                let entry = entry.unwrap();
                (entry.path(), to.join(entry.file_name()))
            };
            if path.is_dir() {
                std::fs::create_dir(&to).unwrap();
                all(&path, &to);
            } else {
                std::fs::copy(&path, &to).unwrap();
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    all(&fixture(name), dir.path());
    dir
}
