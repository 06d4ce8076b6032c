//! The trainable forward: against its reference, and with a gradient for every parameter.

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use upnext_kernels::products::Products;
use upnext_model::{Drop, Error, Model, ModelConfig, Positions, Reads};

use super::world::{bits, configs, furthest, history, model};

const ITEMS: usize = 13;
const OFFSETS: [usize; 5] = [0, 4, 5, 14, 20];
const DROPS: [Option<Drop>; 2] = [None, Some(Drop { seed: 5, step: 2, rate: 0.3 })];

/// Which table row each of the batch's tokens is.
fn tokens() -> Vec<u32> {
    history(1, 20, ITEMS).into_iter().map(|item| item.0).collect()
}

/// The whole table as the leaf of a step.
fn leaf(model: &Model) -> Var {
    let table = model.input_table();
    Var::from_slice(table.rows(), (table.items(), table.rank()), &Device::Cpu).unwrap()
}

/// Every token's states of all horizons, or of two out of three where they share them; nothing for models of one.
fn reads(config: &ModelConfig) -> Option<Reads> {
    let every = (0..20 * config.horizons as u32).filter(|at| !config.merge_horizons || at % 3 > 0);
    let (tokens, horizons): (Vec<u32>, Vec<u32>) =
        every.map(|at| (at / config.horizons as u32, at % config.horizons as u32)).unzip();
    (config.horizons > 1).then(|| Reads::new(&tokens, &horizons, 20, config).unwrap())
}

fn with_merged() -> Vec<ModelConfig> {
    let mut all = configs();
    all.push(ModelConfig { horizons: 3, merge_horizons: true, ..all[0].clone() });
    all
}

/// Gradients of a sum of states with uneven weights.
fn gradients(states: &Tensor) -> GradStore {
    let weights: Vec<f32> =
        (0..states.elem_count()).map(|index| ((index * 37 % 101) as f32 - 50.0) / 50.0).collect();
    let weights = Tensor::from_vec(weights, states.shape(), &Device::Cpu).unwrap();
    (states * weights).unwrap().sum_all().unwrap().backward().unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn the_forward_is_its_reference() {
    for config in with_merged() {
        let (model, reads) = (model(&config, ITEMS), reads(&config));
        let (tokens, reads) = (tokens(), reads.as_ref());
        for drop in DROPS {
            let leaf = leaf(&model);
            let fused = model.forward(&leaf, &tokens, &OFFSETS, drop, Products::F32, reads).unwrap();
            let reference =
                model.forward_reference(&leaf, &tokens, &OFFSETS, drop, Products::F32, reads).unwrap();
            assert_eq!(fused.dims(), [reads.map_or(20, Reads::len), config.rank]);
            let apart = furthest(&values(&fused), &values(&reference));
            assert!(apart < 1e-5, "{config:?} {drop:?}: {apart}");
        }
    }
}

#[test]
fn every_parameter_has_a_finite_gradient_that_is_not_zero() {
    for config in with_merged() {
        let (model, reads) = (model(&config, ITEMS), reads(&config));
        let (tokens, reads) = (tokens(), reads.as_ref());
        for drop in DROPS {
            let leaf = leaf(&model);
            let fused = model.forward(&leaf, &tokens, &OFFSETS, drop, Products::F32, reads).unwrap();
            let reference =
                model.forward_reference(&leaf, &tokens, &OFFSETS, drop, Products::F32, reads).unwrap();
            let (fused, reference) = (gradients(&fused), gradients(&reference));
            for (name, var) in model.parameters().iter().chain([("the gathered rows", &leaf)]) {
                let found = values(fused.get(var).unwrap_or_else(|| panic!("{name} has no gradient")));
                assert!(found.iter().all(|value| value.is_finite()), "{name}");
                let largest = found.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
                assert!(largest > 0.0, "the gradient of {name} is zero");
                let apart = furthest(&found, &values(reference.get(var).unwrap()));
                assert!(apart < 1e-4 * largest.max(1.0), "{config:?} {drop:?} {name}: {apart} of {largest}");
            }
        }
    }
}

#[test]
fn a_step_of_gathered_rows_is_a_step_of_the_whole_table() {
    let model = model(&configs()[0], ITEMS);
    let whole = model.forward(&leaf(&model), &tokens(), &OFFSETS, None, Products::F32, None).unwrap();
    let mut distinct = tokens();
    distinct.sort_unstable();
    distinct.dedup();
    let rank = model.config().rank;
    let rows: Vec<f32> = distinct
        .iter()
        .flat_map(|&id| &model.input_table().rows()[id as usize * rank..][..rank])
        .copied()
        .collect();
    let rows = Tensor::from_vec(rows, (distinct.len(), rank), &Device::Cpu).unwrap();
    let places: Vec<u32> =
        tokens().iter().map(|token| distinct.iter().position(|id| id == token).unwrap() as u32).collect();
    let gathered = model.forward(&rows, &places, &OFFSETS, None, Products::F32, None).unwrap();
    assert_eq!(bits(&values(&gathered)), bits(&values(&whole)));
}

#[test]
fn a_new_model_is_nearly_indifferent() {
    for positions in [Positions::Learned, Positions::Rotary] {
        for project in [true, false] {
            let config = ModelConfig { positions, project, ..ModelConfig::default() };
            let (items, model) = (500, model(&config, 500));
            let ids: Vec<u32> = history(3, 100, items).into_iter().map(|item| item.0).collect();
            let states = values(
                &model.forward(&leaf(&model), &ids, &[0, 60, 100], None, Products::F32, None).unwrap(),
            );
            let mut squares = 0.0;
            for state in states.chunks(config.rank) {
                for row in model.output_table().rows().chunks(config.rank) {
                    squares += state.iter().zip(row).map(|(g, v)| g * v).sum::<f32>().powi(2);
                }
            }
            let spread = (squares / (100 * items) as f32).sqrt();
            assert!(
                (0.1..0.25).contains(&spread),
                "{positions:?}, project {project}: logits spread by {spread}"
            );
        }
    }
}

#[test]
fn batches_that_do_not_fit_are_refused_by_name() {
    let config = &configs()[0];
    let (model, ids) = (model(config, ITEMS), tokens());
    let refused = |ids: &[u32], offsets: &[usize]| {
        model.forward(&leaf(&model), ids, offsets, None, Products::F32, None).unwrap_err()
    };
    assert!(matches!(refused(&ids, &[0, 4, 14, 20]), Error::PastWindow { history: 1, len: 10, window: 9 }));
    assert!(matches!(refused(&ids, &[0, 4, 9]), Error::Size { found: 20, expected: 9, .. }));
    assert!(refused(&ids[..8], &[0, 4, 4, 8]).to_string().contains("tensor operation"));
    assert!(std::error::Error::source(&refused(&[0, 13], &[0, 2])).unwrap().to_string().contains("row 13"));
    let narrow = Tensor::zeros((3, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
    let error = model.forward(&narrow, &[0], &[0, 1], None, Products::F32, None).unwrap_err();
    assert!(matches!(error, Error::Size { found: 4, expected: 5, .. }));
}
