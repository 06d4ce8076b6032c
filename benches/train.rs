//! How fast is a training step beside PyTorch's, over rectangular batches of the same shape?
//!
//! Two sizes and two losses, each worker in a process of its own, interleaved: tokens a second, their ratio, and peak
//! memory. Both sides run in f32 and, where the CPU has tiles for it, in bf16. PyTorch runs with and without dropout on attention probabilities (which upnext always has): without it, it
//! can take its fused attention.
//!
//!     pip install -r benches/peers/requirements.txt
//!     cargo bench --bench train [-- small|medium|full]

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod interleave;
mod peers;

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use upnext_data::chance::{self, Key, Purpose};
use upnext_data::{Batches, Histories, ItemId, Strings};
use upnext_kernels::allocator::keep_pages;
use upnext_kernels::tiles::Tiles;
use upnext_model::Model;
use upnext_train::RunConfig;
use upnext_train::adam::Adam;
use upnext_train::plan::Planner;
use upnext_train::step::Learner;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ITEMS: usize = 3_416;
const WINDOW: usize = 200;
const TURNS: usize = 9;

/// Width, layers, heads, hidden width and users of a step.
type Shape = [usize; 5];
const SMALL: Shape = [64, 2, 2, 172, 128];
const MEDIUM: Shape = [256, 4, 4, 684, 32];

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(arguments) = interleave::worker() {
        let shape = if arguments[0] == "medium" { MEDIUM } else { SMALL };
        return work(shape, arguments[1] == "full", &arguments[2]);
    }
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    if wanted("small") {
        compare(
            "small: d=64, l=2, h=2, m=172, T=200, 128 users, 256 shared negatives",
            "small",
            SMALL,
            "sampled",
        )?;
    }
    if wanted("medium") {
        compare(
            "medium: d=256, l=4, h=4, m=684, T=200, 32 users, 256 shared negatives",
            "medium",
            MEDIUM,
            "sampled",
        )?;
    }
    if wanted("full") {
        compare("full softmax over 3,416 items, d=64", "small", SMALL, "full")?;
    }
    Ok(())
}

fn compare(title: &str, name: &str, shape: Shape, loss: &str) -> Result<(), Box<dyn Error>> {
    let [width, layers, heads, hidden, users] = shape;
    let sizes = format!(
        "train --width {width} --layers {layers} --heads {heads} --hidden {hidden} --users {users} --items {ITEMS} \
         --window {WINDOW} --loss {loss}"
    );
    let peer = |settings: &str| peers::python("sasrec.py", &format!("{sizes} {settings}"));
    let mut workers = vec![
        ("upnext f32".into(), interleave::ourselves(&[name, loss, "f32"])?),
        ("PyTorch f32".into(), peer("--attention-dropout 0.2")),
        ("PyTorch f32, fused attention (no dropout in it)".into(), peer("--attention-dropout 0")),
        ("PyTorch bf16, fused attention".into(), peer("--attention-dropout 0 --precision bf16")),
    ];
    if Tiles::here().is_some() {
        workers.insert(1, ("upnext bf16".into(), interleave::ourselves(&[name, loss, "bf16"])?));
    }
    interleave::print(title, "tokens", &interleave::interleave(workers, TURNS)?);
    Ok(())
}

/// Steps over rectangular batches of uniform items.
fn work(
    [width, layers, heads, hidden, users]: Shape,
    full: bool,
    precision: &str,
) -> Result<(), Box<dyn Error>> {
    let loss = if full { "kind = \"full-softmax\"" } else { "kind = \"sampled-softmax\"\ncount = 256" };
    let config = RunConfig::from_toml(
        &format!(
            "[model]\nlayers = {layers}\nwidth = {width}\nheads = {heads}\nhidden = {hidden}\nrank = {width}\n\
             project = false\nwindow = {WINDOW}\npositions = \"learned\"\ndropout = 0.2\ntied = true\n[loss]\n{loss}\n\
             [train]\nprotocol = \"loo\"\nusers = {users}\nprecision = \"{precision}\"\n"
        ),
        Path::new("benches/train.rs"),
    )?;
    let histories = histories(users)?;
    let batches = Batches::new(&histories, &vec![WINDOW + 1; users], WINDOW, config.train.batch, 1)?;
    let model = Model::new(config.model.clone(), ITEMS, 1)?;
    let mut planner = Planner::new(&config.loss, true, &[1; ITEMS], 1);
    let adam = Adam::new(&model);
    let mut learner = Learner::new(model, adam, &config)?;
    let mut step = 0;
    keep_pages();
    interleave::serve(|| {
        let plan = planner.plan(step, batches.epoch(step).batch(0))?;
        let started = Instant::now();
        let outcome = learner.step(&plan, 1e-3)?;
        step += 1;
        Ok((started.elapsed().as_secs_f64(), plan.token_rows.len(), outcome.loss))
    })
}

/// Histories of one window and its last target each, every item as likely as any other.
fn histories(users: usize) -> Result<Histories, Box<dyn Error>> {
    let mut rng = Key { seed: 1, purpose: Purpose::World, step: 0, part: 0 }.rng();
    let events = users * (WINDOW + 1);
    let items = (0..events).map(|_| ItemId(chance::below(&mut rng, ITEMS as u64) as u32)).collect();
    let names: Strings = (0..users).map(|user| format!("u{user:06}")).collect();
    let offsets = (0..=users as u64).map(|user| user * (WINDOW as u64 + 1)).collect();
    Ok(Histories::new(names, offsets, items, (0..events as i64).collect())?)
}
