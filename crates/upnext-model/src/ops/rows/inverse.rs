//! For each of u rows, the places that it went to.

use crate::ops::gather::Segments;
use candle_core::{Device, Result, Tensor, bail};

/// The inverse of a gather: which of the n places each of the u rows was written to.
///
/// It is sorted on the host, once a batch, and turns the gradient of a gather into sums over neighbouring entries.
#[derive(Clone, Debug)]
pub struct Inverse {
    /// `(n)` u32: places ordered by the row that they read, ties by place. Entries from `starts[u]` on mean nothing.
    pub order: Tensor,
    /// `(u + 1)` u32: `order[starts[j]..starts[j + 1]]` are the places of row `j`.
    pub starts: Tensor,
}

impl Inverse {
    /// The inverse of gathering `rows` rows by `ids`, of which the first `real` count: the places after them are
    /// padding, whose gradients reach no row, whatever their ids.
    ///
    /// # Errors
    /// When one of the `real` ids is not below `rows`, or there are fewer ids.
    pub fn new(ids: &[u32], real: usize, rows: usize, device: &Device) -> Result<Self> {
        let Some(counted) = ids.get(..real) else {
            bail!("{real} places cannot count where there are {}", ids.len());
        };
        let segments = Segments::new(counted, rows)?;
        let mut order = segments.order().to_vec();
        order.resize(ids.len(), 0);
        Ok(Self {
            order: Tensor::from_vec(order, ids.len(), device)?,
            starts: Tensor::from_slice(segments.starts(), rows + 1, device)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_in_no_rows_list() {
        let inverse = Inverse::new(&[2, 0, 2, 3, 3], 3, 4, &Device::Cpu).unwrap();
        assert_eq!(inverse.starts.to_vec1::<u32>().unwrap(), [0, 1, 1, 3, 3]);
        assert_eq!(inverse.order.to_vec1::<u32>().unwrap(), [1, 0, 2, 0, 0]);
    }

    #[test]
    fn more_counted_places_than_there_are_is_an_error() {
        let error = Inverse::new(&[0, 0], 3, 1, &Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("3 places cannot count where there are 2"), "{error}");
    }
}
