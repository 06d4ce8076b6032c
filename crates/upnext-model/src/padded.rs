//! A jagged batch laid out for a device, and the decoder's operations over it.
//!
//! A device wants few, large, equal shapes: histories of like length stand side by side in rectangles, and the token
//! axis is filled up to a round number of rows. A row of padding belongs to no token: it reads zeros, and nothing that
//! it holds reaches a token or a gradient. Masks of dropout are those of the jagged batch, so a step on a device is the
//! CPU's step within rounding.
//!
//! Everything that depends on ids is sorted on the host and sent in one piece, ahead of the step.
//!
//! Letters: n tokens, p rows of the padded axis, b histories, u rows of the leaf, T window.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor, bail};

use crate::config::{ModelConfig, Positions};
use crate::dropout::{Drop, Site};
use crate::forms::{Forms, Sub, decode, head};
use crate::init::Parameters;
use crate::ops::attention::{Rectangle, Rectangles, angles, attend};
use crate::ops::rows::{Gathered, Inverse, PADDING, Parcel, Sent, drop_tokens, gather_rows};
use crate::ops::{Layout, mlp, norm};

/// Lengths that the histories of a batch are rounded up to at most.
const LENGTHS: usize = 8;
/// The padded axis has a multiple of this many rows.
const ROWS: usize = 256;

/// Where the tokens of a batch go on the padded axis: host memory alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Rectangles by length, ascending: length, and which histories.
    rectangles: Vec<(usize, Vec<u32>)>,
    /// `(p)` the token of each row.
    tokens: Vec<u32>,
    /// `(p)` each row's position in its history.
    positions: Vec<u32>,
}

impl Places {
    /// Places for the histories `offsets[j]..offsets[j + 1]` of at most `window` tokens.
    ///
    /// # Errors
    /// When a history is empty or longer than the window.
    pub fn new(offsets: &[usize], window: usize) -> Result<Self> {
        let layout = Layout::new(offsets)?;
        if layout.longest() > window || u32::try_from(layout.tokens()).is_err() {
            bail!("a history of {} tokens does not fit a window of {window}", layout.longest());
        }
        let step = window.div_ceil(LENGTHS).next_multiple_of(8);
        let mut by_length = BTreeMap::<usize, Vec<u32>>::new();
        for j in 0..layout.histories() {
            let length = layout.tokens_of(j).len().next_multiple_of(step).min(window);
            by_length.entry(length).or_default().push(j as u32);
        }
        let rows = by_length.iter().map(|(length, histories)| length * histories.len()).sum::<usize>();
        let mut places = Self {
            rectangles: by_length.into_iter().collect(),
            tokens: vec![PADDING; rows.next_multiple_of(ROWS)],
            positions: vec![PADDING; rows.next_multiple_of(ROWS)],
        };
        let mut row = 0;
        for (length, histories) in &places.rectangles {
            for &j in histories {
                let tokens = layout.tokens_of(j as usize);
                for (position, token) in tokens.enumerate() {
                    places.tokens[row + position] = token as u32;
                    places.positions[row + position] = position as u32;
                }
                row += length;
            }
        }
        Ok(places)
    }

    /// p: rows of the padded axis.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.tokens.len()
    }

    /// `(p)` of what is given for each token; `filler` on rows of padding.
    ///
    /// # Panics
    /// When a token has no value.
    pub fn spread<T: Copy>(&self, of_tokens: &[T], filler: T) -> Vec<T> {
        let of = |&token: &u32| if token == PADDING { filler } else { of_tokens[token as usize] };
        self.tokens.iter().map(of).collect()
    }
}

/// What every batch of a model shares on a device.
#[derive(Debug)]
pub struct Padder {
    device: Device,
    config: ModelConfig,
    /// The type that products are computed in.
    products: DType,
    angles: Option<(Tensor, Tensor)>,
    causal: BTreeMap<usize, Tensor>,
}

impl Padder {
    /// Batches of a model of this configuration; products are computed in `products`, f32 or bf16.
    ///
    /// # Errors
    /// When the device refuses.
    pub fn new(config: &ModelConfig, products: DType, device: &Device) -> Result<Self> {
        let angles = match config.positions {
            Positions::Rotary => Some(angles(config.window, config.head_width(), DType::F32, device)?),
            Positions::Learned => None,
        };
        let (device, config) = (device.clone(), config.clone());
        Ok(Self { device, config, products, angles, causal: BTreeMap::new() })
    }

    /// Where batches go.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Packs a batch whose token `t` reads row `token_rows[t]` of a leaf of `u` rows.
    ///
    /// # Errors
    /// When there are not as many rows as tokens, or a token reads a row that is not there.
    pub fn pack(&self, parcel: &mut Parcel, places: &Places, token_rows: &[u32], u: usize) -> Result<Packed> {
        let tokens = places.tokens.iter().filter(|&&token| token != PADDING).count();
        if tokens != token_rows.len() {
            bail!("a batch of {tokens} tokens got rows for {}", token_rows.len());
        }
        let positions = match self.config.positions {
            Positions::Learned => Some(Gathered::put(parcel, &places.positions, self.config.window)?),
            Positions::Rotary => None,
        };
        let rectangles = places.rectangles.iter();
        Ok(Packed {
            tokens: parcel.put(&places.tokens),
            token_rows: Gathered::put(parcel, &places.spread(token_rows, PADDING), u)?,
            positions,
            rectangles: rectangles.map(|(length, histories)| (*length, parcel.put(histories))).collect(),
        })
    }

    /// A packed batch that has arrived.
    ///
    /// # Errors
    /// When the parcel is another one.
    pub fn open(&mut self, packed: &Packed, sent: &Sent) -> Result<Padded> {
        let (mut first, mut rectangles) = (0, Vec::with_capacity(packed.rectangles.len()));
        for (length, histories) in &packed.rectangles {
            let (length, histories_b) = (*length, sent.list(histories)?);
            let causal_tt = self.causal(length)?;
            let rows = histories.len() * length;
            rectangles.push(Rectangle { first, length, histories_b, causal_tt });
            first += rows;
        }
        Ok(Padded {
            tokens_p: sent.list(&packed.tokens)?,
            token_rows: packed.token_rows.open(sent)?,
            positions: packed.positions.as_ref().map(|positions| positions.open(sent)).transpose()?,
            rectangles,
            heads: self.config.heads,
            angles: self.angles.clone(),
            products: self.products,
        })
    }

    /// The mask of a length, sent once.
    fn causal(&mut self, length: usize) -> Result<Tensor> {
        if let Some(causal_tt) = self.causal.get(&length) {
            return Ok(causal_tt.clone());
        }
        let later = |at: usize| if at % length > at / length { f32::MIN } else { 0.0 };
        let causal: Vec<f32> = (0..length * length).map(later).collect();
        let causal_tt = Tensor::from_vec(causal, (length, length), &self.device)?;
        self.causal.insert(length, causal_tt.clone());
        Ok(causal_tt)
    }
}

/// A batch as places in a parcel.
#[derive(Clone, Debug)]
pub struct Packed {
    tokens: Range<usize>,
    token_rows: Gathered,
    positions: Option<Gathered>,
    /// Length, and which histories.
    rectangles: Vec<(usize, Range<usize>)>,
}

/// A batch on a device.
#[derive(Clone, Debug)]
pub struct Padded {
    /// `(p)` the token of each row.
    tokens_p: Tensor,
    token_rows: (Tensor, Inverse),
    positions: Option<(Tensor, Inverse)>,
    rectangles: Vec<Rectangle>,
    heads: usize,
    angles: Option<(Tensor, Tensor)>,
    products: DType,
}

impl Padded {
    /// States `(p, r)` of the padded axis, out of a leaf `(u, r)` and parameters on the same device. See
    /// [`crate::Model::forward`].
    ///
    /// # Errors
    /// When shapes disagree, or the device refuses.
    pub fn forward(
        &self,
        config: &ModelConfig,
        parameters: &Parameters,
        rows_ur: &Tensor,
        drop: Option<Drop>,
    ) -> crate::Result<Tensor> {
        head(self, config, parameters, &decode(self, config, parameters, rows_ur, drop)?)
    }

    /// `x · wᵀ` in the type of products, the result f32.
    fn product(&self, x: &Tensor, w: &Tensor) -> Result<Tensor> {
        if self.products == DType::F32 {
            return x.matmul(&w.t()?);
        }
        x.to_dtype(self.products)?.matmul(&w.to_dtype(self.products)?.t()?)?.to_dtype(DType::F32)
    }

    fn dropped(&self, x: Tensor, drop: Option<Drop>, site: Site, layer: usize) -> Result<Tensor> {
        match drop.and_then(|drop| drop.mask(site, layer)) {
            Some(mask) => drop_tokens(&x, &self.tokens_p, mask),
            None => Ok(x),
        }
    }
}

impl Forms for Padded {
    fn gather(&self, rows_ur: &Tensor) -> Result<Tensor> {
        let (ids, inverse) = &self.token_rows;
        gather_rows(rows_ur, ids, inverse)
    }

    fn linear(&self, x: &Tensor, w: &Tensor) -> Result<Tensor> {
        self.product(x, w)
    }

    fn embed(&self, x: &Tensor, positions: Option<&Tensor>, drop: Option<Drop>) -> Result<Tensor> {
        let x = match (positions, &self.positions) {
            (Some(positions_td), Some((ids, inverse))) => (x + gather_rows(positions_td, ids, inverse)?)?,
            _ => x.clone(),
        };
        self.dropped(x, drop, Site::Embedding, 0)
    }

    fn attention(&self, x: &Tensor, qkv: &Tensor, out: &Tensor, sub: Sub) -> Result<Tensor> {
        let rectangles = Rectangles {
            all: self.rectangles.clone(),
            heads: self.heads,
            angles: self.angles.clone(),
            mask: sub.drop.and_then(|drop| drop.mask(Site::Probabilities, sub.layer)),
            products: self.products,
        };
        let heads = attend(&self.product(&norm::reference(x)?, qkv)?, rectangles)?;
        x + self.dropped(self.product(&heads, out)?, sub.drop, Site::AttentionOutput, sub.layer)?
    }

    fn mlp(&self, x: &Tensor, gate_up: &Tensor, down: &Tensor, sub: Sub) -> Result<Tensor> {
        let gate_up = self.product(&norm::reference(x)?, gate_up)?;
        let hidden = mlp::gated(&gate_up)?;
        x + self.dropped(self.product(&hidden, down)?, sub.drop, Site::MlpOutput, sub.layer)?
    }

    fn norm(&self, x: &Tensor) -> Result<Tensor> {
        norm::reference(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_of_like_length_stand_side_by_side_and_every_token_has_one_row() {
        let offsets = [0, 3, 43, 44, 94, 100];
        let places = Places::new(&offsets, 60).unwrap();
        let lengths: Vec<_> =
            places.rectangles.iter().map(|(length, who)| (*length, who.as_slice())).collect();
        assert_eq!(lengths, [(8, &[0_u32, 2, 4][..]), (40, &[1]), (56, &[3])]);
        assert_eq!(places.rows(), 256);
        let mut seen: Vec<u32> = places.tokens.iter().copied().filter(|&token| token != PADDING).collect();
        assert_eq!((places.tokens[8], places.positions[8]), (43, 0), "history 2 follows history 0");
        assert_eq!((places.tokens[24 + 39], places.positions[24 + 39]), (42, 39), "the last of history 1");
        assert_eq!((places.tokens[3], places.positions[3]), (PADDING, PADDING));
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..100));
        let doubled: Vec<u32> = (0..100).map(|token| token * 2).collect();
        assert_eq!(places.spread(&doubled, 7)[24..28], [6, 8, 10, 12]);
        assert_eq!(places.spread(&doubled, 7)[255], 7);
    }

    #[test]
    fn a_window_that_is_no_multiple_of_the_step_ends_the_lengths() {
        let places = Places::new(&[0, 9, 10], 9).unwrap();
        assert_eq!(places.rectangles, [(8, vec![1]), (9, vec![0])]);
        assert!(Places::new(&[0, 10], 9).unwrap_err().to_string().contains("does not fit a window of 9"));
    }
}
