//! Numbers for tests: reproducible, with fractions that do not sum exactly.

/// `n` values in (-1, 1), the same for the same `seed`.
pub(crate) fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..8).for_each(|_| {
        next();
    });
    (0..n).map(|_| next()).collect()
}

/// Bit patterns, for comparisons that accept no rounding.
pub(crate) fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Panics unless every element is within `tolerance` of the truth, relative to the largest true value.
pub(crate) fn close(got: &[f32], truth: &[f64], tolerance: f64) {
    assert_eq!(got.len(), truth.len());
    let scale = truth.iter().fold(1e-30f64, |a, b| a.max(b.abs()));
    for (i, (&got, &truth)) in got.iter().zip(truth).enumerate() {
        let error = (f64::from(got) - truth).abs() / scale;
        assert!(error <= tolerance, "element {i}: {got} instead of {truth}, error {error:e} of the largest");
    }
}
