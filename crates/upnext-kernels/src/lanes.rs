//! How a batch is cut over threads without moving a bit.
//!
//! A sum over tokens is cut into lanes by the data alone: threads take lanes, each lane is summed by itself, and the
//! lanes are added in order. Any number of threads, up to that of the lanes, then does the same additions.

use std::ops::Range;

/// The number of lanes that training cuts a batch into.
pub const LANES: usize = 16;

/// At most `lanes` contiguous runs of whole histories with about equal numbers of tokens, none of them empty.
///
/// `offsets (b + 1)` are where the histories start among the tokens. Ranges are of histories, and cover all of them
/// that have a token; lane `j` ends with the history that reaches a share of `(j + 1) / lanes` of the tokens.
///
/// ```
/// use upnext_kernels::lanes::lanes;
/// assert_eq!(lanes(&[0, 5, 6, 7, 10], 2), [0..1, 1..4]);
/// assert_eq!(lanes(&[0, 5], 16), [0..1]);
/// assert!(lanes(&[0], 16).is_empty());
/// ```
pub fn lanes(offsets: &[usize], lanes: usize) -> Vec<Range<usize>> {
    let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else {
        return Vec::new();
    };
    let (histories, tokens) = (offsets.len() - 1, last.saturating_sub(first));
    let mut ranges = Vec::with_capacity(lanes.min(histories));
    let mut start = 0;
    for lane in 1..=lanes {
        let share = first + (tokens as u128 * lane as u128 / lanes as u128) as usize;
        let end =
            if lane == lanes { histories } else { offsets.partition_point(|&o| o < share).min(histories) };
        if end > start && offsets[end] > offsets[start] {
            ranges.push(start..end);
            start = end;
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_history_is_in_one_lane_and_lanes_are_even() {
        let mut offsets = vec![0];
        for i in 0..500usize {
            offsets.push(offsets[i] + 1 + i * 7919 % 97);
        }
        let cut = lanes(&offsets, LANES);
        assert_eq!(cut.len(), LANES);
        assert_eq!((cut[0].start, cut[LANES - 1].end), (0, 500));
        let share = offsets[500] / LANES;
        for (lane, next) in cut.iter().zip(cut.iter().skip(1).chain([&(500..500)])) {
            assert_eq!(lane.end, next.start);
            assert!((offsets[lane.end] - offsets[lane.start]).abs_diff(share) < 200);
        }
    }

    #[test]
    fn a_giant_history_leaves_fewer_lanes() {
        assert_eq!(lanes(&[0, 1000, 1001, 1002], 4), [0..1, 1..3]);
        assert_eq!(lanes(&[0, 1, 2, 1000, 1001], 4), [0..3, 3..4]);
        assert_eq!(lanes(&[3, 4, 5, 6], 8), [0..1, 1..2, 2..3]);
        assert!(lanes(&[], 4).is_empty());
    }
}
