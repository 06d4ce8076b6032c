//! The model as a system under evaluation.

use upnext_data::{ItemId, window};
use upnext_eval::{ModelScorer, Scorer};
use upnext_model::{Model, ModelConfig, Vectors};

use crate::{agreement, toy};

fn config() -> ModelConfig {
    ModelConfig { layers: 1, width: 16, heads: 2, hidden: 24, rank: 8, window: 12, ..ModelConfig::default() }
}

#[test]
fn a_score_is_the_last_state_times_the_item_vector() {
    let items = 90;
    let model = Model::new(config(), items, 3).unwrap();
    let network = model.network().unwrap();
    let vectors = Vectors::from_tables(model.input_table().rows(), None, 8).unwrap();
    let scorer = ModelScorer::new(&network, &vectors);
    let inputs: Vec<Vec<ItemId>> =
        [1_u32, 5, 12, 13, 40].iter().map(|&n| (0..n).map(|t| ItemId(t * 7 % 90)).collect()).collect();
    let views: Vec<&[ItemId]> = inputs.iter().map(Vec::as_slice).collect();
    let mut together = vec![0.0; inputs.len() * items];
    scorer.score(&views, &mut together).unwrap();
    for (input, row) in views.iter().zip(together.chunks_exact(items)) {
        let seen = &input[window::of(input.len(), 12, 0)];
        let states = network.states(seen, &vectors).unwrap();
        let last = &states[states.len() - 8..];
        for (vector, score) in model.input_table().rows().chunks_exact(8).zip(row) {
            let dot: f32 = vector.iter().zip(last).map(|(v, g)| v * g).sum();
            assert!((dot - score).abs() < 1e-5 * (1.0 + dot.abs()), "{dot} against {score}");
        }
        let mut alone = vec![0.0; items];
        scorer.score(&[input], &mut alone).unwrap();
        assert_eq!(alone, row);
    }
}

#[test]
fn an_input_is_read_without_what_no_training_has_met() {
    let items = 90;
    let model = Model::new(config(), items, 3).unwrap();
    let network = model.network().unwrap();
    let vectors = Vectors::from_tables(model.input_table().rows(), None, 8).unwrap();
    let counts: Vec<u64> = (0..items as u64).map(|item| item % 3).collect();
    let unread: Vec<u32> = (0..items as u32).filter(|item| item % 3 == 0).collect();
    let plain = ModelScorer::new(&network, &vectors);
    let scorer = plain.clone().reading_without(&unread, &counts);
    let scores = |scorer: &ModelScorer<'_>, input: &[u32]| {
        let input: Vec<ItemId> = input.iter().map(|&id| ItemId(id)).collect();
        let mut scores = vec![0.0; items];
        scorer.score(&[&input], &mut scores).unwrap();
        scores
    };
    assert_eq!(scores(&scorer, &[3, 1, 6, 5, 9]), scores(&plain, &[1, 5]));
    // A window holds twelve events that are read, however many are not.
    let long: Vec<u32> = (1..40).collect();
    let read: Vec<u32> = long.iter().copied().filter(|id| id % 3 > 0).collect();
    assert_eq!(scores(&scorer, &long), scores(&plain, &read));
    // Of somebody of whom nothing is known, popularity speaks, beside neighbours that are read.
    let popular: Vec<f32> = counts.iter().map(|&count| count as f32).collect();
    assert_eq!(scores(&scorer, &[3, 6]), popular);
    let (known, unknown) = ([ItemId(1), ItemId(5)], [ItemId(3)]);
    let mut both = vec![0.0; 2 * items];
    scorer.score(&[&unknown, &known], &mut both).unwrap();
    assert_eq!((&both[..items], &both[items..]), (&popular[..], &scores(&plain, &[1, 5])[..]));
}

#[test]
fn predictions_of_a_model_give_the_same_metrics() {
    let items = 300;
    let model = Model::new(config(), items, 4).unwrap();
    let network = model.network().unwrap();
    let vectors = Vectors::from_tables(model.input_table().rows(), None, 8).unwrap();
    agreement::check(&ModelScorer::new(&network, &vectors), &toy::histories(200, items, 9));
}
