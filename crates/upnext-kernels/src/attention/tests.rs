//! Attention against a plain f64 reference, its bits against each other, its gradients against differences.

use super::*;
use crate::testing::{bits, close, noise};

/// Attention over `(t, d)` matrices, element by element; also the log-sum-exps `(h, t)`.
fn reference(qkv: [&[f64]; 3], heads: usize, t: usize, mask: Option<Mask>) -> (Vec<f64>, Vec<f64>) {
    let d = qkv[0].len() / t;
    let e = d / heads;
    let (mut out, mut lse) = (vec![0f64; t * d], vec![0f64; heads * t]);
    for head in 0..heads {
        for i in 0..t {
            let at = |x: &[f64], row: usize, c: usize| x[row * d + head * e + c];
            let scores: Vec<f64> = (0..=i)
                .map(|j| (0..e).map(|c| at(qkv[0], i, c) * at(qkv[1], j, c)).sum::<f64>() / (e as f64).sqrt())
                .collect();
            let sum: f64 = scores.iter().map(|s| s.exp()).sum();
            lse[head * t + i] = sum.ln();
            for (j, score) in scores.iter().enumerate() {
                let kept = mask.map_or(1.0, |m| f64::from(m.scale(mask_index(head, i, j))));
                for c in 0..e {
                    out[i * d + head * e + c] += score.exp() / sum * kept * at(qkv[2], j, c);
                }
            }
        }
    }
    (out, lse)
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// `(t, 3d)` queries, keys and values side by side, as the model has them.
struct Case {
    heads: usize,
    e: usize,
    t: usize,
    qkv: Vec<f32>,
}

impl Case {
    fn new(heads: usize, e: usize, t: usize) -> Case {
        Case { heads, e, t, qkv: noise(t as u64, t * 3 * heads * e).iter().map(|x| x * 2.0).collect() }
    }

    fn d(&self) -> usize {
        self.heads * self.e
    }

    fn view(&self, which: usize) -> Rows<'_> {
        Rows::new(&self.qkv, self.t, 3 * self.d()).columns(which * self.d(), self.d())
    }

    fn dense(&self, which: usize) -> Vec<f64> {
        (0..self.t).flat_map(|i| wide(self.view(which).row(i))).collect()
    }

    fn cache(&self, from: usize, to: usize) -> KeyValues {
        let mut all = KeyValues::new(self.heads, self.e);
        all.append(self.view(1).part(from, to - from), self.view(2).part(from, to - from));
        all
    }

    fn run(
        &self,
        level: Chosen,
        first: usize,
        m: usize,
        segments: &[&KeyValues],
        mask: Option<Mask>,
    ) -> Vec<f32> {
        let (mut out, mut lse) = (vec![f32::NAN; m * self.d()], vec![f32::NAN; self.heads * m]);
        let q = self.view(0).part(first, m);
        let view = RowsMut::new(&mut out, m, self.d());
        attend_at(level, q, first, segments, mask, view, Some(&mut lse), &mut Vec::new());
        out.extend(lse);
        out
    }
}

#[test]
fn attention_agrees_with_its_formula_at_every_shape_and_level() {
    for (heads, e, t) in [(1, 8, 1), (2, 32, 70), (3, 20, 33), (1, 64, 100), (2, 40, 5)] {
        let case = Case::new(heads, e, t);
        for mask in [None, Some(Mask { key: 9, rate: 0.3 })] {
            let (out, lse) = reference([&case.dense(0), &case.dense(1), &case.dense(2)], heads, t, mask);
            let first = case.run(Chosen::now(), 0, t, &[&case.cache(0, t)], mask);
            close(&first[..t * case.d()], &out, 2e-6);
            close(&first[t * case.d()..], &lse, 2e-6);
            for level in Chosen::all() {
                let again = case.run(level, 0, t, &[&case.cache(0, t)], mask);
                assert_eq!(bits(&again), bits(&first), "{level:?}");
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_segments_or_on_how_queries_are_cut() {
    let (case, t) = (Case::new(2, 24, 131), 131);
    let d = case.d();
    let whole = case.run(Chosen::now(), 0, t, &[&case.cache(0, t)], None);
    for cuts in [vec![1], vec![64], vec![130], vec![31, 33], vec![5, 5, 77], vec![96, 128]] {
        let ends: Vec<usize> = [0].into_iter().chain(cuts).chain([t]).collect();
        let parts: Vec<KeyValues> = ends.windows(2).map(|w| case.cache(w[0], w[1])).collect();
        let parts: Vec<&KeyValues> = parts.iter().collect();
        assert_eq!(bits(&case.run(Chosen::now(), 0, t, &parts, None)), bits(&whole), "{ends:?}");
        for (first, m) in [(0, 1), (130, 1), (40, 2), (77, 17), (3, 64)] {
            let some = case.run(Chosen::now(), first, m, &parts, None);
            assert_eq!(
                bits(&some[..m * d]),
                bits(&whole[first * d..(first + m) * d]),
                "{ends:?} {first} {m}"
            );
        }
    }
}

#[test]
fn a_history_read_token_by_token_equals_one_read_at_once() {
    let (case, t) = (Case::new(2, 16, 70), 70);
    let d = case.d();
    let whole = case.run(Chosen::now(), 0, t, &[&case.cache(0, t)], None);
    let mut cache = KeyValues::with_capacity(2, 16, 3);
    for i in 0..t {
        cache.append(case.view(1).part(i, 1), case.view(2).part(i, 1));
        let one = case.run(Chosen::now(), i, 1, &[&cache], None);
        assert_eq!(bits(&one[..d]), bits(&whole[i * d..(i + 1) * d]), "{i}");
    }
    cache.truncate(40);
    cache.append(case.view(1).part(40, 30), case.view(2).part(40, 30));
    assert_eq!(bits(&case.run(Chosen::now(), 0, t, &[&cache], None)), bits(&whole));
    cache.clear();
    assert!(cache.is_empty());
}

#[test]
fn gradients_agree_with_finite_differences() {
    for (heads, e, t, rate) in [(2, 6, 5, 0.0), (1, 10, 75, 0.0), (2, 4, 40, 0.4), (1, 3, 1, 0.0)] {
        let case = Case::new(heads, e, t);
        let (d, mask) = (case.d(), Some(Mask { key: 4, rate }));
        let d_out = noise(99, t * d);
        let forward = case.run(Chosen::now(), 0, t, &[&case.cache(0, t)], mask);
        let mut grads = vec![f32::NAN; t * 3 * d];
        let (d_q, rest) = RowsMut::new(&mut grads, t, 3 * d).split_columns(d);
        let (d_k, d_v) = rest.split_columns(d);
        let it = AttendBackward {
            q: case.view(0),
            k: case.view(1),
            v: case.view(2),
            out: Rows::new(&forward[..t * d], t, d),
            d_out: Rows::new(&d_out, t, d),
            lse: &forward[t * d..],
            heads,
            mask,
            d_q,
            d_k,
            d_v,
        };
        attend_backward(it, &mut Vec::new());
        let base = [case.dense(0), case.dense(1), case.dense(2)];
        for which in 0..3 {
            let (mut got, mut truth) = (Vec::new(), Vec::new());
            for i in (0..t * d).step_by(if t > 10 { 37 } else { 1 }) {
                let loss = |by: f64| {
                    let mut moved = base.clone();
                    moved[which][i] += by;
                    let (out, _) = reference([&moved[0], &moved[1], &moved[2]], heads, t, mask);
                    out.iter().zip(&d_out).map(|(o, &g)| o * f64::from(g)).sum::<f64>()
                };
                truth.push((loss(1e-5) - loss(-1e-5)) / 2e-5);
                got.push(grads[i / d * 3 * d + which * d + i % d]);
            }
            close(&got, &truth, 1e-5);
        }
    }
}

#[test]
#[should_panic(expected = "against 3 keys")]
fn queries_past_the_keys_are_refused() {
    let case = Case::new(1, 8, 4);
    case.run(Chosen::now(), 2, 2, &[&case.cache(0, 3)], None);
}
