//! Percentile bootstrap intervals over users.
//!
//! After Efron & Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13. Users are drawn,
//! not questions: a user's questions hang together.

use rand::RngCore;
use rayon::prelude::*;
use upnext_data::UserId;
use upnext_data::chance::{Key, Purpose};

use crate::metric::REPORTED;

/// Resamples behind an interval.
pub const RESAMPLES: usize = 1_000;

/// What lies outside an interval, below and above together.
const OUTSIDE: f64 = 0.05;

/// 95 % intervals of the [`REPORTED`] metrics, in their order.
///
/// `users[j]` asked the question whose target has rank `ranks[j]`; questions of a user follow each
/// other. Deterministic: resample s is drawn by the key (seed, bootstrap, s), so neither the number
/// of threads nor other metrics move it, and systems asked the same questions share the draw.
pub fn of_ranks(users: &[UserId], ranks: &[u32], seed: u64) -> Vec<[f64; 2]> {
    let mut sums: Vec<[f64; REPORTED.len()]> = Vec::new();
    let mut counts: Vec<u32> = Vec::new();
    let mut last = None;
    for (&user, &rank) in users.iter().zip(ranks) {
        if last != Some(user) {
            sums.push([0.0; REPORTED.len()]);
            counts.push(0);
            last = Some(user);
        }
        if let (Some(sum), Some(count)) = (sums.last_mut(), counts.last_mut()) {
            sum.iter_mut().zip(REPORTED).for_each(|(value, metric)| *value += metric.of_rank(rank));
            *count += 1;
        }
    }
    intervals(&sums, &counts, seed).to_vec()
}

/// 95 % intervals of N means at once.
///
/// `sums[u]` holds a user's sums over questions and `counts[u]` how many questions they are; a mean
/// is the sum of sums over the sum of counts. With no users every interval is `[0, 0]`.
///
/// ```
/// use upnext_eval::bootstrap::intervals;
/// // A constant has no spread; a fair coin over 400 users spreads by about ±1.96 · 0.5 / 20.
/// let sums: Vec<[f64; 2]> = (0..400).map(|user| [0.25, f64::from(user % 2)]).collect();
/// let [constant, coin] = intervals(&sums, &[1; 400], 7);
/// assert_eq!(constant, [0.25, 0.25]);
/// assert!((coin[0] - 0.451).abs() < 0.01 && (coin[1] - 0.549).abs() < 0.01);
/// ```
pub fn intervals<const N: usize>(sums: &[[f64; N]], counts: &[u32], seed: u64) -> [[f64; 2]; N] {
    let users = sums.len().min(counts.len());
    if users == 0 {
        return [[0.0; 2]; N];
    }
    let means: Vec<[f64; N]> = (0..RESAMPLES)
        .into_par_iter()
        .map(|resample| resampled(&sums[..users], &counts[..users], resample, seed))
        .collect();
    std::array::from_fn(|metric| middle(&mut means.iter().map(|mean| mean[metric]).collect::<Vec<f64>>()))
}

/// The means of one resample: as many users as there are, drawn with replacement.
fn resampled<const N: usize>(sums: &[[f64; N]], counts: &[u32], resample: usize, seed: u64) -> [f64; N] {
    let mut totals = [0.0; N];
    let mut questions = 0_u64;
    for drawn in draws(sums.len(), resample, seed) {
        totals.iter_mut().zip(&sums[drawn]).for_each(|(total, value)| *total += value);
        questions += u64::from(counts[drawn]);
    }
    totals.map(|total| if questions == 0 { 0.0 } else { total / questions as f64 })
}

/// The users of one resample: as many as there are, drawn with replacement by the key (seed, bootstrap, resample).
pub(crate) fn draws(users: usize, resample: usize, seed: u64) -> impl Iterator<Item = usize> {
    let key = Key { seed, purpose: Purpose::Bootstrap, step: resample as u64, part: 0 };
    let mut rng = key.rng();
    // Multiply-shift instead of a remainder; its bias is below users / 2^32.
    (0..users).map(move |_| ((u64::from(rng.next_u32()) * users as u64) >> 32) as usize)
}

/// The 95 % interval that lies in the middle of some values, which this sorts; `[0, 0]` for none.
pub(crate) fn middle(values: &mut [f64]) -> [f64; 2] {
    if values.is_empty() {
        return [0.0; 2];
    }
    values.sort_unstable_by(f64::total_cmp);
    [quantile(values, OUTSIDE / 2.0), quantile(values, 1.0 - OUTSIDE / 2.0)]
}

/// The q-quantile of sorted values, linear between neighbours (type 7 of Hyndman & Fan 1996).
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric;

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(quantile(&[1.0], 0.975), 1.0);
    }

    #[test]
    fn one_and_three_threads_give_the_same_bits() {
        let users: Vec<UserId> = (0..500).map(UserId).collect();
        let ranks: Vec<u32> = (0..500).map(|user| 1 + user * user % 97).collect();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| of_ranks(&users, &ranks, 3))
        };
        assert_eq!(with(1), with(3));
        assert_ne!(with(1), of_ranks(&users, &ranks, 4));
    }

    #[test]
    fn an_interval_holds_its_mean_and_shrinks_with_more_users() {
        let hr = crate::metric::REPORTED.iter().position(|&metric| metric == Metric::HitRate(10)).unwrap();
        let width = |many: u32| {
            let users: Vec<UserId> = (0..many).map(UserId).collect();
            let ranks: Vec<u32> = (0..many).map(|user| if user % 4 == 0 { 1 } else { 50 }).collect();
            let [low, high] = of_ranks(&users, &ranks, 0)[hr];
            assert!(low < 0.25 && 0.25 < high);
            high - low
        };
        // Four times the users, half the width.
        let ratio = width(200) / width(800);
        assert!((1.7..2.3).contains(&ratio), "{ratio}");
    }

    #[test]
    fn about_95_of_100_intervals_hold_the_truth() {
        // 60 users draw a coin with probability 0.3; the truth is known.
        let mut held = 0;
        for trial in 0..200 {
            let mut rng = Key { seed: trial, purpose: Purpose::Sampling, step: 0, part: 0 }.rng();
            let sums: Vec<[f64; 1]> =
                (0..60).map(|_| [f64::from(u8::from(rng.next_u32() % 10 < 3))]).collect();
            let [[low, high]] = intervals(&sums, &[1; 60], trial);
            held += u32::from(low <= 0.3 && 0.3 <= high);
        }
        assert!((178..=199).contains(&held), "{held} of 200");
    }

    #[test]
    fn users_are_drawn_whole() {
        // Every user has one hit and one miss: whoever is drawn, the mean is a half.
        let users: Vec<UserId> = (0..100).map(|question| UserId(question / 2)).collect();
        let ranks: Vec<u32> = (0..100).map(|question| if question % 2 == 0 { 1 } else { 500 }).collect();
        let hr = crate::metric::REPORTED.iter().position(|&metric| metric == Metric::HitRate(10)).unwrap();
        assert_eq!(of_ranks(&users, &ranks, 0)[hr], [0.5, 0.5]);
    }
}
