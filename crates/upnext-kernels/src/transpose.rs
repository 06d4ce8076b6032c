//! Rows turned into the columns of a panel.

use crate::Rows;
use crate::level::{Chosen, Level};
use crate::tile::PANEL;

/// Writes row `j` of `x` (at most 32 rows of k) into column `first + j` of `panel`, which is `(k, 32)`.
///
/// # Panics
/// When the columns do not fit the panel.
pub(crate) fn into_panel(level: Chosen, x: Rows<'_>, panel: &mut [f32], first: usize) {
    assert!(
        first + x.rows() <= PANEL && panel.len() == x.cols() * PANEL,
        "{x:?} in columns {first}.. of a panel"
    );
    match level.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 => {
            #[expect(
                unsafe_code,
                reason = "calls a function compiled for instructions the CPU was asked about"
            )]
            // SAFETY: both levels include AVX, and a `Chosen` level is one that this CPU has; sizes were checked.
            unsafe {
                x86::into_panel(x, panel, first);
            }
        }
        _ => scalar(x, panel, first, 0..x.rows(), 0),
    }
}

/// Rows `rows` from column `k` on, one element at a time.
#[inline]
fn scalar(x: Rows<'_>, panel: &mut [f32], first: usize, rows: std::ops::Range<usize>, k: usize) {
    for j in rows {
        for (step, &x) in panel.chunks_exact_mut(PANEL).zip(x.row(j)).skip(k) {
            step[first + j] = x;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{PANEL, Rows, scalar};
    use std::arch::x86_64::{
        __m256, _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_shuffle_ps, _mm256_storeu_ps,
        _mm256_unpackhi_ps, _mm256_unpacklo_ps,
    };

    /// Eight by eight in registers, the rest one by one.
    ///
    /// # Safety
    /// On a CPU with AVX, with the sizes that [`super::into_panel`] asserts.
    #[target_feature(enable = "avx")]
    #[expect(unsafe_code, reason = "vector loads and stores")]
    pub(super) unsafe fn into_panel(x: Rows<'_>, panel: &mut [f32], first: usize) {
        let (whole_rows, whole_k) = (x.rows() / 8 * 8, x.cols() / 8 * 8);
        for j in (0..whole_rows).step_by(8) {
            let rows: [&[f32]; 8] = std::array::from_fn(|i| x.row(j + i));
            for k in (0..whole_k).step_by(8) {
                // SAFETY: k + 8 floats lie in each row; columns first + j + 8 <= 32 lie in each of 8 panel steps.
                unsafe {
                    let columns = transpose(rows.map(|row| _mm256_loadu_ps(row.as_ptr().add(k))));
                    for (i, column) in columns.into_iter().enumerate() {
                        _mm256_storeu_ps(panel.as_mut_ptr().add((k + i) * PANEL + first + j), column);
                    }
                }
            }
        }
        scalar(x, panel, first, 0..whole_rows, whole_k);
        scalar(x, panel, first, whole_rows..x.rows(), 0);
    }

    /// The transpose of an 8 x 8 matrix given by rows.
    #[inline]
    #[target_feature(enable = "avx")]
    fn transpose(r: [__m256; 8]) -> [__m256; 8] {
        let pairs: [__m256; 8] = std::array::from_fn(|i| {
            let (a, b) = (r[i / 2 * 2], r[i / 2 * 2 + 1]);
            if i % 2 == 0 { _mm256_unpacklo_ps(a, b) } else { _mm256_unpackhi_ps(a, b) }
        });
        let fours: [__m256; 8] = std::array::from_fn(|i| {
            let (a, b) = (pairs[i / 4 * 4 + i % 4 / 2], pairs[i / 4 * 4 + i % 4 / 2 + 2]);
            if i % 2 == 0 { _mm256_shuffle_ps::<0x44>(a, b) } else { _mm256_shuffle_ps::<0xee>(a, b) }
        });
        std::array::from_fn(|i| {
            let (a, b) = (fours[i % 4], fours[i % 4 + 4]);
            if i < 4 { _mm256_permute2f128_ps::<0x20>(a, b) } else { _mm256_permute2f128_ps::<0x31>(a, b) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_places_every_element() {
        for (rows, cols, first) in [(32, 16, 0), (9, 11, 5), (1, 64, 31), (3, 5, 0), (8, 8, 24)] {
            let data: Vec<f32> = (0..rows * (cols + 2)).map(|i| i as f32).collect();
            let x = Rows::strided(&data, rows, cols, cols + 2);
            for level in Chosen::all() {
                let mut panel = vec![-1f32; cols * PANEL];
                into_panel(level, x, &mut panel, first);
                for k in 0..cols {
                    for j in 0..PANEL {
                        let inside = (first..first + rows).contains(&j);
                        let expected = if inside { x.row(j - first)[k] } else { -1.0 };
                        assert_eq!(panel[k * PANEL + j], expected, "{level:?} {rows}x{cols} at {k},{j}");
                    }
                }
            }
        }
    }
}
