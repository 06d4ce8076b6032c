//! The content baseline: what is like the last things watched.
//!
//! It learns nothing from events but the last few of the input, so a cold item is for it as any other: what a tower has
//! to beat.

mod content;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Serialize;
use upnext_data::{Histories, ItemFeatures, ItemId, Question};

use crate::baselines::CHOSEN_BY;
use crate::evaluate::{Options, batch_size, check};
use crate::rank::{Seen, ranks_of_next};
use crate::scorer::check_call;
use crate::{Result, Scorer};
use content::{Content, Scratch, raise};

/// Name in reports.
const NAME: &str = "content-knn";

/// What the last events are read with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Parameters {
    /// Events that are read.
    pub window: usize,
    /// Weight of an event that is one further back.
    pub decay: f64,
    /// How much more a near item counts than a somewhat near one; a power of two.
    pub power: u32,
}

/// What is taken where nothing can be validated.
const DEFAULT: Parameters = Parameters { window: 10, decay: 0.8, power: 4 };
/// The windows and decays of [`ContentKnn::choose`].
const GRID: [(usize, f64); 4] = [(10, 0.8), (10, 0.6), (10, 1.0), (3, 0.8)];
/// Its powers, ascending.
const POWERS: [u32; 3] = [1, 4, 16];

/// Nearest neighbours by content.
///
/// With `cos_q` the cosine in modality q, over the modalities that both items have:
///
/// ```text
/// sim(a, j)  = max(0, mean_q cos_q(a, j))^power
/// score(j)   = Σ_m decay^m · sim(e_m, j)
/// ```
///
/// where `e_0` is the last event of the input, `e_1` the one before, up to `window` of them. An event without features
/// adds nothing; an item without features scores below all that have some.
#[derive(Clone, Debug)]
pub struct ContentKnn {
    content: Arc<Content>,
    parameters: Parameters,
}

impl ContentKnn {
    /// Over the items of some features.
    pub fn new(features: &ItemFeatures, parameters: Parameters) -> Self {
        Self { content: Arc::new(Content::new(features)), parameters }
    }

    /// With the parameters of the best NDCG@10 on some questions, of all that came next, and that value: power 1, 4 or
    /// 16, window and decay (10, 0.8), (10, 0.6), (10, 1) or (3, 0.8). Of equal ones the first named wins; without
    /// questions there is no value, and power 4 with (10, 0.8) is taken.
    ///
    /// Similarities are the dear part, so each question's are made once for all candidates.
    ///
    /// # Errors
    /// When a question cannot be answered (see [`crate::evaluate()`]).
    pub fn choose(
        features: &ItemFeatures,
        histories: &Histories,
        questions: &[Question],
        seen: Seen,
        options: Options<'_>,
    ) -> Result<(Self, Option<f64>)> {
        let any = Self::new(features, DEFAULT);
        if questions.is_empty() {
            return Ok((any, None));
        }
        check(&any, histories, questions)?;
        let done = AtomicUsize::new(0);
        let gains: Vec<Vec<f64>> = questions
            .par_chunks(batch_size(any.items()))
            .flat_map_iter(|asked| {
                let mut scratch = Scratch::default();
                let gains: Vec<Vec<f64>> =
                    asked.iter().map(|question| any.gains(histories, question, seen, &mut scratch)).collect();
                let so_far = done.fetch_add(asked.len(), Ordering::Relaxed) + asked.len();
                if let Some(progress) = options.progress {
                    progress(NAME, so_far, questions.len());
                }
                gains
            })
            .collect();
        let candidates: Vec<Parameters> = candidates().collect();
        let mut best = (0, f64::NEG_INFINITY);
        for place in 0..candidates.len() {
            let mean = gains.iter().map(|gains| gains[place]).sum::<f64>() / questions.len() as f64;
            if mean > best.1 {
                best = (place, mean);
            }
        }
        Ok((Self { parameters: candidates[best.0], ..any }, Some(best.1)))
    }

    /// What the last events are read with.
    pub fn parameters(&self) -> Parameters {
        self.parameters
    }

    /// NDCG@10 of one question for each of [`candidates`].
    fn gains(
        &self,
        histories: &Histories,
        question: &Question,
        seen: Seen,
        scratch: &mut Scratch,
    ) -> Vec<f64> {
        let (input, next) = (question.input(histories).items, question.held_out(histories).items);
        let widest = GRID.iter().map(|&(window, _)| window).max().unwrap_or(0);
        self.content.similar(input, widest, scratch);
        let (mut out, mut power) = (vec![0.0; self.items()], 1);
        let gain = |candidate: Parameters| {
            raise(&mut scratch.similar, power, candidate.power);
            power = candidate.power;
            self.content.sum(candidate.window, candidate.decay, &scratch.similar, &mut out);
            CHOSEN_BY.of_ranks(&ranks_of_next(&out, next, input, seen, &mut scratch.seen))
        };
        candidates().map(gain).collect()
    }
}

/// Every power with every window and decay.
fn candidates() -> impl Iterator<Item = Parameters> {
    let with = |power| GRID.map(|(window, decay)| Parameters { window, decay, power });
    POWERS.into_iter().flat_map(with)
}

impl Scorer for ContentKnn {
    fn name(&self) -> &str {
        NAME
    }

    fn items(&self) -> usize {
        self.content.items()
    }

    fn score(&self, inputs: &[&[ItemId]], out: &mut [f32]) -> Result<()> {
        check_call(inputs, self.items(), self.name(), out)?;
        let mut scratch = Scratch::default();
        for (input, row) in inputs.iter().zip(out.chunks_exact_mut(self.items().max(1))) {
            let Parameters { window, decay, power } = self.parameters;
            self.content.similar(input, window, &mut scratch);
            raise(&mut scratch.similar, 1, power);
            self.content.sum(window, decay, &scratch.similar, row);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate_next;
    use upnext_data::{Catalog, FeatureFile, Modality};

    /// Items 0 to 3 have text, items 2 to 4 a picture; item 5 has nothing.
    pub(super) fn features() -> ItemFeatures {
        let keys = ["a", "b", "c", "d", "e", "f"];
        let modality = |name: &str, items: &[u32], values: &[f32]| Modality {
            name: name.into(),
            width: 2,
            items: items.to_vec(),
            values: values.to_vec(),
        };
        let text = modality("text", &[0, 1, 2, 3], &[1.0, 0.0, 3.0, 4.0, 0.0, 2.0, -1.0, 0.0]);
        let picture = modality("picture", &[2, 3, 4], &[1.0, 0.0, 4.0, 3.0, 0.0, 5.0]);
        let file = FeatureFile {
            keys: keys.iter().collect(),
            encoder: "by hand".into(),
            modalities: vec![text, picture],
        };
        ItemFeatures::of(&Catalog::new(keys.iter().collect(), vec![]).unwrap(), &[file]).unwrap().0
    }

    fn check_scores(window: usize, decay: f64, power: u32, input: &[u32], expected: [f32; 6]) {
        let knn = ContentKnn::new(&features(), Parameters { window, decay, power });
        let input: Vec<ItemId> = input.iter().map(|&item| ItemId(item)).collect();
        let mut found = [0.0; 6];
        knn.score(&[&input], &mut found).unwrap();
        for (found, expected) in found.iter().zip(expected) {
            let near = found == &expected || (found - expected).abs() < 1e-6;
            assert!(near, "{input:?} gives {found} where {expected} is right");
        }
    }

    #[test]
    fn scores_are_those_worked_by_hand() {
        let none = f32::NEG_INFINITY;
        // Text only: (1, 0) with (1, 0), (0.6, 0.8), (0, 1), (-1, 0); opposites count as strangers.
        check_scores(1, 1.0, 1, &[0], [1.0, 0.6, 0.0, 0.0, 0.0, none]);
        // Item 2 shares text and picture with item 3: cosines 0 and 0.8, their mean 0.4; a picture alone with item 4.
        check_scores(1, 1.0, 1, &[2], [0.0, 0.8, 1.0, 0.4, 0.0, none]);
        // Squared twice; the event before the last counts half.
        let fourth = [0.6_f32, 0.8, 0.4].map(|cosine| cosine.powi(4));
        check_scores(2, 0.5, 4, &[4, 0, 2], [0.5, 0.5 * fourth[0] + fourth[1], 1.0, fourth[2], 0.0, none]);
        // An event without features says nothing, but it is an event.
        check_scores(1, 1.0, 1, &[0, 5], [0.0, 0.0, 0.0, 0.0, 0.0, none]);
        check_scores(2, 0.5, 1, &[0, 5], [0.5, 0.3, 0.0, 0.0, 0.0, none]);
    }

    #[test]
    fn the_choice_is_the_best_of_the_grid_by_plain_evaluation() {
        let features = features();
        let items = [0, 4, 1, 2, 1, 3, 3, 4, 2, 0, 2, 1].map(ItemId).to_vec();
        let histories =
            Histories::new(["u", "v", "w"].iter().collect(), vec![0, 4, 8, 12], items, (0..12).collect())
                .unwrap();
        let questions: Vec<Question> = (0..3)
            .flat_map(|user| {
                let user = upnext_data::UserId(user);
                (1..4).map(move |start| Question { user, start, targets: 1 + usize::from(start == 2) })
            })
            .collect();
        let values = [Seen::Dropped, Seen::Kept].map(|seen| {
            let (chosen, value) =
                ContentKnn::choose(&features, &histories, &questions, seen, Options::default()).unwrap();
            let plain = |parameters| {
                let knn = ContentKnn::new(&features, parameters);
                let metrics = evaluate_next(&knn, &histories, &questions, seen, Options::default()).unwrap();
                (metrics.get(CHOSEN_BY).unwrap(), knn.parameters())
            };
            let all: Vec<(f64, Parameters)> = candidates().map(plain).collect();
            let best = all.iter().fold(f64::NEG_INFINITY, |best, (value, _)| best.max(*value));
            let first = all.iter().find(|(value, _)| *value == best).unwrap().1;
            assert_eq!(chosen.parameters(), first, "{seen}");
            assert!((value.unwrap() - best).abs() < 1e-12);
            best
        });
        assert_ne!(values[0], values[1]);
        let (usual, none) =
            ContentKnn::choose(&features, &histories, &[], Seen::Dropped, Options::default()).unwrap();
        assert_eq!((usual.parameters(), none), (DEFAULT, None));
    }
}
