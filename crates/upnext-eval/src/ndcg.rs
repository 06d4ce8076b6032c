//! Normalised discounted cumulative gain, of one target or of several in any order.

/// NDCG at k of one target: `1 / log2(1 + rank)` when its rank is within the first k, else 0.
///
/// The ideal list has the target first and gains `1 / log2(2) = 1`, so the norm is 1 and the first
/// place is worth 1, the third a half. After Järvelin & Kekäläinen (2002), "Cumulated gain-based
/// evaluation of IR techniques". `rank` counts from 1.
///
/// ```
/// use upnext_eval::ndcg::ndcg;
/// assert_eq!(ndcg(1, 10), 1.0);
/// assert_eq!(ndcg(3, 10), 0.5);
/// assert_eq!(ndcg(11, 10), 0.0);
/// ```
pub fn ndcg(rank: u32, k: u32) -> f64 {
    if rank <= k { 1.0 / (f64::from(rank) + 1.0).log2() } else { 0.0 }
}

/// NDCG at k of several targets: the sum of their gains over that of the ideal list, which has them all first.
///
/// The ranks are those of different items, ascending, so that the ideal list has exactly 1; 0 without any.
///
/// ```
/// use upnext_eval::ndcg::{ndcg, ndcg_of_all};
/// assert_eq!(ndcg_of_all(&[1, 2, 3], 10), 1.0);
/// assert_eq!(ndcg_of_all(&[7], 10), ndcg(7, 10));
/// // Ten of a list of ten are all that twelve targets can have of it.
/// assert_eq!(ndcg_of_all(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], 10), 1.0);
/// ```
pub fn ndcg_of_all(ranks: &[u32], k: u32) -> f64 {
    let ideal: f64 = (1..=k).take(ranks.len()).map(|rank| ndcg(rank, k)).sum();
    let gained: f64 = ranks.iter().map(|&rank| ndcg(rank, k)).sum();
    if ideal > 0.0 { gained / ideal } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn third_place_is_worth_a_half() {
        assert_eq!(ndcg(3, 10), 0.5);
        assert_eq!(ndcg(7, 10), 1.0 / 3.0);
    }

    #[test]
    fn it_never_exceeds_recall() {
        for rank in 1..200 {
            assert!(ndcg(rank, 100) <= crate::recall::recall(rank, 100));
        }
    }
}
