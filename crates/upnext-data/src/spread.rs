//! How unequal many counts are: quantiles, a histogram by powers of two, the Gini coefficient.

use serde::Serialize;

/// The shares at which a [`Spread`] is cut, as percentages.
pub const PERCENTILES: [u32; 7] = [1, 10, 25, 50, 75, 90, 99];

/// A summary of counts, such as the events of each user or of each item.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// How many counts there are.
    pub count: usize,
    /// The smallest; 0 without any.
    pub least: u64,
    /// The largest; 0 without any.
    pub most: u64,
    /// Their mean; 0 without any.
    pub mean: f64,
    /// The counts at [`PERCENTILES`]: each the smallest that so many percent do not exceed (nearest rank).
    pub percentiles: Vec<Percentile>,
    /// By powers of two, without the empty bins at both ends.
    pub histogram: Vec<Bin>,
}

/// One cut of a [`Spread`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Percentile {
    /// Of 100.
    pub percent: u32,
    /// So many percent of the counts do not exceed this.
    pub at_most: u64,
}

/// One bar of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bin {
    /// The smallest count that falls here.
    pub from: u64,
    /// The largest count that falls here.
    pub to: u64,
    /// How many do.
    pub count: usize,
}

impl Spread {
    /// Summarises counts, in any order.
    ///
    /// ```
    /// use upnext_data::spread::Spread;
    /// let spread = Spread::of(vec![3, 1, 2, 9]);
    /// assert_eq!((spread.least, spread.most, spread.mean), (1, 9, 3.75));
    /// let bins: Vec<_> = spread.histogram.iter().map(|bin| (bin.from, bin.to, bin.count)).collect();
    /// assert_eq!(bins, [(1, 1, 1), (2, 3, 2), (4, 7, 0), (8, 15, 1)]);
    /// ```
    #[must_use]
    pub fn of(mut counts: Vec<u64>) -> Self {
        counts.sort_unstable();
        let (Some(&least), Some(&most)) = (counts.first(), counts.last()) else { return Self::default() };
        let sum: u128 = counts.iter().map(|&count| u128::from(count)).sum();
        let percentile = |&percent: &u32| {
            let rank = (counts.len() as u128 * u128::from(percent)).div_ceil(100).max(1) as usize;
            Percentile { percent, at_most: counts[rank - 1] }
        };
        Self {
            count: counts.len(),
            least,
            most,
            mean: sum as f64 / counts.len() as f64,
            percentiles: PERCENTILES.iter().map(percentile).collect(),
            histogram: (magnitude(least)..=magnitude(most)).map(|power| bin(power, &counts)).collect(),
        }
    }
}

/// 0 for 0, else one more than the power of two that the count reaches: 1 for 1, 2 for 2 and 3, 3 for 4 to 7.
fn magnitude(count: u64) -> u32 {
    u64::BITS - count.leading_zeros()
}

/// The counts of a magnitude, out of all in ascending order.
fn bin(power: u32, counts: &[u64]) -> Bin {
    let from = if power == 0 { 0 } else { 1 << (power - 1) };
    let to = if power == u64::BITS { u64::MAX } else { (1 << power) - 1 };
    let below = |limit: u64| counts.partition_point(|&count| count < limit);
    let end = counts.partition_point(|&count| count <= to);
    Bin { from, to, count: end - below(from) }
}

/// The Gini coefficient of counts (Gini 1912): 0 when all are equal, near 1 when one has everything; 0 without any.
///
/// Half the mean difference of two counts drawn with replacement, divided by their mean.
///
/// ```
/// use upnext_data::spread::gini;
/// assert_eq!(gini(vec![5, 5, 5]), 0.0);
/// assert_eq!(gini(vec![0, 0, 0, 8]), 0.75);
/// ```
#[must_use]
pub fn gini(mut counts: Vec<u64>) -> f64 {
    counts.sort_unstable();
    let sum: f64 = counts.iter().map(|&count| count as f64).sum();
    if sum == 0.0 {
        return 0.0;
    }
    let n = counts.len() as f64;
    let weighted: f64 = (1_u64..).zip(&counts).map(|(place, &count)| place as f64 * count as f64).sum();
    2.0 * weighted / (n * sum) - (n + 1.0) / n
}

/// The share of the sum that the largest `percent` percent of the counts have, at least one of them; 0 without any.
///
/// ```
/// use upnext_data::spread::top_share;
/// assert_eq!(top_share(vec![1, 7, 1, 1], 25), 0.7);
/// assert_eq!(top_share(vec![1, 7, 1, 1], 1), 0.7);
/// assert_eq!(top_share(vec![1, 7, 1, 1], 100), 1.0);
/// ```
#[must_use]
pub fn top_share(mut counts: Vec<u64>, percent: u32) -> f64 {
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let sum: u128 = counts.iter().map(|&count| u128::from(count)).sum();
    if sum == 0 {
        return 0.0;
    }
    let taken = (counts.len() as u128 * u128::from(percent)).div_ceil(100).max(1) as usize;
    let top: u128 = counts.iter().take(taken).map(|&count| u128::from(count)).sum();
    top as f64 / sum as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let spread = Spread::of((1..=200).rev().collect());
        let found: Vec<(u32, u64)> =
            spread.percentiles.iter().map(|cut| (cut.percent, cut.at_most)).collect();
        assert_eq!(found, [(1, 2), (10, 20), (25, 50), (50, 100), (75, 150), (90, 180), (99, 198)]);
        assert!(Spread::of(vec![4]).percentiles.iter().all(|cut| cut.at_most == 4));
    }

    #[test]
    fn every_count_is_in_one_bin() {
        for counts in [vec![], vec![0], vec![0, 0, 5], vec![u64::MAX, 1, 1 << 63], (0..1000).collect()] {
            let spread = Spread::of(counts.clone());
            assert_eq!(spread.histogram.iter().map(|bin| bin.count).sum::<usize>(), counts.len());
            for bin in &spread.histogram {
                let inside = counts.iter().filter(|&&count| (bin.from..=bin.to).contains(&count)).count();
                assert_eq!(inside, bin.count, "{bin:?}");
            }
        }
    }

    #[test]
    fn gini_is_the_mean_difference() {
        let counts = [3_u64, 9, 1, 1, 20, 4];
        let differences: u64 = counts.iter().flat_map(|a| counts.map(|b| a.abs_diff(b))).sum();
        let (n, sum) = (counts.len() as f64, counts.iter().sum::<u64>() as f64);
        let expected = differences as f64 / (2.0 * n * sum);
        assert!((gini(counts.to_vec()) - expected).abs() < 1e-12);
        assert_eq!(gini(vec![]), 0.0);
        assert_eq!(gini(vec![0, 0]), 0.0);
    }

    #[test]
    fn nothing_has_no_share() {
        assert_eq!(Spread::of(vec![]), Spread::default());
        assert_eq!((top_share(vec![], 10), top_share(vec![0], 10)), (0.0, 0.0));
    }
}
