//! Training goes on from a model: on a catalogue that has grown and been renumbered, with old histories replayed.

use upnext_data::{History, UserId};
use upnext_model::folder::{Earlier, open_trained};

use super::*;

/// The same histories with every event `later` seconds on, for users from `first` on, over a catalogue with items in front.
fn grown(old: &Prepared, new_items: usize, first: usize, later: i64) -> Prepared {
    let mut keys: Vec<String> = (0..new_items).map(|item| format!("aaa{item:02}")).collect();
    keys.extend((0..ITEMS).map(|item| format!("item{item:03}")));
    let shift = new_items as u32;
    let (mut offsets, mut items, mut times) = (vec![0], Vec::new(), Vec::new());
    for (user, history) in old.histories.iter() {
        let History { items: own, times: at } = history;
        items.extend(own.iter().map(|item| ItemId(item.0 + shift)));
        times.extend(at.iter().map(|at| YEAR_2001 + at + if user.index() >= first { later } else { 0 }));
        offsets.push(items.len() as u64);
    }
    let users = old.histories.user_keys().clone();
    let catalog = Catalog::new(keys.iter().collect(), vec![]).unwrap();
    prepared(&catalog, &Histories::new(users, offsets, items, times).unwrap())
}

const YEAR_2001: i64 = 1_000_000_000;

fn earlier(config: &RunConfig, data: &Prepared) -> Earlier {
    let done = run(config, data);
    open_trained(&done.dir.join("model")).unwrap()
}

#[test]
fn rows_move_by_key_and_new_items_start_near_the_mean() {
    for tied in ["true", "false"] {
        let (config, data) = (config(&[("model.tied", tied)]), data(1));
        let earlier = earlier(&config, &data);
        let later = grown(&data, 3, 0, 0);
        let start = Start { config: &config, catalog: &later.catalog, earlier: Some(&earlier) };
        let learner = start.learner().unwrap();
        for (new, old) in [
            (learner.model.input_table(), earlier.model.input_table()),
            (learner.model.output_table(), earlier.model.output_table()),
        ] {
            assert_eq!(new.rows()[3 * 8..], *old.rows());
            let mean = |at: usize| old.rows().iter().skip(at).step_by(8).sum::<f32>() / ITEMS as f32;
            let noise = new.rows()[..3 * 8].iter().enumerate().map(|(at, row)| (row - mean(at % 8)).abs());
            let noise: Vec<f32> = noise.collect();
            assert!(
                noise.iter().all(|&noise| noise < 0.03) && noise.iter().any(|&noise| noise > 1e-4),
                "{noise:?}"
            );
        }
        for (name, _) in earlier.model.parameters().iter() {
            let values = |model: &upnext_model::Model| model.parameters().values(name).unwrap();
            assert_eq!(values(&learner.model), values(&earlier.model), "{name}");
        }
    }
}

#[test]
fn training_that_goes_on_begins_where_the_other_ended() {
    let (config, data) = (config(&[]), data(1));
    let first = run(&config, &data);
    let earlier = open_trained(&first.dir.join("model")).unwrap();
    assert_eq!(earlier.manifest.trained.from, None);
    let keep = tempfile::tempdir().unwrap();
    let dir = keep.path().join("run");
    let onward = TrainOptions { from: Some(&earlier), ..options() };
    let second = go(&config, &data, &dir, &onward);
    let loss = |done: &Done, at: usize| f64::from_bits(done.losses()[at].1);
    assert!(loss(&second, 0) < 0.9 * loss(&first, 0), "{} {}", loss(&second, 0), loss(&first, 0));
    let model = open_trained(&dir.join("model")).unwrap();
    assert_eq!(model.manifest.trained.from.as_ref(), Some(&earlier.manifest.seal));
    // Resumed without the model it went on from, it says so instead of beginning anew.
    let Err(Error::Differs { what, .. }) = go(&config, &data, &dir, &resume()).summary else { panic!() };
    assert!(what.contains("--from"), "{what}");
    assert!(go(&config, &data, &dir, &TrainOptions { resume: true, ..onward }).summary.is_ok());
}

#[test]
fn what_newer_data_do_not_train_is_kept_and_passed_on() {
    let (config, old) = (config(&[]), data(1));
    let first = earlier(&config, &old);
    // Of the newer data only the first two users are known, with their last four events.
    let users = ["user000", "user001"].iter().collect();
    let last = |user: u32| &old.histories.of(UserId(user)).items[old.histories.of(UserId(user)).len() - 4..];
    let items = [last(0), last(1)].concat();
    let newer = Histories::new(users, vec![0, 4, 8], items, [1, 2, 3, 4, 1, 2, 3, 4].to_vec()).unwrap();
    let newer = prepared(&old.catalog, &newer);
    let keep = tempfile::tempdir().unwrap();
    let onward = |from: &Earlier, name: &str| {
        let dir = keep.path().join(name);
        assert!(go(&config, &newer, &dir, &TrainOptions { from: Some(from), ..options() }).summary.is_ok());
        open_trained(&dir.join("model")).unwrap()
    };
    let second = onward(&first, "second");
    let third = onward(&second, "third");
    let is_newer =
        |item: &u32| newer.histories.iter().any(|(_, history)| history.items.contains(&ItemId(*item)));
    let untouched = (0..ITEMS as u32).find(|item| !is_newer(item)).unwrap() as usize;
    let row = |from: &Earlier| from.model.input_table().rows()[untouched * 8..][..8].to_vec();
    assert!(first.counts[untouched] > 1);
    for later in [&second, &third] {
        // It is served by its own row, which no negative has moved, and is popular no more.
        assert_eq!((later.counts[untouched], row(later)), (1, row(&first)));
        let served = upnext_model::tower::finish(&later.model, &later.counts, None).unwrap();
        assert_eq!(served.cold, first.counts.iter().filter(|&&count| count == 0).count());
    }
}

#[test]
fn what_was_served_by_its_row_is_served_so_whatever_counts_as_cold() {
    let data = data(1);
    let plain = earlier(&config(&[]), &data);
    let of = |tower: &str| {
        let mut config = config(&[]);
        config.model.tower = Some(toml::from_str(tower).unwrap());
        let start = Start { config: &config, catalog: &data.catalog, earlier: Some(&plain) };
        start.known(vec![0; ITEMS as usize])
    };
    for (item, &before) in plain.counts.iter().enumerate() {
        let was_served = before > 0;
        assert_eq!(of("cold_below = 5")[item], if was_served { 5 } else { 0 }, "{item}: {before}");
        // A gate weighs a row by how many events it had.
        assert_eq!(of("gate = 8.0")[item], before, "{item}");
    }
}

#[test]
fn a_share_of_the_old_histories_trains_beside_the_new_ones() {
    let (config, ordered) = (config(&[("train.replay", "0.2")]), data(1));
    let data = grown(&ordered, 0, 0, 0);
    let whole = run(&RunConfig { train: every_history(&config), ..config.clone() }, &data);
    let earlier = open_trained(&whole.dir.join("model")).unwrap();
    assert!(earlier.manifest.trained.newest.is_some());
    let keep = tempfile::tempdir().unwrap();
    let onward = TrainOptions { from: Some(&earlier), ..options() };
    // Ten of 45 users have something new.
    let later = grown(&ordered, 0, 35, 1_000);
    let done = go(&config, &later, &keep.path().join("run"), &onward);
    let tokens = |done: &Done| -> Vec<usize> {
        let of = |event: &Event| match event {
            Event::Step { tokens, .. } => Some(*tokens),
            _ => None,
        };
        done.events.iter().filter_map(of).collect()
    };
    let (all, some): (usize, usize) = (tokens(&whole).iter().sum(), tokens(&done).iter().sum());
    let share = some as f64 / all as f64;
    // 10 users and a fifth of 35: 17 of 45.
    assert!((0.25..0.5).contains(&share), "{share}");
    // Without anything new there is nothing to do, and without a model nothing is old.
    let refused = |data: &Prepared, options: &TrainOptions<'_>| {
        go(&config, data, &keep.path().join("other"), options).summary.unwrap_err().to_string()
    };
    assert!(refused(&data, &onward).contains("nothing new"));
    // Places in an order are no times.
    let without = run(&RunConfig { train: every_history(&config), ..config.clone() }, &ordered);
    let without = open_trained(&without.dir.join("model")).unwrap();
    let message = refused(&ordered, &TrainOptions { from: Some(&without), ..options() });
    assert!(message.contains("does not say when"), "{message}");
    assert!(refused(&data, &options()).contains("--from"));
}

/// The same training with every history in every epoch.
fn every_history(config: &RunConfig) -> crate::config::TrainConfig {
    crate::config::TrainConfig { replay: 1.0, ..config.train.clone() }
}

#[test]
fn a_model_of_other_shapes_is_refused_by_key() {
    let data = data(1);
    let earlier = earlier(&config(&[]), &data);
    let wide = config(&[("model.hidden", "16"), ("model.dropout", "0.3")]);
    // Before anything is cleared: an existing run stays as it is.
    let keep = tempfile::tempdir().unwrap();
    let dir = keep.path().join("run");
    assert!(go(&config(&[]), &data, &dir, &options()).summary.is_ok());
    let before = weights(&dir);
    let refused = |config: &RunConfig| {
        let onward = TrainOptions { overwrite: true, from: Some(&earlier), ..options() };
        let message = go(config, &data, &dir, &onward).summary.unwrap_err().to_string();
        assert_eq!(weights(&dir), before, "{message}");
        message
    };
    let message = refused(&wide);
    assert!(message.contains("model.hidden is 16 in the run and 12 in the model"), "{message}");
    assert!(!message.contains("dropout"), "{message}");
    let message = refused(&config(&[("train.protocol", "cold:0.5,1")]));
    assert!(message.contains("holds \"item") && message.contains("leak"), "{message}");
    // What the model was trained on, and what chose it.
    for protocol in ["last:1,3", "last:2"] {
        let message = refused(&config(&[("train.protocol", protocol)]));
        assert!(message.contains("(protocol loo)") && message.contains("leak"), "{message}");
    }
}
