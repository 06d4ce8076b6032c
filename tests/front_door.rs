//! Preparing under duress: little memory, kills, interrupts, a full disk. Nothing half done stays, a rerun succeeds.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{Place, succeed, upnext};

/// Enough that the smallest memory limit does not hold it: 57 MB of records.
const EVENTS: u64 = 3_000_000;

struct Log {
    dir: TempDir,
}

impl Log {
    fn written() -> Self {
        let dir = TempDir::new().unwrap();
        let mut text = String::from("user_id,item_id,timestamp\n");
        for n in 0..EVENTS {
            let hash = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
            let _ = writeln!(
                text,
                "{},{},{}",
                hash % 40_009,
                hash % 3001 * (hash % 7),
                1_600_000_000 + hash % 9973
            );
        }
        fs::write(dir.path().join("events.csv"), text).unwrap();
        Self { dir }
    }

    fn text(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn arguments(&self, out: &str, more: &[&str]) -> Vec<String> {
        let mut arguments =
            vec!["prepare".to_owned(), self.text("events.csv"), "--out".into(), self.text(out)];
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        arguments
    }

    /// What lies beside the log, hidden files and all.
    fn beside(&self) -> Vec<String> {
        let names = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| name != "events.csv");
        names.sort();
        names
    }
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

const LITTLE: [&str; 2] = ["--memory-limit", "128MiB"];

#[test]
fn a_memory_limit_changes_no_byte() {
    let log = Log::written();
    let limited = succeed(log.arguments("little", &[&LITTLE[..], &["--json", "--threads", "1"]].concat()));
    let spilled =
        serde_json::from_str::<serde_json::Value>(&limited).unwrap()["spilled_bytes"].as_u64().unwrap();
    assert!(spilled > 10_000_000, "{spilled}");
    succeed(log.arguments("much", &["--memory-limit", "64GiB"]));
    assert!(files(&log.dir.path().join("little")) == files(&log.dir.path().join("much")));
    assert_eq!(log.beside(), ["little", "much"]);
}

#[test]
fn a_killed_preparation_leaves_nothing_under_its_name_and_can_be_repeated() {
    let log = Log::written();
    let start = Instant::now();
    succeed(log.arguments("whole", &LITTLE));
    let whole = start.elapsed();
    for part in [10, 45, 70, 95] {
        let mut child = upnext(log.arguments("data", &LITTLE)).stderr(Stdio::null()).spawn().unwrap();
        sleep(whole * part / 100);
        let _ = child.kill();
        child.wait().unwrap();
        // A kill that comes too late finds the whole folder.
        if log.dir.path().join("data").exists() {
            assert!(files(&log.dir.path().join("data")) == files(&log.dir.path().join("whole")));
            fs::remove_dir_all(log.dir.path().join("data")).unwrap();
        }
    }
    succeed(log.arguments("data", &LITTLE));
    assert!(files(&log.dir.path().join("data")) == files(&log.dir.path().join("whole")));
    assert_eq!(log.beside(), ["data", "whole"], "what the kills left is gone");
}

#[test]
#[cfg(unix)]
fn an_interrupted_preparation_leaves_nothing_at_all() {
    let log = Log::written();
    let child = upnext(log.arguments("data", &LITTLE)).stderr(Stdio::piped()).spawn().unwrap();
    sleep(Duration::from_millis(100));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("interrupted; nothing was written"), "{error}");
    assert!(log.beside().is_empty(), "{:?}", log.beside());
}

#[test]
#[cfg(unix)]
fn a_full_disk_is_a_clear_error_and_leaves_nothing() {
    let log = Log::written();
    // No file may grow beyond 64 blocks of 512 or 1,024 bytes: the system answers as on a full disk.
    for (limit, told) in [(&LITTLE[..], "--spill"), (&["--memory-limit", "64GiB"][..], "writing")] {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_upnext")]);
        let output = shell.args(log.arguments("data", limit)).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("File too large") && error.contains(told), "{error}");
        assert!(log.beside().is_empty(), "{:?}", log.beside());
    }
    succeed(log.arguments("data", &[]));
}

#[test]
fn from_movielens_files_to_printed_lists_with_the_commands_of_the_readme() {
    let place = Place::prepared();
    // The tiny world as MovieLens would publish it, its movies in Latin-1.
    let rewrite = |from: &str, row: &dyn Fn(&[&str]) -> String| -> Vec<u8> {
        let text = fs::read_to_string(place.path(from)).unwrap();
        let rows: String =
            text.lines().skip(1).map(|line| row(&line.split(',').collect::<Vec<_>>())).collect();
        rows.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
    };
    let ratings = rewrite("events.csv", &|row| format!("{}::{}::4::{}\n", row[0], row[1], row[2]));
    let movies = rewrite("items.csv", &|row| format!("{}::Amélie {}::Drama|{}\n", row[0], row[0], row[0]));
    fs::write(place.path("ratings.dat"), ratings).unwrap();
    fs::write(place.path("movies.dat"), movies).unwrap();
    let [ratings, movies, data] = ["ratings.dat", "movies.dat", "again"].map(|name| place.text(name));
    let shown = succeed(["inspect", &ratings]);
    assert!(shown.contains("movielens") && shown.contains(&format!("upnext prepare {ratings}")), "{shown}");
    succeed(["prepare", &ratings, "--items", &movies, "--out", &data, "--event-column", "rating"]);
    assert!(succeed(["inspect", &data]).contains("rating (numbers)"));
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/tiny.toml");
    let run = place.text("run");
    let config = config.to_str().unwrap();
    succeed(["train", "--config", config, "--data", &data, "--out", &run, "--set", "train.max_epochs=1"]);
    let model = place.text("run/model");
    assert!(succeed(["evaluate", "--model", &model, "--data", &data]).contains("windowed"));
    let lists = place.text("lists.csv");
    let shown = succeed([
        "generate", "--model", &model, "--data", &data, "--method", "beam", "--out", &lists, "--show", "3",
    ]);
    assert_eq!(shown.matches("\nuser ").count(), 3, "{shown}");
    assert!(shown.contains("Amélie"), "{shown}");
}
