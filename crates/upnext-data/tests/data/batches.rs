//! Batches: every pair once an epoch, targets shifted by one, all of it a function of the seed.

use upnext_data::{Batch, BatchSize, Batches, Error, Histories, ItemId, UserId};

use crate::world;

const SIZES: [BatchSize; 4] =
    [BatchSize::Users(1), BatchSize::Users(7), BatchSize::Tokens(16), BatchSize::Tokens(1000)];

fn whole(histories: &Histories) -> Vec<usize> {
    histories.iter().map(|(_, history)| history.len()).collect()
}

fn epoch(batches: &Batches<'_>, epoch: u64) -> Vec<Batch> {
    let epoch = batches.epoch(epoch);
    (0..epoch.len()).map(|index| epoch.batch(index)).collect()
}

#[test]
fn every_pair_comes_once_an_epoch_and_targets_are_tokens_shifted_by_one() {
    for number in 0..10 {
        let histories = world::histories(number, 25, 40);
        for (window, size) in [1, 2, 5, 16].into_iter().flat_map(|w| SIZES.map(|size| (w, size))) {
            let batches = Batches::new(&histories, &whole(&histories), window, size, number).unwrap();
            for number in 0..3 {
                let mut times_seen = vec![0; histories.events()];
                for batch in epoch(&batches, number) {
                    for (token, target) in batch.tokens.iter().zip(&batch.targets) {
                        assert_eq!(target.0, token.0 + 1, "events are numbered in order");
                        times_seen[token.index()] += 1;
                    }
                }
                for (_, history) in histories.iter().filter(|(_, history)| !history.is_empty()) {
                    let (last, others) = history.items.split_last().unwrap();
                    assert!(others.iter().all(|item| times_seen[item.index()] == 1), "each pair once");
                    assert_eq!(times_seen[last.index()], 0, "nothing follows the last event");
                }
                let pairs = times_seen.iter().sum::<u64>();
                assert_eq!(pairs, batches.pairs());
            }
        }
    }
}

#[test]
fn a_batch_is_well_formed_and_as_large_as_asked() {
    let histories = world::histories(3, 60, 40);
    for size in SIZES {
        let batches = Batches::new(&histories, &whole(&histories), 16, size, 5).unwrap();
        let all = epoch(&batches, 0);
        for (index, batch) in all.iter().enumerate() {
            let n = batch.tokens.len();
            assert_eq!((batch.targets.len(), batch.times.len()), (n, n));
            assert_eq!(batch.offsets.len(), batch.users.len() + 1);
            assert_eq!((batch.offsets[0], *batch.offsets.last().unwrap()), (0, n));
            for (window, user) in batch.offsets.windows(2).zip(&batch.users) {
                assert!((1..=16).contains(&(window[1] - window[0])));
                let history = histories.of(*user);
                let place = history.items.iter().position(|item| *item == batch.tokens[window[0]]).unwrap();
                let events = place..place + window[1] - window[0];
                assert_eq!(batch.tokens[window[0]..window[1]], history.items[events.clone()]);
                assert_eq!(batch.times[window[0]..window[1]], history.times[events]);
            }
            let next = all.get(index + 1).map(|next| next.offsets[1]);
            match size {
                BatchSize::Users(users) => assert!(batch.users.len() == users || next.is_none()),
                BatchSize::Tokens(tokens) => {
                    assert!(n <= tokens && next.is_none_or(|next| n + next > tokens), "as many as fit");
                }
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_batches_and_another_seed_others() {
    let histories = world::histories(4, 50, 40);
    let make = |seed| Batches::new(&histories, &whole(&histories), 8, BatchSize::Users(5), seed).unwrap();
    assert_eq!(epoch(&make(1), 3), epoch(&make(1), 3));
    assert_ne!(epoch(&make(1), 3), epoch(&make(2), 3));
    assert_ne!(epoch(&make(1), 3), epoch(&make(1), 4));
}

#[test]
fn over_the_epochs_every_cut_of_a_long_history_occurs() {
    let items: Vec<ItemId> = (0..41).map(ItemId).collect();
    let histories = Histories::new(["a"].iter().collect(), vec![0, 41], items, vec![0; 41]).unwrap();
    let batches = Batches::new(&histories, &[41], 4, BatchSize::Users(100), 9).unwrap();
    let mut starts = vec![0; 40];
    for number in 0..400 {
        for batch in epoch(&batches, number) {
            let begins = batch.offsets.iter().take(batch.users.len());
            begins.for_each(|&offset| starts[batch.tokens[offset].index()] += 1);
        }
    }
    assert_eq!(starts[0], 400);
    // A place begins a window in a quarter of the epochs; five standard deviations are 43.
    assert!(starts[1..].iter().all(|&count: &i32| count.abs_diff(100) < 44), "{starts:?}");
}

#[test]
fn a_token_is_told_the_next_training_events_whatever_window_it_is_in() {
    // Event j of all is item j; the last five of the first user do not train.
    let items: Vec<ItemId> = (0..60).map(ItemId).collect();
    let keys = ["a", "b"].iter().collect();
    let histories = Histories::new(keys, vec![0, 41, 60], items, vec![0; 60]).unwrap();
    let train = [36, 19];
    for horizons in 1..9 {
        let batches = Batches::new(&histories, &train, 6, BatchSize::Users(3), 2).unwrap();
        let mut told = 0;
        for batch in epoch(&batches.looking_ahead(horizons), 1) {
            for window in 0..batch.users.len() {
                for token in batch.offsets[window]..batch.offsets[window + 1] {
                    let ahead: Vec<ItemId> = batch.ahead(window, token).take(horizons).collect();
                    let (event, end) =
                        (batch.tokens[token].0, if batch.users[window].0 == 0 { 36 } else { 60 });
                    let expected: Vec<ItemId> = (event + 1..end).take(horizons).map(ItemId).collect();
                    assert_eq!(ahead, expected, "{horizons} horizons, event {event}");
                    told += ahead.len();
                }
            }
        }
        let of_user = |events: usize| (1..=horizons).map(|j| events - j).sum::<usize>();
        assert_eq!(told, of_user(36) + of_user(19), "{horizons} horizons");
    }
}

#[test]
fn a_short_history_is_one_window() {
    let items: Vec<ItemId> = (0..5).map(ItemId).collect();
    let histories = Histories::new(["a"].iter().collect(), vec![0, 5], items, vec![0; 5]).unwrap();
    let batches = Batches::new(&histories, &[5], 4, BatchSize::Users(1), 0).unwrap();
    let [batch] = epoch(&batches, 0).try_into().unwrap();
    assert_eq!(batch.tokens, [0, 1, 2, 3].map(ItemId));
    assert_eq!(batch.targets, [1, 2, 3, 4].map(ItemId));
    assert_eq!((batch.offsets, batch.users), (vec![0, 4], vec![UserId(0)]));
}

#[test]
fn what_cannot_be_batched_is_refused() {
    let histories = world::histories(5, 10, 12);
    let train = whole(&histories);
    let new = |train: &[usize], window, size| Batches::new(&histories, train, window, size, 0).unwrap_err();
    assert!(matches!(new(&train, 0, BatchSize::Users(1)), Error::Reserve { window: 0, .. }));
    assert!(matches!(new(&train, 4, BatchSize::Users(0)), Error::BatchSize { least: 1, .. }));
    assert!(matches!(new(&train, 4, BatchSize::Tokens(3)), Error::BatchSize { least: 4, .. }));
    assert!(matches!(new(&train[1..], 4, BatchSize::Users(1)), Error::Entries { .. }));
    assert!(matches!(new(&[99; 10], 4, BatchSize::Users(1)), Error::Train { train: 99, .. }));
    assert!(matches!(new(&[0; 10], 4, BatchSize::Users(1)), Error::NoPairs));
}
