//! Does a training step cost the same whatever the size of the catalogue?
//!
//! Steps over 10,000 and over 1,000,000 items in two processes of their own, interleaved, r = 64, with all moments
//! touched first. Prints the median of each, their ratio, and the peak memory beside its budget: the table, its two
//! moments, 32 bytes an item and a constant.
//!
//!     cargo bench --bench catalogue

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Instant;

use upnext_data::chance::{self, Key, Purpose};
use upnext_data::{Batches, Histories, ItemId, Strings};
use upnext_model::Model;
use upnext_train::adam::Adam;
use upnext_train::plan::Planner;
use upnext_train::step::Learner;
use upnext_train::{RunConfig, memory};

const SIZES: [usize; 2] = [10_000, 1_000_000];
const STEPS: usize = 21;
const USERS: usize = 512;
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
    let worker = std::env::args().skip_while(|argument| argument != "--items").nth(1);
    match worker {
        Some(items) => work(items.parse()?),
        None => compare(),
    }
}

/// Steps at one size: reads a line, takes a step, writes its seconds; at the end of input the peak memory.
fn work(items: usize) -> Result<(), Box<dyn Error>> {
    let config = RunConfig::from_toml(CONFIG, Path::new("benches/catalogue.rs"))?;
    let histories = histories(items)?;
    let train = vec![EVENTS; USERS];
    let batches = Batches::new(&histories, &train, config.model.window, config.train.batch, 1)?;
    let model = Model::new(config.model.clone(), items, 1)?;
    let mut adam = Adam::new(&model);
    // Memory that was never written is not there yet; a long training has written all of it.
    adam.input.first.fill(f32::MIN_POSITIVE);
    adam.input.second.fill(f32::MIN_POSITIVE);
    let mut planner = Planner::new(&config.loss, true, &vec![1; items], 1);
    let mut learner = Learner::new(model, adam, &config)?;
    let epoch = batches.epoch(0);
    println!("ready");
    for (step, line) in std::io::stdin().lines().enumerate() {
        line?;
        let batch = epoch.batch(step % epoch.len());
        let started = Instant::now();
        let plan = planner.plan(step as u64, batch);
        let outcome = learner.step(&plan, 1e-3)?;
        println!("{}", started.elapsed().as_secs_f64());
        assert!(outcome.finite, "the loss is not finite");
    }
    println!("{}", memory::peak_rss_bytes().unwrap_or(0));
    Ok(())
}

/// Histories over a whole catalogue, every item as likely as any other: the most distinct rows a step can have.
fn histories(items: usize) -> Result<Histories, Box<dyn Error>> {
    let mut rng = Key { seed: 1, purpose: Purpose::World, step: 0, part: 0 }.rng();
    let events = USERS * EVENTS;
    let drawn = (0..events).map(|_| ItemId(chance::below(&mut rng, items as u64) as u32)).collect();
    let users: Strings = (0..USERS).map(|user| format!("u{user:06}")).collect();
    let offsets = (0..=USERS as u64).map(|user| user * EVENTS as u64).collect();
    let times = (0..events as i64).collect();
    Ok(Histories::new(users, offsets, drawn, times)?)
}

/// A worker process and the two ends to talk to it.
struct Worker {
    child: Child,
    ask: Option<ChildStdin>,
    answers: std::io::Lines<BufReader<std::process::ChildStdout>>,
    seconds: Vec<f64>,
}

impl Worker {
    fn start(items: usize) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--items", &items.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let ask = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let mut worker = Self { child, ask, answers, seconds: Vec::new() };
        worker.answer()?;
        Ok(worker)
    }

    fn answer(&mut self) -> Result<String, Box<dyn Error>> {
        Ok(self.answers.next().ok_or("the worker ended early")??)
    }

    fn step(&mut self) -> Result<(), Box<dyn Error>> {
        writeln!(self.ask.as_mut().ok_or("the worker has ended")?)?;
        let seconds = self.answer()?.parse()?;
        self.seconds.push(seconds);
        Ok(())
    }

    /// Median seconds of a step, the first left out, and the peak memory in bytes.
    fn end(mut self) -> Result<(f64, u64), Box<dyn Error>> {
        self.ask = None;
        let peak = self.answer()?.parse()?;
        self.child.wait()?;
        self.seconds.remove(0);
        self.seconds.sort_by(f64::total_cmp);
        Ok((self.seconds[self.seconds.len() / 2], peak))
    }
}

fn compare() -> Result<(), Box<dyn Error>> {
    let mut workers = SIZES.map(Worker::start).into_iter().collect::<Result<Vec<_>, _>>()?;
    for _ in 0..STEPS {
        for worker in &mut workers {
            worker.step()?;
        }
    }
    let mut measured = Vec::new();
    for (items, worker) in SIZES.into_iter().zip(workers) {
        let (seconds, peak) = worker.end()?;
        let tables = items * 64 * 4 * 3;
        println!(
            "{items:>9} items: {:.1} ms a step, peak {} MiB; table and moments {} MiB, 32 bytes an item {} MiB",
            seconds * 1e3,
            peak >> 20,
            tables >> 20,
            (items * 32) >> 20
        );
        measured.push((seconds, peak as i64 - (tables + items * 32) as i64));
    }
    println!("ratio of the medians: {:.2}", measured[1].0 / measured[0].0);
    println!("left of the peak: {} MiB and {} MiB", measured[0].1 >> 20, measured[1].1 >> 20);
    Ok(())
}
