//! The frozen decoder: equal to the trained one, and to itself however a history is read.

use candle_core::{Device, Tensor};
use upnext_data::{ItemId, window};
use upnext_kernels::products::Products;
use upnext_model::{Cache, Error, ModelConfig, Network, Vectors};

use super::world::{bits, configs, history, items, model};

const ITEMS: usize = 50;
const BATCHES: [usize; 5] = [1, 2, 3, 17, 64];

fn each_network(mut test: impl FnMut(&Network, &Vectors<'_>)) {
    for config in configs() {
        let model = model(&config, ITEMS);
        test(&model.network().unwrap(), &model.vectors().unwrap());
    }
}

/// Histories of all lengths that the window holds.
fn histories(config: &ModelConfig, count: usize) -> Vec<Vec<ItemId>> {
    (0..count).map(|j| history(j as u64, 1 + j * 5 % config.window, ITEMS)).collect()
}

fn views(histories: &[Vec<ItemId>]) -> Vec<&[ItemId]> {
    histories.iter().map(Vec::as_slice).collect()
}

fn fresh(network: &Network, count: usize) -> Vec<Cache> {
    vec![Cache::new(network.config()); count]
}

#[test]
fn serving_runs_the_decoder_that_was_trained() {
    for config in configs() {
        let model = model(&config, ITEMS);
        let table =
            Tensor::from_slice(model.input_table().rows(), (ITEMS, config.rank), &Device::Cpu).unwrap();
        let input = history(4, config.window, ITEMS);
        let ids: Vec<u32> = input.iter().map(|item| item.0).collect();
        let trained = model.forward(&table, &ids, &[0, ids.len()], None, Products::F32, None).unwrap();
        let served = model.network().unwrap().states(&input, &model.vectors().unwrap()).unwrap();
        assert_eq!(bits(&served), bits(&trained.flatten_all().unwrap().to_vec1().unwrap()), "{config:?}");
    }
}

#[test]
fn the_last_state_is_read_without_the_others() {
    each_network(|network, vectors| {
        for len in 1..=network.config().window {
            let input = history(len as u64, len, ITEMS);
            let states = network.states(&input, vectors).unwrap();
            let last = bits(&states[states.len() - vectors.rank()..]);
            assert_eq!(bits(&network.prefill(&[&input], vectors, None, false).unwrap()), last, "{len}");
            let mut caches = fresh(network, 1);
            let kept = network.prefill(&[&input], vectors, Some(&mut caches), false).unwrap();
            assert_eq!(bits(&kept), last, "{len}, kept");
            assert_eq!(caches[0].len(), len);
        }
    });
}

#[test]
fn a_batch_gives_what_each_history_gives_alone() {
    each_network(|network, vectors| {
        for size in BATCHES {
            let histories = histories(network.config(), size);
            let views = views(&histories);
            let mut caches = fresh(network, size);
            let together = network.prefill(&views, vectors, Some(&mut caches), true).unwrap();
            let tokens: Vec<ItemId> = histories.iter().map(|items| ItemId(items[0].0 ^ 1)).collect();
            let room: Vec<usize> =
                (0..size).filter(|&j| histories[j].len() < network.config().window).collect();
            let mut own = fresh(network, room.len());
            let prompts: Vec<&Cache> = room.iter().map(|&j| &caches[j]).collect();
            let next: Vec<ItemId> = room.iter().map(|&j| tokens[j]).collect();
            let stepped = network.extend(&next, &prompts, &mut own, vectors, true).unwrap();
            let rank = vectors.rank();
            for (j, state) in together.chunks(rank).enumerate() {
                let alone = network.prefill(&views[j..=j], vectors, None, false).unwrap();
                assert_eq!(bits(state), bits(&alone), "history {j} of {size}");
            }
            for (state, &j) in stepped.chunks(rank).zip(&room) {
                let longer = [views[j], &[tokens[j]]].concat();
                let alone = network.prefill(&[&longer], vectors, None, false).unwrap();
                assert_eq!(bits(state), bits(&alone), "hypothesis {j} of {size}");
            }
        }
    });
}

#[test]
fn hypotheses_that_share_a_prompt_do_not_touch_each_other() {
    each_network(|network, vectors| {
        let prompt = history(9, network.config().window - 3, ITEMS);
        let mut shared = fresh(network, 1);
        network.prefill(&[&prompt], vectors, Some(&mut shared), false).unwrap();
        for width in BATCHES {
            let paths: Vec<Vec<ItemId>> = (0..width).map(|j| history(100 + j as u64, 3, ITEMS)).collect();
            let mut own = fresh(network, width);
            for step in 0..3 {
                let tokens: Vec<ItemId> = paths.iter().map(|path| path[step]).collect();
                let prompts = vec![&shared[0]; width];
                let states = network.extend(&tokens, &prompts, &mut own, vectors, step == 1).unwrap();
                for (state, path) in states.chunks(vectors.rank()).zip(&paths) {
                    let whole = [&prompt[..], &path[..=step]].concat();
                    let alone = network.prefill(&[&whole], vectors, None, false).unwrap();
                    assert_eq!(bits(state), bits(&alone), "step {step} of {width} beams");
                }
            }
        }
    });
}

#[test]
fn cached_is_uncached_at_every_length() {
    each_network(|network, vectors| {
        let t = network.config().window;
        let reserve = 2;
        let events = history(77, 3 * t + reserve, ITEMS);
        for len in 1..=3 * t {
            let seen = window::of(len, t, reserve);
            let mut caches = fresh(network, 1);
            network.prefill(&[&events[seen.clone()]], vectors, Some(&mut caches), false).unwrap();
            let mut own = fresh(network, 1);
            for step in 0..reserve {
                let token = events[len + step];
                let cached = network.extend(&[token], &[&caches[0]], &mut own, vectors, false).unwrap();
                let whole = &events[seen.start..=len + step];
                let fresh = network.prefill(&[whole], vectors, None, false).unwrap();
                assert_eq!(bits(&cached), bits(&fresh), "length {len}, step {step}");
            }
        }
    });
}

#[test]
fn a_history_read_event_by_event_is_the_history_read_at_once() {
    each_network(|network, vectors| {
        let input = history(5, network.config().window, ITEMS);
        let states = network.states(&input, vectors).unwrap();
        let (nothing, mut own) = (Cache::new(network.config()), fresh(network, 1));
        for (token, expected) in input.iter().zip(states.chunks(vectors.rank())) {
            let state = network.extend(&[*token], &[&nothing], &mut own, vectors, false).unwrap();
            assert_eq!(bits(&state), bits(expected));
        }
    });
}

#[test]
fn a_truncated_cache_has_forgotten() {
    each_network(|network, vectors| {
        let input = history(6, 5, ITEMS);
        let mut caches = fresh(network, 1);
        network.prefill(&[&input], vectors, Some(&mut caches), false).unwrap();
        caches[0].truncate(3);
        let nothing = Cache::new(network.config());
        let state = network.extend(&[input[3]], &[&nothing], &mut caches, vectors, false).unwrap();
        let alone = network.prefill(&[&input[..4]], vectors, None, false).unwrap();
        assert_eq!((bits(&state), caches[0].len()), (bits(&alone), 4));
        let refilled = network.prefill(&[&input[..2]], vectors, Some(&mut caches), false).unwrap();
        let alone = network.prefill(&[&input[..2]], vectors, None, false).unwrap();
        assert_eq!((bits(&refilled), caches[0].len()), (bits(&alone), 2));
    });
}

#[test]
fn threads_move_no_bit() {
    let config = &configs()[0];
    let model = model(config, ITEMS);
    let (network, vectors) = (model.network().unwrap(), model.vectors().unwrap());
    let histories = histories(config, 64);
    let read = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        bits(&pool.install(|| network.prefill(&views(&histories), &vectors, None, true)).unwrap())
    };
    let one = read(1);
    assert_eq!(read(2), one);
    assert_eq!(read(5), one);
}

#[test]
fn what_cannot_be_read_is_named_and_changes_no_cache() {
    let model = model(&configs()[0], ITEMS);
    let (network, vectors) = (model.network().unwrap(), model.vectors().unwrap());
    let good = items(&[1, 2, 3]);
    let mut caches = fresh(&network, 2);
    network.prefill(&[&good, &good], &vectors, Some(&mut caches), false).unwrap();
    let mut refused = |second: &[ItemId]| {
        let error = network.prefill(&[&good, second], &vectors, Some(&mut caches), false).unwrap_err();
        assert!(caches.iter().all(|cache| cache.len() == 3));
        error
    };
    assert!(matches!(refused(&[]), Error::EmptyHistory { history: 1 }));
    assert!(matches!(refused(&items(&[1; 10])), Error::PastWindow { history: 1, len: 10, window: 9 }));
    assert!(matches!(refused(&items(&[50])), Error::UnknownItem { item: 50, items: 50 }));
    let error = network.prefill(&[&good], &vectors, Some(&mut caches), false).unwrap_err();
    assert!(matches!(error, Error::Size { found: 2, expected: 1, .. }));
    let full = Cache::new(&ModelConfig { layers: 3, ..network.config().clone() });
    let error = network.extend(&good[..1], &[&full], &mut fresh(&network, 1), &vectors, false).unwrap_err();
    assert!(matches!(error, Error::Size { found: 3, expected: 2, .. }));
    let mut full = fresh(&network, 1);
    network.prefill(&[&items(&[1; 9])], &vectors, Some(&mut full), false).unwrap();
    let error =
        network.extend(&good[..1], &[&full[0]], &mut fresh(&network, 1), &vectors, false).unwrap_err();
    assert!(matches!(error, Error::PastWindow { len: 10, .. }));
    assert!(network.prefill(&[], &vectors, None, true).unwrap().is_empty());
    assert!(network.extend(&[], &[], &mut [], &vectors, true).unwrap().is_empty());
    let narrow = Vectors::from_tables(&[0.0; 8], None, 4).unwrap();
    assert!(matches!(network.states(&good, &narrow), Err(Error::Size { found: 4, expected: 5, .. })));
}
