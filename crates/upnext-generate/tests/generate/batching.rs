//! What a request gets does not depend on its neighbours, on chunks or on threads.

use upnext_data::ItemId;
use upnext_generate::{Generator, Method, Options, Request, RequestError, Threads};
use upnext_model::{ModelConfig, Positions, Vectors};

use crate::support::{all_bits, bits, config, generator, history, one, request, served, served_of};

const ITEMS: usize = 300;

fn requests(count: u64) -> Vec<Request> {
    (0..count).map(|case| request(case, ITEMS)).collect()
}

#[test]
fn a_batch_gives_each_request_what_it_gets_alone() {
    let generator = generator(ITEMS);
    let requests = requests(64);
    let alone: Vec<_> = requests.iter().map(|request| bits(&one(&generator, request))).collect();
    for batch in [1, 2, 3, 17, 64] {
        let together: Vec<_> =
            requests.chunks(batch).flat_map(|batch| all_bits(&generator.generate(batch))).collect();
        assert_eq!(together, alone, "batches of {batch}");
    }
}

#[test]
fn odd_sizes_and_several_blocks_of_items_keep_the_bits() {
    let sizes =
        ModelConfig { width: 36, heads: 3, hidden: 50, rank: 21, positions: Positions::Rotary, ..config() };
    let items = 20_001;
    let open = |threads| {
        let options = Options { threads, ..Options::default() };
        Generator::from_parts(served_of(sizes.clone(), items, 40.0), options).unwrap()
    };
    let (caller, pool) = (open(Threads::Caller), open(Threads::Pool(2)));
    let requests: Vec<Request> = (0..17).map(|case| request(case, items)).collect();
    let alone: Vec<_> = requests.iter().map(|request| bits(&one(&caller, request))).collect();
    assert_eq!(all_bits(&caller.generate(&requests)), alone);
    assert_eq!(all_bits(&pool.generate(&requests)), alone);
}

#[test]
fn neither_chunks_nor_a_small_budget_move_a_bit() {
    let requests = requests(40);
    let expected = all_bits(&generator(ITEMS).generate(&requests));
    for (chunk, bytes) in [(0, 0), (1, usize::MAX), (7, 100_000), (1000, 1)] {
        let options = Options { chunk, bytes, ..Options::default() };
        let generator = Generator::from_parts(served(ITEMS), options).unwrap();
        assert_eq!(all_bits(&generator.generate(&requests)), expected, "chunk {chunk}, {bytes} bytes");
    }
}

#[test]
fn a_pool_gives_the_bits_of_the_caller() {
    let requests = requests(40);
    let expected = all_bits(&generator(ITEMS).generate(&requests));
    for threads in [1, 2, 3] {
        let options = Options { threads: Threads::Pool(threads), ..Options::default() };
        let generator = Generator::from_parts(served(ITEMS), options).unwrap();
        assert_eq!(all_bits(&generator.generate(&requests)), expected, "{threads} threads");
    }
}

#[test]
fn threads_share_one_generator() {
    fn shared<T: Send + Sync + 'static>(value: T) -> T {
        value
    }
    let generator = shared(generator(ITEMS));
    let requests = requests(8);
    let expected = all_bits(&generator.generate(&requests));
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..3).map(|_| scope.spawn(|| all_bits(&generator.generate(&requests)))).collect();
        for worker in workers {
            assert_eq!(worker.join().unwrap(), expected);
        }
    });
}

#[test]
fn a_refused_request_does_not_harm_its_neighbours() {
    let generator = generator(ITEMS);
    let good = requests(5);
    let refused = Request::from_items(&history(1, 3, ITEMS)).length(100).method(Method::Beam { width: 2 });
    let mut mixed = good.clone();
    mixed.insert(2, refused.build().unwrap());
    let mut slates = generator.generate(&mixed);
    assert!(matches!(slates.remove(2), Err(RequestError::Reserve { length: 100, .. })));
    assert_eq!(all_bits(&slates), all_bits(&generator.generate(&good)));
}

#[test]
fn no_requests_give_no_slates() {
    assert!(generator(ITEMS).generate(&[]).is_empty());
}

#[test]
fn overflowing_scores_fail_only_the_requests_that_meet_them() {
    let mut parts = served(ITEMS);
    let rank = parts.vectors.rank();
    let mut rows = vec![0.0; ITEMS * rank];
    for (id, row) in (0..).zip(rows.chunks_exact_mut(rank)) {
        parts.vectors.input_row(ItemId(id), row).unwrap();
    }
    rows[7 * rank..8 * rank].fill(f32::MAX);
    parts.vectors = Vectors::packed(rows, None, rank).unwrap();
    let generator = Generator::from_parts(parts, Options::default()).unwrap();
    let ask = |case: u64| {
        let width = 1 + case as usize % 6;
        let builder = Request::from_items(&history(case, 5, 7)).length(5).method(Method::Beam { width });
        if case.is_multiple_of(2) { builder.deny(&["item-00007"]) } else { builder }.build().unwrap()
    };
    let requests: Vec<Request> = (0..64).map(ask).collect();
    let mut failed = 0;
    for (case, (request, slate)) in requests.iter().zip(generator.generate(&requests)).enumerate() {
        match slate {
            Ok(slate) => assert_eq!(bits(&slate), bits(&one(&generator, request)), "case {case}"),
            Err(error) => {
                assert!(case % 2 == 1 && matches!(error, RequestError::NotFinite), "case {case}: {error}");
                failed += 1;
            }
        }
    }
    assert!(failed > 0);
}

#[test]
fn parts_of_two_models_are_refused() {
    let mut parts = served(ITEMS);
    parts.counts.pop();
    let error = Generator::from_parts(parts, Options::default()).unwrap_err();
    assert!(error.to_string().contains("299 counts, but 300 items"), "{error}");
}

#[test]
fn a_state_times_an_items_vector_is_its_score() {
    let generator = generator(ITEMS);
    let histories = [vec![ItemId(3), ItemId(8)], vec![], vec![ItemId(1)]];
    let requests: Vec<Request> =
        histories.iter().map(|history| Request::from_items(history).length(ITEMS).build().unwrap()).collect();
    let states = generator.states(&requests);
    assert!(matches!(states[1], Err(RequestError::NothingKnown)));
    for (request, state) in requests.iter().zip(&states).step_by(2) {
        let state = state.as_ref().unwrap();
        assert_eq!(generator.states(std::slice::from_ref(request))[0].as_ref().unwrap(), state, "alone");
        let slate = generator.generate(std::slice::from_ref(request)).remove(0).unwrap();
        let mut row = vec![0.0; state.len()];
        let mut scores = Vec::new();
        for place in &slate.items {
            generator.vectors().output_row(place.item, &mut row).unwrap();
            scores.push(state.iter().zip(&row).map(|(a, b)| f64::from(a * b)).sum::<f64>());
        }
        // A list's scores are these, less one number that normalises them.
        let shift = scores[0] - slate.items[0].score;
        for (score, place) in scores.iter().zip(&slate.items) {
            assert!((score - shift - place.score).abs() < 1e-3, "{score} {shift} {}", place.score);
        }
    }
}

#[test]
fn similar_items_are_named_by_key_and_an_unknown_one_is_refused() {
    let generator = generator(ITEMS);
    let key = generator.catalog().key(ItemId(5)).to_owned();
    let found = generator.similar(&key, 4).unwrap();
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|place| place.key != key && place.score <= 1.0));
    assert!(found.is_sorted_by(|a, b| a.score >= b.score));
    assert!(matches!(generator.similar("nobody", 4), Err(RequestError::Unknown(key)) if key == "nobody"));
}
