//! Rankings against a sort of all scores, and their bits against each other.

use super::*;
use crate::testing::{bits, close, noise};

const RANK: usize = 12;

/// Items with many exact ties: only a few distinct vectors.
fn items(count: usize) -> Vec<f32> {
    let vectors = noise(1, 50 * RANK);
    (0..count).flat_map(|i| vectors[i * 37 % 50 * RANK..][..RANK].to_vec()).collect()
}

fn alone(query: Query<'_>, table: &Table<'_>) -> Ranked {
    rank(&[query], table, false).remove(0)
}

fn same(a: &Ranked, b: &Ranked) {
    assert_eq!((&a.ids, bits(&a.scores)), (&b.ids, bits(&b.scores)));
    assert_eq!((a.log_sum_exp.to_bits(), a.eligible), (b.log_sum_exp.to_bits(), b.eligible));
}

/// By sorting everything.
fn sorted(vector: &[f32], table: &Table<'_>, eligible: &dyn Fn(u32) -> bool, k: usize) -> Ranked {
    let mut all = vec![0f32; table.items()];
    scores(Rows::new(vector, 1, RANK), table, &mut all, false);
    let mut kept: Vec<(f32, u32)> =
        (0u32..).zip(&all).filter(|(i, _)| eligible(*i)).map(|(i, s)| (*s, i)).collect();
    let log_sum_exp = kept.iter().map(|(s, _)| f64::from(*s).exp()).sum::<f64>().ln();
    let count = kept.len();
    kept.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    kept.truncate(k);
    let (scores, ids) = kept.into_iter().unzip();
    Ranked { ids, scores, log_sum_exp, slack: 0.0, eligible: count }
}

fn check(got: &Ranked, truth: &Ranked) {
    assert_eq!((&got.ids, &got.scores, got.eligible), (&truth.ids, &truth.scores, truth.eligible));
    let equal = got.log_sum_exp == truth.log_sum_exp;
    assert!(
        equal || (got.log_sum_exp - truth.log_sum_exp).abs() < 1e-5,
        "{} {}",
        got.log_sum_exp,
        truth.log_sum_exp
    );
}

#[test]
fn rankings_are_a_sort_of_the_scores_with_ties_by_id() {
    for count in [1usize, 40, 1500, 20_000] {
        let (data, vector) = (items(count), noise(2, RANK));
        let table = Table::Rows { data: &data, rank: RANK };
        let seen: Vec<u32> = (0..count as u32).filter(|i| i % 7 == 3).collect();
        let some: Vec<u32> = (0..count as u32).filter(|i| i % 3 == 1).collect();
        let few: Vec<u32> = (0..count as u32).filter(|i| i % 997 == 5).collect();
        for k in [0, 1, 10, 333, count + 5] {
            let ask = |eligible| alone(Query { vector: &vector, offsets: &[], eligible, k }, &table);
            check(&ask(Eligible::AllBut(&seen)), &sorted(&vector, &table, &|i| i % 7 != 3, k));
            check(&ask(Eligible::Only(&some)), &sorted(&vector, &table, &|i| i % 3 == 1, k));
            check(&ask(Eligible::Only(&few)), &sorted(&vector, &table, &|i| i % 997 == 5, k));
        }
    }
}

#[test]
fn bits_do_not_depend_on_neighbours_threads_packing_or_how_eligibility_is_said() {
    let count = 20_000;
    let (data, vectors) = (items(count), noise(3, 64 * RANK));
    let rows = Table::Rows { data: &data, rank: RANK };
    let packed = Packed::transposed(&data, count, RANK);
    let but: Vec<u32> = (0..count as u32).filter(|i| i % 5 == 0).collect();
    let only: Vec<u32> = (0..count as u32).filter(|i| i % 5 != 0).collect();
    let few: Vec<u32> = (0..count as u32).filter(|i| i % 700 == 0).collect();
    let all_but_few: Vec<u32> = (0..count as u32).filter(|i| i % 700 != 0).collect();
    let (near, far) = (noise(6, count), noise(7, count));
    let offsets = [Offset { weight: 0.3, of: &near }, Offset { weight: -1.7, of: &far }];
    let query = |q: usize| {
        let eligible = [Eligible::AllBut(&but), Eligible::Only(&few), Eligible::Only(&only)][q % 3];
        Query {
            vector: &vectors[q * RANK..(q + 1) * RANK],
            offsets: [&[], &offsets[..]][q % 2],
            eligible,
            k: 1 + q % 4 * 20,
        }
    };
    let queries: Vec<Query<'_>> = (0..64).map(query).collect();
    let single: Vec<Ranked> = queries.iter().map(|&q| alone(q, &rows)).collect();
    for m in [2, 3, 17, 64] {
        for parallel in [false, true] {
            for table in [rows, Table::Packed(&packed)] {
                let batch = rank(&queries[..m], &table, parallel);
                batch.iter().zip(&single).for_each(|(a, b)| same(a, b));
            }
        }
    }
    same(&alone(Query { eligible: Eligible::Only(&only), ..queries[0] }, &rows), &single[0]);
    same(&alone(Query { eligible: Eligible::AllBut(&all_but_few), ..queries[1] }, &rows), &single[1]);
}

#[test]
fn offsets_are_added_to_the_products() {
    let count = 20_000;
    let (data, vector, near, far) = (items(count), noise(2, RANK), noise(6, count), noise(7, count));
    let table = Table::Rows { data: &data, rank: RANK };
    let offsets = [Offset { weight: 2.0, of: &near }, Offset { weight: -0.5, of: &far }];
    let mut all = vec![0f32; count];
    scores(Rows::new(&vector, 1, RANK), &table, &mut all, false);
    let expected: Vec<f64> = (0..count).map(|i| f64::from(all[i] + 2.0 * near[i] - 0.5 * far[i])).collect();
    offsets.iter().for_each(|&offset| add_offset(offset, &mut all));
    close(&all, &expected, 1e-6);
    let few: Vec<u32> = (0..count as u32).filter(|i| i % 997 == 5).collect();
    for eligible in [Eligible::AllBut(&few), Eligible::Only(&few)] {
        let k = 30;
        let found = alone(Query { vector: &vector, offsets: &offsets, eligible, k }, &table);
        let is_few = matches!(eligible, Eligible::Only(_));
        let mut sorted: Vec<u32> = (0..count as u32).filter(|i| (i % 997 == 5) == is_few).collect();
        sorted.sort_by(|&a, &b| all[b as usize].total_cmp(&all[a as usize]).then(a.cmp(&b)));
        sorted.truncate(k);
        assert_eq!(found.ids, sorted);
        assert_eq!(found.scores, found.ids.iter().map(|&id| all[id as usize]).collect::<Vec<_>>());
    }
}

#[test]
fn all_scores_are_the_products() {
    let (count, b) = (9000, 5);
    let (data, queries) = (noise(4, count * RANK), noise(5, b * RANK));
    let truth: Vec<f64> = (0..b * count)
        .map(|i| {
            let (q, v) = (&queries[i / count * RANK..][..RANK], &data[i % count * RANK..][..RANK]);
            q.iter().zip(v).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        })
        .collect();
    let packed = Packed::transposed(&data, count, RANK);
    let mut first = vec![0f32; b * count];
    scores(Rows::new(&queries, b, RANK), &Table::Packed(&packed), &mut first, false);
    close(&first, &truth, 1e-6);
    for parallel in [false, true] {
        let mut out = vec![0f32; b * count];
        scores(Rows::new(&queries, b, RANK), &Table::Rows { data: &data, rank: RANK }, &mut out, parallel);
        assert_eq!(bits(&out), bits(&first));
    }
}

#[test]
fn items_without_a_finite_score_come_last_and_count_nothing() {
    let mut data = vec![1f32; 2000];
    for bad in (0..2000).filter(|i| i % 2 == 0) {
        data[bad] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][bad % 3];
    }
    let table = Table::Rows { data: &data, rank: 1 };
    let ask = |eligible, k| alone(Query { vector: &[1.0], offsets: &[], eligible, k }, &table);
    let best = ask(Eligible::AllBut(&[]), 1000);
    assert!(best.ids.iter().all(|i| i % 2 == 1) && best.scores.iter().all(|&s| s == 1.0));
    assert!((best.log_sum_exp - 1.0 - 1000f64.ln()).abs() < 1e-6);
    let more = ask(Eligible::AllBut(&[0]), 1003);
    assert_eq!((&more.ids[..1000], &more.ids[1000..]), (&best.ids[..], &[2, 4, 6][..]));
    assert_eq!(more.scores[1000..], [f32::NEG_INFINITY; 3]);
    let none = ask(Eligible::Only(&[4, 1998]), 5);
    assert_eq!((none.ids, none.eligible, none.log_sum_exp), (vec![4, 1998], 2, f64::NEG_INFINITY));
    let empty = ask(Eligible::Only(&[]), 5);
    assert!(empty.ids.is_empty() && empty.log_sum_exp == f64::NEG_INFINITY);
}

#[test]
fn an_empty_catalogue_answers_with_nothing() {
    let answer = alone(
        Query { vector: &[1.0], offsets: &[], eligible: Eligible::AllBut(&[]), k: 3 },
        &Table::Rows { data: &[], rank: 1 },
    );
    assert!(answer.ids.is_empty() && answer.eligible == 0);
    assert!(rank(&[], &Table::Rows { data: &[1.0], rank: 1 }, true).is_empty());
}

#[test]
#[should_panic(expected = "not ascending")]
fn unsorted_lists_are_refused() {
    alone(
        Query { vector: &[1.0], offsets: &[], eligible: Eligible::Only(&[1, 0]), k: 1 },
        &Table::Rows { data: &[1.0, 2.0], rank: 1 },
    );
}
