//! Recall, which with one target is the hit rate.

/// Recall at k of one target: 1 when its rank is within the first k, else 0.
///
/// With several targets recall is the share of them found; where a question has one, the mean over
/// questions is the hit rate (HR@k) of the literature. `rank` counts from 1.
///
/// ```
/// use upnext_eval::recall::recall;
/// // Ranks 1, 3 and 11: two of three targets are among the first ten.
/// let mean = [1, 3, 11].map(|rank| recall(rank, 10)).iter().sum::<f64>() / 3.0;
/// assert!((mean - 2.0 / 3.0).abs() < 1e-12);
/// ```
pub fn recall(rank: u32, k: u32) -> f64 {
    if rank <= k { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_counts_and_the_next_does_not() {
        assert_eq!(recall(10, 10), 1.0);
        assert_eq!(recall(11, 10), 0.0);
    }
}
