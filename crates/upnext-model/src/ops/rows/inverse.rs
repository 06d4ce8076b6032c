//! For each of u rows, the places that it went to.

use super::PADDING;
use crate::ops::gather::Segments;
#[cfg(test)]
use candle_core::Device;
use candle_core::{Result, Tensor};

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

/// `order` and `starts` of the inverse of gathering `rows` rows by `ids`; an id of [`PADDING`] is in no row's list.
///
/// # Errors
/// When another id is not below `rows`.
pub(super) fn inverted(ids: &[u32], rows: usize) -> Result<(Vec<u32>, Vec<u32>)> {
    let real: Vec<u32> = (0..ids.len() as u32).filter(|&at| ids[at as usize] != PADDING).collect();
    let compact: Vec<u32> = real.iter().map(|&at| ids[at as usize]).collect();
    let segments = Segments::new(&compact, rows)?;
    let mut order: Vec<u32> = segments.order().iter().map(|&at| real[at as usize]).collect();
    order.resize(ids.len(), 0);
    Ok((order, segments.starts().to_vec()))
}

#[cfg(test)]
impl Inverse {
    /// The inverse on a device.
    pub(super) fn new(ids: &[u32], rows: usize, device: &Device) -> Result<Self> {
        let (order, starts) = inverted(ids, rows)?;
        Ok(Self { order: Tensor::new(order, device)?, starts: Tensor::new(starts, device)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_in_no_rows_list() {
        let (order, starts) = inverted(&[2, PADDING, 0, 2, PADDING], 4).unwrap();
        assert_eq!((&order[..], &starts[..]), (&[2, 0, 3, 0, 0][..], &[0, 1, 1, 3, 3][..]));
    }

    #[test]
    fn an_id_that_is_no_row_is_named() {
        let error = inverted(&[0, 4], 4).unwrap_err().to_string();
        assert!(error.contains("reads row 4, but the leaf has 4 rows"), "{error}");
    }
}
