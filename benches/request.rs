//! How fast is a request beside PyTorch's and ONNX Runtime's?
//!
//! One history of 200 events to its top 10 of 3,416 items, 64 at once, one decode step on a filled cache, and the
//! scoring of 1,000,000 items alone; each worker in a process of its own, interleaved, on two threads.
//!
//!     pip install -r benches/peers/requirements.txt
//!     cargo bench --bench request [-- one|batch|decode|score]

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod interleave;
mod models;
mod peers;

use std::error::Error;
use std::process::Command;
use std::time::Instant;

use upnext_data::chance::{self, Key, Purpose};
use upnext_data::{Catalog, ItemId, Strings};
use upnext_generate::{Generator, Method, Options, Request, Threads};
use upnext_kernels::product::Packed;
use upnext_kernels::score::{Eligible, Query, Table, rank};
use upnext_model::folder::Card;
use upnext_model::{Cache, Model, Served};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ITEMS: usize = 3_416;
const MANY_ITEMS: usize = 1_000_000;
const WINDOW: usize = 200;
const RANK: usize = 64;
const LENGTH: usize = 10;
const TURNS: usize = 9;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(arguments) = interleave::worker() {
        let (histories, repeats) = (arguments[1].parse()?, arguments[2].parse()?);
        return match arguments[0].as_str() {
            "decode" => decode(repeats),
            "score" => score(histories, repeats),
            _ => request(histories, repeats),
        };
    }
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    if wanted("one") {
        compare("one history of 200, top 10 of 3,416", "request", 1, 200)?;
    }
    if wanted("batch") {
        compare("64 histories of 200, top 10 of 3,416", "request", 64, 10)?;
    }
    if wanted("decode") {
        compare("one decode step on a cache of 199, top 10 of 3,416", "decode", 1, 500)?;
    }
    if wanted("score") {
        compare("1 state, top 10 of 1,000,000, exact f32", "score", 1, 5)?;
        compare("32 states, top 10 of 1,000,000, exact f32", "score", 32, 3)?;
    }
    Ok(())
}

fn compare(title: &str, task: &str, histories: usize, repeats: usize) -> Result<(), Box<dyn Error>> {
    let sizes = format!("--histories {histories} --repeats {repeats}");
    let own = interleave::ourselves(&[task, &histories.to_string(), &repeats.to_string()])?;
    let mut workers: Vec<(String, Command)> = vec![("upnext".into(), own)];
    if task == "score" {
        let sizes = format!("{sizes} --width {RANK} --items {MANY_ITEMS}");
        workers.push(("ONNX Runtime".into(), peers::python("onnx_score.py", &sizes)));
        workers.push(("PyTorch".into(), peers::python("sasrec.py", &format!("score {sizes}"))));
    } else {
        for threads in [1, 2] {
            let peer = format!("{task} {sizes} --items {ITEMS} --threads {threads}");
            workers.push((format!("PyTorch, {threads} threads"), peers::python("sasrec.py", &peer)));
        }
    }
    interleave::print(title, "requests", &interleave::interleave(workers, TURNS)?);
    Ok(())
}

/// What a server loads.
fn served() -> Result<Served, Box<dyn Error>> {
    let model = Model::new(models::small(WINDOW), ITEMS, 1)?;
    let keys: Strings = (0..ITEMS).map(|item| format!("i{item:06}")).collect();
    let card = Card { protocol: "loo".into(), ..Card::default() };
    Ok(Served::from_model(&model, Catalog::new(keys, Vec::new())?, vec![1; ITEMS], None, &card)?)
}

/// So many items, drawn uniformly.
fn drawn(count: usize) -> Vec<ItemId> {
    let mut rng = Key { seed: 1, purpose: Purpose::World, step: 0, part: 0 }.rng();
    (0..count).map(|_| ItemId(chance::below(&mut rng, ITEMS as u64) as u32)).collect()
}

/// Values in (-1, 1).
fn values(count: usize) -> Vec<f32> {
    let mut rng = Key { seed: 2, purpose: Purpose::World, step: 0, part: 0 }.rng();
    (0..count).map(|_| chance::below(&mut rng, 1 << 24) as f32 / (1 << 23) as f32 - 1.0).collect()
}

/// A turn answers `repeats` calls of `histories` requests each.
fn request(histories: usize, repeats: usize) -> Result<(), Box<dyn Error>> {
    let threads = if histories == 1 { Threads::Caller } else { Threads::Pool(0) };
    let generator = Generator::from_parts(served()?, Options { threads, ..Options::default() })?;
    let requests: Vec<Request> = drawn(histories * WINDOW)
        .chunks(WINDOW)
        .map(|history| Request::from_items(history).length(LENGTH).method(Method::TopK).build())
        .collect::<Result<_, _>>()?;
    interleave::serve(|| {
        let started = Instant::now();
        for _ in 0..repeats {
            for slate in generator.generate(&requests) {
                assert_eq!(slate?.items.len(), LENGTH, "a short list");
            }
        }
        Ok((started.elapsed().as_secs_f64(), histories * repeats, f64::NAN))
    })
}

/// A turn extends a cache of one position less than the window by one and takes the top 10, `repeats` times over.
fn decode(repeats: usize) -> Result<(), Box<dyn Error>> {
    let Served { config, network, vectors, .. } = served()?;
    let history = drawn(WINDOW);
    let mut prompt = [Cache::with_capacity(&config, WINDOW)];
    network.prefill(&[&history[1..]], &vectors, Some(&mut prompt), false)?;
    let mut own = [Cache::with_capacity(&config, 1)];
    interleave::serve(|| {
        let started = Instant::now();
        for _ in 0..repeats {
            own[0].clear();
            let state = network.extend(&history[..1], &[&prompt[0]], &mut own, &vectors, false)?;
            let query = Query { vector: &state, offsets: &[], eligible: Eligible::AllBut(&[]), k: LENGTH };
            assert_eq!(rank(&[query], &vectors.table(), false)[0].ids.len(), LENGTH, "a short list");
        }
        Ok((started.elapsed().as_secs_f64(), repeats, f64::NAN))
    })
}

/// A turn ranks 1,000,000 items for `states` states, `repeats` times over.
fn score(states: usize, repeats: usize) -> Result<(), Box<dyn Error>> {
    let table = Packed::transposed(&values(MANY_ITEMS * RANK), MANY_ITEMS, RANK);
    let queries = values(states * RANK);
    let queries: Vec<Query<'_>> = queries
        .chunks(RANK)
        .map(|vector| Query { vector, offsets: &[], eligible: Eligible::AllBut(&[]), k: LENGTH })
        .collect();
    interleave::serve(|| {
        let started = Instant::now();
        for _ in 0..repeats {
            assert_eq!(rank(&queries, &Table::Packed(&table), true).len(), states, "an answer is missing");
        }
        Ok((started.elapsed().as_secs_f64(), states * repeats, f64::NAN))
    })
}
