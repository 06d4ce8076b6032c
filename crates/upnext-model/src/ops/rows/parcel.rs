//! What is sorted on the host and sent to a device in one piece: lists of ids, and the inverses of gathers.

use super::Inverse;
use super::inverse::inverted;
use candle_core::{Device, Result, Tensor};
use std::ops::Range;

/// Lists of ids that travel to a device in one piece.
#[derive(Debug, Default)]
pub struct Parcel {
    ids: Vec<u32>,
}

impl Parcel {
    /// Packs a list; says where it lies.
    pub fn put(&mut self, list: &[u32]) -> Range<usize> {
        let start = self.ids.len();
        self.ids.extend_from_slice(list);
        start..self.ids.len()
    }

    /// Sends everything.
    ///
    /// # Errors
    /// When the device refuses.
    pub fn send(self, device: &Device) -> Result<Sent> {
        let count = self.ids.len();
        Ok(Sent { ids: Tensor::from_vec(self.ids, count, device)? })
    }
}

/// What has arrived.
#[derive(Debug)]
pub struct Sent {
    ids: Tensor,
}

impl Sent {
    /// A list by the place that [`Parcel::put`] gave.
    ///
    /// # Errors
    /// When the place is another parcel's.
    pub fn list(&self, place: &Range<usize>) -> Result<Tensor> {
        self.ids.narrow(0, place.start, place.len())
    }
}

/// A gather's ids and their inverse, as places in a parcel.
#[derive(Clone, Debug)]
pub struct Gathered {
    ids: Range<usize>,
    order: Range<usize>,
    starts: Range<usize>,
}

impl Gathered {
    /// Packs the gather of `ids` out of `rows` rows; ids of [`PADDING`](super::PADDING) read zeros and give no gradient.
    ///
    /// # Errors
    /// When another id is not below `rows`.
    pub fn put(parcel: &mut Parcel, ids: &[u32], rows: usize) -> Result<Self> {
        let (order, starts) = inverted(ids, rows)?;
        Ok(Self { ids: parcel.put(ids), order: parcel.put(&order), starts: parcel.put(&starts) })
    }

    /// The ids and the inverse on the device.
    ///
    /// # Errors
    /// When the parcel is another one.
    pub fn open(&self, sent: &Sent) -> Result<(Tensor, Inverse)> {
        let inverse = Inverse { order: sent.list(&self.order)?, starts: sent.list(&self.starts)? };
        Ok((sent.list(&self.ids)?, inverse))
    }
}
