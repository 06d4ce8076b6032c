//! The generated world: its probabilities are true, its histories keep its rules, and it is worth learning.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;

use upnext_data::synthetic::{World, WorldConfig};
use upnext_data::{ItemId, UserId};

fn small() -> World {
    World::new(WorldConfig { users: 300, ..WorldConfig::tiny() }, 5).unwrap()
}

/// Probabilities, item and position of every event.
fn each_event(world: &World, mut visit: impl FnMut(&[f64], usize, UserId, usize)) {
    let histories = world.histories().unwrap();
    for (user, history) in histories.iter() {
        for (position, item) in history.items.iter().enumerate() {
            let mut probabilities = world.next_log_probs(user, position);
            probabilities.iter_mut().for_each(|p| *p = p.exp());
            visit(&probabilities, item.index(), user, position);
        }
    }
}

#[test]
fn probabilities_sum_to_one_at_every_event() {
    each_event(&small(), |probabilities, item, user, position| {
        let sum: f64 = probabilities.iter().sum();
        assert!((sum - 1.0).abs() < 1e-9, "{user:?} {position}: {sum}");
        assert!(probabilities.iter().all(|p| (0.0..=1.0).contains(p)));
        assert!(probabilities[item] > 0.0);
    });
}

#[test]
fn events_happen_as_often_as_the_world_says() {
    let world = small();
    let catalog = world.catalog().unwrap();
    let franchise = catalog.column("franchise").unwrap();
    let is_sequel = |item: usize| {
        let name = franchise.values.get(item);
        !name.is_empty() && catalog.title(ItemId(item as u32)) != Some(name)
    };
    // Sequels, the likeliest item, and each tenth of the unit interval that the draw may have fallen into.
    let mut expected = [0.0; 2];
    let mut variance = [0.0; 2];
    let mut found = [0.0; 2];
    let mut tenths = [0_u32; 10];
    let mut events = 0.0;
    each_event(&world, |probabilities, item, user, position| {
        let best =
            (0..probabilities.len()).max_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b])).unwrap();
        let sequel: f64 = (0..probabilities.len()).filter(|i| is_sequel(*i)).map(|i| probabilities[i]).sum();
        for (slot, p, hit) in [(0, sequel, is_sequel(item)), (1, probabilities[best], best == item)] {
            expected[slot] += p;
            variance[slot] += p * (1.0 - p);
            found[slot] += f64::from(u8::from(hit));
        }
        // Anywhere within the item's own part of the interval, here by a fixed rule.
        let within = ((user.index() * 31 + position * 17) % 97) as f64 / 97.0;
        let below: f64 = probabilities[..item].iter().sum();
        tenths[(((below + within * probabilities[item]) * 10.0) as usize).min(9)] += 1;
        events += 1.0;
    });
    for slot in 0..2 {
        let off = (found[slot] - expected[slot]) / variance[slot].sqrt();
        assert!(off.abs() < 4.0, "{found:?} {expected:?}");
    }
    let chi_square: f64 =
        tenths.iter().map(|n| (f64::from(*n) - events / 10.0).powi(2) / (events / 10.0)).sum();
    // Nine degrees of freedom: beyond 33.7 once in ten thousand worlds.
    assert!(chi_square < 33.7, "{tenths:?}");
}

#[test]
fn nothing_is_watched_twice_or_early_or_out_of_order() {
    let world = small();
    let (catalog, histories) = (world.catalog().unwrap(), world.histories().unwrap());
    let (franchise, released) = (catalog.column("franchise").unwrap(), catalog.column("released").unwrap());
    for (user, history) in histories.iter() {
        let mut seen = BTreeSet::new();
        let mut titles = BTreeSet::new();
        for (position, item) in history.items.iter().enumerate() {
            let log_probs = world.next_log_probs(user, position);
            assert!(seen.iter().all(|old: &ItemId| log_probs[old.index()] == f64::NEG_INFINITY));
            assert!(seen.insert(*item));
            let day = (history.times[position] - 1_640_995_200) / 86_400;
            assert!((0..=1_095).contains(&day), "{day}");
            assert!(released.values.get(item.index()) < "2025-01-01");
            let (title, name) = (catalog.title(*item).unwrap(), franchise.values.get(item.index()));
            let part = title.strip_prefix(name).filter(|_| !name.is_empty()).unwrap_or_default();
            match part.trim().parse::<u32>() {
                Ok(2) => assert!(titles.contains(name), "{title}"),
                Ok(part) => assert!(titles.contains(&format!("{name} {}", part - 1)), "{title}"),
                Err(_) => {}
            }
            titles.insert(title.to_owned());
        }
        assert!(history.times.is_sorted());
    }
}

#[test]
fn a_seed_is_a_world_at_any_number_of_threads() {
    let draw = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let world = pool.install(|| World::new(WorldConfig::tiny(), seed)).unwrap();
        (world.catalog().unwrap(), world.histories().unwrap())
    };
    let one = draw(1, 7);
    assert_eq!(one, draw(3, 7));
    assert_ne!(one, draw(1, 8));
}

#[test]
fn titles_can_be_told_apart_and_columns_are_there() {
    let catalog = small().catalog().unwrap();
    let titles: BTreeSet<_> =
        (0..catalog.len()).map(|id| catalog.title(ItemId(id as u32)).unwrap()).collect();
    assert_eq!(titles.len(), catalog.len());
    let names: Vec<_> = catalog.columns().iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["title", "genres", "franchise", "released"]);
    assert!(catalog.keys().iter().is_sorted());
}

#[test]
fn a_world_that_cannot_be_is_refused_by_the_field() {
    let tiny = WorldConfig::tiny;
    let cases = [
        (WorldConfig { users: 0, ..tiny() }, "users"),
        (WorldConfig { parts: (1, 4), ..tiny() }, "parts"),
        (WorldConfig { franchises: 500, ..tiny() }, "franchises"),
        (WorldConfig { franchises: usize::MAX, ..tiny() }, "franchises"),
        (WorldConfig { genres: 13, ..tiny() }, "genres"),
        (WorldConfig { events: (9, 8), ..tiny() }, "events"),
        (WorldConfig { events: (9, 500), ..tiny() }, "up to 500 events"),
        (WorldConfig { drift: 1.5, ..tiny() }, "drift"),
        (WorldConfig { novelty: f64::NAN, ..tiny() }, "novelty"),
        (WorldConfig { rest: 0.0, ..tiny() }, "rest"),
        (WorldConfig { zipf: -1.0, ..tiny() }, "zipf"),
        (WorldConfig { days: 0, ..tiny() }, "days"),
        (WorldConfig { favourites: 0, ..tiny() }, "favourites"),
    ];
    for (config, named) in cases {
        let error = World::new(config, 1).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

/// NDCG@10 of leave-one-out test targets among unseen items, ties against the system.
fn ndcg(world: &World, mut scores: impl FnMut(UserId, &[ItemId]) -> Vec<f64>) -> f64 {
    let histories = world.histories().unwrap();
    let gains = histories.iter().map(|(user, history)| {
        let (target, input) = history.items.split_last().unwrap();
        let mut scores = scores(user, input);
        for item in input {
            scores[item.index()] = f64::NEG_INFINITY;
        }
        let rank = scores.iter().filter(|score| **score >= scores[target.index()]).count();
        if rank <= 10 { 1.0 / (rank as f64 + 1.0).log2() } else { 0.0 }
    });
    gains.sum::<f64>() / histories.users() as f64
}

/// Windowed Markov (decay 0.8, window 10, norm 0.75), counted on all but the last two events.
fn windowed_markov(world: &World) -> impl FnMut(UserId, &[ItemId]) -> Vec<f64> {
    let (items, histories) = (world.catalog().unwrap().len(), world.histories().unwrap());
    let decay: Vec<f64> = (0..10).map(|age| 0.8_f64.powi(age)).collect();
    let mut counts = vec![0.0; items];
    let mut pairs = vec![0.0; items * items];
    for (_, history) in histories.iter() {
        let train = &history.items[..history.items.len() - 2];
        for (position, item) in train.iter().enumerate() {
            counts[item.index()] += 1.0;
            for (after, weight) in train[position + 1..].iter().zip(&decay) {
                pairs[item.index() * items + after.index()] += weight;
            }
        }
    }
    for row in pairs.chunks_mut(items) {
        let sum: f64 = row.iter().sum();
        for (cell, count) in row.iter_mut().zip(&counts).filter(|(cell, _)| **cell > 0.0) {
            *cell /= sum.powf(0.75) * f64::powf(*count, 0.25);
        }
    }
    move |_, input| {
        let mut scores: Vec<f64> = counts.iter().map(|count| 1e-9 * count).collect();
        for (item, weight) in input.iter().rev().zip(&decay) {
            for (score, cell) in scores.iter_mut().zip(&pairs[item.index() * items..]) {
                *score += weight * cell;
            }
        }
        scores
    }
}

#[test]
fn the_demo_world_leaves_room_between_windowed_markov_and_the_truth() {
    let world = World::new(WorldConfig::demo(), 1).unwrap();
    let histories = world.histories().unwrap();
    let mut popularity = vec![0.0; world.catalog().unwrap().len()];
    histories.items().iter().for_each(|item| popularity[item.index()] += 1.0);
    let truth = ndcg(&world, |user, input| world.next_log_probs(user, input.len()));
    let (markov, popular) = (ndcg(&world, windowed_markov(&world)), ndcg(&world, |_, _| popularity.clone()));
    println!("NDCG@10: truth {truth:.4}, windowed Markov {markov:.4}, popularity {popular:.4}");
    assert!(truth > 2.0 * markov, "{truth} {markov}");
    assert!(markov > 2.0 * popular, "{markov} {popular}");
}
