//! Products of whole numbers: item vectors in 8 bits, queries in 16, sums in 32.
//!
//! Whole numbers add up exactly, so every SIMD level has the same sums. A query keeps 16 bits, and its part in the error is
//! small beside that of the items.

use super::Asked;
use crate::fetch::Lines;
use crate::level::{Chosen, Level};
use crate::tile::PANEL;

/// A pair of components of 32 items.
type Step = [i8; 2 * PANEL];

/// What item components are rounded to at most.
const MOST: f64 = 127.0;

/// What query components are rounded to at most, so that no sum over a rank overflows.
fn most_of_query(rank: usize) -> i32 {
    let room = i64::from(i32::MAX) / (127 * rank.max(1) as i64);
    room.min(i64::from(i16::MAX)) as i32
}

/// What the rounding of a query loses at most, relative to its length.
pub(super) fn query_error(rank: usize) -> f64 {
    // Half a step in each component, a step being at most `‖query‖ / most`.
    0.51 * (rank as f64).sqrt() / f64::from(most_of_query(rank))
}

/// A query in 16 bits.
pub(super) struct Rounded {
    /// Two components in one number, the first in the lower half.
    pairs: Vec<i32>,
    scale: f32,
}

impl Rounded {
    pub(super) fn new(vector: &[f32]) -> Rounded {
        let most = most_of_query(vector.len());
        let largest = vector.iter().fold(0f32, |most, x| most.max(x.abs()));
        let scale = (f64::from(largest) / f64::from(most)) as f32;
        let round = |x: Option<&f32>| {
            let x = f64::from(x.copied().unwrap_or(0.0)) / f64::from(scale);
            (x.round() as i32).clamp(-most, most)
        };
        let pair = |pair: &[f32]| (round(pair.first()) & 0xffff) | round(pair.get(1)) << 16;
        Rounded { pairs: vector.chunks(2).map(pair).collect(), scale }
    }
}

/// Keeps a vector in place `at` of a panel; gives its scale, and what is kept.
pub(super) fn encode(v: &[f32], at: usize, panel: &mut [Step]) -> (f32, impl Fn(usize) -> f64) {
    let largest = v.iter().fold(0f32, |most, x| most.max(x.abs()));
    let scale = (f64::from(largest) / MOST) as f32;
    let is_kept = scale > 0.0 && v.iter().all(|x| x.is_finite());
    let code =
        |x: f32| if is_kept { (f64::from(x) / f64::from(scale)).round().clamp(-MOST, MOST) } else { 0.0 };
    let codes: Vec<f64> = v.iter().map(|&x| code(x)).collect();
    for (k, code) in codes.iter().enumerate() {
        panel[k / 2][2 * at + k % 2] = *code as i8;
    }
    let scale = if is_kept { scale } else { 0.0 };
    (scale, move |k| codes[k] * f64::from(scale))
}

/// What the form for AVX2 asks for before its turn: 16 panels fill the L1 of many CPUs without AVX-512 by themselves at rank
/// 64, and were gone before theirs there.
const AHEAD: usize = 16 << 10;

/// What scores of the panels to come will read and have not asked for yet, so that memory has work while something else is
/// computed. Only for the form for AVX2, with which it was measured.
pub(super) fn ahead(level: Chosen, panels: &[Step]) -> Lines {
    let asked = (AHEAD / size_of::<Step>()).min(panels.len());
    match level.level() {
        Level::Avx2 => Lines::of(&panels[asked..(2 * asked).min(panels.len())]),
        _ => Lines::none(),
    }
}

/// Scores of queries for whole panels, of which the first `count` items are wanted: a row of `stride` for each query.
pub(super) fn rows(
    level: Chosen,
    panels: &[Step],
    scales: &[[f32; PANEL]],
    queries: &[&Asked<'_>],
    out: &mut [f32],
    stride: usize,
    count: usize,
) {
    let most = match level.level() {
        Level::Avx512 => 8,
        _ => 2,
    };
    for (queries, out) in queries.chunks(most).zip(out.chunks_mut(stride * most)) {
        macro_rules! rows {
            ($($q:literal)*) => {
                match queries.len() {
                    $($q => {
                        let queries = std::array::from_fn::<_, $q, _>(|q| &queries[q].rounded);
                        some::<$q>(level, panels, scales, queries, out, stride, count);
                    })*
                    _ => {}
                }
            };
        }
        rows!(1 2 3 4 5 6 7 8);
    }
}

fn some<const Q: usize>(
    level: Chosen,
    panels: &[Step],
    scales: &[[f32; PANEL]],
    queries: [&Rounded; Q],
    out: &mut [f32],
    stride: usize,
    count: usize,
) {
    match level.level() {
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "calls a function compiled for instructions the CPU was asked about")]
        // SAFETY: a `Chosen` level is one that this CPU has, and the CPU was asked for the instruction beyond it.
        Level::Avx512 if std::arch::is_x86_feature_detected!("avx512vnni") => unsafe {
            x86::avx512_vnni(panels, scales, queries, out, stride, count);
        },
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "as above")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { x86::avx512(panels, scales, queries, out, stride, count) },
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "as above")]
        // SAFETY: as above.
        Level::Avx2 => unsafe { x86::avx2(panels, scales, queries, out, stride, count) },
        _ => {
            for (p, (panel, scales)) in panels.chunks_exact(queries[0].pairs.len()).zip(scales).enumerate() {
                let sums = plain(panel, queries.map(|query| &query.pairs[..]));
                write(&sums, scales, queries, &mut out[p * PANEL..], stride, count - p * PANEL);
            }
        }
    }
}

/// Sums of one panel in plain Rust: what the other forms are held to.
fn plain<const Q: usize>(panel: &[Step], queries: [&[i32]; Q]) -> [[i32; PANEL]; Q] {
    let mut sums = [[0i32; PANEL]; Q];
    for (k, step) in panel.iter().enumerate() {
        for (sums, query) in sums.iter_mut().zip(queries) {
            let (low, high) = (i32::from(query[k] as i16), query[k] >> 16);
            for (sum, pair) in sums.iter_mut().zip(step.as_chunks::<2>().0) {
                *sum += i32::from(pair[0]) * low + i32::from(pair[1]) * high;
            }
        }
    }
    sums
}

/// Sums become scores.
#[inline(always)]
fn write<const Q: usize>(
    sums: &[[i32; PANEL]; Q],
    scales: &[f32; PANEL],
    queries: [&Rounded; Q],
    out: &mut [f32],
    stride: usize,
    count: usize,
) {
    for (q, sums) in sums.iter().enumerate() {
        let out = &mut out[q * stride..];
        if let (true, Some(out)) = (count >= PANEL, out.first_chunk_mut::<PANEL>()) {
            for j in 0..PANEL {
                out[j] = sums[j] as f32 * (scales[j] * queries[q].scale);
            }
        } else {
            for j in 0..count {
                out[j] = sums[j] as f32 * (scales[j] * queries[q].scale);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{AHEAD, PANEL, Rounded, Step, write};
    use std::arch::x86_64::{
        _MM_HINT_T0, _MM_HINT_T1, _mm_loadu_si128, _mm_prefetch, _mm256_add_epi32, _mm256_cvtepi8_epi16,
        _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256,
        _mm512_add_epi32, _mm512_cvtepi8_epi16, _mm512_dpwssd_epi32, _mm512_madd_epi16, _mm512_set1_epi32,
        _mm512_setzero_si512, _mm512_storeu_si512,
    };

    /// Bytes of so many panels.
    const fn bytes(panels: usize, pairs: usize) -> usize {
        panels * pairs * 2 * PANEL
    }

    /// Sums of whole panels by registers of so many lanes: `load` reads as many pairs of bytes, `widen` makes them 16 bits,
    /// `add` adds their products with a query's pair to the sums. What comes so many bytes `ahead`, given the pairs of a
    /// panel, is fetched into the cache that `hint` names.
    macro_rules! sums {
        (
            $name:ident, $features:literal, $lanes:literal lanes of $zero:ident, $hint:ident $ahead:expr,
            $load:ident $widen:ident $all:ident $add:expr, $store:ident
        ) => {
            #[target_feature(enable = $features)]
            #[expect(unsafe_code, reason = "loads and stores of whole registers")]
            pub(super) fn $name<const Q: usize>(
                panels: &[Step],
                scales: &[[f32; PANEL]],
                queries: [&Rounded; Q],
                out: &mut [f32],
                stride: usize,
                count: usize,
            ) {
                let pairs = queries[0].pairs.len();
                for (p, (panel, scales)) in panels.chunks_exact(pairs).zip(scales).enumerate() {
                    let mut sums = [[$zero(); PANEL / $lanes]; Q];
                    for (k, step) in panel.iter().enumerate() {
                        let from: *const i8 = step.as_ptr();
                        let mut parts = [$zero(); PANEL / $lanes];
                        // SAFETY: so many bytes are one register; a prefetch reads nothing.
                        unsafe {
                            _mm_prefetch::<$hint>(from.wrapping_add($ahead(pairs)));
                            for (part, bytes) in parts.iter_mut().zip(step.as_chunks::<{ 2 * $lanes }>().0) {
                                *part = $widen($load(bytes.as_ptr().cast()));
                            }
                        }
                        for (sums, query) in sums.iter_mut().zip(queries) {
                            let query = $all(query.pairs[k]);
                            for (sum, part) in sums.iter_mut().zip(parts) {
                                *sum = $add(*sum, part, query);
                            }
                        }
                    }
                    let mut whole = [[0i32; PANEL]; Q];
                    for (whole, sums) in whole.iter_mut().zip(sums) {
                        for (some, sum) in whole.as_chunks_mut::<$lanes>().0.iter_mut().zip(sums) {
                            // SAFETY: as many numbers as a register has lanes.
                            unsafe { $store(some.as_mut_ptr().cast(), sum) };
                        }
                    }
                    write(&whole, scales, queries, &mut out[p * PANEL..], stride, count - p * PANEL);
                }
            }
        };
    }

    sums!(
        avx512_vnni, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma",
        16 lanes of _mm512_setzero_si512, _MM_HINT_T0 |pairs| bytes(16, pairs),
        _mm256_loadu_si256 _mm512_cvtepi8_epi16 _mm512_set1_epi32 _mm512_dpwssd_epi32, _mm512_storeu_si512
    );
    sums!(
        avx512, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma",
        16 lanes of _mm512_setzero_si512, _MM_HINT_T0 |pairs| bytes(16, pairs),
        _mm256_loadu_si256 _mm512_cvtepi8_epi16 _mm512_set1_epi32
        |sum, part, query| _mm512_add_epi32(sum, _mm512_madd_epi16(part, query)), _mm512_storeu_si512
    );
    sums!(
        avx2, "avx2,fma",
        8 lanes of _mm256_setzero_si256, _MM_HINT_T1 |_| AHEAD,
        _mm_loadu_si128 _mm256_cvtepi8_epi16 _mm256_set1_epi32
        |sum, part, query| _mm256_add_epi32(sum, _mm256_madd_epi16(part, query)), _mm256_storeu_si256
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::Packed;
    use crate::testing::{bits, noise};

    #[test]
    fn every_level_has_the_same_scores_for_any_number_of_queries_and_any_rank() {
        for (rank, count) in [(1, 5), (7, 64), (64, 70), (130, 33)] {
            let (data, vectors) = (noise(1, count * rank), noise(2, 11 * rank));
            let narrow = super::super::Narrow::of(
                &crate::score::Table::Rows { data: &data, rank },
                crate::score::Precision::Int8,
                true,
            );
            let asked: Vec<Asked<'_>> = vectors.chunks(rank).filter_map(|v| Asked::new(v, &narrow)).collect();
            let run = |level, queries: &[&Asked<'_>]| {
                let mut out = vec![f32::NAN; queries.len() * count];
                narrow.scores(level, queries, 0..count, &mut out, count, &mut Packed::default());
                out
            };
            let portable = Chosen::at(Level::Portable).unwrap();
            for level in Chosen::all() {
                let all: Vec<&Asked<'_>> = asked.iter().collect();
                let together = run(level, &all);
                assert!(together.iter().all(|score| score.is_finite()));
                let alone: Vec<f32> = all.iter().flat_map(|query| run(portable, &[query])).collect();
                assert_eq!(bits(&together), bits(&alone), "{level:?}, rank {rank}");
            }
        }
    }

    /// What a CPU with the newer instruction never calls by itself.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn both_forms_for_wide_registers_have_the_same_scores() {
        if Chosen::at(Level::Avx512).is_none() || !std::arch::is_x86_feature_detected!("avx512vnni") {
            return;
        }
        let (rank, count) = (67, 96);
        let (data, vectors) = (noise(1, count * rank), noise(2, 2 * rank));
        let table = crate::score::Table::Rows { data: &data, rank };
        let narrow = super::super::Narrow::of(&table, crate::score::Precision::Int8, true);
        let super::super::Codes::Int8 { pairs, scales } = &narrow.codes else { panic!("no int8") };
        let rounded: Vec<Rounded> = vectors.chunks(rank).map(Rounded::new).collect();
        let queries = [&rounded[0], &rounded[1]];
        let (mut newer, mut older) = (vec![0f32; 2 * count], vec![1f32; 2 * count]);
        #[expect(unsafe_code, reason = "calls functions compiled for instructions the CPU was asked about")]
        // SAFETY: the CPU was asked above.
        unsafe {
            x86::avx512_vnni(pairs, scales, queries, &mut newer, count, count);
            x86::avx512(pairs, scales, queries, &mut older, count, count);
        }
        assert_eq!(bits(&newer), bits(&older));
    }

    #[test]
    fn no_sum_overflows_at_any_rank() {
        for rank in [1usize, 515, 516, 517, 5000] {
            let most = i64::from(most_of_query(rank));
            assert!(most >= 1 && 127 * most * rank as i64 <= i64::from(i32::MAX));
        }
        let rank = 5000;
        let (item, query) = (vec![1f32; rank], vec![1f32; rank]);
        let table = crate::score::Table::Rows { data: &item, rank };
        let narrow = super::super::Narrow::of(&table, crate::score::Precision::Int8, true);
        let asked = Asked::new(&query, &narrow).unwrap();
        let mut out = [0f32];
        narrow.scores(Chosen::now(), &[&asked], 0..1, &mut out, 1, &mut Packed::default());
        assert!((out[0] - 5000.0).abs() < 1.0, "{}", out[0]);
    }
}
