//! What can be evaluated: anything that scores every item after an input.

use std::borrow::Cow;

use upnext_data::{ItemId, window};
use upnext_kernels::{Rows, score};
use upnext_model::{Adjusting, Adjustment, Network, Served, Vectors};

use crate::{Error, Result};

/// A system under evaluation: a score per item after each input, higher is better.
pub trait Scorer: Sync {
    /// The name in reports.
    fn name(&self) -> &str;

    /// i: items that are scored.
    fn items(&self) -> usize;

    /// Scores of all items after each input, `(b, i)` row-major into `out`.
    ///
    /// An input is everything the system may know, oldest first and never empty; cutting it to a
    /// window is the scorer's own business. A row must not depend on its neighbours.
    ///
    /// # Errors
    /// When an input is empty or holds an unknown item, or `out` has another size.
    fn score(&self, inputs: &[&[ItemId]], out: &mut [f32]) -> Result<()>;

    /// Items that are never recommended, ascending: one of them as a target is a miss, and a report counts it.
    fn ineligible(&self) -> &[u32] {
        &[]
    }

    /// By how much the scores were moved.
    fn adjustment(&self) -> Adjustment {
        Adjustment::default()
    }
}

/// The frozen network with its item vectors.
#[derive(Clone)]
pub struct ModelScorer<'a> {
    network: &'a Network,
    vectors: &'a Vectors<'a>,
    ineligible: &'a [u32],
    unread: &'a [u32],
    counts: &'a [u64],
    adjustment: Option<(Adjusting, Adjustment)>,
}

impl<'a> ModelScorer<'a> {
    /// Scores by `network` over the items of `vectors`.
    pub fn new(network: &'a Network, vectors: &'a Vectors<'a>) -> Self {
        Self { network, vectors, ineligible: &[], unread: &[], counts: &[], adjustment: None }
    }

    /// Scores as a server does that opened this model and whose requests move scores by so much.
    pub fn of(served: &'a Served, by: Adjustment) -> Self {
        let adjustment = (!by.is_none()).then(|| (Adjusting::new(&served.config, &served.counts), by));
        let scorer = Self::new(&served.network, &served.vectors)
            .without(&served.ineligible)
            .reading_without(&served.unread, &served.counts);
        Self { adjustment, ..scorer }
    }

    /// Gives the worst of scores to items that must not be recommended: one of them as a target is a miss.
    #[must_use]
    pub fn without(self, ineligible: &'a [u32]) -> Self {
        Self { ineligible, ..self }
    }

    /// Reads inputs without these items, ascending; where nothing is left of one, items score by their training events
    /// `(i)`.
    #[must_use]
    pub fn reading_without(self, unread: &'a [u32], counts: &'a [u64]) -> Self {
        Self { unread, counts, ..self }
    }

    /// The part of an input that the network reads; empty when it knows none of it.
    fn read<'i>(&self, input: &'i [ItemId]) -> Cow<'i, [ItemId]> {
        let is_read = |item: &ItemId| self.unread.binary_search(&item.0).is_err();
        let window = |len: usize| window::of(len, self.network.config().window, 0);
        if self.unread.is_empty() || input.iter().all(is_read) {
            return Cow::Borrowed(&input[window(input.len())]);
        }
        let read: Vec<ItemId> = input.iter().copied().filter(is_read).collect();
        Cow::Owned(read[window(read.len())].to_vec())
    }
}

impl Scorer for ModelScorer<'_> {
    fn name(&self) -> &str {
        "model"
    }

    fn items(&self) -> usize {
        self.vectors.items()
    }

    /// One prefill of each input's window and one product with all item vectors, on the caller's thread.
    fn score(&self, inputs: &[&[ItemId]], out: &mut [f32]) -> Result<()> {
        check_call(inputs, self.items(), self.name(), out)?;
        let read: Vec<Cow<'_, [ItemId]>> = inputs.iter().map(|input| self.read(input)).collect();
        // A state that nobody asks for stands in where nothing is read.
        let histories: Vec<&[ItemId]> = read
            .iter()
            .zip(inputs)
            .map(|(read, input)| if read.is_empty() { &input[..1] } else { read })
            .collect();
        let states_br = self.network.prefill(&histories, self.vectors, None, false)?;
        let queries = Rows::new(&states_br, inputs.len(), self.vectors.rank());
        score::scores(queries, &self.vectors.table(), out, false);
        for (row, read) in out.chunks_exact_mut(self.items()).zip(&read) {
            if read.is_empty() {
                row.iter_mut().zip(self.counts).for_each(|(score, &count)| *score = count as f32);
            } else if let Some((adjusting, by)) = &self.adjustment {
                adjusting.offsets(*by).into_iter().for_each(|offset| score::add_offset(offset, row));
            }
            self.ineligible.iter().for_each(|&item| row[item as usize] = f32::NEG_INFINITY);
        }
        Ok(())
    }

    fn ineligible(&self) -> &[u32] {
        self.ineligible
    }

    fn adjustment(&self) -> Adjustment {
        self.adjustment.as_ref().map_or_else(Adjustment::default, |(_, by)| *by)
    }
}

/// Refuses what no scorer can answer: an empty input, an unknown item, a buffer of another size.
///
/// # Errors
/// In these three cases.
pub(crate) fn check_call(inputs: &[&[ItemId]], items: usize, scorer: &str, out: &[f32]) -> Result<()> {
    let needed = inputs.len().saturating_mul(items);
    if needed != out.len() {
        return Err(Error::Buffer { inputs: inputs.len(), items, needed, given: out.len() });
    }
    for (user, input) in inputs.iter().enumerate() {
        if input.is_empty() {
            return Err(Error::EmptyInput { user });
        }
        if let Some(item) = input.iter().find(|item| item.index() >= items) {
            return Err(Error::UnknownItem { item: item.index(), items, scorer: scorer.to_owned() });
        }
    }
    Ok(())
}
