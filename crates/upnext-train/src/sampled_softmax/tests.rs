//! Identities first: what a sampled softmax must be when nothing is left to chance.

use super::*;
use crate::config::{Correction, Negatives};
use crate::correction::candidates;
use crate::negatives::{Draw, Sampler};
use crate::testing::{assert_close, assert_differences, differentiated, var};
use candle_core::{Device, Var};

const CORRECTIONS: [Correction; 3] = [Correction::None, Correction::Logq, Correction::Rest];

/// n states of width r over u rows; each row is its own item.
struct World {
    h: Var,
    rows: Var,
    targets: Vec<u32>,
}

impl World {
    fn new(n: usize, u: usize, r: usize) -> Self {
        let targets = (0..n).map(|j| (j * 7 % u) as u32).collect();
        Self { h: var(1, n, r), rows: var(2, u, r), targets }
    }

    fn candidates(&self, correction: Correction, sampler: &Sampler, draw: &Draw) -> Arc<Candidates> {
        let (targets, negatives) = (self.targets.clone(), draw.ids.clone());
        Arc::new(candidates(correction, sampler, draw, &self.targets, targets, negatives))
    }

    fn fused(&self, candidates: &Arc<Candidates>) -> (f32, Vec<Vec<f32>>) {
        let loss = run(self.h.as_tensor(), self.rows.as_tensor(), candidates.clone()).unwrap();
        differentiated(&loss, &[&self.h, &self.rows])
    }

    fn composed(&self, candidates: &Candidates) -> (f32, Vec<Vec<f32>>) {
        let loss = reference(self.h.as_tensor(), self.rows.as_tensor(), candidates).unwrap();
        differentiated(&loss, &[&self.h, &self.rows])
    }

    fn cross_entropy(&self) -> (f32, Vec<Vec<f32>>) {
        let logits = self.h.matmul(&self.rows.t().unwrap()).unwrap();
        let targets = Tensor::new(&self.targets[..], &Device::Cpu).unwrap();
        differentiated(&candle_nn::loss::cross_entropy(&logits, &targets).unwrap(), &[&self.h, &self.rows])
    }
}

fn assert_same(what: &str, found: &(f32, Vec<Vec<f32>>), expected: &(f32, Vec<Vec<f32>>), bound: f32) {
    assert!((found.0 - expected.0).abs() <= bound, "{what}: loss {} against {}", found.0, expected.0);
    assert_close(&format!("{what}: dh"), &found.1[0], &expected.1[0], bound);
    assert_close(&format!("{what}: drows"), &found.1[1], &expected.1[1], bound);
}

#[test]
fn drawing_every_item_is_the_full_softmax() {
    let world = World::new(50, 40, 12);
    let sampler = Sampler::new(Negatives::Uniform, 40, &[1; 40]);
    let draw = sampler.draw(1, 0);
    let expected = world.cross_entropy();
    for correction in CORRECTIONS {
        let candidates = world.candidates(correction, &sampler, &draw);
        assert_same(&format!("{correction:?}, fused"), &world.fused(&candidates), &expected, 1e-6);
        assert_same(&format!("{correction:?}, composed"), &world.composed(&candidates), &expected, 1e-6);
    }
}

#[test]
fn fused_and_composed_agree_with_hits_and_repeated_draws() {
    // More rows than one block, odd sizes, and a catalogue so small that nearly every row is hit.
    for (n, u, r, count) in [(300, 60, 20, 37), (1, 5, 3, 2), (129, 900, 33, 64), (40, 7, 8, 100)] {
        let world = World::new(n, u, r);
        let counts: Vec<u64> = (0..u as u64).map(|j| j * j % 13).collect();
        for negatives in [Negatives::Uniform, Negatives::Popularity { alpha: 0.75 }] {
            let sampler = Sampler::new(negatives, count, &counts);
            let draw = sampler.draw(3, 5);
            for correction in CORRECTIONS {
                let candidates = world.candidates(correction, &sampler, &draw);
                let what = format!("{negatives} {correction:?} n={n}");
                assert_same(&what, &world.fused(&candidates), &world.composed(&candidates), 2e-6);
            }
        }
    }
}

#[test]
fn gradients_are_the_slopes() {
    let world = World::new(9, 14, 5);
    let sampler =
        Sampler::new(Negatives::Popularity { alpha: 1.0 }, 8, &[5, 4, 3, 2, 1, 5, 4, 3, 2, 1, 9, 9, 9, 9]);
    let draw = sampler.draw(2, 1);
    for correction in CORRECTIONS {
        let candidates = world.candidates(correction, &sampler, &draw);
        let loss = || {
            let (h, rows) = (world.h.as_tensor(), world.rows.as_tensor());
            f64::from(run(h, rows, candidates.clone()).unwrap().to_scalar::<f32>().unwrap())
        };
        let (_, gradients) = world.fused(&candidates);
        assert_differences(&format!("{correction:?} h"), &world.h, &gradients[0], &loss);
        assert_differences(&format!("{correction:?} rows"), &world.rows, &gradients[1], &loss);
    }
}

/// The loss as arXiv 2507.09331 writes it: `stop_gradient(1 - P) · (-s_p + ln Z)`.
#[test]
fn rest_has_the_gradient_of_the_papers_loss() {
    let world = World::new(24, 30, 6);
    let counts: Vec<u64> = (1..=30).collect();
    let sampler = Sampler::new(Negatives::Popularity { alpha: 1.0 }, 50, &counts);
    let draw = sampler.draw(9, 4);
    let total: f64 = counts.iter().sum::<u64>() as f64;
    let (mut offsets, k) = (Vec::new(), draw.ids.len());
    for &target in &world.targets {
        let left: u32 =
            draw.ids.iter().zip(&draw.times).filter(|(id, _)| **id != target).map(|(_, m)| m).sum();
        for (&id, &times) in draw.ids.iter().zip(&draw.times) {
            let q = counts[id as usize] as f64 / (total - counts[target as usize] as f64);
            let offset = f64::from(times).ln() - q.ln() - f64::from(left).ln();
            offsets.push(if id == target { f32::MIN } else { offset as f32 });
        }
    }
    let pick = |ids: &[u32]| world.rows.index_select(&Tensor::new(ids, &Device::Cpu).unwrap(), 0).unwrap();
    let positive = (world.h.as_tensor() * pick(&world.targets)).unwrap().sum_keepdim(1).unwrap();
    let negative = world.h.matmul(&pick(&draw.ids).t().unwrap()).unwrap();
    let offsets = Tensor::from_vec(offsets, (24, k), &Device::Cpu).unwrap();
    let log_z = (negative + offsets).unwrap().log_sum_exp(1).unwrap().unsqueeze(1).unwrap();
    let log_odds = (log_z - &positive).unwrap();
    let share = candle_nn::ops::sigmoid(&log_odds.detach()).unwrap();
    let paper = (share * log_odds).unwrap().mean_all().unwrap();
    let (_, expected) = differentiated(&paper, &[&world.h, &world.rows]);
    let (_, found) = world.fused(&world.candidates(Correction::Rest, &sampler, &draw));
    assert_close("dh", &found[0], &expected[0], 1e-6);
    assert_close("drows", &found[1], &expected[1], 1e-6);
}

#[test]
fn logq_estimates_the_full_softmax_without_bias() {
    let world = World::new(6, 30, 4);
    let counts: Vec<u64> = (1..=30).collect();
    let sampler = Sampler::new(Negatives::Popularity { alpha: 1.0 }, 20, &counts);
    let scores = world.h.matmul(&world.rows.t().unwrap()).unwrap().to_vec2::<f32>().unwrap();
    let (mut mean, steps) = (vec![0.0_f64; 6], 4000);
    for step in 0..steps {
        let draw = sampler.draw(1, step);
        let candidates = world.candidates(Correction::Logq, &sampler, &draw);
        for (row, mean) in mean.iter_mut().enumerate() {
            for (&id, &log_kq) in draw.ids.iter().zip(&candidates.log_kq) {
                let kept = id != world.targets[row];
                *mean += if kept { f64::from(scores[row][id as usize] - log_kq).exp() } else { 0.0 }
                    / steps as f64;
            }
        }
    }
    for (row, found) in mean.iter().enumerate() {
        let others = scores[row].iter().zip(0..).filter(|(_, id)| *id != world.targets[row]);
        let exact: f64 = others.map(|(&score, _)| f64::from(score).exp()).sum();
        assert!((found / exact - 1.0).abs() < 0.03, "row {row}: {found} against {exact}");
    }
}

/// A row that counts twice is a row that is there twice.
#[test]
fn shares_weigh_rows() {
    let world = World::new(40, 30, 6);
    let counts: Vec<u64> = (1..=30).collect();
    let sampler = Sampler::new(Negatives::Popularity { alpha: 0.75 }, 12, &counts);
    let draw = sampler.draw(2, 8);
    let times: Vec<usize> = (0..40).map(|row| 1 + row % 3).collect();
    let twice: Vec<u32> = (0..40).flat_map(|row| vec![row as u32; times[row]]).collect();
    let h = world.h.index_select(&Tensor::new(&twice[..], &Device::Cpu).unwrap(), 0).unwrap();
    let pick = |list: &[u32]| twice.iter().map(|&row| list[row as usize]).collect::<Vec<u32>>();
    for correction in CORRECTIONS {
        let plain = world.candidates(correction, &sampler, &draw);
        let shares = times.iter().map(|&times| times as f32).collect();
        let shared = Arc::new(Candidates { shares, ..Candidates::clone(&plain) });
        assert_same(&format!("{correction:?}"), &world.fused(&shared), &world.composed(&shared), 2e-6);
        let targets = pick(&world.targets);
        let repeated = candidates(correction, &sampler, &draw, &targets, targets.clone(), draw.ids.clone());
        let loss = reference(&h, world.rows.as_tensor(), &repeated).unwrap();
        let expected = differentiated(&loss, &[&world.h, &world.rows]);
        assert_same(&format!("{correction:?}, repeated"), &world.fused(&shared), &expected, 2e-6);
    }
}

#[test]
fn shapes_that_disagree_are_refused() {
    let world = World::new(3, 5, 2);
    let run = |candidates: Candidates| {
        run(world.h.as_tensor(), world.rows.as_tensor(), Arc::new(candidates)).is_err()
    };
    let whole = Candidates {
        targets: vec![0; 3],
        negatives: vec![1],
        log_kq: vec![0.0],
        raised: vec![],
        shares: vec![],
    };
    assert!(!run(whole.clone()));
    assert!(run(Candidates { targets: vec![0; 2], ..whole.clone() }));
    assert!(run(Candidates { targets: vec![5; 3], ..whole.clone() }));
    assert!(run(Candidates { log_kq: vec![], ..whole.clone() }));
    assert!(run(Candidates { raised: vec![0.0], ..whole.clone() }));
    assert!(run(Candidates { shares: vec![1.0], ..whole }));
}
