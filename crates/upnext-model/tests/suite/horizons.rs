//! States of several horizons: of a batch in training, of last positions in serving.

use candle_core::{Device, Tensor};
use upnext_data::ItemId;
use upnext_kernels::products::Products;
use upnext_model::{Cache, Error, Model, ModelConfig, Reads};

use super::world::{bits, chain, configs, history, items, model};

const ITEMS: usize = 13;
const OFFSETS: [usize; 3] = [0, 4, 11];

fn ahead() -> Vec<ModelConfig> {
    configs().into_iter().map(|config| ModelConfig { horizons: 4, window: 12, ..config }).collect()
}

/// The states that a batch of eleven tokens gives.
fn states(model: &Model, reads: Option<&Reads>) -> Vec<f32> {
    let table = model.input_table();
    let rows = Tensor::from_slice(table.rows(), (ITEMS, table.rank()), &Device::Cpu).unwrap();
    let ids: Vec<u32> = history(3, 11, ITEMS).iter().map(|item| item.0).collect();
    let states = model.forward(&rows, &ids, &OFFSETS, None, Products::F32, reads).unwrap();
    states.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn the_first_horizon_is_the_next_item_and_the_others_are_not() {
    for config in ahead() {
        let model = model(&config, ITEMS);
        let plain = states(&model, None);
        let tokens: Vec<u32> = (0..11).collect();
        for horizon in 0..4 {
            let reads = Reads::new(&tokens, &[horizon; 11], 11, &config).unwrap();
            assert_eq!(states(&model, Some(&reads)) == plain, horizon == 0, "{config:?} {horizon}");
        }
    }
}

#[test]
fn merged_horizons_share_their_states() {
    for config in ahead() {
        let config = ModelConfig { merge_horizons: true, ..config };
        let model = model(&config, ITEMS);
        assert!(model.parameters().get("head.horizons").is_err());
        let (plain, r) = (states(&model, None), config.rank);
        let reads = Reads::new(&[4, 4, 10, 0], &[0, 1, 0, 3], 11, &config).unwrap();
        let expected = [4, 4, 10, 0].map(|token: usize| &plain[token * r..][..r]).concat();
        assert_eq!(bits(&states(&model, Some(&reads))), bits(&expected));
    }
}

#[test]
fn serving_reads_every_horizon_that_was_trained() {
    for config in ahead() {
        let model = model(&config, ITEMS);
        let (network, vectors) = (model.network().unwrap(), model.vectors().unwrap());
        let past = history(3, 11, ITEMS);
        let reads = Reads::new(&[3, 3, 3, 3, 10, 10, 10, 10], &[0, 1, 2, 3, 0, 1, 2, 3], 11, &config);
        let trained = states(&model, Some(&reads.unwrap()));
        let (first, second) = (&past[..4], &past[4..]);
        let both = network.prefill_ahead(&[first, second], &vectors, None, true, 4).unwrap();
        // Zero is added to the first horizon in training alone, which makes a difference to -0 only.
        assert_eq!(both, trained, "{config:?}");
        for horizons in 1..=4 {
            let width = horizons * config.rank;
            let alone = network.prefill_ahead(&[second], &vectors, None, false, horizons).unwrap();
            assert_eq!(bits(&alone), bits(&both[4 * config.rank..][..width]));
            let (before, last) = second.split_at(second.len() - 1);
            let (nothing, mut own) = (Cache::new(&config), vec![Cache::new(&config)]);
            network.prefill_ahead(&[before], &vectors, Some(&mut own), false, horizons).unwrap();
            let extended =
                network.extend_ahead(last, &[&nothing], &mut own, &vectors, false, horizons).unwrap();
            assert_eq!(bits(&extended), bits(&alone), "{horizons} horizons of {config:?}");
        }
        let next = network.prefill(&[first], &vectors, None, false).unwrap();
        assert_eq!(bits(&next), bits(&both[..config.rank]));
    }
}

#[test]
fn what_a_model_does_not_have_is_refused() {
    let config = &ahead()[0];
    assert!(chain(&Reads::new(&[0], &[4], 1, config).unwrap_err()).contains("row 4"));
    assert!(chain(&Reads::new(&[1], &[0], 1, config).unwrap_err()).contains("row 1"));
    assert!(matches!(Reads::new(&[0, 0], &[0], 1, config), Err(Error::Size { .. })));
    let model = model(config, ITEMS);
    let (network, vectors) = (model.network().unwrap(), model.vectors().unwrap());
    let past: &[ItemId] = &items(&[1, 2]);
    for horizons in [0, 5] {
        let error = network.prefill_ahead(&[past], &vectors, None, false, horizons).unwrap_err();
        assert!(matches!(error, Error::Size { found, expected: 4, .. } if found == horizons), "{error}");
    }
    let table = model.input_table();
    let rows = Tensor::from_slice(table.rows(), (ITEMS, table.rank()), &Device::Cpu).unwrap();
    let reads = Reads::new(&[0], &[0], 3, config).unwrap();
    let error = model.forward(&rows, &[1, 2], &[0, 2], None, Products::F32, Some(&reads)).unwrap_err();
    assert!(matches!(error, Error::Size { found: 3, expected: 2, .. }), "{error}");
}
