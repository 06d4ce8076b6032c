//! Small models and random requests by key, so that every test is the same at every run.

use upnext_data::chance::{Key, Purpose};
use upnext_data::{Catalog, Column, ItemId};
use upnext_generate::{Generator, Method, Options, Request, RequestError, Slate};
use upnext_model::{Card, Model, ModelConfig, Positions, Served};

/// T of the test models: hops of 4, reserves up to 8.
pub(crate) const WINDOW: usize = 16;

/// K of the test models.
pub(crate) const HORIZONS: usize = 3;

pub(crate) fn key(item: u32) -> String {
    format!("item-{item:05}")
}

pub(crate) fn config() -> ModelConfig {
    let (layers, width, heads, hidden, rank) = (2, 16, 2, 24, 8);
    let (window, horizons) = (WINDOW, HORIZONS);
    ModelConfig { layers, width, heads, hidden, rank, window, horizons, ..ModelConfig::default() }
}

/// Random weights; the item vectors are `scale` times what they are drawn at, so that some items are far more probable
/// than others.
pub(crate) fn model(config: ModelConfig, items: usize, scale: f32) -> Model {
    let mut model = Model::new(config, items, 17).unwrap();
    model.tables_mut().0.rows_mut().iter_mut().for_each(|value| *value *= scale);
    let further = model.config().own_horizons() - 1;
    if further > 0 {
        let values: Vec<f32> =
            (0..further * model.config().width).map(|at| 3.0 * (at as f32 * 1.3).sin()).collect();
        model.parameters_mut().set("head.horizons", &values).unwrap();
    }
    model
}

/// Values of the column `genres` of item `j`, which has every one that its number has a bit for; items 0, 8, … have none.
pub(crate) const GENRES: [&str; 3] = ["Drama", "Comedy", "Crime"];

pub(crate) fn has_genre(item: u32, genre: usize) -> bool {
    item & (1 << genre) != 0
}

/// Items with columns `genres` and `year`, which is 1950 and the item's number.
pub(crate) fn catalog(items: usize) -> Catalog {
    let genres = |item: u32| -> String {
        let own: Vec<&str> =
            (0..3).filter(|&genre| has_genre(item, genre)).map(|genre| GENRES[genre]).collect();
        own.join("|")
    };
    let ids = || (0u32..).take(items);
    let columns = vec![
        Column { name: "genres".to_owned(), values: ids().map(genres).collect() },
        Column { name: "year".to_owned(), values: ids().map(|item| (1950 + item).to_string()).collect() },
    ];
    Catalog::new(ids().map(key).collect(), columns).unwrap()
}

/// Item `j` was trained on `1 + j % 7` times.
pub(crate) fn counts(items: usize) -> Vec<u64> {
    (0..items as u64).map(|item| 1 + item % 7).collect()
}

pub(crate) fn card() -> Card {
    Card { protocol: "loo".to_owned(), ..Card::default() }
}

pub(crate) fn served_of(config: ModelConfig, items: usize, scale: f32) -> Served {
    Served::from_model(&model(config, items, scale), catalog(items), counts(items), None, &card()).unwrap()
}

pub(crate) fn served(items: usize) -> Served {
    served_of(config(), items, 40.0)
}

pub(crate) fn generator(items: usize) -> Generator {
    Generator::from_parts(served(items), Options::default()).unwrap()
}

/// The same model, every seventh item of which, from the first on, was never trained on.
pub(crate) fn partly_trained(items: usize) -> Generator {
    let counts = counts(items).iter().map(|count| count - 1).collect();
    let model = model(config(), items, 40.0);
    let served = Served::from_model(&model, catalog(items), counts, None, &card()).unwrap();
    Generator::from_parts(served, Options::default()).unwrap()
}

pub(crate) fn rotary(items: usize) -> Generator {
    let config = ModelConfig { positions: Positions::Rotary, ..config() };
    Generator::from_parts(served_of(config, items, 40.0), Options::default()).unwrap()
}

/// Draw number `part` of `case`, below `bound`.
pub(crate) fn draw(case: u64, part: u64, bound: usize) -> usize {
    let key = Key { seed: 5, purpose: Purpose::World, step: case, part };
    (key.hash() % bound as u64) as usize
}

pub(crate) fn history(case: u64, len: usize, items: usize) -> Vec<ItemId> {
    (0..len as u64).map(|part| ItemId(draw(case, part, items) as u32)).collect()
}

/// A request of any method with a random history of up to 3T events.
pub(crate) fn request(case: u64, items: usize) -> Request {
    let past = history(case, draw(case, 1 << 40, 3 * WINDOW + 1), items);
    let width = 1 + draw(case, 1 << 43, 3);
    let method = match draw(case, 1 << 41, 6) {
        5 => Method::MultiToken,
        4 => Method::DiverseBeam { width: 2 * width, groups: 2, diversity: 0.5 },
        0 => Method::TopK,
        1 => Method::Beam { width },
        2 => Method::Hybrid { autoregressive: 1 + draw(case, 1 << 44, 4), width },
        _ => Method::Sample { temperature: 0.7, top_k: 4 * width, draws: 1 + draw(case, 1 << 45, 5) },
    };
    Request::from_items(&past).length(1 + draw(case, 1 << 42, 6)).method(method).seed(case).build().unwrap()
}

pub(crate) fn one(generator: &Generator, request: &Request) -> Slate {
    generator.generate(std::slice::from_ref(request)).remove(0).unwrap()
}

pub(crate) fn ids(slate: &Slate) -> Vec<u32> {
    slate.items.iter().map(|place| place.item.0).collect()
}

/// Places, score, fallback and skipped events of a slate.
pub(crate) type Bits = (Vec<(u32, u64)>, u64, bool, usize);

/// A slate as exact bits: comparing scores would let 0.0 equal -0.0.
pub(crate) fn bits(slate: &Slate) -> Bits {
    let places = slate.items.iter().map(|place| (place.item.0, place.score.to_bits())).collect();
    (places, slate.score.to_bits(), slate.fallback, slate.skipped)
}

pub(crate) fn all_bits(slates: &[Result<Slate, RequestError>]) -> Vec<Bits> {
    slates.iter().map(|slate| bits(slate.as_ref().unwrap())).collect()
}

/// Whether the first items of lists drawn by these requests, each from a seed of its own, have the chances of `truth`.
pub(crate) fn assert_drawn_by_chance(generator: &Generator, requests: &[Request], truth: &Slate) {
    let drawn: Vec<ItemId> =
        generator.generate(requests).into_iter().map(|slate| slate.unwrap().items[0].item).collect();
    let draws = drawn.len() as f64;
    for place in &truth.items {
        let share = drawn.iter().filter(|&&item| item == place.item).count() as f64 / draws;
        // Four standard deviations of a share.
        let chance = place.score.exp();
        let most = 4.0 * (chance * (1.0 - chance) / draws).sqrt() + 1e-9;
        assert!((share - chance).abs() <= most, "{:?}: {share} for {chance}", place.item);
    }
}
