//! What fits into 20 ms? Lists of 10 from large catalogues by every way to score, on one core.
//!
//!     cargo bench --bench scoring -- make FOLDER world|isotropic ITEMS RANK    data, and for isotropic ones a model
//!     cargo bench --bench scoring -- lists MODEL DATA [TURNS]   latency, users a second, memory, by method and batch
//!     cargo bench --bench scoring -- callers MODEL DATA         p50 and p99 by 1, 4 and 16 callers at once
//!     cargo bench --bench scoring -- same MODEL DATA            are int8's and bf16's 10,000 lists those of f32?
//!     cargo bench --bench scoring -- graph MODEL DATA           from states to items: time and recall beside usearch's graph
//!     cargo bench --bench scoring -- sizes                      milliseconds a list by items and rank, isotropic vectors
//!
//! `world` is the generated streaming world with so many titles, to train on (`configs/scoring/world.toml`); `isotropic`
//! are random vectors, which have nothing in common that clusters could use. `upnext index` comes before what looks into
//! clusters. Every way to score runs in a process of its own, and they take turns.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

#[expect(dead_code, reason = "a table of its own; losses and seconds are for those that train")]
mod interleave;
mod peers;

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use interleave::{Measured, interleave, ourselves, serve, worker};
use serde_json::Value;
use upnext_data::chance::{self, Key, Purpose};
use upnext_data::synthetic::{World, WorldConfig};
use upnext_data::{Catalog, ItemId, Prepared, Strings};
use upnext_generate::{Event, Generator, Method, Options, Request, Scoring, Session};
use upnext_kernels::score::{
    Clusters, Eligible, Narrow, Precision, Probe, Query, Ranked, rank, rank_clusters, rank_narrow,
};
use upnext_model::folder::{Card, open, open_index, save};
use upnext_model::{Model, ModelConfig, Served};
use upnext_tables::VectorSink;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LENGTH: usize = 10;
const SCORINGS: [Scoring; 5] = [
    Scoring::Exact,
    Scoring::Bf16,
    Scoring::Int8,
    Scoring::BoundedClusters,
    Scoring::Clusters { probes: None },
];

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    if let Some(arguments) = worker() {
        return work(&arguments);
    }
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["make", folder, kind, items, rank] => make(Path::new(folder), kind, items.parse()?, rank.parse()?),
        ["lists", model, data] => lists(model, data, 5),
        ["lists", model, data, turns] => lists(model, data, turns.parse()?),
        ["callers", model, data] => callers(model, data),
        ["same", model, data] => same(model, data),
        ["graph", model, data] => graph(model, data),
        ["sizes"] => sizes(),
        _ => {
            println!("the head of benches/scoring.rs says what can be asked");
            Ok(())
        }
    }
}

/// d=256, l=2, h=4 over so many items.
fn config(rank: usize) -> ModelConfig {
    let (layers, width, heads, hidden) = (2, 256, 4, 684);
    ModelConfig { layers, width, heads, hidden, rank, project: true, window: 200, ..ModelConfig::default() }
}

fn make(folder: &Path, kind: &str, items: usize, rank: usize) -> Outcome {
    let data = folder.join("data");
    if kind == "world" {
        return make_worlds(&data, items);
    }
    let keys: Strings = (0..items).map(|item| format!("i{item:08}")).collect();
    let catalog = Catalog::new(keys, Vec::new())?;
    let mut rng = Key { seed: 1, purpose: Purpose::World, step: 0, part: 0 }.rng();
    Prepared::write_with(&data, true, |shards| {
        for user in 0..2_000 {
            let events: Vec<ItemId> =
                (0..200).map(|_| ItemId(chance::below(&mut rng, items as u64) as u32)).collect();
            let times: Vec<i64> = (0..200).collect();
            shards.push(&format!("u{user:08}"), &events, &times, &[])?;
        }
        Ok::<_, Box<dyn Error>>((catalog.clone(), Value::Null))
    })?;
    let model = isotropic(items, rank)?;
    Ok(save(&folder.join("model"), &model, &catalog, &vec![1; items], None, &card(), true)?)
}

fn card() -> Card {
    Card { protocol: "loo".into(), ..Card::default() }
}

fn isotropic(items: usize, rank: usize) -> Outcome<Model> {
    let mut model = Model::new(config(rank), items, 1)?;
    // So that some items are far more probable than others.
    model.tables_mut().0.rows_mut().iter_mut().for_each(|value| *value *= 40.0);
    Ok(model)
}

/// As many worlds of 5,000 titles, with 250 viewers each, as make up the items: a catalogue of many countries.
fn make_worlds(data: &Path, items: usize) -> Outcome {
    const EACH: usize = 5_000;
    let config = WorldConfig { users: 250, items: EACH, franchises: 500, ..WorldConfig::demo() };
    let worlds = items.div_ceil(EACH);
    Prepared::write_with(data, true, |shards| {
        let mut keys = Strings::new();
        for number in 0..worlds {
            let world = World::new(config.clone(), number as u64)?;
            let (histories, catalog) = (world.histories()?, world.catalog()?);
            for (user, history) in histories.iter() {
                let name = format!("{number:04}-{}", histories.user_key(user));
                let first = (number * EACH) as u32;
                let items: Vec<ItemId> = history.items.iter().map(|item| ItemId(first + item.0)).collect();
                shards.push(&name, &items, history.times, &[])?;
            }
            (0..EACH as u32)
                .for_each(|item| keys.push(&format!("{number:04}-{}", catalog.key(ItemId(item)))));
        }
        Ok::<_, Box<dyn Error>>((Catalog::new(keys, Vec::new())?, Value::Null))
    })?;
    Ok(())
}

/// Requests for users spread over the data.
fn requests(generator: &Generator, data: &str, method: Method, count: usize) -> Outcome<Vec<Request>> {
    let data = Prepared::open(Path::new(data))?;
    let map = generator.item_map(&data.catalog);
    let users: Vec<_> = data.histories.iter().map(|(user, _)| user).collect();
    let users = (0..count).map(|at| users[at * users.len() / count % users.len()]);
    let request = |user| {
        // The same user's histories differ by where they end.
        let items = data.histories.of(user).items;
        map.request(items).length(LENGTH).method(method).build()
    };
    Ok(users.map(request).collect::<Result<_, _>>()?)
}

fn named(name: &str) -> Outcome<Scoring> {
    let found = SCORINGS.into_iter().find(|scoring| scoring.to_string() == name);
    Ok(found.ok_or_else(|| format!("no scoring {name}"))?)
}

fn method(name: &str) -> Method {
    if name == "beam" { Method::Beam { width: 8 } } else { Method::TopK }
}

/// `states …` is [`look_up`]. `MODEL DATA SCORING METHOD BATCH`: a turn makes some batches of lists; by `next` it asks
/// sessions, which have read their histories: all that is left is to score.
fn work(arguments: &[String]) -> Outcome {
    if let [first, rest @ ..] = arguments
        && first == "states"
    {
        return look_up(rest);
    }
    let [model, data, scoring, name, batch] = arguments else { return Err("five arguments".into()) };
    let (scoring, batch): (_, usize) = (named(scoring)?, batch.parse()?);
    let generator = Generator::open(model, Options { scoring, ..Options::default() })?;
    let requests = requests(&generator, data, method(name), 256)?;
    if name == "next" {
        return ask_sessions(&generator, data);
    }
    let rounds = if name == "beam" { 1 } else { 8 };
    let mut next = 0;
    serve(|| {
        let started = Instant::now();
        for _ in 0..rounds {
            let from = next % (requests.len() / batch) * batch;
            for slate in generator.generate(&requests[from..from + batch]) {
                assert_eq!(slate?.items.len(), LENGTH, "a short list");
            }
            next += 1;
        }
        Ok((started.elapsed().as_secs_f64(), rounds * batch, f64::NAN))
    })
}

fn ask_sessions(generator: &Generator, data: &str) -> Outcome {
    let data = Prepared::open(Path::new(data))?;
    let mut sessions = Vec::new();
    for (_, history) in data.histories.iter().take(16) {
        let keys: Vec<&str> = history.items.iter().map(|&item| data.catalog.key(item)).collect();
        let events: Vec<Event<'_>> = keys.iter().zip(0..).map(|(key, at)| Event { key, at }).collect();
        sessions.push(Session::open(generator, &events, 0)?);
    }
    let ask = Request::builder(&[]).length(LENGTH).build()?;
    serve(|| {
        let started = Instant::now();
        for session in &sessions {
            assert_eq!(session.next(&ask)?.items.len(), LENGTH, "a short list");
        }
        Ok((started.elapsed().as_secs_f64(), sessions.len(), f64::NAN))
    })
}

/// Users whose states are looked up, by one pass over all items, by narrow ones, by clusters and by a graph.
fn graph(model: &str, data: &str) -> Outcome {
    const USERS: usize = 200;
    let folder = tempfile::tempdir()?;
    let place = |name: &str| folder.path().join(name);
    let generator = Generator::open(model, Options::default())?;
    let (vectors, catalog) = (generator.vectors(), generator.catalog());
    let mut items = VectorSink::create(&place("items.npy"), "item", vectors.rank())?;
    let mut row = vec![0f32; vectors.rank()];
    for item in (0..vectors.items()).map(|item| ItemId(item as u32)) {
        vectors.output_row(item, &mut row)?;
        items.row(catalog.key(item), &row)?;
    }
    items.finish()?;
    let mut states = VectorSink::create(&place("states.npy"), "user", vectors.rank())?;
    let mut exact = VectorSink::create(&place("exact.npy"), "user", LENGTH)?;
    for state in generator.states(&requests(&generator, data, Method::TopK, USERS)?) {
        let state = state?;
        // Ids are whole numbers that an f32 holds.
        let best = rank(&[query(&state)], &vectors.table(), false).remove(0).ids;
        let best: Vec<f32> = best.into_iter().map(|id| id as f32).collect();
        states.row("", &state)?;
        exact.row("", &best)?;
    }
    states.finish()?;
    exact.finish()?;
    drop(generator);
    let folder = folder.path().to_str().ok_or("a temporary folder whose name is no text")?;
    let built = peers::python("graph.py", &format!("build {folder}")).status();
    if !built.as_ref().is_ok_and(std::process::ExitStatus::success) {
        println!("left out: usearch ({built:?})");
    }
    let mut commands = Vec::new();
    for scoring in ["exact", "bf16", "int8", "bounded-clusters"] {
        commands.push((scoring.to_owned(), ourselves(&["states", model, folder, scoring, "0"])?));
    }
    for probes in ["4", "8", "16", "32", "64", "256"] {
        let name = format!("clusters, {probes} probes");
        commands.push((name, ourselves(&["states", model, folder, "clusters", probes])?));
    }
    for expansion in [16, 64, 256, 1024] {
        if built.as_ref().is_ok_and(std::process::ExitStatus::success) {
            let worker = peers::python("graph.py", &format!("ask {folder} {expansion}"));
            commands.push((format!("usearch, expansion {expansion}"), worker));
        }
    }
    println!("\n| {USERS} states, one at a time | ms a state | recall@{LENGTH} | peak MiB |");
    println!("|---|---|---|---|");
    for Measured { name, rate, peak, loss: recall, .. } in interleave(commands, 5)? {
        println!("| {name} | {:.3} | {recall:.4} | {} |", 1e3 / rate, peak >> 20);
    }
    Ok(())
}

fn query(state: &[f32]) -> Query<'_> {
    Query { vector: state, offsets: &[], eligible: Eligible::AllBut(&[]), k: LENGTH }
}

/// `MODEL FOLDER SCORING PROBES`: a turn looks all states up, and its loss is the recall.
fn look_up(arguments: &[String]) -> Outcome {
    let [model, folder, scoring, probes] = arguments else { return Err("four arguments".into()) };
    let served = open(Path::new(model))?;
    let (table, rank_of) = (served.vectors.table(), served.vectors.rank());
    let states = matrix(&Path::new(folder).join("states.npy"), rank_of)?;
    let exact = matrix(&Path::new(folder).join("exact.npy"), LENGTH)?;
    let clusters = || {
        let index =
            open_index(Path::new(model), &served.manifest)?.ok_or("no index: `upnext index` makes it")?;
        Ok::<_, Box<dyn Error>>(Clusters::new(&table, index.homes, true))
    };
    type Lookup<'a> = Box<dyn Fn(&[Query<'_>]) -> Vec<Ranked> + 'a>;
    let look: Lookup<'_> = match (scoring.as_str(), probes.parse()?) {
        ("exact", _) => Box::new(|queries| rank(queries, &table, false)),
        ("bf16" | "int8", _) => {
            let precision = if scoring == "bf16" { Precision::Bf16 } else { Precision::Int8 };
            let narrow = Narrow::of(&table, precision, true);
            Box::new(move |queries| rank_narrow(queries, &table, &narrow, false))
        }
        (name, probes) => {
            let probe = if name == "clusters" { Probe::Best(probes) } else { Probe::Bounded };
            let clusters = clusters()?;
            Box::new(move |queries| rank_clusters(queries, &table, &clusters, probe, false))
        }
    };
    serve(|| {
        let (started, mut found) = (Instant::now(), Vec::new());
        for state in states.chunks_exact(rank_of) {
            found.extend(look(&[query(state)]));
        }
        let seconds = started.elapsed().as_secs_f64();
        let hits = found
            .iter()
            .zip(exact.chunks_exact(LENGTH))
            .map(|(found, exact)| exact.iter().filter(|id| found.ids.contains(&(**id as u32))).count());
        Ok((seconds, found.len(), hits.sum::<usize>() as f64 / exact.len() as f64))
    })
}

/// A `.npy` of f32 as [`VectorSink`] writes it: so many bytes of head, then the rows.
fn matrix(path: &Path, width: usize) -> Outcome<Vec<f32>> {
    let bytes = std::fs::read(path)?;
    let head = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let numbers = bytes[head..].as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four));
    let numbers: Vec<f32> = numbers.collect();
    assert!(numbers.len().is_multiple_of(width), "rows of {width}");
    Ok(numbers)
}

/// A history of 200, one list at a time, the median of each.
fn sizes() -> Outcome {
    println!("\n| items | rank | top-k f32 | top-k int8 | beam f32 | beam int8 |");
    println!("|---|---|---|---|---|---|");
    for items in [10_000, 100_000, 300_000, 1_000_000, 3_000_000] {
        for rank in [32, 64, 128] {
            let keys: Strings = (0..items).map(|item| format!("i{item:08}")).collect();
            let (model, catalog) = (isotropic(items, rank)?, Catalog::new(keys, Vec::new())?);
            let served = Served::from_model(&model, catalog, vec![1; items], None, &card())?;
            drop(model);
            let mut generator = Generator::from_parts(served, Options::default())?;
            let mut rng = Key { seed: 1, purpose: Purpose::World, step: 1, part: 0 }.rng();
            let mut drawn = || ItemId(chance::below(&mut rng, items as u64) as u32);
            let histories: Vec<Vec<ItemId>> = (0..21).map(|_| (0..200).map(|_| drawn()).collect()).collect();
            let mut columns = vec![String::new(); 4];
            for (at, scoring) in [Scoring::Exact, Scoring::Int8].into_iter().enumerate() {
                generator = generator.scored_by(scoring, None)?;
                for (name, lists) in [("top-k", 21), ("beam", 7)] {
                    let mut times = Vec::new();
                    for history in &histories[..lists] {
                        let request =
                            Request::from_items(history).length(LENGTH).method(method(name)).build()?;
                        let started = Instant::now();
                        generator.generate(&[request]).remove(0)?;
                        times.push(started.elapsed().as_secs_f64() * 1e3);
                    }
                    let column = usize::from(name == "beam") * 2 + at;
                    columns[column] = format!("{:.1}", quantile(&mut times, 0.5));
                }
            }
            println!("| {items} | {rank} | {} |", columns.join(" | "));
        }
    }
    Ok(())
}

fn lists(model: &str, data: &str, turns: usize) -> Outcome {
    println!("\n| method | batch | scoring | ms a list | lists/s (least to most) | of f32 | peak MiB |");
    println!("|---|---|---|---|---|---|---|");
    for (name, batch) in [("next", 1), ("top-k", 1), ("top-k", 32), ("beam", 1), ("beam", 32)] {
        let batch = batch.to_string();
        let command = |scoring: Scoring| {
            let scoring = scoring.to_string();
            Ok((scoring.clone(), ourselves(&[model, data, &scoring, name, &batch])?))
        };
        let commands = SCORINGS.into_iter().map(command).collect::<Outcome<Vec<_>>>()?;
        let measured = interleave(commands, turns)?;
        for Measured { name: scoring, rate, range: (least, most), peak, .. } in &measured {
            let (ms, times, peak) = (1e3 / rate, rate / measured[0].rate, peak >> 20);
            println!(
                "| {name} | {batch} | {scoring} | {ms:.2} | {rate:.0} ({least:.0} to {most:.0}) | {times:.2} | {peak} |"
            );
        }
    }
    Ok(())
}

/// The value below which a share of the values lies.
fn quantile(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * share) as usize]
}

/// Each caller is a thread that asks for one list after the other.
fn callers(model: &str, data: &str) -> Outcome {
    println!("\n| method | scoring | callers | p50 ms | p99 ms | lists/s |");
    println!("|---|---|---|---|---|---|");
    for scoring in [Scoring::Exact, Scoring::Int8, Scoring::Clusters { probes: None }] {
        let generator = Generator::open(model, Options { scoring, ..Options::default() })?;
        for (name, lists) in [("top-k", 640), ("beam", 64)] {
            let requests = requests(&generator, data, method(name), lists)?;
            for callers in [1, 4, 16] {
                let (next, started) = (AtomicUsize::new(0), Instant::now());
                let call = || {
                    let mut times = Vec::new();
                    while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let started = Instant::now();
                        let slate = generator.generate(std::slice::from_ref(request));
                        times.push(started.elapsed().as_secs_f64() * 1e3);
                        assert!(slate.iter().all(Result::is_ok), "a request failed");
                    }
                    times
                };
                let mut times: Vec<f64> = std::thread::scope(|scope| {
                    let threads: Vec<_> = (0..callers).map(|_| scope.spawn(call)).collect();
                    threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
                });
                let rate = times.len() as f64 / started.elapsed().as_secs_f64();
                let (p50, p99) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
                println!("| {name} | {scoring} | {callers} | {p50:.2} | {p99:.2} | {rate:.0} |");
            }
        }
    }
    Ok(())
}

/// 10,000 lists of 10 by one pass: histories cut at five places.
fn same(model: &str, data: &str) -> Outcome {
    const LISTS: usize = 10_000;
    let prepared = Prepared::open(Path::new(data))?;
    let mut generator = Generator::open(model, Options::default())?;
    let map = generator.item_map(&prepared.catalog);
    let users: Vec<_> = prepared.histories.iter().map(|(user, _)| user).collect();
    let request = |at: usize| {
        let items = prepared.histories.of(users[at / 5 % users.len()]).items;
        map.request(&items[..(items.len() - at % 5).max(1)]).length(LENGTH).build()
    };
    let requests: Vec<Request> = (0..LISTS).map(request).collect::<Result<_, _>>()?;
    let listed = |generator: &Generator| -> Outcome<Vec<Vec<u32>>> {
        let ids = |slate: upnext_generate::Slate| slate.items.iter().map(|place| place.item.0).collect();
        Ok(generator.generate(&requests).into_iter().map(|slate| slate.map(ids)).collect::<Result<_, _>>()?)
    };
    let exact = listed(&generator)?;
    for scoring in [Scoring::Bf16, Scoring::Int8] {
        generator = generator.scored_by(scoring, None)?;
        let same = listed(&generator)?.iter().zip(&exact).filter(|(found, exact)| found == exact).count();
        println!("{scoring}: {same} of {LISTS} lists are those of f32, item by item");
    }
    Ok(())
}
