//! Small models, catalogues and histories that the tests share.

use std::error::Error;

use upnext_data::{Catalog, Column, ItemId, Strings};
use upnext_model::{Card, Model, ModelConfig, Positions, Trained};

/// Every combination of switches that changes the code path, at sizes that are no multiples of each other.
pub(crate) fn configs() -> Vec<ModelConfig> {
    let small =
        ModelConfig { layers: 2, width: 12, heads: 2, hidden: 10, rank: 5, window: 9, ..Default::default() };
    let plain = ModelConfig { project: false, rank: 12, ..small.clone() };
    let rotary = ModelConfig { positions: Positions::Rotary, ..small.clone() };
    let untied = ModelConfig { tied: false, layers: 1, heads: 3, ..small.clone() };
    let wide = ModelConfig {
        width: 64,
        heads: 2,
        hidden: 40,
        rank: 33,
        positions: Positions::Rotary,
        ..small.clone()
    };
    let ahead = ModelConfig { horizons: 3, ..small.clone() };
    vec![small, plain, rotary, untied, wide, ahead]
}

/// Gives a model vectors of horizons that are not zero, as training does.
fn draw_horizons(model: &mut Model) {
    if model.config().own_horizons() > 1 {
        let count = model.parameters().values("head.horizons").unwrap().len();
        let values: Vec<f32> = (0..count).map(|at| 0.3 * (at as f32 * 1.7).sin()).collect();
        model.parameters_mut().set("head.horizons", &values).unwrap();
    }
}

pub(crate) fn items(ids: &[u32]) -> Vec<ItemId> {
    ids.iter().copied().map(ItemId).collect()
}

/// A history of `len` items out of `items`, the same for the same `seed`.
pub(crate) fn history(seed: u64, len: usize, items: usize) -> Vec<ItemId> {
    let next = |j: u64| {
        (seed.wrapping_mul(0x9e37_79b9) ^ j.wrapping_mul(0x85eb_ca6b)).wrapping_mul(0xc2b2_ae35) >> 7
    };
    (0..len as u64).map(|j| ItemId((next(j) % items as u64) as u32)).collect()
}

pub(crate) fn catalog(items: usize) -> Catalog {
    let keys = (0..items).map(|item| format!("key-{item:04}")).collect::<Strings>();
    let values = (0..items).map(|item| format!("Title {item}")).collect();
    Catalog::new(keys, vec![Column { name: "title".to_owned(), values }]).unwrap()
}

pub(crate) fn counts(items: usize) -> Vec<u64> {
    (0..items as u64).map(|item| 1 + item * item).collect()
}

pub(crate) fn card() -> Card {
    Card {
        run: serde_json::json!({ "train": { "lr": 1e-3, "seed": 1 } }),
        protocol: "loo".to_owned(),
        data_hash: "ab".repeat(32),
        metrics: serde_json::json!({ "ndcg@10": 0.1651, "hr@10": 0.3 }),
        trained: Trained { steps: 1200, tokens: 34_567, ..Trained::default() },
        ..Card::default()
    }
}

pub(crate) fn model(config: &ModelConfig, items: usize) -> Model {
    let mut model = Model::new(config.clone(), items, 7).unwrap();
    draw_horizons(&mut model);
    model
}

/// An error and all its causes, as the binary prints them.
pub(crate) fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

pub(crate) fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
