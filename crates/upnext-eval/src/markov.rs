//! The Markov baselines: what followed the last events, counted.
//!
//! First-order is the windowed chain with window 1. Shapes: i items, b inputs.

use std::sync::Arc;

use serde::Serialize;
use upnext_data::ItemId;

use crate::scorer::check_call;
use crate::transitions::Transitions;
use crate::{Result, Scorer};

/// Weight of popularity against the chain: small enough to break ties only.
const TIE: f64 = 1e-6;

/// What a chain was counted and read with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Parameters {
    /// Events that are read, and the largest distance of a counted pair.
    pub window: usize,
    /// Weight of a step further apart, in counting and in reading.
    pub decay: f64,
    /// ν: 1 normalises rows only (conditional probabilities), 0 columns only.
    pub norm: f64,
}

/// A Markov chain over the last events.
///
/// With `M[a, j]` from [`Transitions`], `c` the training counts and ν = `norm`:
///
/// ```text
/// score(j) = Σ_m decay^m · M[e_m, j] / (rowsum(e_m)^ν · c_j^(1-ν))  +  1e-6 · c_j / max c
/// ```
///
/// where `e_0` is the last event of the input, `e_1` the one before, up to `window` of them.
///
/// ```
/// use std::sync::Arc;
/// use upnext_data::{ItemId, Histories};
/// use upnext_eval::{Scorer, markov::Markov, transitions::Transitions};
/// // One user saw 0, 1, 0, 2, all of it training: after 0 came 1 once and 2 once.
/// let items = [0, 1, 0, 2].map(ItemId).to_vec();
/// let histories = Histories::new(["u"].into_iter().collect(), vec![0, 4], items, vec![0, 1, 2, 3])?;
/// let counted = Arc::new(Transitions::count(&histories, &[4], 3, 1, 1.0)?);
/// let chain = Markov::new("chain", counted, &[2, 1, 1], 1.0);
/// let mut scores = [0.0; 3];
/// chain.score(&[&[ItemId(2), ItemId(0)]], &mut scores)?;
/// assert_eq!(scores, [1e-6, 0.5 + 0.5e-6, 0.5 + 0.5e-6]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Markov {
    name: String,
    counted: Arc<Transitions>,
    parameters: Parameters,
    /// `(window)` decay^m.
    ages: Vec<f32>,
    /// `(i)` 1 / rowsum^ν.
    row: Vec<f32>,
    /// `(i)` 1 / c^(1-ν).
    column: Vec<f32>,
    /// `(i)` 1e-6 · c / max c.
    tie: Vec<f32>,
}

impl Markov {
    /// A chain over counted transitions; `counts` are the training counts of the same events.
    pub fn new(name: &str, counted: Arc<Transitions>, counts: &[u64], norm: f64) -> Self {
        let parameters = Parameters { window: counted.window(), decay: counted.decay(), norm };
        let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
        Self {
            name: name.to_owned(),
            ages: (0..parameters.window).map(|m| parameters.decay.powi(m as i32) as f32).collect(),
            row: counted.row_sums().iter().map(|&sum| inverse_power(sum, norm)).collect(),
            column: counts.iter().map(|&count| inverse_power(count as f64, 1.0 - norm)).collect(),
            tie: counts.iter().map(|&count| (TIE * count as f64 / most) as f32).collect(),
            counted,
            parameters,
        }
    }

    /// What the chain was counted and read with.
    pub fn parameters(&self) -> Parameters {
        self.parameters
    }

    fn score_one(&self, input: &[ItemId], out: &mut [f32]) {
        out.fill(0.0);
        for (item, age) in input.iter().rev().zip(&self.ages) {
            let scale = age * self.row[item.index()];
            let (ids, weights) = self.counted.row(item.index());
            for (&id, weight) in ids.iter().zip(weights) {
                out[id as usize] += scale * weight;
            }
        }
        for ((score, column), tie) in out.iter_mut().zip(&self.column).zip(&self.tie) {
            *score = *score * column + tie;
        }
    }
}

/// `1 / x^power`, and 0 for an item that never occurred.
fn inverse_power(x: f64, power: f64) -> f32 {
    if x > 0.0 { x.powf(-power) as f32 } else { 0.0 }
}

impl Scorer for Markov {
    fn name(&self) -> &str {
        &self.name
    }

    fn items(&self) -> usize {
        self.counted.items()
    }

    fn score(&self, inputs: &[&[ItemId]], out: &mut [f32]) -> Result<()> {
        let items = self.items();
        check_call(inputs, items, self.name(), out)?;
        inputs
            .iter()
            .zip(out.chunks_exact_mut(items.max(1)))
            .for_each(|(input, row)| self.score_one(input, row));
        Ok(())
    }
}
