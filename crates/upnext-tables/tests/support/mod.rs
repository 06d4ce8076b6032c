//! Small logs of tests, and what they are read as.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use upnext_data::Histories;
use upnext_tables::{PrepareOptions, read};

/// Writes a file of a test.
pub(crate) fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Prepares these event files.
pub(crate) fn options(events: &[&PathBuf]) -> PrepareOptions {
    PrepareOptions {
        events: events.iter().map(|path| path.to_path_buf()).collect(),
        ..PrepareOptions::default()
    }
}

/// What a preparation makes of them.
pub(crate) fn histories(options: &PrepareOptions) -> Histories {
    read(options, &mut |_| ControlFlow::Continue(())).unwrap().1
}
