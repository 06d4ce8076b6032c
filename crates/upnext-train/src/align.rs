//! Alignment: what the tower says of an item is drawn towards the collaborative rows of what is watched beside it.
//!
//! A contrastive loss in the manner of InfoNCE (van den Oord et al. 2018, arXiv 1807.03748) over pairs (a, b) of items
//! that follow each other in a history: `-ln softmax_b(cos(tower(a), row(b)) / τ)` against the other pairs' b. That
//! co-occurrence says what content should be near is the idea of Amazon's MERLIN. Rows are the teachers: no gradient goes
//! into them, so the item table learns what it would without. It is an alternative to masking, and goes with it.
//!
//! Letters: u rows of a leaf · p pairs · r rank.

use candle_core::{D, Device, Tensor};
use upnext_data::chance::{Key, below};

use crate::Result;

/// τ: how sharply the nearest row must stand out.
const TEMPERATURE: f64 = 0.1;
/// Pairs of a step at most.
const PAIRS: usize = 256;
/// Keeps a row of zeros from having no direction.
const TINY: f64 = 1e-12;

/// Pairs of a step, as rows of its input leaf.
#[derive(Clone, Debug)]
pub struct Pairs {
    /// `(p)` u32: the item that the tower speaks of.
    items: Tensor,
    /// `(p)` u32: the item after it.
    neighbours: Tensor,
    /// `(p, p)`: a large negative number where another pair has the same neighbour, which is no contrast.
    same_pp: Tensor,
}

impl Pairs {
    /// Draws pairs out of a batch's tokens; none when no history has two.
    ///
    /// # Errors
    /// When there is no room.
    pub(crate) fn draw(token_rows: &[u32], offsets: &[usize], key: Key) -> Result<Option<Self>> {
        let first = |range: &[usize]| range[0]..range[1].saturating_sub(1).max(range[0]);
        let all: Vec<usize> = offsets.windows(2).flat_map(first).collect();
        if all.is_empty() {
            return Ok(None);
        }
        let mut rng = key.rng();
        let drawn: Vec<usize> = match all.len() <= PAIRS {
            true => all,
            false => (0..PAIRS).map(|_| all[below(&mut rng, all.len() as u64) as usize]).collect(),
        };
        let of = |by: usize| drawn.iter().map(|&at| token_rows[at + by]).collect::<Vec<u32>>();
        let (items, neighbours, p) = (of(0), of(1), drawn.len());
        let same = |row: usize, column: usize| row != column && neighbours[row] == neighbours[column];
        let same: Vec<f32> = (0..p * p).map(|at| if same(at / p, at % p) { -1e9 } else { 0.0 }).collect();
        Ok(Some(Self {
            items: Tensor::from_vec(items, p, &Device::Cpu)?,
            same_pp: Tensor::from_vec(same, (p, p), &Device::Cpu)?,
            neighbours: Tensor::from_vec(neighbours, p, &Device::Cpu)?,
        }))
    }

    /// Mean over the pairs; `semantic_ur` and `rows_ur` are `(u, r)`, and a gradient goes to the former alone.
    ///
    /// # Errors
    /// When a candle op fails.
    pub(crate) fn loss(&self, semantic_ur: &Tensor, rows_ur: &Tensor) -> Result<Tensor> {
        let said = direction(&semantic_ur.index_select(&self.items, 0)?)?;
        let rows = direction(&rows_ur.detach().index_select(&self.neighbours, 0)?)?;
        let logits_pp = ((said.matmul(&rows.t()?)? / TEMPERATURE)? + &self.same_pp)?;
        let own = ((said * rows)?.sum(D::Minus1)? / TEMPERATURE)?;
        Ok((logits_pp.log_sum_exp(1)? - own)?.mean_all()?)
    }
}

/// Rows of length 1.
fn direction(rows: &Tensor) -> Result<Tensor> {
    let length = (rows.sqr()?.sum_keepdim(D::Minus1)? + TINY)?.sqrt()?;
    Ok(rows.broadcast_div(&length)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, assert_differences, differentiated, var};
    use upnext_data::chance::Purpose;

    const KEY: Key = Key { seed: 1, purpose: Purpose::Masking, step: 3, part: 2 };

    #[test]
    fn two_pairs_worked_by_hand() {
        // Two histories: row 0 then row 1, row 2 then row 3.
        let pairs = Pairs::draw(&[0, 1, 2, 3], &[0, 2, 4], KEY).unwrap().unwrap();
        let said = Tensor::new(&[[2f32, 0.0], [0.0, 0.0], [0.0, 3.0], [0.0, 0.0]], &Device::Cpu).unwrap();
        let rows = Tensor::new(&[[0f32, 0.0], [5.0, 0.0], [0.0, 0.0], [0.0, 7.0]], &Device::Cpu).unwrap();
        // Each is at angle 0 to its own and at a right angle to the other: -ln(e^10 / (e^10 + e^0)).
        let loss = pairs.loss(&said, &rows).unwrap().to_scalar::<f32>().unwrap();
        assert!((f64::from(loss) - (1.0 + (-10f64).exp()).ln()).abs() < 1e-6, "{loss}");
        let swapped = Tensor::new(&[[0f32, 0.0], [0.0, 7.0], [0.0, 0.0], [5.0, 0.0]], &Device::Cpu).unwrap();
        let loss = pairs.loss(&said, &swapped).unwrap().to_scalar::<f32>().unwrap();
        assert!((loss - 10.0).abs() < 1e-3, "{loss}");
    }

    #[test]
    fn a_neighbour_that_two_pairs_share_is_no_contrast() {
        let pairs = Pairs::draw(&[0, 2, 1, 2], &[0, 2, 4], KEY).unwrap().unwrap();
        let (said, rows) = (var(1, 3, 4), var(2, 3, 4));
        let loss = pairs.loss(said.as_tensor(), rows.as_tensor()).unwrap().to_scalar::<f32>().unwrap();
        assert!(loss.abs() < 1e-6, "{loss}");
    }

    #[test]
    fn the_tower_gets_the_gradient_and_the_rows_none() {
        let token_rows: Vec<u32> = (0..12).map(|at| (at * 5) % 9).collect();
        let pairs = Pairs::draw(&token_rows, &[0, 7, 12], KEY).unwrap().unwrap();
        let (said, rows) = (var(3, 9, 4), var(4, 9, 4));
        let loss = || pairs.loss(said.as_tensor(), rows.as_tensor()).unwrap();
        let (_, gradients) = differentiated(&loss(), &[&said]);
        assert!(loss().backward().unwrap().get(rows.as_tensor()).is_none());
        let value = || f64::from(loss().to_scalar::<f32>().unwrap());
        assert_differences("tower", &said, &gradients[0], &value);
        // Lengths do not matter, only directions do.
        let longer = (said.as_tensor() * 3.0).unwrap();
        let apart = pairs.loss(&longer, rows.as_tensor()).unwrap().to_scalar::<f32>().unwrap();
        assert_close("scaled", &[apart], &[value() as f32], 1e-5);
    }

    #[test]
    fn pairs_stay_within_their_histories_and_few() {
        assert!(Pairs::draw(&[1, 2, 3], &[0, 1, 2, 3], KEY).unwrap().is_none());
        let token_rows: Vec<u32> = (0..1_000).collect();
        let pairs = Pairs::draw(&token_rows, &[0, 500, 1_000], KEY).unwrap().unwrap();
        let list = |tensor: &Tensor| tensor.to_vec1::<u32>().unwrap();
        let (items, neighbours) = (list(&pairs.items), list(&pairs.neighbours));
        assert_eq!(items.len(), PAIRS);
        assert!(items.iter().zip(&neighbours).all(|(a, b)| b - a == 1 && *a != 499));
        let other = Pairs::draw(&token_rows, &[0, 500, 1_000], Key { step: 4, ..KEY }).unwrap().unwrap();
        assert_ne!(items, list(&other.items));
    }
}
