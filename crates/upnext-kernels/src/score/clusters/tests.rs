//! Clusters against all items: what bounds promise, what probing finds, what is said of the rest.

use super::*;
use crate::score::{Eligible, Offset, Query, Ranked, rank};
use crate::testing::{bits, noise};

const RANK: usize = 16;

/// Vectors around a few centres.
fn items(count: usize) -> Vec<f32> {
    let (centres, noise) = (noise(1, 24 * RANK), noise(2, count * RANK));
    let at = |i: usize| 2.0 * centres[i / RANK * 7 % 24 * RANK + i % RANK] + 0.3 * noise[i];
    (0..count * RANK).map(at).collect()
}

fn clustered(table: &Table<'_>) -> Clusters {
    Clusters::new(table, homes(table), true)
}

fn homes(table: &Table<'_>) -> Homes {
    let plan = Plan { clusters: 60, homes: 3, rounds: 5, sample: 20 };
    let mut told = Vec::new();
    let homes = Homes::find(table, plan, |round| told.push(round));
    assert_eq!(told, [1, 2, 3, 4, 5]);
    homes
}

fn queries<'a>(vectors: &'a [f32], but: &'a [u32], only: &'a [u32]) -> Vec<Query<'a>> {
    let query = |(q, vector)| Query {
        vector,
        offsets: &[],
        eligible: [Eligible::AllBut(&[]), Eligible::AllBut(but), Eligible::Only(only)][q % 3],
        k: [1, 10, 40][q % 3],
    };
    vectors.chunks(RANK).enumerate().map(query).collect()
}

fn recall(found: &Ranked, exact: &Ranked) -> f64 {
    found.ids.iter().filter(|id| exact.ids.contains(id)).count() as f64 / exact.ids.len() as f64
}

#[test]
fn bounds_pass_over_clusters_and_lose_nothing() {
    let (data, vectors) = (items(5000), noise(3, 30 * RANK));
    let table = Table::Rows { data: &data, rank: RANK };
    let homes = homes(&table);
    let but: Vec<u32> = (0..5000).filter(|i| i % 11 == 4).collect();
    let only: Vec<u32> = (0..5000).filter(|i| i % 3 == 1).collect();
    let queries = queries(&vectors, &but, &only);
    let exact = rank(&queries, &table, false);
    for parallel in [false, true] {
        let clusters = Clusters::new(&table, homes.clone(), parallel);
        let found = rank_clusters(&queries, &table, &clusters, Probe::Bounded, parallel);
        for (found, exact) in found.iter().zip(&exact) {
            assert_eq!((&found.ids, bits(&found.scores)), (&exact.ids, bits(&exact.scores)));
            assert_eq!(found.eligible, exact.eligible);
            let off = (found.log_sum_exp - exact.log_sum_exp).abs();
            assert!(off <= found.slack + 1e-5, "off by {off}, {} promised", found.slack);
        }
        assert!(found.iter().any(|found| found.slack > 0.02), "nothing was passed over");
    }
}

#[test]
fn more_probes_find_more_and_all_of_them_find_all() {
    let (data, vectors) = (items(5000), noise(4, 30 * RANK));
    let table = Table::Rows { data: &data, rank: RANK };
    let clusters = clustered(&table);
    let but: Vec<u32> = (0..5000).filter(|i| i % 11 == 4).collect();
    let only: Vec<u32> = (0..5000).filter(|i| i % 3 == 1).collect();
    let queries = queries(&vectors, &but, &only);
    let exact = rank(&queries, &table, false);
    let mut before = 0.0;
    for probes in [1, 4, 20, 60] {
        let found = rank_clusters(&queries, &table, &clusters, Probe::Best(probes), false);
        let mean = found.iter().zip(&exact).map(|(found, exact)| recall(found, exact)).sum::<f64>() / 30.0;
        assert!(mean >= before, "{mean} by {probes} probes, {before} by fewer");
        before = mean;
        for (found, exact) in found.iter().zip(&exact) {
            let off = (found.log_sum_exp - exact.log_sum_exp).abs();
            assert!(off <= found.slack + 1e-5, "{probes} probes: off by {off}, {} promised", found.slack);
            let mut ids = found.ids.clone();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), found.ids.len(), "an item twice");
        }
        if probes == 4 {
            assert!(mean > 0.7 && mean < 1.0, "{mean}");
        }
    }
    assert_eq!(before, 1.0);
}

#[test]
fn what_clusters_cannot_help_is_ranked_as_ever() {
    let (data, vector) = (items(3000), noise(5, RANK));
    let table = Table::Rows { data: &data, rank: RANK };
    let (clusters, of) = (clustered(&table), noise(6, 3000));
    let offsets = [Offset { weight: 2.0, of: &of }];
    let all = Eligible::AllBut(&[]);
    for (eligible, offsets, k) in
        [(all, &offsets[..], 5), (Eligible::Only(&[7, 9]), &[], 5), (all, &[], 2999)]
    {
        let query = Query { vector: &vector, offsets, eligible, k };
        let found = rank_clusters(&[query], &table, &clusters, Probe::Best(1), false).remove(0);
        assert_eq!(found, rank(&[query], &table, false).remove(0));
    }
}

#[test]
fn homes_come_back_from_their_parts_unless_these_do_not_fit() {
    let data = items(500);
    let table = Table::Rows { data: &data, rank: RANK };
    let homes = clustered(&table).homes;
    let (centres, of_items) = (homes.centres().to_vec(), homes.of_items().to_vec());
    let again = Homes::from_parts(RANK, homes.each(), centres.clone(), of_items.clone());
    assert_eq!(again.as_ref(), Some(&homes));
    assert_eq!(homes, clustered(&table).homes);
    assert_eq!(Homes::from_parts(RANK, 7, centres.clone(), of_items.clone()), None);
    assert_eq!(Homes::from_parts(RANK, 3, centres.clone(), vec![0, 1, 60]), None);
    assert_eq!(Homes::from_parts(RANK, 3, centres.clone(), vec![0, 1, 0]), None);
    assert_eq!(Homes::from_parts(RANK, 3, vec![f32::NAN; RANK], vec![0, 0, 0]), None);
    assert_eq!(Homes::from_parts(0, 0, Vec::new(), Vec::new()), None);
}

#[test]
fn no_cluster_has_many_times_its_share_however_alike_items_are() {
    let mut data = items(3000);
    // Two thousand items of which nothing is known but their mean.
    let alike = data[..RANK].repeat(2000);
    data[1000 * RANK..].copy_from_slice(&alike);
    // A few of them reach farther, and are the best of who likes them.
    let far = [2999, 1700, 1234, 2345];
    far.iter().for_each(|item| data[item * RANK..][..RANK].iter_mut().for_each(|x| *x *= 3.0));
    let fan = data[..RANK].to_vec();
    let table = Table::Rows { data: &data, rank: RANK };
    let clusters = clustered(&table);
    assert!(clusters.clusters.len() > 60);
    assert!(clusters.clusters.iter().all(|cluster| cluster.own.len() <= 4 * 3000 / 60));
    let owned: usize = clusters.clusters.iter().map(|cluster| cluster.own.len()).sum();
    assert_eq!(owned, 3000);
    assert_eq!(
        Homes::from_parts(RANK, 3, clusters.homes.centres.clone(), clusters.homes.of_items.clone()),
        Some(clusters.homes.clone())
    );
    let fan = Query { vector: &fan, offsets: &[], eligible: Eligible::AllBut(&[]), k: 4 };
    let found = rank_clusters(&[fan], &table, &clusters, Probe::Best(2), false).remove(0);
    assert_eq!(found.ids, [1234, 1700, 2345, 2999]);
    let vectors = noise(7, 12 * RANK);
    let queries = queries(&vectors, &[], &[0, 1, 2]);
    let exact = rank(&queries, &table, false);
    for probe in [Probe::Bounded, Probe::Best(clusters.clusters.len())] {
        for (found, exact) in rank_clusters(&queries, &table, &clusters, probe, false).iter().zip(&exact) {
            assert_eq!((&found.ids, bits(&found.scores)), (&exact.ids, bits(&exact.scores)));
            let off = (found.log_sum_exp - exact.log_sum_exp).abs();
            assert!(off <= found.slack + 1e-5, "off by {off}, {} promised", found.slack);
        }
    }
}

#[test]
fn every_item_lives_somewhere_even_if_all_are_alike() {
    let data = vec![0.5f32; 300 * RANK];
    let table = Table::Rows { data: &data, rank: RANK };
    let clusters = clustered(&table);
    let query = Query { vector: &data[..RANK], offsets: &[], eligible: Eligible::AllBut(&[0]), k: 4 };
    let exact = rank(&[query], &table, false);
    for probe in [Probe::Bounded, Probe::Best(60)] {
        let found = rank_clusters(&[query], &table, &clusters, probe, false);
        assert_eq!((&found[0].ids, &found[0].scores), (&exact[0].ids, &exact[0].scores));
    }
}
