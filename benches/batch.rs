//! How long does a nightly job take, and does its memory grow with its users?
//!
//! Lists of 10 by one pass to Parquet parts, `upnext generate` as a process of its own, for 100,000 and 1,000,000
//! generated users with 10 to 69 events each over 3,416 items; d=64, l=2, window 50, random weights, all threads. Then the
//! next job, after a night without an event (`--only-changed-since`): what it takes to see that nobody has news.
//!
//!     cargo bench --bench batch [-- USERS…]

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod models;

use std::error::Error;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use upnext_data::chance::{self, Key, Purpose};
use upnext_data::{Catalog, ItemId, Prepared, Strings};
use upnext_model::Model;
use upnext_model::folder::{Card, save};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ITEMS: usize = 3_416;

fn main() -> Result<(), Box<dyn Error>> {
    let asked = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let mut users: Vec<usize> = asked.map(|users| users.parse()).collect::<Result<_, _>>()?;
    if users.is_empty() {
        users = vec![100_000, 1_000_000];
    }
    let place = tempfile::tempdir()?;
    let model = place.path().join("model");
    write_model(&model)?;
    println!(
        "\n| users | events | seconds | users a second | of a core | peak MiB | without news: seconds | peak MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for users in users {
        let (data, out) =
            (place.path().join(format!("data-{users}")), place.path().join(format!("lists-{users}")));
        let events = write_users(&data, users)?;
        let job = |out: &Path, more: &[&OsStr]| -> Result<Value, Box<dyn Error>> {
            let fixed = ["generate", "--json", "--model"].map(OsStr::new);
            let named = [model.as_os_str(), "--data".as_ref(), data.as_ref(), "--out".as_ref(), out.as_ref()];
            let mut job = Command::new(env!("CARGO_BIN_EXE_upnext"));
            let done = job.args(fixed).args(named).args(more).output()?;
            match done.status.success() {
                true => Ok(serde_json::from_slice(&done.stdout)?),
                false => Err(String::from_utf8_lossy(&done.stderr).into_owned().into()),
            }
        };
        let number = |summary: &Value, key: &str| {
            summary[key].as_f64().ok_or_else(|| format!("no {key} in {summary}"))
        };
        let summary = job(&out, &[])?;
        let (seconds, peak) = (number(&summary, "seconds")?, number(&summary, "peak_rss_bytes")?);
        assert_eq!(number(&summary, "rows")?, 10.0 * users as f64, "a list is short or missing");
        let next = place.path().join(format!("next-{users}"));
        let quiet = job(&next, &["--only-changed-since".as_ref(), out.as_ref()])?;
        assert_eq!(number(&quiet, "unchanged")?, users as f64, "somebody has news");
        let (quiet_seconds, quiet_peak) = (number(&quiet, "seconds")?, number(&quiet, "peak_rss_bytes")?);
        let (rate, cores) = (users as f64 / seconds, std::thread::available_parallelism()?.get() as f64);
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        let (per_core, peak, quiet_peak) = (rate / cores, mib(peak), mib(quiet_peak));
        println!(
            "| {users} | {events} | {seconds:.1} | {rate:.0} | {per_core:.0} | {peak:.0} | {quiet_seconds:.1} | {quiet_peak:.0} |"
        );
    }
    Ok(())
}

fn key(item: usize) -> String {
    format!("i{item:06}")
}

fn catalog() -> Result<Catalog, Box<dyn Error>> {
    let keys: Strings = (0..ITEMS).map(key).collect();
    Ok(Catalog::new(keys, Vec::new())?)
}

fn write_model(folder: &Path) -> Result<(), Box<dyn Error>> {
    let card = Card { protocol: "loo".into(), ..Card::default() };
    Ok(save(folder, &Model::new(models::small(50), ITEMS, 1)?, &catalog()?, &[1; ITEMS], None, &card, false)?)
}

/// A prepared folder of so many users; gives the number of their events.
fn write_users(folder: &Path, users: usize) -> Result<usize, Box<dyn Error>> {
    let mut rng = Key { seed: 1, purpose: Purpose::World, step: 0, part: 0 }.rng();
    let mut below = |bound: usize| chance::below(&mut rng, bound as u64) as usize;
    let manifest = Prepared::write_with(folder, false, |shards| {
        for user in 0..users {
            let items: Vec<ItemId> = (0..10 + below(60)).map(|_| ItemId(below(ITEMS) as u32)).collect();
            let times: Vec<i64> = (0..items.len() as i64).collect();
            shards.push(&format!("u{user:08}"), &items, &times, &[])?;
        }
        Ok::<_, Box<dyn Error>>((catalog()?, Value::Null))
    })?;
    Ok(manifest.events)
}
