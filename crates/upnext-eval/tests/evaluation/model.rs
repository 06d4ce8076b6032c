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
fn predictions_of_a_model_give_the_same_metrics() {
    let items = 300;
    let model = Model::new(config(), items, 4).unwrap();
    let network = model.network().unwrap();
    let vectors = Vectors::from_tables(model.input_table().rows(), None, 8).unwrap();
    agreement::check(&ModelScorer::new(&network, &vectors), &toy::histories(200, items, 9));
}
