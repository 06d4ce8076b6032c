//! Reciprocal rank; its mean over questions is MRR.

/// `1 / rank`: the first place is worth 1, the fourth a quarter, and no place is worth nothing.
///
/// `rank` counts from 1. After Voorhees (1999), "The TREC-8 question answering track report".
///
/// ```
/// use upnext_eval::mrr::reciprocal_rank;
/// // Ranks 1, 2 and 4: (1 + 1/2 + 1/4) / 3.
/// let mean = [1, 2, 4].map(reciprocal_rank).iter().sum::<f64>() / 3.0;
/// assert!((mean - 1.75 / 3.0).abs() < 1e-12);
/// ```
pub fn reciprocal_rank(rank: u32) -> f64 {
    1.0 / f64::from(rank)
}

/// `1 / rank` when the rank is within the first k, else 0: what a list of k can tell.
///
/// ```
/// use upnext_eval::mrr::reciprocal_rank_at;
/// assert_eq!(reciprocal_rank_at(100, 100), 0.01);
/// assert_eq!(reciprocal_rank_at(101, 100), 0.0);
/// ```
pub fn reciprocal_rank_at(rank: u32, k: u32) -> f64 {
    if rank <= k { reciprocal_rank(rank) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cut_list_never_beats_the_whole() {
        for rank in 1..300 {
            assert!(reciprocal_rank_at(rank, 100) <= reciprocal_rank(rank));
        }
    }
}
