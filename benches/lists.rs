//! What do sessions and shared prompts save?
//!
//! A session that takes one event and answers, beside fresh requests for the same history; and beam search that reads each
//! prompt once, beside one that reads it anew for every hypothesis of every step. Both sides take turns, and give the same
//! bits. d=64, l=2, 3,416 items, random weights.
//!
//!     cargo bench --bench lists [-- session|beam]

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod models;

use std::error::Error;
use std::time::Instant;

use upnext_data::chance::{self, Key, Purpose};
use upnext_data::{Catalog, ItemId, Strings};
use upnext_generate::{Event, Generator, Method, Options, Request, Session, Slate, Threads};
use upnext_model::folder::Card;
use upnext_model::{Model, Served};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ITEMS: usize = 3_416;
const TURNS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    if wanted("session") {
        session()?;
    }
    if wanted("beam") {
        beam()?;
    }
    Ok(())
}

fn generator(window: usize, threads: Threads) -> Result<Generator, Box<dyn Error>> {
    let keys: Strings = (0..ITEMS).map(key).collect();
    let mut model = Model::new(models::small(window), ITEMS, 1)?;
    // Larger vectors, so that some items are far more probable than others.
    model.tables_mut().0.rows_mut().iter_mut().for_each(|value| *value *= 40.0);
    let card = Card { protocol: "loo".into(), ..Card::default() };
    let served = Served::from_model(&model, Catalog::new(keys, Vec::new())?, vec![1; ITEMS], None, &card)?;
    Ok(Generator::from_parts(served, Options { threads, ..Options::default() })?)
}

fn key(item: usize) -> String {
    format!("i{item:06}")
}

fn drawn(count: usize, seed: u64) -> Vec<ItemId> {
    let mut rng = Key { seed, purpose: Purpose::World, step: 0, part: 0 }.rng();
    (0..count).map(|_| ItemId(chance::below(&mut rng, ITEMS as u64) as u32)).collect()
}

/// What stands in a list, bit for bit.
type Bits = Vec<(u32, u64)>;

fn bits(slate: &Slate) -> Bits {
    slate.items.iter().map(|place| (place.item.0, place.score.to_bits())).collect()
}

/// The value below which a share of the sorted values lies.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

/// From 200 to 600 events: a push and the top 10 after it, in microseconds, beside a fresh request each time.
fn session() -> Result<(), Box<dyn Error>> {
    let generator = generator(200, Threads::Caller)?;
    let ask = Request::builder(&[]).length(10).build()?;
    let (mut pushed, mut fresh) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let history = drawn(600, turn as u64);
        let keys: Vec<String> = history.iter().map(|item| key(item.index())).collect();
        let events: Vec<Event<'_>> = keys.iter().zip(0..).map(|(key, at)| Event { key, at }).collect();
        let mut session = Session::open(&generator, &events[..199], 0)?;
        for len in 200..=600 {
            let started = Instant::now();
            session.push(events[len - 1])?;
            let slate = session.next(&ask)?;
            pushed.push(started.elapsed().as_secs_f64() * 1e6);
            // What a server without sessions does with the last 200 events; the window of more is shorter than that.
            let recent = Request::builder(&events[len - 200..len]).length(10).build()?;
            let started = Instant::now();
            generator.generate(std::slice::from_ref(&recent)).remove(0)?;
            fresh.push(started.elapsed().as_secs_f64() * 1e6);
            let whole = Request::builder(&events[..len]).length(10).build()?;
            let whole = generator.generate(&[whole]).remove(0)?;
            assert_eq!(bits(&slate), bits(&whole), "a session after {len} events");
        }
    }
    println!("\n10 of {ITEMS} after each of 401 events, {TURNS} histories, one thread, microseconds\n");
    println!("| | p50 | p99 |");
    println!("|---|---|---|");
    for (name, mut times) in [("push and next", pushed), ("a fresh request of 200 events", fresh)] {
        times.sort_by(f64::total_cmp);
        println!("| {name} | {:.1} | {:.1} |", quantile(&times, 0.5), quantile(&times, 0.99));
    }
    Ok(())
}

/// 32 histories of 200, beam 8, lists of 10.
fn beam() -> Result<(), Box<dyn Error>> {
    const HISTORIES: usize = 32;
    const LENGTH: usize = 10;
    const WIDTH: usize = 8;
    let generator = generator(256, Threads::Pool(0))?;
    let histories: Vec<Vec<ItemId>> = (0..HISTORIES).map(|user| drawn(200, user as u64)).collect();
    let requests: Vec<Request> = histories
        .iter()
        .map(|history| {
            Request::from_items(history).length(LENGTH).method(Method::Beam { width: WIDTH }).build()
        })
        .collect::<Result<_, _>>()?;
    let (mut shared, mut anew) = (Vec::new(), Vec::new());
    for turn in 0..=TURNS {
        let started = Instant::now();
        let slates: Vec<Slate> = generator.generate(&requests).into_iter().collect::<Result<_, _>>()?;
        let first = started.elapsed().as_secs_f64();
        let started = Instant::now();
        let lists = by_fresh_requests(&generator, &histories, LENGTH, WIDTH)?;
        let second = started.elapsed().as_secs_f64();
        assert_eq!(slates.iter().map(bits).collect::<Vec<_>>(), lists, "two ways to one list");
        if turn > 0 {
            shared.push(first * 1e3);
            anew.push(second * 1e3);
        }
    }
    [&mut shared, &mut anew].into_iter().for_each(|times| times.sort_by(f64::total_cmp));
    let (shared, anew) = (quantile(&shared, 0.5), quantile(&anew, 0.5));
    println!("\nbeam {WIDTH}, lists of {LENGTH}, {HISTORIES} histories of 200, {ITEMS} items\n");
    println!("| | median ms | ratio |");
    println!("|---|---|---|");
    println!("| prompts read once, keys and values shared | {shared:.1} | 1.00 |");
    println!("| prompts read anew for every hypothesis | {anew:.1} | {:.2} |", anew / shared);
    Ok(())
}

/// A list in the making: its score, its items, the bits of their log-probabilities.
type List = (f64, Vec<ItemId>, Bits);

/// Beam search over requests that know nothing of each other.
fn by_fresh_requests(
    generator: &Generator,
    histories: &[Vec<ItemId>],
    length: usize,
    width: usize,
) -> Result<Vec<Bits>, Box<dyn Error>> {
    let mut searches: Vec<Vec<List>> = vec![vec![(0.0, Vec::new(), Vec::new())]; histories.len()];
    for _ in 0..length {
        let mut requests = Vec::new();
        for (history, lists) in histories.iter().zip(&searches) {
            for (_, items, _) in lists {
                let context = [history.as_slice(), items].concat();
                requests.push(Request::from_items(&context).length(width).build()?);
            }
        }
        let mut slates = generator.generate(&requests).into_iter();
        for lists in &mut searches {
            let mut longer: Vec<List> = Vec::new();
            for (score, items, bits) in lists.iter() {
                for place in slates.next().ok_or("a slate is missing")??.items {
                    let items = [items.as_slice(), &[place.item]].concat();
                    let bits = [bits.as_slice(), &[(place.item.0, place.score.to_bits())]].concat();
                    longer.push((score + place.score, items, bits));
                }
            }
            longer.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
            longer.truncate(width);
            *lists = longer;
        }
    }
    Ok(searches.into_iter().map(|mut lists| lists.remove(0).2).collect())
}
