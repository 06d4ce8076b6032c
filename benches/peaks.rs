//! How close do a training step and a request come to what the machine can do?
//!
//! The machine's peaks are measured: products of 2048 by 2048 matrices (candle's, by the gemm crate, and our own, also of bf16
//! operands where the CPU has tiles for them), and reading a gigabyte. Beside them, in turns: a training step of both sizes of `train`, counted in the arithmetic that
//! it asks for (three times the forward pass; what is computed again in the backward pass is not counted), and ranking
//! 1,000,000 items of rank 64 for 1 and 32 states.
//!
//!     cargo bench --bench peaks

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod interleave;

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use upnext_data::chance::{self, Key, Purpose};
use upnext_data::{Batches, Histories, ItemId, Strings};
use upnext_kernels::allocator::keep_pages;
use upnext_kernels::product::{Packed, Write, multiply};
use upnext_kernels::score::{Eligible, Query, Table, rank};
use upnext_kernels::tiles::Tiles;
use upnext_kernels::{Rows, RowsMut, bf16};
use upnext_model::Model;
use upnext_train::RunConfig;
use upnext_train::adam::Adam;
use upnext_train::plan::Planner;
use upnext_train::step::Learner;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TURNS: usize = 9;
/// Rows and columns of the products.
const SIDE: usize = 2_048;
/// Floats that are read.
const FLOATS: usize = 1 << 28;
const ITEMS: usize = 1_000_000;
const RANK: usize = 64;
const WINDOW: usize = 200;
const NEGATIVES: usize = 256;
/// Items of the training steps.
const SHORT: usize = 3_416;

type Answer = Result<(f64, usize, f64), Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(arguments) = interleave::worker() {
        keep_pages();
        return match &*arguments[0] {
            "gemm" => gemm(),
            "own" => own(),
            "tiles" => tiles(),
            "read" => read(),
            "small" => step([64, 2, 2, 172, 128], "f32"),
            "medium" => step([256, 4, 4, 684, 32], "f32"),
            "medium-bf16" => step([256, 4, 4, 684, 32], "bf16"),
            "one" => ranking(1),
            _ => ranking(32),
        };
    }
    let compare = |title: &str, unit: &str, names: &[(&str, &str)]| {
        let workers =
            names.iter().map(|(name, what)| Ok(((*what).to_owned(), interleave::ourselves(&[name])?)));
        let workers = workers.collect::<Result<Vec<_>, Box<dyn Error>>>()?;
        interleave::print(title, unit, &interleave::interleave(workers, TURNS)?);
        Ok::<_, Box<dyn Error>>(())
    };
    let mut arithmetic = vec![
        ("gemm", "gemm crate, 2048 cubed"),
        ("own", "our product, 2048 cubed"),
        ("small", "training step, d=64"),
        ("medium", "training step, d=256"),
        ("many", "32 states, 1,000,000 items"),
    ];
    if Tiles::here().is_some() {
        arithmetic.extend([
            ("tiles", "our product of bf16 operands on tiles, 2048 cubed"),
            ("medium-bf16", "training step with such products, d=256"),
        ]);
    }
    compare("arithmetic, in floating-point operations", "FLOP", &arithmetic)?;
    compare("memory, in bytes read", "B", &[("read", "reading 1 GiB"), ("one", "one state, 1,000,000 items")])
}

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7_919) % 1_009) as f32 / 1_009.0 - 0.5).collect()
}

fn gemm() -> Result<(), Box<dyn Error>> {
    let matrix = Tensor::from_vec(values(SIDE * SIDE), (SIDE, SIDE), &Device::Cpu)?;
    interleave::serve(|| {
        let started = Instant::now();
        std::hint::black_box(matrix.matmul(&matrix)?);
        Ok((started.elapsed().as_secs_f64(), 2 * SIDE.pow(3), f64::NAN))
    })
}

fn own() -> Result<(), Box<dyn Error>> {
    let (matrix, mut out) = (values(SIDE * SIDE), vec![0.0; SIDE * SIDE]);
    let (packed, block) = (Packed::transposed(&matrix, SIDE, SIDE), 128 * SIDE);
    interleave::serve(|| {
        let started = Instant::now();
        out.par_chunks_mut(block).zip(matrix.par_chunks(block)).for_each(|(out, x)| {
            let rows = x.len() / SIDE;
            multiply(Rows::new(x, rows, SIDE), &packed, RowsMut::new(out, rows, SIDE), Write::Set);
        });
        Ok((started.elapsed().as_secs_f64(), 2 * SIDE.pow(3), f64::NAN))
    })
}

fn tiles() -> Result<(), Box<dyn Error>> {
    let tiles = Tiles::here().ok_or("no bf16 tiles here")?;
    let (matrix, mut out) = (values(SIDE * SIDE), vec![0.0; SIDE * SIDE]);
    let (packed, block) = (bf16::Packed::transposed(tiles, Rows::new(&matrix, SIDE, SIDE)), 128 * SIDE);
    interleave::serve(|| {
        let started = Instant::now();
        let blocks = out.par_chunks_mut(block).zip(matrix.par_chunks(block));
        blocks.for_each_init(bf16::Scratch::default, |scratch, (out, x)| {
            let rows = x.len() / SIDE;
            let (x, out) = (Rows::new(x, rows, SIDE), RowsMut::new(out, rows, SIDE));
            bf16::multiply(x, &packed, 0..SIDE, out, Write::Set, scratch);
        });
        Ok((started.elapsed().as_secs_f64(), 2 * SIDE.pow(3), f64::NAN))
    })
}

fn read() -> Result<(), Box<dyn Error>> {
    let values = values(FLOATS);
    interleave::serve(|| {
        let started = Instant::now();
        let sum: f32 = values
            .par_chunks(1 << 20)
            .map(|values| {
                let mut sums = [0.0_f32; 64];
                for values in values.chunks_exact(64) {
                    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
                }
                sums.iter().sum::<f32>()
            })
            .sum();
        std::hint::black_box(sum);
        Ok((started.elapsed().as_secs_f64(), 4 * FLOATS, f64::NAN))
    })
}

/// Floating-point operations of a step over `n` tokens in full windows.
fn arithmetic([d, layers, _, hidden, _]: [usize; 5], n: usize) -> usize {
    let products = 8 * d * d + 6 * hidden * d;
    let attention = 2 * d * (WINDOW + 1);
    let loss = 2 * d * (NEGATIVES + 1);
    3 * n * (layers * (products + attention) + loss)
}

fn step(shape: [usize; 5], precision: &str) -> Result<(), Box<dyn Error>> {
    let [width, layers, heads, hidden, users] = shape;
    let config = RunConfig::from_toml(
        &format!(
            "[model]\nlayers = {layers}\nwidth = {width}\nheads = {heads}\nhidden = {hidden}\nrank = {width}\n\
             project = false\nwindow = {WINDOW}\n[loss]\ncount = {NEGATIVES}\n[train]\nusers = {users}\nprecision = \"{precision}\"\n"
        ),
        Path::new("benches/peaks.rs"),
    )?;
    let mut rng = Key { seed: 1, purpose: Purpose::World, step: 0, part: 0 }.rng();
    let events = users * (WINDOW + 1);
    let items = (0..events).map(|_| ItemId(chance::below(&mut rng, SHORT as u64) as u32)).collect();
    let names: Strings = (0..users).map(|user| format!("u{user:06}")).collect();
    let offsets = (0..=users as u64).map(|user| user * (WINDOW as u64 + 1)).collect();
    let histories = Histories::new(names, offsets, items, (0..events as i64).collect())?;
    let batches = Batches::new(&histories, &vec![WINDOW + 1; users], WINDOW, config.train.batch, 1)?;
    let model = Model::new(config.model.clone(), SHORT, 1)?;
    let mut planner = Planner::new(&config.loss, true, &[1; SHORT], 1);
    let adam = Adam::new(&model);
    let mut learner = Learner::new(model, adam, &config)?;
    let mut at = 0;
    interleave::serve(|| -> Answer {
        let plan = planner.plan(at, batches.epoch(at).batch(0))?;
        let started = Instant::now();
        let outcome = learner.step(&plan, 1e-3)?;
        at += 1;
        Ok((started.elapsed().as_secs_f64(), arithmetic(shape, plan.token_rows.len()), outcome.loss))
    })
}

/// One state is counted in bytes of the table, several in operations.
fn ranking(states: usize) -> Result<(), Box<dyn Error>> {
    let (table, queries) = (values(ITEMS * RANK), values(states * RANK));
    let table = Packed::transposed(&table, ITEMS, RANK);
    let query = |vector| Query { vector, offsets: &[], eligible: Eligible::AllBut(&[]), k: 10 };
    let queries: Vec<Query<'_>> = queries.chunks(RANK).map(query).collect();
    interleave::serve(|| {
        let started = Instant::now();
        std::hint::black_box(rank(&queries, &Table::Packed(&table), true));
        let work = if states == 1 { 4 * ITEMS * RANK } else { 2 * states * ITEMS * RANK };
        Ok((started.elapsed().as_secs_f64(), work, f64::NAN))
    })
}
