//! A tiny world on disk and the binary to run on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use upnext_data::synthetic::{World, WorldConfig};

/// The `upnext` command with some arguments.
pub(crate) fn upnext<I: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_upnext"));
    command.args(arguments);
    command
}

/// Runs to a successful end and gives standard output.
pub(crate) fn succeed<I: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = I>) -> String {
    let output = upnext(arguments).output().unwrap();
    assert!(output.status.success(), "exit {:?}: {}", output.status.code(), errors(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs to a failure with the exit code expected, and gives standard error.
pub(crate) fn fail<I: AsRef<std::ffi::OsStr>>(code: i32, arguments: impl IntoIterator<Item = I>) -> String {
    let output = upnext(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", errors(&output));
    errors(&output)
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder with a tiny world's files, removed when dropped.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    /// Event and item files, and the prepared folder `data`.
    pub(crate) fn prepared() -> Self {
        let place = Self { dir: TempDir::new().unwrap() };
        let world = World::new(WorldConfig::tiny(), 7).unwrap();
        let (events, items) = (place.path("events.csv"), place.path("items.csv"));
        upnext_tables::write_events(&events, &world.catalog().unwrap(), &world.histories().unwrap()).unwrap();
        upnext_tables::write_items(&items, &world.catalog().unwrap()).unwrap();
        let data = place.text("data");
        succeed(["prepare", &place.text("events.csv"), "--items", &place.text("items.csv"), "--out", &data]);
        place
    }

    /// As [`Place::prepared`], with a model trained for a moment in `run`.
    pub(crate) fn trained() -> Self {
        let place = Self::prepared();
        place.train("run", &["--set", "train.max_epochs=2"]);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Arguments of a training with the tiny config into the run folder `out`.
    pub(crate) fn train_arguments(&self, out: &str, more: &[&str]) -> Vec<String> {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/tiny.toml");
        let mut arguments: Vec<String> =
            vec!["train".into(), "--config".into(), config.to_str().unwrap().into()];
        arguments.extend(["--data".into(), self.text("data"), "--out".into(), self.text(out)]);
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        arguments
    }

    pub(crate) fn train(&self, out: &str, more: &[&str]) {
        succeed(self.train_arguments(out, more));
    }

    /// The bytes of the final weights: those of the newest checkpoint of a run.
    pub(crate) fn weights(&self, run: &str) -> Vec<u8> {
        let checkpoints = self.path(run).join("checkpoints");
        let mut folders: Vec<PathBuf> =
            fs::read_dir(&checkpoints).unwrap().map(|entry| entry.unwrap().path()).collect();
        folders.sort();
        let newest = folders.last().unwrap();
        let mut files: Vec<PathBuf> =
            fs::read_dir(newest).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
        files.sort();
        assert!(!files.is_empty(), "{} holds no tensors", newest.display());
        files.iter().flat_map(|path| fs::read(path).unwrap()).collect()
    }
}

/// One row of a lists or predictions file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) user: String,
    pub(crate) rank: usize,
    pub(crate) item: String,
    pub(crate) score: f64,
}

/// The rows of a CSV file without quoted fields.
pub(crate) fn rows(path: &Path) -> Vec<Row> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("user_id,rank,item_id,score"));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let [user, rank, item, score] = fields[..] else { panic!("{line}") };
            let (rank, score) = (rank.parse().unwrap(), score.parse().unwrap());
            Row { user: user.to_owned(), rank, item: item.to_owned(), score }
        })
        .collect()
}
