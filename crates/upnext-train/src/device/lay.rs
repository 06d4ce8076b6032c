//! A plan laid out for a device: padded, sorted, sent in two pieces.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use upnext_model::ModelConfig;
use upnext_model::ops::rows::{Gathered, Inverse, PADDING, Parcel, Sent};
use upnext_model::padded::{Padded, Padder, Places};

use crate::Result;
use crate::plan::{Plan, Scored};

/// Distinct rows of a step are filled up to a multiple of this many.
const ROWS: usize = 256;

/// Lays plans out, on the thread that makes them.
pub(crate) struct Layer {
    padder: Padder,
    window: usize,
    items: usize,
    tied: bool,
    /// Whether whole tables are updated whatever the loss.
    dense: bool,
}

/// A step's lists on the device. Letters: p rows of the padded token axis, u of a leaf, k negatives, i items.
pub(crate) struct Laid {
    pub(crate) step: u64,
    pub(crate) batch: Padded,
    /// `(u)` rows of the input table.
    pub(crate) input: Picked,
    /// `(p, 1)` f32: one over the number of tokens, 0 on rows of padding.
    pub(crate) weights_p1: Tensor,
    pub(crate) scored: LaidScored,
}

/// Rows of a table that a step reads.
pub(crate) struct Picked {
    /// `(u)` which rows, then padding.
    pub(crate) ids_u: Tensor,
    /// `(i)` where in them each item's row is, padding for none; when the whole table is updated.
    pub(crate) place_i: Option<Tensor>,
}

pub(crate) enum LaidScored {
    Sampled(Box<LaidCandidates>),
    All {
        /// `(p)` true items, and which rows each item is the truth of.
        targets: (Tensor, Inverse),
    },
}

/// [`crate::sampled_softmax::Candidates`] on a device.
pub(crate) struct LaidCandidates {
    /// Rows of an output leaf of its own; absent when the input leaf is scored.
    pub(crate) output: Option<Picked>,
    /// `(p)` the leaf row of each true item.
    pub(crate) targets: (Tensor, Inverse),
    /// `(k)` the leaf row of each negative.
    pub(crate) negatives: (Tensor, Inverse),
    /// `(1, k)` taken off each negative's logits.
    pub(crate) log_kq_1k: Tensor,
    /// `(p, 1)` added to all of a row's negative logits.
    pub(crate) raised_p1: Option<Tensor>,
}

impl Layer {
    pub(crate) fn new(
        config: &ModelConfig,
        items: usize,
        products: DType,
        dense: bool,
        device: &Device,
    ) -> Result<Self> {
        let padder = Padder::new(config, products, device)?;
        Ok(Self { padder, window: config.window, items, tied: config.tied, dense })
    }

    /// Sends a plan's lists.
    ///
    /// # Errors
    /// When the plan's batch does not fit the model, or the device refuses.
    pub(crate) fn lay(&mut self, plan: &Plan) -> Result<Laid> {
        if plan.reads.is_some() {
            return Err(crate::Error::HorizonsOnDevice);
        }
        let places = Places::new(&plan.offsets, self.window)?;
        let mut parcel = Parcel::default();
        let mut numbers = Numbers::default();
        // The full softmax has a gradient for every row of the table that it scores.
        let whole = self.dense || (self.tied && matches!(plan.scored, Scored::All(_)));
        let (input, u) = self.pick(&mut parcel, &plan.ids, whole);
        let batch = self.padder.pack(&mut parcel, &places, &plan.token_rows, u)?;
        let tokens = plan.token_rows.len();
        let weights = numbers.put(&places.spread(&vec![1.0 / tokens as f32; tokens], 0.0));
        let scored = match &plan.scored {
            Scored::Trained { .. } => return Err(crate::Error::TowerOnDevice),
            Scored::All(truths) => {
                let targets = places.spread(&truths.targets, PADDING);
                PutScored::All(Gathered::put(&mut parcel, &targets, self.items)?)
            }
            Scored::Sampled { ids, candidates } => {
                let output = ids.as_ref().map(|ids| self.pick(&mut parcel, ids, self.dense));
                let rows = output.as_ref().map_or(u, |(_, rows)| *rows);
                let targets = places.spread(&candidates.targets, PADDING);
                let raised = (!candidates.raised.is_empty())
                    .then(|| numbers.put(&places.spread(&candidates.raised, 0.0)));
                PutScored::Sampled {
                    output: output.map(|(put, _)| put),
                    targets: Gathered::put(&mut parcel, &targets, rows)?,
                    negatives: Gathered::put(&mut parcel, &candidates.negatives, rows)?,
                    log_kq: numbers.put(&candidates.log_kq),
                    raised,
                }
            }
        };
        let device = self.padder.device().clone();
        let (sent, numbers) = (parcel.send(&device)?, numbers.send(&device)?);
        Ok(Laid {
            step: plan.step,
            batch: self.padder.open(&batch, &sent)?,
            input: input.open(&sent)?,
            weights_p1: column(&numbers, &weights)?,
            scored: scored.open(&sent, &numbers)?,
        })
    }

    /// Packs the rows that a leaf is made of; says how many it has.
    fn pick(&self, parcel: &mut Parcel, ids: &[u32], whole: bool) -> (PutPicked, usize) {
        // Metal updates by candle's scatter, which takes no padding.
        let fill = if self.padder.device().is_metal() { 1 } else { ROWS };
        let mut padded = ids.to_vec();
        padded.resize(ids.len().next_multiple_of(fill), PADDING);
        let place = whole.then(|| {
            let mut place = vec![PADDING; self.items];
            ids.iter().zip(0..).for_each(|(&id, row)| place[id as usize] = row);
            parcel.put(&place)
        });
        (PutPicked { ids: parcel.put(&padded), place }, padded.len())
    }
}

/// [`Picked`] as places in a parcel.
struct PutPicked {
    ids: Range<usize>,
    place: Option<Range<usize>>,
}

impl PutPicked {
    fn open(&self, sent: &Sent) -> Result<Picked> {
        let place_i = self.place.as_ref().map(|place| sent.list(place)).transpose()?;
        Ok(Picked { ids_u: sent.list(&self.ids)?, place_i })
    }
}

/// [`LaidScored`] as places in parcels.
enum PutScored {
    Sampled {
        output: Option<PutPicked>,
        targets: Gathered,
        negatives: Gathered,
        log_kq: Range<usize>,
        raised: Option<Range<usize>>,
    },
    All(Gathered),
}

impl PutScored {
    fn open(&self, sent: &Sent, numbers: &Tensor) -> Result<LaidScored> {
        Ok(match self {
            Self::All(targets) => LaidScored::All { targets: targets.open(sent)? },
            Self::Sampled { output, targets, negatives, log_kq, raised } => {
                LaidScored::Sampled(Box::new(LaidCandidates {
                    output: output.as_ref().map(|output| output.open(sent)).transpose()?,
                    targets: targets.open(sent)?,
                    negatives: negatives.open(sent)?,
                    log_kq_1k: column(numbers, log_kq)?.t()?,
                    raised_p1: raised.as_ref().map(|raised| column(numbers, raised)).transpose()?,
                }))
            }
        })
    }
}

/// f32 lists that travel in one piece.
#[derive(Default)]
struct Numbers {
    all: Vec<f32>,
}

impl Numbers {
    fn put(&mut self, list: &[f32]) -> Range<usize> {
        let start = self.all.len();
        self.all.extend_from_slice(list);
        start..self.all.len()
    }

    fn send(self, device: &Device) -> Result<Tensor> {
        let count = self.all.len();
        Ok(Tensor::from_vec(self.all, count, device)?)
    }
}

/// A list as `(len, 1)`.
fn column(numbers: &Tensor, place: &Range<usize>) -> Result<Tensor> {
    Ok(numbers.narrow(0, place.start, place.len())?.unsqueeze(1)?)
}
