//! Narrow rankings against exact ones: the same ids, the same bits, and a bound that holds.

use super::*;
use crate::score::{Eligible, Offset, Query, Ranked, rank};
use crate::testing::{bits, noise};

const BOTH: [Precision; 2] = [Precision::Bf16, Precision::Int8];

/// Vectors of very different lengths, some the same, one of nothing.
fn items(count: usize, rank: usize) -> Vec<f32> {
    let mut data = noise(1, count * rank);
    for (i, row) in data.chunks_exact_mut(rank).enumerate() {
        let scale = [1.0, 0.01, 3.0, 1e-4][i % 4];
        row.iter_mut().for_each(|x| *x *= scale);
    }
    for twin in (700..count).step_by(701) {
        data.copy_within(2 * rank..3 * rank, twin * rank);
    }
    if count > 5 {
        data[5 * rank..6 * rank].fill(0.0);
    }
    data
}

/// The same but for the log-sum-exp, which is as near as it says.
fn agree(narrow: &Ranked, exact: &Ranked) {
    assert_eq!((&narrow.ids, bits(&narrow.scores)), (&exact.ids, bits(&exact.scores)));
    assert_eq!(narrow.eligible, exact.eligible);
    let off = (narrow.log_sum_exp - exact.log_sum_exp).abs();
    let equal = narrow.log_sum_exp == exact.log_sum_exp;
    assert!(equal || off <= narrow.slack + 2e-6, "off by {off}, {} promised", narrow.slack);
}

#[test]
fn the_best_are_those_of_exact_scores_to_the_bit() {
    for (count, rank) in [(1, 3), (40, 1), (3000, 12), (40_000, 64), (9000, 65)] {
        let (data, vectors) = (items(count, rank), noise(2, 6 * rank));
        let table = Table::Rows { data: &data, rank };
        let but: Vec<u32> = (0..count as u32).filter(|i| i % 7 == 3).collect();
        let only: Vec<u32> = (0..count as u32).filter(|i| i % 3 == 2).collect();
        let few: Vec<u32> = (0..count as u32).filter(|i| i % 997 == 5).collect();
        let (near, far) = (noise(6, count), noise(7, count));
        let offsets = [Offset { weight: 0.3, of: &near }, Offset { weight: -40.0, of: &far }];
        let query = |q: usize| Query {
            vector: &vectors[q % 6 * rank..][..rank],
            offsets: [&offsets[..], &[]][q % 2],
            eligible: [Eligible::AllBut(&but), Eligible::Only(&only), Eligible::Only(&few)][q % 3],
            k: [1, 10, 333, 0, count + 7][q % 5],
        };
        let queries: Vec<Query<'_>> = (0..41).map(query).collect();
        let exact = rank_all(&queries, &table);
        for precision in BOTH {
            for parallel in [false, true] {
                let narrow = Narrow::of(&table, precision, parallel);
                let found = rank_narrow(&queries, &table, &narrow, parallel);
                found.iter().zip(&exact).for_each(|(found, exact)| agree(found, exact));
                let alone: Vec<Ranked> =
                    queries.iter().flat_map(|&query| rank_narrow(&[query], &table, &narrow, false)).collect();
                let sums = |all: &[Ranked]| -> Vec<(u64, u64)> {
                    all.iter().map(|one| (one.log_sum_exp.to_bits(), one.slack.to_bits())).collect()
                };
                assert_eq!(sums(&found), sums(&alone));
            }
        }
    }
}

fn rank_all(queries: &[Query<'_>], table: &Table<'_>) -> Vec<Ranked> {
    rank(queries, table, false)
}

#[test]
fn every_score_is_within_its_reach() {
    for rank in [1usize, 2, 33, 300] {
        let (count, level) = (500, Chosen::now());
        let (data, vectors) = (items(count, rank), noise(3, 20 * rank));
        let table = Table::Rows { data: &data, rank };
        for precision in BOTH {
            let narrow = Narrow::of(&table, precision, true);
            let mut largest = 0f64;
            for vector in vectors.chunks(rank) {
                let asked = Asked::new(vector, &narrow).unwrap();
                let (mut found, mut exact) = (vec![0f32; count], vec![0f32; count]);
                narrow.scores(level, &[&asked], 0..count, &mut found, count, &mut Packed::default());
                crate::score::scores(crate::Rows::new(vector, 1, rank), &table, &mut exact, false);
                for i in 0..count {
                    let off = (f64::from(found[i]) - f64::from(exact[i])).abs();
                    let most = asked.length * f64::from(narrow.reach[i]);
                    assert!(off <= most, "{precision:?}, rank {rank}, item {i}: {off} > {most}");
                    largest = largest.max(off / most);
                }
            }
            assert!(largest > 1e-3, "a bound that says nothing: {largest}");
        }
    }
}

#[test]
fn vectors_and_queries_that_are_no_numbers_are_answered_as_by_exact_scores() {
    let (count, rank) = (4000, 8);
    let mut data = items(count, rank);
    for bad in (0..count).step_by(9) {
        data[bad * rank + bad % rank] = [f32::NAN, f32::INFINITY, f32::MAX, 1e-42][bad % 4];
    }
    let table = Table::Rows { data: &data, rank };
    let vectors =
        [noise(5, rank), vec![0.0; rank], vec![f32::NAN; rank], vec![f32::MAX; rank], vec![1e-40; rank]];
    for precision in BOTH {
        let narrow = Narrow::of(&table, precision, true);
        for vector in &vectors {
            for k in [5, 3990] {
                let query = Query { vector, offsets: &[], eligible: Eligible::AllBut(&[4]), k };
                let found = rank_narrow(&[query], &table, &narrow, false).remove(0);
                let exact = rank_all(&[query], &table).remove(0);
                assert_eq!((found.ids, bits(&found.scores)), (exact.ids, bits(&exact.scores)));
            }
        }
    }
}

#[test]
fn int8_takes_little_more_than_a_quarter_of_the_bytes() {
    let data = noise(1, 64 * 6400);
    let table = Table::Rows { data: &data, rank: 64 };
    let bytes =
        |precision| Narrow::of(&table, precision, true).bytes() as f64 / size_of_val(&data[..]) as f64;
    assert!(bytes(Precision::Int8) < 0.29 && bytes(Precision::Bf16) < 0.52);
}

#[test]
fn nothing_below_the_floor_reaches_the_bar() {
    let draws = noise(9, 3000);
    let bars = draws.iter().map(|x| x * 10f32.powi((x.to_bits() % 30) as i32 - 15));
    let bars = bars.chain([0.0, -0.0, f32::MIN_POSITIVE, 1e-45, f32::MAX, f32::MIN, f32::NEG_INFINITY]);
    for (bar, draw) in bars.zip(draws.iter().cycle()) {
        for slack in
            [1e-30, f64::from(draw.abs()) + 1e-30, f64::from(bar.abs()) * 1e-7 + 1e-30, f64::INFINITY]
        {
            let floor = search::floor(bar, slack);
            assert!(floor.is_finite());
            // What a score below it stands for at most, as it would be rounded.
            let most = up(f64::from(floor.next_down()) + slack);
            assert!(floor == f32::MIN || most < bar, "{bar} by {slack}: {floor} and {most}");
            // And it is no lower than it has to be, by more than a few roundings.
            let over = up(f64::from(floor) + slack) - bar;
            assert!(
                floor == f32::MIN || f64::from(over.abs()) <= (f64::from(bar.abs()) + slack) * 1e-6 + 1e-30
            );
        }
    }
}
