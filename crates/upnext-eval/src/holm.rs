//! Several comparisons at once: p-values that keep the chance of any false alarm.

/// Holm's step-down adjustment: `out[j] ≤ 0.05` holds wherever the family-wise error rate of 5 % allows to reject j.
///
/// With the m values ascending, the k-th becomes `max over l ≤ k of min(1, (m + 1 - l) · p_l)`. Never weaker than
/// Bonferroni's and, like it, right whatever the dependence of the tests. After Holm (1979), "A simple sequentially
/// rejective multiple test procedure".
///
/// ```
/// use upnext_eval::holm::holm;
/// assert_eq!(holm(&[0.01, 0.04]), [0.02, 0.04]);
/// ```
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&left, &right| p[left].total_cmp(&p[right]));
    let (mut adjusted, mut most) = (vec![0.0; p.len()], 0.0_f64);
    for (place, test) in order.into_iter().enumerate() {
        most = most.max(((p.len() - place) as f64 * p[test]).min(1.0));
        adjusted[test] = most;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(p: &[f64], expected: &[f64]) {
        let found = holm(p);
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{p:?}: {found:?}");
    }

    #[test]
    fn four_tests_worked_by_hand() {
        // Ascending: 0.005 · 4, 0.01 · 3, 0.03 · 2, then 0.04 · 1, which may not fall below 0.06.
        check(&[0.01, 0.04, 0.03, 0.005], &[0.03, 0.06, 0.06, 0.02]);
    }

    #[test]
    fn one_test_stays_as_it_is_and_nothing_exceeds_one() {
        check(&[0.04], &[0.04]);
        check(&[0.9, 0.8, 0.7], &[1.0, 1.0, 1.0]);
        check(&[], &[]);
    }

    #[test]
    fn equal_values_get_equal_adjustments() {
        check(&[0.02, 0.02, 0.5], &[0.06, 0.06, 0.5]);
    }
}
