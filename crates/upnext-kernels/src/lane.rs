//! The inner loops of the row kernels: 32 lanes, an element's lane being its index modulo 32.
//!
//! Fixed lanes make a sum the same sequence of additions at every SIMD level, and all multiply-adds are fused at
//! every level. Nothing here is fast unless it is inlined into a function made by `simd!`.

/// Lanes of every reduction.
pub(crate) const WIDTH: usize = 32;

/// `n` rounded up to whole lanes.
#[inline(always)]
pub(crate) fn up(n: usize) -> usize {
    n.next_multiple_of(WIDTH)
}

/// One value from 32 lanes, by halving.
#[inline(always)]
pub(crate) fn fold(mut lanes: [f32; WIDTH], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = WIDTH / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = join(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// The sum of `x[i] * y[i]`.
#[inline(always)]
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut lanes = [0f32; WIDTH];
    let (x, x_tail) = x.as_chunks::<WIDTH>();
    let (y, y_tail) = y.as_chunks::<WIDTH>();
    for (x, y) in x.iter().zip(y) {
        for i in 0..WIDTH {
            lanes[i] = x[i].mul_add(y[i], lanes[i]);
        }
    }
    for (lane, (x, y)) in lanes.iter_mut().zip(x_tail.iter().zip(y_tail)) {
        *lane = x.mul_add(*y, *lane);
    }
    fold(lanes, |a, b| a + b)
}

/// The larger; `b` when `a` is not a number.
#[inline(always)]
pub(crate) fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The largest element; negative infinity for none. Elements that are not numbers are skipped.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; WIDTH];
    let (x, tail) = x.as_chunks::<WIDTH>();
    for x in x {
        for i in 0..WIDTH {
            lanes[i] = larger(x[i], lanes[i]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(tail) {
        *lane = larger(x, *lane);
    }
    fold(lanes, larger)
}

/// `e^x` to about one unit in the last place; exactly 0 below -87, and `e^88` above 88.
///
/// Rounds to a power of two by adding 1.5 · 2^23 rather than by a conversion to integers, so that the loop around it
/// vectorises; the polynomial is the one of the Cephes library (Moshier 1992).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x < -87.0 { -87.0 } else { x };
    let clamped = if clamped > 88.0 { 88.0 } else { clamped };
    let shifted = clamped.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(2.121_944_4e-4, n.mul_add(-0.693_359_4, clamped));
    let p = 1.987_569_1e-4f32.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_5e-1);
    let p = p.mul_add(r, 0.5);
    let mantissa = p.mul_add(r * r, r + 1.0);
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    if x < -87.0 { 0.0 } else { power * mantissa }
}

/// Replaces each `x` by `exp((x - max) * scale)` and returns their sum.
#[inline(always)]
pub(crate) fn exp_sum(x: &mut [f32], max: f32, scale: f32) -> f32 {
    let mut lanes = [0f32; WIDTH];
    let (chunks, tail) = x.as_chunks_mut::<WIDTH>();
    for chunk in chunks {
        for i in 0..WIDTH {
            chunk[i] = exp((chunk[i] - max) * scale);
            lanes[i] += chunk[i];
        }
    }
    if !tail.is_empty() {
        let mut chunk = [f32::NEG_INFINITY; WIDTH];
        chunk[..tail.len()].copy_from_slice(tail);
        for i in 0..WIDTH {
            chunk[i] = exp((chunk[i] - max) * scale);
            lanes[i] += chunk[i];
        }
        tail.copy_from_slice(&chunk[..tail.len()]);
    }
    fold(lanes, |a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_right_to_two_units_in_the_last_place() {
        let mut worst = 0f64;
        for i in 0..174_999 {
            let x = -87.0 + i as f32 * 1e-3;
            let truth = f64::from(x).exp();
            worst = worst.max(((f64::from(exp(x)) - truth) / truth).abs());
        }
        assert!(worst < 2.0 * f64::from(f32::EPSILON), "relative error {worst:e}");
    }

    #[test]
    fn the_exponential_has_its_limits() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-87.5), 0.0);
        assert_eq!(exp(1e9), exp(88.0));
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sums_and_maxima_take_any_length() {
        for n in [0usize, 1, 31, 32, 33, 100] {
            let x: Vec<f32> = (0..n).map(|i| ((i * 7) % 13) as f32).collect();
            assert_eq!(dot(&x, &x), x.iter().map(|x| x * x).sum::<f32>(), "{n}");
            assert_eq!(max(&x), x.iter().copied().fold(f32::NEG_INFINITY, f32::max), "{n}");
            let mut e = x.clone();
            let sum = f64::from(exp_sum(&mut e, 12.0, 0.5));
            let truth: f64 = x.iter().map(|x| ((f64::from(*x) - 12.0) * 0.5).exp()).sum();
            assert!((sum - truth).abs() <= 1e-6 * truth, "{n}: {sum} {truth}");
        }
    }
}
