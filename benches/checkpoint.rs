//! How much memory does saving a checkpoint add?
//!
//! A run over 100,000 to 10,000,000 items (r = 64, all moments of a step's rows touched) is trained for some steps and
//! saved; the peak of its process before and after is printed, and how long the checkpoint took. It needs 8 GB of disk
//! where temporary files go.
//!
//!     cargo bench --bench checkpoint

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use upnext_data::chance::{self, Key, Purpose};
use upnext_data::{Catalog, Histories, ItemId, Prepared, Strings};
use upnext_kernels::allocator::keep_pages;
use upnext_train::memory::peak_rss_bytes;
use upnext_train::{Event, Every, RunConfig, TrainOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [usize; 3] = [100_000, 1_000_000, 10_000_000];
const USERS: usize = 1_024;
const EVENTS: usize = 203;
/// Steps before the checkpoint.
const STEPS: u64 = 12;
const CONFIG: &str = "
[model]
layers = 2
width = 64
heads = 2
hidden = 172
rank = 64
project = false
window = 200
[loss]
kind = \"sampled-softmax\"
count = 512
[train]
protocol = \"loo\"
users = 128
eval_every = 1000
";

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(items) = std::env::args().skip_while(|argument| argument != "--worker").nth(1) {
        return work(items.parse()?);
    }
    println!("| items | peak before, MiB | peak after, MiB | added, MiB | seconds |");
    println!("|---|---|---|---|---|");
    for items in SIZES {
        let own = Command::new(std::env::current_exe()?).args(["--worker", &items.to_string()]).output()?;
        print!("{}{}", String::from_utf8_lossy(&own.stdout), String::from_utf8_lossy(&own.stderr));
    }
    Ok(())
}

/// One run, one row of the table.
fn work(items: usize) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let data = data(items, &dir.path().join("data"))?;
    let config = RunConfig::from_toml(CONFIG, Path::new("benches/checkpoint.rs"))?;
    keep_pages();
    let options = TrainOptions { checkpoint_every: Every::Steps(STEPS), ..TrainOptions::default() };
    let (mut before, mut since) = (0, Instant::now());
    let mut see = |event: &Event| match event {
        Event::Step { step, .. } if *step == STEPS => {
            (before, since) = (peak_rss_bytes().unwrap_or(0), Instant::now());
        }
        Event::Checkpointed { step, .. } if *step == STEPS => {
            let (after, seconds) = (peak_rss_bytes().unwrap_or(0), since.elapsed().as_secs_f64());
            let [before, after] = [before >> 20, after >> 20];
            println!("| {items} | {before} | {after} | {} | {seconds:.1} |", after - before);
            // What follows, a validation over all items, is not the question.
            drop(std::fs::remove_dir_all(dir.path()));
            std::process::exit(0);
        }
        _ => {}
    };
    upnext_train::train(&config, &data, &dir.path().join("run"), &options, &mut see)?;
    Err("the run ended before its checkpoint".into())
}

/// Histories of uniform items.
fn data(items: usize, folder: &Path) -> Result<Prepared, Box<dyn Error>> {
    let mut rng = Key { seed: 1, purpose: Purpose::World, step: 0, part: 0 }.rng();
    let events = USERS * EVENTS;
    let drawn = (0..events).map(|_| ItemId(chance::below(&mut rng, items as u64) as u32)).collect();
    let users: Strings = (0..USERS).map(|user| format!("u{user:06}")).collect();
    let offsets = (0..=USERS as u64).map(|user| user * EVENTS as u64).collect();
    let histories = Histories::new(users, offsets, drawn, (0..events as i64).collect())?;
    let catalog = Catalog::new((0..items).map(|item| format!("i{item:08}")).collect(), vec![])?;
    Prepared::write(folder, &catalog, &histories, serde_json::Value::Null, false)?;
    Ok(Prepared::open(folder)?)
}
