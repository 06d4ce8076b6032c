//! A step of a model with a tower: what is hidden, what is lifted, what decays.

use super::*;
use upnext_data::ItemId;

/// Features of width 6: items of the same rest by 5 are alike.
fn features(items: usize) -> upnext_data::ItemFeatures {
    let keys: upnext_data::Strings = (0..items).map(|item| format!("i{item:03}")).collect();
    let catalog = upnext_data::Catalog::new(keys.clone(), vec![]).unwrap();
    let value = |at: usize| (((at / 6) % 5 * 6 + at % 6) as f32 * 1.7).sin();
    let values: Vec<f32> = (0..items * 6).map(value).collect();
    let text =
        upnext_data::Modality { name: "text".into(), width: 6, items: (0..items as u32).collect(), values };
    let file = upnext_data::FeatureFile { keys, encoder: String::new(), modalities: vec![text] };
    upnext_data::ItemFeatures::of(&catalog, &[file]).unwrap().0
}

fn with_tower(masks: &str, rest: &str) -> RunConfig {
    tower_and_loss(masks, rest, "count = 20")
}

fn tower_and_loss(masks: &str, rest: &str, loss: &str) -> RunConfig {
    config(&format!(
        "model = {{ tower = {{ hidden = 7, {masks}, modalities = [[\"text\", 6]] }}{rest} }}\nloss = {{ {loss} }}"
    ))
}

#[test]
fn a_tower_learns_with_every_parameter_and_both_sides_masked() {
    let features = features(ITEMS);
    let masks = "mask_input = 0.3, mask_output = 0.3";
    for (masks, rest, loss) in [
        (masks, "", "count = 20"),
        (masks, ", tied = false", "count = 20"),
        (masks, "", "kind = \"full-softmax\""),
        (masks, ", tied = false", "kind = \"full-softmax\""),
        ("mask_input = 0.0, mask_output = 0.0, gate = 2.0", "", "count = 20"),
        (masks, "", "count = 20, align = 0.05"),
        (masks, ", horizons = 2", "count = 20, align = 0.05"),
        (masks, ", horizons = 2, tied = false", "kind = \"full-softmax\""),
        (masks, ", horizons = 2, merge_horizons = true", "count = 20, cold_boost = 1.0"),
    ] {
        let config = tower_and_loss(masks, rest, loss);
        let (mut learner, planner) = learner(&config);
        let mut planner = planner.with_tower(config.model.tower.as_ref().unwrap(), &features, &[1; ITEMS]);
        let before = bits(&learner);
        let mut step = |step| learner.step(&planner.plan(step, batch()).unwrap(), 0.02).unwrap();
        let first = step(0);
        let last = (1..200).map(&mut step).last().unwrap();
        assert!(last.loss < 0.6 * first.loss, "{rest} {loss}: {} to {}", first.loss, last.loss);
        let names: Vec<&str> = learner.model.parameters().iter().map(|(name, _)| name).collect();
        assert!(names.contains(&"tower.text.down") && names.contains(&tower::OUT_OF_VOCABULARY));
        for (at, (before, after)) in before.iter().zip(bits(&learner)).enumerate() {
            assert_ne!(*before, after, "array {at}");
        }
    }
}

#[test]
fn the_full_softmax_of_a_tower_is_the_sampled_one_with_every_item_drawn() {
    let features = features(ITEMS);
    let masks = "mask_input = 0.3, mask_output = 0.3";
    for rest in ["", ", tied = false", ", horizons = 3"] {
        let [full, sampled] = ["kind = \"full-softmax\"", "count = 30"].map(|loss| {
            let config = tower_and_loss(masks, rest, loss);
            let (mut learner, planner) = learner(&config);
            let mut planner =
                planner.with_tower(config.model.tower.as_ref().unwrap(), &features, &[1; ITEMS]);
            learner.step(&planner.plan(0, batch()).unwrap(), 0.02).unwrap()
        });
        assert!((full.loss - sampled.loss).abs() < 1e-5, "{rest}: {} {}", full.loss, sampled.loss);
        let apart = (full.gradient_norm - sampled.gradient_norm).abs();
        assert!(apart < 1e-4 * full.gradient_norm, "{rest}: {full:?} {sampled:?}");
    }
}

#[test]
fn a_full_softmax_with_a_tower_leaves_untrained_items_alone() {
    let features = features(ITEMS);
    let config = tower_and_loss("mask_input = 0.3", "", "kind = \"full-softmax\"");
    let (mut learner, _) = learner(&config);
    let watched: std::collections::BTreeSet<u32> =
        batch().tokens.iter().chain(&batch().targets).map(|item| item.0).collect();
    let counts: Vec<u64> = (0..ITEMS as u32).map(|item| u64::from(watched.contains(&item))).collect();
    let bystander = counts.iter().position(|&count| count == 0).unwrap();
    let planner = Planner::new(&config.loss, config.model.tied, &counts, 1);
    let mut planner = planner.with_tower(config.model.tower.as_ref().unwrap(), &features, &counts);
    let plan = planner.plan(0, batch()).unwrap();
    let Scored::Trained { ids, .. } = &plan.scored else { panic!("not the full softmax of a tower") };
    assert_eq!(*ids, watched.into_iter().collect::<Vec<_>>());
    let row = |learner: &Learner| learner.model.input_table().rows()[bystander * 8..][..8].to_vec();
    let before = row(&learner);
    learner.step(&plan, 0.02).unwrap();
    assert_eq!(before, row(&learner));
}

#[test]
fn a_gate_reads_and_serves_a_row_by_its_count() {
    let features = features(ITEMS);
    let config = with_tower("mask_input = 0.0, mask_output = 0.0, gate = 3.0", "");
    let (learner, planner) = learner(&config);
    let mut counts = vec![1_u64; ITEMS];
    counts[4] = 9;
    let mut planner = planner.with_tower(config.model.tower.as_ref().unwrap(), &features, &counts);
    let plan = planner.plan(0, batch()).unwrap();
    let kept = plan.lifts.as_ref().unwrap().input_kept.as_ref().unwrap().flatten_all().unwrap();
    let kept = kept.to_vec1::<f32>().unwrap();
    for (id, kept) in plan.ids.iter().zip(kept) {
        assert_eq!(kept, if *id == 4 { 0.75 } else { 0.25 }, "item {id}");
    }
    // What is served is what a step reads.
    let leaf = gathered(learner.model.input_table(), &plan.ids).unwrap();
    let lifts = plan.lifts.as_ref().unwrap();
    let kept = lifts.input_kept.as_ref();
    let lifted =
        tower::lift(&learner.model, leaf.as_tensor(), kept, &lifts.input_content, Products::F32).unwrap();
    let served = tower::finish(&learner.model, &counts, Some(&features)).unwrap();
    for (id, row) in plan.ids.iter().zip(lifted.to_vec2::<f32>().unwrap()) {
        let served = &served.input[*id as usize * 8..][..8];
        assert!(row.iter().zip(served).all(|(a, b)| (a - b).abs() < 1e-6), "item {id}");
    }
}

#[test]
fn masks_are_drawn_by_item_side_and_step() {
    let features = features(ITEMS);
    let config = with_tower("mask_input = 0.5, mask_output = 0.5", "");
    let (_, planner) = learner(&config);
    let mut planner = planner.with_tower(config.model.tower.as_ref().unwrap(), &features, &[1; ITEMS]);
    let mut masks = |step| {
        let plan = planner.plan(step, batch()).unwrap();
        let lifts = plan.lifts.unwrap();
        let of = |kept: Option<Tensor>| kept.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        [of(lifts.input_kept), of(lifts.output_kept)]
    };
    let [input, output] = masks(3);
    assert_eq!([input.clone(), output.clone()], masks(3));
    assert_ne!(input, output);
    assert_ne!(input, masks(4)[0]);
    assert!(input.contains(&0.0) && input.contains(&1.0));
}

/// Hidden items are scored lower in training, as true next items and as negatives alike, and nothing else is.
#[test]
fn a_boost_lowers_hidden_items_in_training_alone() {
    let features = features(ITEMS);
    let masks = "mask_input = 0.0, mask_output = 0.5";
    for rest in ["", ", tied = false"] {
        let plan = |loss: &str| {
            let config = tower_and_loss(masks, rest, loss);
            let (_, planner) = learner(&config);
            let tower = config.model.tower.as_ref().unwrap();
            planner.with_tower(tower, &features, &[1; ITEMS]).plan(2, batch()).unwrap()
        };
        let (plain, boosted) = (plan("count = 20"), plan("count = 20, cold_boost = 1.5"));
        let kept = boosted.lifts.as_ref().unwrap().output_kept.as_ref().unwrap();
        let kept = kept.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let candidates = |plan: &Plan| match &plan.scored {
            Scored::Sampled { candidates, .. } => candidates.clone(),
            _ => panic!("a sampled loss"),
        };
        let (plain, boosted) = (candidates(&plain), candidates(&boosted));
        let expected = |row: u32| 1.5 * (1.0 - kept[row as usize]);
        for (at, &row) in boosted.negatives.iter().enumerate() {
            assert!((boosted.log_kq[at] - plain.log_kq[at] - expected(row)).abs() < 1e-6);
        }
        for (at, &row) in boosted.targets.iter().enumerate() {
            assert!((boosted.raised[at] - expected(row)).abs() < 1e-6);
        }
        assert!(kept.contains(&0.0) && kept.contains(&1.0) && plain.raised.is_empty());
    }
}

/// On histories without any order, a model that is trained under a boost gives cold items about that much more of a
/// chance in serving, and one without a boost their share.
#[test]
fn a_boost_raises_cold_items_in_serving() {
    let features = features(ITEMS);
    let chaos = |step: u64| {
        let key =
            upnext_data::chance::Key { seed: 5, purpose: upnext_data::chance::Purpose::Order, step, part: 0 };
        let mut rng = key.rng();
        let mut item = || ItemId(upnext_data::chance::below(&mut rng, ITEMS as u64) as u32);
        let mut batch = batch();
        batch.tokens.iter_mut().for_each(|token| *token = item());
        batch.targets.iter_mut().for_each(|target| *target = item());
        batch
    };
    let log_odds = |loss: &str| -> f64 {
        let config = tower_and_loss("mask_input = 0.2, mask_output = 0.3", "", loss);
        let (mut learner, planner) = learner(&config);
        let mut planner = planner.with_tower(config.model.tower.as_ref().unwrap(), &features, &[1; ITEMS]);
        for step in 0..400 {
            let plan = planner.plan(step, chaos(step)).unwrap();
            assert!(learner.step(&plan, 3e-3).unwrap().finite);
        }
        let counts: Vec<u64> = (0..ITEMS).map(|item| u64::from(item % 5 != 0)).collect();
        let served = tower::finish(&learner.model, &counts, Some(&features)).unwrap();
        let (network, rank) = (learner.model.network().unwrap(), learner.model.config().rank);
        let vectors = upnext_model::Vectors::from_tables(&served.input, None, rank).unwrap();
        let (mut sum, inputs) = ([0.0; 2], 20);
        for step in 1_000..1_000 + inputs {
            let history = chaos(step).tokens[..8].to_vec();
            let state = network.prefill(&[&history], &vectors, None, false).unwrap();
            let mut scores = vec![0.0; ITEMS];
            let state = upnext_kernels::Rows::new(&state, 1, rank);
            upnext_kernels::score::scores(state, &vectors.table(), &mut scores, false);
            let all: f64 = scores.iter().map(|&score| f64::from(score).exp()).sum();
            for (&count, &score) in counts.iter().zip(&scores) {
                sum[usize::from(count > 0)] += f64::from(score).exp() / all;
            }
        }
        (sum[0] / sum[1]).ln()
    };
    let share = (0.2_f64 / 0.8).ln();
    let (plain, boosted) = (log_odds("count = 20"), log_odds("count = 20, cold_boost = 1.5"));
    assert!((plain - share).abs() < 0.3, "{plain} {share}");
    assert!((boosted - plain - 1.5).abs() < 0.5, "{plain} {boosted}");
}

/// A tower's matrices decay by what is asked of them, the touched rows by what is asked of those, and nothing else does.
#[test]
fn towers_and_rows_decay_by_what_is_asked_of_them() {
    let features = features(ITEMS);
    let norm = |values: &[f32]| values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
    let after = |tower: &str, rows: &str| -> Vec<(String, f64)> {
        let decay = format!("weight_decay = {tower}, row_weight_decay = {rows}");
        let config = with_tower(&format!("mask_input = 0.2, mask_output = 0.2, {decay}"), "");
        let (mut learner, planner) = learner(&config);
        let mut planner = planner.with_tower(config.model.tower.as_ref().unwrap(), &features, &[1; ITEMS]);
        let plan = planner.plan(0, batch()).unwrap();
        assert!(learner.step(&plan, 1e-2).unwrap().finite);
        let values = |name: &str| norm(&learner.model.parameters().values(name).unwrap());
        let names = learner.model.parameters().iter().map(|(name, _)| name.to_owned());
        let mut norms: Vec<(String, f64)> = names.map(|name| (name.clone(), values(&name))).collect();
        norms.push(("rows".to_owned(), norm(learner.model.input_table().rows())));
        norms
    };
    let decays = |tower: &str, rows: &str| -> Vec<String> {
        let pairs = after("0.0", "0.0").into_iter().zip(after(tower, rows));
        pairs
            .filter(|((name, without), (_, with))| {
                assert!(with <= without, "{name}: {without} {with}");
                with < without
            })
            .map(|((name, _), _)| name)
            .collect()
    };
    assert_eq!(decays("10.0", "0.0"), ["tower.text.direct", "tower.text.down", "tower.text.gate_up"]);
    assert_eq!(decays("0.0", "10.0"), ["rows"]);
}

#[test]
fn what_is_served_is_what_a_step_without_masks_reads() {
    let features = features(ITEMS);
    let config = with_tower("mask_input = 0.3", "");
    let (learner, _) = learner(&config);
    let ids: Vec<u32> = (0..ITEMS as u32).collect();
    let leaf = gathered(learner.model.input_table(), &ids).unwrap();
    let content = tower::content(&features, &ids).unwrap();
    let lifted = tower::lift(&learner.model, leaf.as_tensor(), None, &content, Products::F32).unwrap();
    let mut counts = vec![1; ITEMS];
    let served = tower::finish(&learner.model, &counts, Some(&features)).unwrap();
    let lifted = lifted.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(served.input.iter().zip(&lifted).all(|(a, b)| (a - b).abs() < 1e-6));
    assert_eq!((served.cold, served.ineligible.len()), (0, 0));
    // A cold item has the stand-in's row and its own features; the others keep every bit.
    counts[4] = 0;
    let cold = tower::finish(&learner.model, &counts, Some(&features)).unwrap();
    let hidden: Vec<f32> = (0..ITEMS).map(|item| if item == 4 { 0.0 } else { 1.0 }).collect();
    let kept = Tensor::from_vec(hidden, (ITEMS, 1), &Device::Cpu).unwrap();
    let masked = tower::lift(&learner.model, leaf.as_tensor(), Some(&kept), &content, Products::F32).unwrap();
    let masked = masked.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (at, (found, expected)) in cold.input.iter().zip(&masked).enumerate() {
        assert!((found - expected).abs() < 1e-6, "{at}");
        assert!(at / 8 == 4 || *found == served.input[at], "item {} moved", at / 8);
    }
    assert_eq!(cold.cold, 1);
}

/// With the collaborative rows of true next items hidden and of negatives shown, the out-of-vocabulary row alone tells
/// which candidate is the answer. With the product's masking, which hides both alike, it tells nothing.
#[test]
fn masking_does_not_give_the_answer_away() {
    let features = features(ITEMS);
    let config = with_tower("mask_input = 0.0, mask_output = 0.5", "");
    let (_, planner) = learner(&config);
    let mut planner = planner.with_tower(config.model.tower.as_ref().unwrap(), &features, &[1; ITEMS]);
    let mut probe = |positives_only: bool| -> f64 {
        // How much more often a true next item is hidden than a negative.
        let (mut hidden, mut all) = ([0.0, 0.0], [0.0, 0.0]);
        for step in 0..200 {
            let plan = planner.plan(step, batch()).unwrap();
            let Scored::Sampled { candidates, .. } = &plan.scored else { panic!("a sampled loss") };
            let kept = plan.lifts.as_ref().unwrap().output_kept.as_ref().unwrap();
            let mut kept = kept.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            if positives_only {
                for (row, kept) in kept.iter_mut().enumerate() {
                    *kept = if candidates.targets.contains(&(row as u32)) { *kept } else { 1.0 };
                }
            }
            for (side, rows) in [&candidates.targets, &candidates.negatives].into_iter().enumerate() {
                for &row in rows.iter().filter(|row| side == 0 || !candidates.targets.contains(row)) {
                    hidden[side] += 1.0 - f64::from(kept[row as usize]);
                    all[side] += 1.0;
                }
            }
        }
        hidden[0] / all[0] - hidden[1] / all[1]
    };
    assert!(probe(true) > 0.4, "hiding positives alone is a leak");
    let found = probe(false);
    assert!(found.abs() < 0.05, "{found}");
}
