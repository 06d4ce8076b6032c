//! What a step needs to know before it computes: its batch, its negatives, the distinct ids of both, and where in them
//! each token stands. Made ahead, on a thread of its own; a pure function of (configuration, data, step).

use std::sync::Arc;

use candle_core::{Device, Tensor};
use upnext_data::chance::{Key, Purpose};
use upnext_data::{Batch, ItemFeatures, ItemId};
use upnext_kernels::dropout::Mask;
use upnext_model::{Reads, TowerConfig, tower};

use crate::ahead::{Ahead, Asked};
use crate::align::Pairs;
use crate::config::{Correction, LossConfig, LossKind};
use crate::correction::candidates;
use crate::negatives::Sampler;
use crate::sampled_softmax::Candidates;
use crate::{Result, RunConfig};

/// What the loss of a step is computed against.
#[derive(Clone, Debug)]
pub enum Scored {
    /// Candidates among the rows of the leaf that is scored.
    Sampled {
        /// `(u)` distinct items of an output leaf of its own, ascending; absent when the input leaf is scored.
        ids: Option<Vec<u32>>,
        /// Rows and corrections.
        candidates: Arc<Candidates>,
    },
    /// Against the whole table, whose rows the truths are.
    All(Truths),
    /// Against all items that have a training event, in a leaf of their own: what the full softmax is for a model with a
    /// tower, which must not learn that cold items are never watched.
    Trained {
        /// `(u)` the items, ascending.
        ids: Vec<u32>,
        /// In leaf rows.
        truths: Truths,
    },
}

/// What is true in each row that a full softmax scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Truths {
    /// `(n)` the row of each true item.
    pub targets: Vec<u32>,
    /// `(n)` how much each counts beside the others; empty where all count alike.
    pub shares: Vec<f32>,
}

/// A step, ready to be computed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The step, counted from 0: what its draws are keyed by.
    pub step: u64,
    /// `(u)` distinct items of the input leaf, ascending.
    pub ids: Vec<u32>,
    /// `(n)` the leaf row of each token.
    pub token_rows: Vec<u32>,
    /// `(b + 1)` where each history begins.
    pub offsets: Vec<usize>,
    /// Which states the loss reads, where it is not each token's one: then their number is n for the loss.
    pub reads: Option<Reads>,
    /// What the loss is computed against.
    pub scored: Scored,
    /// What a tower adds to the leaves' rows, and which of them are hidden; in models that have one.
    pub lifts: Option<Lifts>,
}

/// What becomes of a step's rows before anything reads them.
#[derive(Clone, Debug)]
pub struct Lifts {
    /// `(u, f)` features of the input leaf's items, one a modality.
    pub input_content: Vec<Tensor>,
    /// `(u', f)` those of an output leaf of its own.
    pub output_content: Option<Vec<Tensor>>,
    /// `(u, 1)` 0 for items that are read without their collaborative row, 1 for the others; with a gate its share.
    pub input_kept: Option<Tensor>,
    /// The same for the rows that are scored.
    pub output_kept: Option<Tensor>,
    /// Items that follow each other, where the loss aligns them.
    pub pairs: Option<Pairs>,
}

/// What rows are lifted by.
#[derive(Clone, Copy, Debug)]
struct Lifting<'a> {
    tower: &'a TowerConfig,
    features: &'a ItemFeatures,
    /// `(i)` training events of what is served, which a gate asks for.
    counts: &'a [u64],
}

/// Makes plans.
#[derive(Clone, Debug)]
pub struct Planner<'a> {
    seed: u64,
    tied: bool,
    aligns: bool,
    cold_boost: f32,
    tower: Option<Lifting<'a>>,
    /// Absent where only the next item is asked for.
    ahead: Option<Ahead>,
    /// Absent for the full softmax.
    sampler: Option<(Sampler, Correction)>,
    /// Items with a training event, ascending, which the full softmax of a tower scores; empty where it samples.
    trained: Vec<u32>,
    index: Index,
}

impl<'a> Planner<'a> {
    /// A planner over the items counted in `counts` `(i)`.
    #[must_use]
    pub fn new(loss: &LossConfig, tied: bool, counts: &[u64], seed: u64) -> Self {
        let sampler = match loss.kind {
            LossKind::SampledSoftmax => {
                Some((Sampler::new(loss.negatives, loss.count, counts), loss.correction))
            }
            LossKind::FullSoftmax => None,
        };
        let (aligns, index) = (loss.align > 0.0, Index::new(counts.len()));
        let cold_boost = loss.cold_boost as f32;
        let is_trained = |item: &u32| sampler.is_none() && counts[*item as usize] > 0;
        let trained = (0..counts.len() as u32).filter(is_trained).collect();
        Self { seed, tied, aligns, cold_boost, tower: None, ahead: None, sampler, trained, index }
    }

    /// The same for as many horizons as the configuration has. The batches must look ahead so far.
    #[must_use]
    pub fn with_horizons(self, config: &RunConfig) -> Self {
        Self { ahead: Ahead::new(config), ..self }
    }

    /// The same for a model with a tower over these features, whose items have `counts` `(i)` when they are served.
    #[must_use]
    pub fn with_tower(self, tower: &'a TowerConfig, features: &'a ItemFeatures, counts: &'a [u64]) -> Self {
        Self { tower: Some(Lifting { tower, features, counts }), ..self }
    }

    /// k: draws of a step; 0 for the full softmax.
    #[must_use]
    pub fn draws(&self) -> usize {
        self.sampler.as_ref().map_or(0, |(sampler, _)| sampler.draws())
    }

    /// The plan of a step.
    ///
    /// # Errors
    /// When there is no room for the features of its items, or the batch has more tokens than can be numbered.
    ///
    /// # Panics
    /// When the batch holds an item that was not counted.
    pub fn plan(&mut self, step: u64, batch: Batch) -> Result<Plan> {
        let mut plan = self.without_lifts(step, batch)?;
        plan.lifts = self.lifts(&plan)?;
        self.lower_hidden(&mut plan);
        Ok(plan)
    }

    /// Whether an item's collaborative row is hidden in a step, on a side: 0 input, 1 output.
    fn hides(&self, step: u64, side: u64, rate: f32) -> impl Fn(u32) -> bool + use<> {
        let key = Key { seed: self.seed, purpose: Purpose::Masking, step, part: side };
        let mask = Mask { key: key.hash(), rate };
        move |id| rate > 0.0 && mask.scale(u64::from(id)) == 0.0
    }

    /// Takes `loss.cold_boost` off the logits of hidden items, as true next items and as negatives.
    fn lower_hidden(&self, plan: &mut Plan) {
        let (Some(Lifting { tower, .. }), Scored::Sampled { ids, candidates }) =
            (self.tower, &mut plan.scored)
        else {
            return;
        };
        if self.cold_boost <= 0.0 {
            return;
        }
        let (hides, ids) = (self.hides(plan.step, 1, tower.mask_output), ids.as_ref().unwrap_or(&plan.ids));
        let candidates = Arc::make_mut(candidates);
        let lowered = |&row: &u32| if hides(ids[row as usize]) { self.cold_boost } else { 0.0 };
        for (row, taken_off) in candidates.negatives.iter().zip(&mut candidates.log_kq) {
            *taken_off += lowered(row);
        }
        // A lower true item is a row whose negatives are higher.
        candidates.raised.resize(candidates.targets.len(), 0.0);
        for (row, raised) in candidates.targets.iter().zip(&mut candidates.raised) {
            *raised += lowered(row);
        }
    }

    /// What a tower makes of a plan's rows.
    fn lifts(&self, plan: &Plan) -> Result<Option<Lifts>> {
        let Some(Lifting { tower, features, counts }) = self.tower else { return Ok(None) };
        let output_ids = match &plan.scored {
            Scored::Sampled { ids: Some(ids), .. } | Scored::Trained { ids, .. } => Some(ids),
            _ => None,
        };
        let kept = |side: u64, rate: f32, ids: &[u32]| -> Result<Option<Tensor>> {
            if rate <= 0.0 && tower.gate <= 0.0 {
                return Ok(None);
            }
            let hides = self.hides(plan.step, side, rate);
            let seen = |&id: &u32| match tower.share(counts[id as usize]) {
                _ if hides(id) => 0.0,
                share => share.unwrap_or(1.0),
            };
            let kept: Vec<f32> = ids.iter().map(seen).collect();
            Ok(Some(Tensor::from_vec(kept, (ids.len(), 1), &Device::Cpu)?))
        };
        let key = Key { seed: self.seed, purpose: Purpose::Masking, step: plan.step, part: 2 };
        let pairs = match self.aligns {
            true => Pairs::draw(&plan.token_rows, &plan.offsets, key)?,
            false => None,
        };
        Ok(Some(Lifts {
            pairs,
            input_content: tower::content(features, &plan.ids)?,
            output_content: output_ids.map(|ids| tower::content(features, ids)).transpose()?,
            input_kept: kept(0, tower.mask_input, &plan.ids)?,
            output_kept: kept(1, tower.mask_output, output_ids.unwrap_or(&plan.ids))?,
        }))
    }

    /// What the full softmax scores.
    fn against_all(&mut self, Truths { targets, shares }: Truths) -> Scored {
        if self.tower.is_none() {
            return Scored::All(Truths { targets, shares });
        }
        let ids = self.index.distinct(&[&self.trained, &targets]);
        let [targets] = self.index.rows(&ids, &[&targets]);
        Scored::Trained { ids, truths: Truths { targets, shares } }
    }

    /// The true items of a batch, and of which states they are asked.
    fn truths(&self, batch: &Batch) -> Result<(Truths, Option<Reads>)> {
        match &self.ahead {
            Some(ahead) => {
                let Asked { targets, shares, reads } = ahead.ask(batch)?;
                Ok((Truths { targets, shares }, Some(reads)))
            }
            None => {
                let targets = batch.targets.iter().map(|&ItemId(id)| id).collect();
                Ok((Truths { targets, shares: Vec::new() }, None))
            }
        }
    }

    fn without_lifts(&mut self, step: u64, batch: Batch) -> Result<Plan> {
        let (truths, reads) = self.truths(&batch)?;
        let tokens: Vec<u32> = batch.tokens.iter().map(|&ItemId(id)| id).collect();
        let (offsets, lifts) = (batch.offsets, None);
        let Some((sampler, correction)) = &self.sampler else {
            let ids = self.index.distinct(&[&tokens]);
            let token_rows = self.index.rows(&ids, &[&tokens]).concat();
            let scored = self.against_all(truths);
            return Ok(Plan { step, ids, token_rows, offsets, reads, scored, lifts });
        };
        let draw = sampler.draw(self.seed, step);
        let Truths { targets, shares } = truths;
        let candidates = |target_rows, negative_rows| {
            let of_rows = candidates(*correction, sampler, &draw, &targets, target_rows, negative_rows);
            Arc::new(Candidates { shares, ..of_rows })
        };
        if self.tied {
            let lists = [&tokens[..], &targets, &draw.ids];
            let ids = self.index.distinct(&lists);
            let [token_rows, target_rows, negative_rows] = self.index.rows(&ids, &lists);
            let scored = Scored::Sampled { ids: None, candidates: candidates(target_rows, negative_rows) };
            return Ok(Plan { step, ids, token_rows, offsets, reads, scored, lifts });
        }
        let ids = self.index.distinct(&[&tokens]);
        let token_rows = self.index.rows(&ids, &[&tokens]).concat();
        let scored_ids = self.index.distinct(&[&targets, &draw.ids]);
        let [target_rows, negative_rows] = self.index.rows(&scored_ids, &[&targets, &draw.ids]);
        let scored =
            Scored::Sampled { ids: Some(scored_ids), candidates: candidates(target_rows, negative_rows) };
        Ok(Plan { step, ids, token_rows, offsets, reads, scored, lifts })
    }
}

/// Distinct ids in ascending order and each id's place among them; `(i)` scratch, four bytes an item.
#[derive(Clone, Debug)]
struct Index {
    places: Vec<u32>,
}

impl Index {
    fn new(items: usize) -> Self {
        Self { places: vec![u32::MAX; items] }
    }

    /// The ids of all lists, ascending, each once; each id's place is remembered until [`Index::rows`] forgets it.
    fn distinct(&mut self, lists: &[&[u32]]) -> Vec<u32> {
        let mut ids = Vec::new();
        for &id in lists.iter().copied().flatten() {
            let place = &mut self.places[id as usize];
            if *place == u32::MAX {
                *place = 0;
                ids.push(id);
            }
        }
        ids.sort_unstable();
        ids.iter().zip(0..).for_each(|(&id, place)| self.places[id as usize] = place);
        ids
    }

    /// The place of every element of the lists among `ids`.
    fn rows<const N: usize>(&mut self, ids: &[u32], lists: &[&[u32]; N]) -> [Vec<u32>; N] {
        let rows = lists.map(|list| list.iter().map(|&id| self.places[id as usize]).collect());
        ids.iter().for_each(|&id| self.places[id as usize] = u32::MAX);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::batch_of;

    fn batch() -> Batch {
        batch_of(&[&[7, 3, 5], &[3, 9, 7]])
    }

    fn plan(kind: LossKind, tied: bool) -> Plan {
        let loss = LossConfig { kind, count: 4, ..LossConfig::default() };
        let mut planner = Planner::new(&loss, tied, &[1; 12], 3);
        assert_eq!(
            planner.plan(0, batch()).unwrap().ids,
            planner.clone().plan(0, batch()).unwrap().ids,
            "no place is left behind"
        );
        planner.plan(1, batch()).unwrap()
    }

    #[test]
    fn a_tied_step_gathers_inputs_targets_and_negatives_once() {
        let plan = plan(LossKind::SampledSoftmax, true);
        assert!(plan.ids.is_sorted_by(|a, b| a < b));
        let Scored::Sampled { ids: None, candidates } = &plan.scored else { panic!("one leaf") };
        let of = |rows: &[u32]| rows.iter().map(|&row| plan.ids[row as usize]).collect::<Vec<_>>();
        assert_eq!(of(&plan.token_rows), [7, 3, 3, 9]);
        assert_eq!(of(&candidates.targets), [3, 5, 9, 7]);
        assert_eq!(candidates.negatives.len(), 4);
    }

    #[test]
    fn an_untied_step_has_two_leaves() {
        let plan = plan(LossKind::SampledSoftmax, false);
        assert_eq!((&plan.ids[..], &plan.token_rows[..]), (&[3, 7, 9][..], &[1, 0, 0, 2][..]));
        let Scored::Sampled { ids: Some(ids), candidates } = &plan.scored else { panic!("two leaves") };
        let of = |rows: &[u32]| rows.iter().map(|&row| ids[row as usize]).collect::<Vec<_>>();
        assert_eq!(of(&candidates.targets), [3, 5, 9, 7]);
    }

    #[test]
    fn the_full_softmax_gathers_inputs_alone() {
        let plan = plan(LossKind::FullSoftmax, true);
        assert_eq!(plan.ids, [3, 7, 9]);
        assert!(matches!(plan.scored, Scored::All(truths) if truths.targets == [3, 5, 9, 7]));
    }
}
