//! A curve of a few numbers out of a log of many: what a terminal has room for.

/// The mean of the values that fall into each of `columns` equal stretches of `(from, to]`; `None` where none does.
///
/// Steps ascend in a run's log, but nothing here depends on it. Values that are not finite are left out, since one of
/// them would hide all others of its stretch.
///
/// ```
/// use upnext_train::curve::columns;
/// let points = [(1, 4.0), (2, 2.0), (4, 1.0)];
/// assert_eq!(columns(&points, 0..4, 2), [Some(3.0), Some(1.0)]);
/// assert_eq!(columns(&points, 0..6, 3), [Some(3.0), Some(1.0), None]);
/// ```
#[must_use]
pub fn columns(points: &[(u64, f64)], steps: std::ops::Range<u64>, columns: usize) -> Vec<Option<f64>> {
    let mut sums = vec![(0.0, 0_u64); columns];
    let length = u128::from(steps.end.saturating_sub(steps.start));
    for &(step, value) in points.iter().filter(|(_, value)| value.is_finite()) {
        if step <= steps.start || step > steps.end {
            continue;
        }
        let place = u128::from(step - steps.start - 1) * columns as u128 / length;
        if let Some((sum, count)) = sums.get_mut(place as usize) {
            *sum += value;
            *count += 1;
        }
    }
    sums.into_iter().map(|(sum, count)| (count > 0).then(|| sum / count as f64)).collect()
}

/// The lowest and the highest of the values that are there; `None` without any.
///
/// ```
/// use upnext_train::curve::bounds;
/// assert_eq!(bounds(&[Some(2.0), None, Some(-1.0)]), Some((-1.0, 2.0)));
/// assert_eq!(bounds(&[None]), None);
/// ```
#[must_use]
pub fn bounds(columns: &[Option<f64>]) -> Option<(f64, f64)> {
    let mut values = columns.iter().flatten().copied();
    let first = values.next()?;
    Some(values.fold((first, first), |(low, high), value| (low.min(value), high.max(value))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_falls_into_one_column() {
        let points: Vec<(u64, f64)> = (1..=1_000).map(|step| (step, 1.0)).collect();
        for count in [1, 7, 80, 1_000] {
            assert_eq!(columns(&points, 0..1_000, count), vec![Some(1.0); count], "{count}");
        }
        assert_eq!(columns(&points, 0..1_000, 2_000).iter().flatten().count(), 1_000);
    }

    #[test]
    fn what_is_no_number_or_outside_hides_nothing() {
        let points = [(0, 9.0), (1, f64::NAN), (2, 5.0), (3, f64::INFINITY), (9, 7.0)];
        assert_eq!(columns(&points, 0..4, 2), [Some(5.0), None]);
        assert_eq!(columns(&points, 0..0, 2), [None, None]);
        assert_eq!(columns(&points, 0..4, 0), []);
    }

    #[test]
    fn a_column_far_along_does_not_overflow() {
        assert_eq!(columns(&[(u64::MAX, 1.0)], 0..u64::MAX, 3), [None, None, Some(1.0)]);
    }
}
