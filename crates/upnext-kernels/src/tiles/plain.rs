//! A block in plain Rust: what the instructions do, in the order in which they do it.

use super::{SIDE, Step};
use crate::tile::Out;

/// One block of 32 rows and 32 columns.
///
/// # Safety
/// The block lies in a live allocation that nobody else reaches.
#[expect(unsafe_code, reason = "a strided output, whose bounds the callers check")]
pub(super) unsafe fn block(left: &[Step], right: &[Step], out: Out, add: bool) {
    for i in 0..SIDE {
        for j in 0..SIDE {
            // SAFETY: the caller's promise.
            let out = unsafe { &mut *out.data.add(i * out.row + j) };
            let mut sum = if add { *out } else { 0.0 };
            for (left, right) in left.iter().zip(right) {
                let (left, right) = (&left[i / 16].0[i % 16], &right[j / 16].0);
                let (mut even, mut odd) = (0f32, 0f32);
                for (pair, right) in left.iter().zip(right) {
                    even = normal(even + low(*pair) * low(right[j % 16]));
                    odd = normal(odd + high(*pair) * high(right[j % 16]));
                }
                sum = normal(sum + normal(even + odd));
            }
            *out = sum;
        }
    }
}

fn low(pair: u32) -> f32 {
    normal(f32::from_bits(pair << 16))
}

fn high(pair: u32) -> f32 {
    normal(f32::from_bits(pair & 0xffff_0000))
}

/// Subnormal numbers are zero.
fn normal(x: f32) -> f32 {
    if x.is_subnormal() { 0f32.copysign(x) } else { x }
}
