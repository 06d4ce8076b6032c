//! Sums of lanes' partial gradients, in one fixed order.

use rayon::prelude::*;
use upnext_kernels::lanes::LANES;

/// Rows that are worked on at a time where rows do not mix, so that what they touch stays in a core's L2 cache.
pub const CHUNK_ROWS: usize = 256;

/// Rows of each lane where `rows` rows, which do not mix, are cut into at most [`LANES`] lanes of whole chunks.
pub fn lane_rows(rows: usize) -> usize {
    rows.div_ceil(LANES).next_multiple_of(CHUNK_ROWS).max(CHUNK_ROWS)
}

/// The first `len` values of a buffer that is reused, grown when it is too short; what they hold is left over.
pub(crate) fn sized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

/// `len` values more at the end of a buffer.
pub(crate) fn appended(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    let start = buffer.len();
    buffer.resize(start + len, 0.0);
    &mut buffer[start..]
}

/// The sum of equally long parts, as a binary tree over their indices: `((0+1)+(2+3))+…`.
///
/// The tree depends on the number of parts alone, so threads move no bit. No part gives no values.
pub fn tree(mut parts: Vec<Vec<f32>>) -> Vec<f32> {
    let mut stride = 1;
    while stride < parts.len() {
        parts.par_chunks_mut(2 * stride).for_each(|pair| {
            if pair.len() > stride {
                let (left, right) = pair.split_at_mut(stride);
                left[0].iter_mut().zip(&right[0]).for_each(|(sum, &part)| *sum += part);
            }
        });
        stride *= 2;
    }
    parts.into_iter().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_into_at_most_sixteen_lanes_of_whole_chunks() {
        for rows in [1, 256, 257, 4096, 4097, 100_000] {
            let lane = lane_rows(rows);
            assert!(
                lane.is_multiple_of(CHUNK_ROWS) && rows.div_ceil(lane) <= LANES,
                "{rows} rows, {lane} a lane"
            );
        }
    }

    #[test]
    fn every_part_is_counted_once() {
        for count in 1..20_usize {
            let parts = (0..count).map(|part| vec![1.0, part as f32]).collect();
            assert_eq!(tree(parts), vec![count as f32, (count * (count - 1) / 2) as f32]);
        }
    }
}
