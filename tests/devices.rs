//! The device path against the CPU's own: values, gradients, a short training, lists.
//!
//! It runs on the CPU everywhere, and on a GPU where the build has the feature for one and the machine has one.

mod rows;
mod whole;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use upnext_kernels::products::Products;
use upnext_model::ops::rows::{PADDING, Parcel};
use upnext_model::padded::{Padded, Padder, Places};
use upnext_model::{Drop, Model, ModelConfig, Positions};

/// GPUs that this build can use and this machine has.
fn gpus() -> Vec<Device> {
    [Device::new_cuda(0).ok(), Device::new_metal(0).ok()].into_iter().flatten().collect()
}

/// The CPU, which stands for the path itself, and the GPUs.
fn devices() -> Vec<Device> {
    std::iter::once(Device::Cpu).chain(gpus()).collect()
}

/// Histories of 1 to 300 tokens over `items` items: offsets, and the row of each token.
fn batch(items: usize) -> (Vec<usize>, Vec<u32>) {
    let lengths = [17, 1, 300, 64, 2, 129, 250, 17];
    let offsets: Vec<usize> = (0..=lengths.len()).map(|j| lengths[..j].iter().sum()).collect();
    let rows = (0..offsets[lengths.len()]).map(|token| (token * token % 997 % items) as u32).collect();
    (offsets, rows)
}

fn padded(config: &ModelConfig, products: DType, device: &Device, rows: usize) -> (Places, Padded) {
    let (offsets, token_rows) = batch(rows);
    let places = Places::new(&offsets, config.window).unwrap();
    let mut padder = Padder::new(config, products, device).unwrap();
    let mut parcel = Parcel::default();
    let packed = padder.pack(&mut parcel, &places, &token_rows, rows).unwrap();
    let sent = parcel.send(device).unwrap();
    (places, padder.open(&packed, &sent).unwrap())
}

fn flat(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

/// Uneven weights of `(tokens, rank)` values.
fn weights(count: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 37 % 101) as f32 - 50.0) / 50.0).collect()
}

fn weighted(states: &Tensor, weights: Vec<f32>) -> GradStore {
    let weights = Tensor::from_vec(weights, states.shape(), states.device()).unwrap();
    (states * weights).unwrap().sum_all().unwrap().backward().unwrap()
}

/// How far two lists are apart, over the size of the second.
fn apart(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    let largest = wanted.iter().fold(1e-3_f32, |most, value| most.max(value.abs()));
    let furthest = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(found.iter().all(|value| value.is_finite()));
    furthest / largest
}

#[test]
fn states_and_gradients_of_the_padded_decoder_are_the_jagged_ones() {
    const ITEMS: usize = 50;
    for (positions, project) in
        [(Positions::Learned, true), (Positions::Rotary, true), (Positions::Learned, false)]
    {
        let rank = if project { 9 } else { 16 };
        let config = ModelConfig {
            layers: 2,
            width: 16,
            heads: 2,
            hidden: 20,
            rank,
            window: 300,
            positions,
            project,
            ..ModelConfig::default()
        };
        let model = Model::new(config.clone(), ITEMS, 3).unwrap();
        let (offsets, token_rows) = batch(ITEMS);
        let leaf = |device: &Device| {
            Var::from_tensor(&Tensor::from_slice(model.input_table().rows(), (ITEMS, rank), device).unwrap())
                .unwrap()
        };
        for drop in [None, Some(Drop { seed: 5, step: 2, rate: 0.2 })] {
            let rows = leaf(&Device::Cpu);
            let states =
                model.forward(rows.as_tensor(), &token_rows, &offsets, drop, Products::F32, None).unwrap();
            let weights = weights(token_rows.len() * rank);
            let gradients = weighted(&states, weights.clone());
            for device in devices() {
                for (products, bound) in [(DType::F32, 1e-4), (DType::BF16, 0.06)] {
                    let (places, batch) = padded(&config, products, &device, ITEMS);
                    let parameters = model.parameters().to_device(&device).unwrap();
                    let own = leaf(&device);
                    let found = batch.forward(&config, &parameters, own.as_tensor(), drop).unwrap();
                    let tokens: Vec<u32> = (0..token_rows.len() as u32).collect();
                    let rows_of = places.spread(&tokens, PADDING);
                    let spread = |of_tokens: &[f32], filler: f32| -> Vec<f32> {
                        let row = |&token: &u32| match token {
                            PADDING => vec![filler; rank],
                            token => of_tokens[token as usize * rank..][..rank].to_vec(),
                        };
                        rows_of.iter().flat_map(row).collect()
                    };
                    let what = format!("{device:?} {products:?} {positions:?} {project} {drop:?}");
                    let real = spread(&vec![1.0; weights.len()], 0.0);
                    let values: Vec<f32> = flat(&found).iter().zip(&real).map(|(x, real)| x * real).collect();
                    let difference = apart(&values, &spread(&flat(&states), 0.0));
                    assert!(difference < bound, "{what}: {difference}");
                    let found = weighted(&found, spread(&weights, 0.0));
                    let pairs = model.parameters().iter().zip(parameters.iter());
                    let pairs = pairs.map(|((name, a), (_, b))| (name, a.clone(), b.clone()));
                    for (name, wanted, own) in pairs.chain([("the leaf", rows.clone(), own.clone())]) {
                        let (found, wanted) =
                            (found.get(own.as_tensor()).unwrap(), gradients.get(wanted.as_tensor()).unwrap());
                        let difference = apart(&flat(found), &flat(wanted));
                        assert!(difference < bound, "{what}: the gradient of {name}: {difference}");
                    }
                }
            }
        }
    }
}
