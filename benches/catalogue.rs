//! Does a training step cost the same whatever the size of the catalogue?
//!
//! Steps of 128 histories of 200 events over 10,000 to 10,000,000 items, r = 64, uniform ids and ids by Zipf's law, all
//! moments touched first, each size in a process of its own, interleaved. Prints the medians, the ratio of the slowest
//! to the fastest, and what peak memory is left beyond the table, its two moments and 32 bytes an item.
//!
//!     cargo bench --bench catalogue

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod interleave;

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use upnext_data::chance::{self, Key, Purpose};
use upnext_data::{Batches, Histories, ItemId, Strings};
use upnext_kernels::allocator::keep_pages;
use upnext_model::Model;
use upnext_train::RunConfig;
use upnext_train::adam::Adam;
use upnext_train::plan::Planner;
use upnext_train::step::Learner;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [usize; 4] = [10_000, 100_000, 1_000_000, 10_000_000];
const TURNS: usize = 15;
const USERS: usize = 1_024;
const EVENTS: usize = 201;
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
";

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(arguments) = interleave::worker() {
        return work(arguments[0].parse()?, arguments[1] == "zipf");
    }
    for law in ["uniform", "zipf"] {
        let workers = SIZES.map(|items| {
            let own = interleave::ourselves(&[&items.to_string(), law])?;
            Ok::<_, Box<dyn Error>>((format!("{items} items"), own))
        });
        let measured = interleave::interleave(workers.into_iter().collect::<Result<Vec<_>, _>>()?, TURNS)?;
        interleave::print(&format!("{law} ids"), "tokens", &measured);
        let seconds = || measured.iter().map(|one| one.seconds);
        let (least, most) = (seconds().fold(f64::MAX, f64::min), seconds().fold(0.0, f64::max));
        println!("\nslowest over fastest: {:.2}", most / least);
        for (items, one) in SIZES.into_iter().zip(&measured) {
            let budget = items * (3 * 64 * 4 + 32);
            let left = (one.peak as i64 - budget as i64) >> 20;
            println!("{items:>10} items: {left} MiB beyond table, moments and 32 bytes an item");
        }
    }
    Ok(())
}

/// Steps over one size of catalogue.
fn work(items: usize, zipf: bool) -> Result<(), Box<dyn Error>> {
    let config = RunConfig::from_toml(CONFIG, Path::new("benches/catalogue.rs"))?;
    let histories = histories(items, zipf)?;
    let train = vec![EVENTS; USERS];
    let batches = Batches::new(&histories, &train, config.model.window, config.train.batch, 1)?;
    let model = Model::new(config.model.clone(), items, 1)?;
    let mut adam = Adam::new(&model);
    // Memory that was never written is not there yet; a long training has written all of it.
    adam.input.first.fill(f32::MIN_POSITIVE);
    adam.input.second.fill(f32::MIN_POSITIVE);
    let mut planner = Planner::new(&config.loss, true, &vec![1; items], 1);
    let mut learner = Learner::new(model, adam, &config)?;
    let (epoch, mut step) = (batches.epoch(0), 0);
    keep_pages();
    interleave::serve(|| {
        let batch = epoch.batch(step % epoch.len());
        let started = Instant::now();
        let plan = planner.plan(step as u64, batch)?;
        let outcome = learner.step(&plan, 1e-3)?;
        step += 1;
        Ok((started.elapsed().as_secs_f64(), plan.token_rows.len(), outcome.loss))
    })
}

/// Histories over a whole catalogue: every item as likely as any other, which gives a step the most distinct rows it
/// can have, or the item of rank j with a weight of 1/j, scattered over the table.
fn histories(items: usize, zipf: bool) -> Result<Histories, Box<dyn Error>> {
    let mut rng = Key { seed: 1, purpose: Purpose::World, step: 0, part: 0 }.rng();
    let mut draw = || {
        let uniform = chance::below(&mut rng, if zipf { 1 << 40 } else { items as u64 });
        if !zipf {
            return ItemId(uniform as u32);
        }
        let rank = (items as f64).powf(uniform as f64 / (1u64 << 40) as f64) as u64 - 1;
        ItemId((rank * 7_919 % items as u64) as u32)
    };
    let events = USERS * EVENTS;
    let drawn = (0..events).map(|_| draw()).collect();
    let users: Strings = (0..USERS).map(|user| format!("u{user:06}")).collect();
    let offsets = (0..=USERS as u64).map(|user| user * EVENTS as u64).collect();
    Ok(Histories::new(users, offsets, drawn, (0..events as i64).collect())?)
}
