//! Files with random damage, of every format: an error or histories, never a panic, and never more than a moment.
//!
//! Each test runs for two seconds, or for as many as `UPNEXT_FUZZ_SECONDS` says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use upnext_data::chance::{self, Key, Purpose};
use upnext_tables::{Format, PrepareOptions, read};

/// Forty events of seven users in one format.
fn text(header: &str, row: impl Fn(u32, u32, u32) -> String) -> Vec<u8> {
    let mut text = header.to_owned();
    for n in 0..40 {
        let _ = writeln!(text, "{}", row(n % 7, n % 11, 1_000_000 + n));
    }
    text.into_bytes()
}

/// Mutates `good` until the time is over, and reads each mutant as an event file and as an item file.
fn attack(name: &str, good: &[u8], told: Option<Format>, part: u64) {
    let seconds = std::env::var("UPNEXT_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let (start, length) = (Instant::now(), Duration::from_secs(seconds));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let mut rng = Key { seed: 1, purpose: Purpose::Sampling, step: 0, part }.rng();
    let mut draw = move |bound: usize| chance::below(&mut rng, bound.max(1) as u64) as usize;
    let (mut fine, mut refused) = (0_u64, 0_u64);
    while start.elapsed() < length {
        let mut bytes = good.to_vec();
        for _ in 0..draw(5) {
            let (at, len) = (draw(bytes.len()), bytes.len());
            if len == 0 {
                break;
            }
            match draw(8) {
                0 => bytes[at] = draw(256) as u8,
                1 => bytes[at] = b"\",\n\r\t\0 :{}[]\\"[draw(13)],
                2 => bytes.truncate(at.max(1)),
                3 => drop(bytes.drain(at..(at + draw(60)).min(len))),
                4 => bytes[at] ^= 1 << draw(8),
                5 => bytes[at..(at + draw(8)).min(len)].fill(0),
                6 => {
                    let copied = bytes[at..(at + draw(40)).min(len)].to_vec();
                    let to = draw(len);
                    bytes.splice(to..to, copied);
                }
                _ => bytes.insert(at, draw(256) as u8),
            }
        }
        std::fs::File::create(&path).unwrap().write_all(&bytes).unwrap();
        let items = (draw(2) == 0).then(|| path.clone());
        let format = told.filter(|_| draw(2) == 0);
        let max_bad_rows = draw(3) as u64 * 20;
        let events = vec![path.clone()];
        let options = PrepareOptions { events, items, format, max_bad_rows, ..PrepareOptions::default() };
        match read(&options, &mut |_| ControlFlow::Continue(())) {
            Ok(_) => fine += 1,
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(name) || text.contains("bad rows"), "{text}");
                refused += 1;
            }
        }
    }
    assert!(fine > 0 && refused > 20, "{fine} were read and {refused} refused");
}

fn csv() -> Vec<u8> {
    text("user_id,item_id,timestamp\n", |user, item, time| format!("user {user},\"item, {item}\",{time}"))
}

#[test]
fn csv_mutants() {
    attack("mutant.csv", &csv(), Some(Format::Csv), 0);
}

#[test]
fn tsv_mutants() {
    let good = text("user_id\titem_id\ttimestamp\n", |user, item, time| format!("{user}\t{item}\t{time}"));
    attack("mutant.tsv", &good, Some(Format::Tsv), 1);
}

#[test]
fn json_lines_mutants() {
    let good = text("", |user, item, time| {
        format!("{{\"user_id\":{user},\"item_id\":\"é{item}\",\"timestamp\":{time}.0,\"tags\":[\"a\"]}}")
    });
    attack("mutant.jsonl", &good, Some(Format::JsonLines), 2);
}

#[test]
fn movielens_mutants() {
    let good = text("", |user, item, time| format!("{user}::{item}::5::{time}"));
    attack("mutant.dat", &good, Some(Format::MovieLens), 3);
}

#[test]
fn recbole_mutants() {
    let header = "user_id:token\titem_id:token\ttimestamp:float\n";
    let good = text(header, |user, item, time| format!("{user}\t{item}\t{time}.0"));
    attack("mutant.inter", &good, Some(Format::RecBole), 4);
}

#[test]
fn sasrec_mutants() {
    let good = text("", |user, item, _| format!("{user} {item}"));
    attack("mutant.txt", &good, Some(Format::SasRec), 5);
}

#[test]
fn compressed_mutants() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&csv()).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&csv()).unwrap();
    let packed =
        [gzip.finish().unwrap(), xz.finish().unwrap(), zstd::encode_all(csv().as_slice(), 1).unwrap()];
    std::thread::scope(|scope| {
        for (part, good) in packed.iter().enumerate() {
            scope.spawn(move || attack("mutant", good, Some(Format::Csv), 6 + part as u64));
        }
    });
}
