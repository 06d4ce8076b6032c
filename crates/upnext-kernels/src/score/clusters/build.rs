//! Where items live: by spherical k-means (Dhillon and Modha 2001), the way to cluster for largest products (Auvolat et al.
//! 2015, arXiv 1507.05910). An item is nearest to the centre with which its product is largest, all centres being equally
//! long. By distance, short centres in the middle of long vectors would draw nearly all of them.

use crate::Rows;
use crate::product::Packed;
use crate::score::{Eligible, Query, Table, rank};
use rayon::prelude::*;

/// How items are to be clustered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// c: about twice the square root of the items is usual. There may come out more, where some would be very large.
    pub clusters: usize,
    /// m: in how many clusters each item is.
    pub homes: usize,
    /// Rounds of k-means.
    pub rounds: usize,
    /// Items that centres are found from, for each cluster.
    pub sample: usize,
}

impl Plan {
    /// What is usual for so many items.
    pub fn usual(items: usize) -> Plan {
        let clusters = ((2.0 * (items as f64).sqrt()) as usize).clamp(1, items.max(1));
        Plan { clusters, homes: clusters.min(2), rounds: 10, sample: 100 }
    }
}

/// The centres of clusters, and each item's clusters, nearest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Homes {
    pub(super) rank: usize,
    /// m.
    pub(super) each: usize,
    /// `(c, r)`.
    pub(super) centres: Vec<f32>,
    /// `(i, m)`.
    pub(super) of_items: Vec<u32>,
}

/// Most clusters that an item is in.
const MOST_HOMES: usize = 64;

/// A cluster has at most so many times its share of the items.
const MOST_OF_SHARE: usize = 4;

/// Items whose nearest centres are looked for together.
const BATCH: usize = 256;

impl Homes {
    /// Finds centres and homes. The same table and plan give the same homes, whatever the threads; `progress` is told the
    /// rounds that are done.
    ///
    /// # Panics
    /// When the plan asks for no cluster, for more clusters than items or for more homes than clusters.
    pub fn find(table: &Table<'_>, plan: Plan, mut progress: impl FnMut(usize)) -> Homes {
        let (items, rank) = (table.items(), table.rank());
        let Plan { clusters, homes, rounds, sample } = plan;
        assert!(1 <= homes && homes <= clusters && clusters <= items, "{plan:?} for {items} items");
        // Evenly spread over the ids, which say nothing of the vectors.
        let count = clusters.saturating_mul(sample.max(1)).min(items);
        let at = |i: usize, of: usize| (i as u128 * items as u128 / of as u128) as usize;
        let drawn: Vec<u32> = (0..count).map(|i| at(i, count) as u32).collect();
        let points = gathered(table, &drawn);
        let first: Vec<u32> = (0..clusters).map(|i| at(i, clusters) as u32).collect();
        let mut centres = units(gathered(table, &first), rank);
        for round in 0..rounds {
            let (nearest, products) = nearest(&points, &centres, rank, 1);
            centres = units(means(&points, &nearest, &products, &centres, rank), rank);
            progress(round + 1);
        }
        let mut of_items = Vec::with_capacity(items * homes);
        for start in (0..items).step_by(BATCH * 64) {
            let some: Vec<u32> = (start..items.min(start + BATCH * 64)).map(|item| item as u32).collect();
            of_items.extend(self::nearest(&gathered(table, &some), &centres, rank, homes).0);
        }
        let mut found = Homes { rank, each: homes, centres, of_items };
        found.part(table);
        // The centres of all items, and not of those that were drawn.
        found.centres = found.means(table);
        found
    }

    /// Parts clusters that have several times their share of the items, by how far items reach along the centre, and then by
    /// id: looking into one costs by its items, and what scores highest there reaches farthest. (By id alone, the best of a
    /// cluster were in all of its parts.) Such clusters hold many items that are all alike, as those without events are;
    /// copies go to the neighbouring parts, since the next nearest cluster would have to take all of them, too.
    fn part(&mut self, table: &Table<'_>) {
        let (clusters, rank) = (self.clusters(), self.rank);
        let most = MOST_OF_SHARE * self.items().div_ceil(clusters);
        let mut counts = vec![0usize; clusters];
        self.of_items.iter().step_by(self.each).for_each(|&home| counts[home as usize] += 1);
        let parts: Vec<usize> = counts.iter().map(|count| count.div_ceil(most).max(1)).collect();
        // A cluster's first part keeps its place, the others follow behind all clusters.
        let mut places = vec![Vec::new(); clusters];
        for (old, &parts) in parts.iter().enumerate() {
            places[old].push(old as u32);
            for _ in 1..parts {
                places[old].push((self.centres.len() / rank) as u32);
                self.centres.extend_from_within(old * rank..(old + 1) * rank);
            }
        }
        let owns: Vec<u32> = self.of_items.iter().copied().step_by(self.each).collect();
        let parted: Vec<u32> =
            (0..self.items() as u32).filter(|&i| parts[owns[i as usize] as usize] > 1).collect();
        let mut reaches: Vec<(u32, f32, u32)> = parted
            .par_iter()
            .map_init(
                || vec![0f32; rank],
                |row, &item| {
                    table.vector(item, row);
                    let own = owns[item as usize];
                    let centre = &self.centres[own as usize * rank..][..rank];
                    let reach: f32 = row.iter().zip(centre).map(|(x, c)| x * c).sum();
                    (own, if reach.is_finite() { reach } else { 0.0 }, item)
                },
            )
            .collect();
        reaches.par_sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
        let mut part_of = vec![0usize; self.items()];
        for cluster in reaches.chunk_by(|a, b| a.0 == b.0) {
            let parts = parts[cluster[0].0 as usize];
            for (at, &(_, _, item)) in cluster.iter().enumerate() {
                part_of[item as usize] = at * parts / cluster.len();
            }
        }
        let mut copied = vec![0usize; clusters];
        for (homes, &part) in self.of_items.chunks_exact_mut(self.each).zip(&part_of) {
            let own = homes[0] as usize;
            for (at, home) in homes.iter_mut().enumerate() {
                *home = if at < parts[own] {
                    places[own][(part + at) % parts[own]]
                } else {
                    let old = *home as usize;
                    copied[old] += 1;
                    places[old][copied[old] % parts[old]]
                };
            }
        }
    }

    /// The means of the items that live in each cluster; a centre with none stays.
    pub(super) fn means(&self, table: &Table<'_>) -> Vec<f32> {
        let own: Vec<u32> = self.of_items.iter().copied().step_by(self.each).collect();
        let (sums, counts) = sums(&own, self.clusters(), self.rank, |i, out| table.vector(i as u32, out));
        let mean = |(at, &old): (usize, &f32)| match counts[at / self.rank] {
            0 => old,
            count => (sums[at] / count as f64) as f32,
        };
        self.centres.iter().enumerate().map(mean).collect()
    }

    /// From what a file keeps; none where the two do not fit each other.
    pub fn from_parts(rank: usize, each: usize, centres: Vec<f32>, of_items: Vec<u32>) -> Option<Homes> {
        let is_whole = rank > 0
            && (1..=MOST_HOMES).contains(&each)
            && !centres.is_empty()
            && centres.len().is_multiple_of(rank)
            && of_items.len().is_multiple_of(each);
        let clusters = centres.len().checked_div(rank)?;
        let known = of_items.iter().all(|&home| (home as usize) < clusters);
        let distinct = |homes: &[u32]| (1..homes.len()).all(|i| !homes[..i].contains(&homes[i]));
        let fits = is_whole && known && centres.iter().all(|x| x.is_finite());
        (fits && of_items.chunks_exact(each).all(distinct)).then_some(Homes { rank, each, centres, of_items })
    }

    /// i.
    pub fn items(&self) -> usize {
        self.of_items.len() / self.each
    }

    /// r.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// c.
    pub fn clusters(&self) -> usize {
        self.centres.len() / self.rank
    }

    /// m.
    pub fn each(&self) -> usize {
        self.each
    }

    /// `(c, r)`.
    pub fn centres(&self) -> &[f32] {
        &self.centres
    }

    /// `(i, m)`.
    pub fn of_items(&self) -> &[u32] {
        &self.of_items
    }
}

fn gathered(table: &Table<'_>, items: &[u32]) -> Vec<f32> {
    let mut rows = vec![0f32; items.len() * table.rank()];
    rows.par_chunks_exact_mut(table.rank()).zip(items).for_each(|(row, &item)| table.vector(item, row));
    // What is no number has no place; it is near to nothing.
    rows.par_iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = 0.0);
    rows
}

/// Rows at length 1; a row of nothing stays one.
fn units(mut rows: Vec<f32>, rank: usize) -> Vec<f32> {
    for row in rows.chunks_exact_mut(rank) {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().filter(|_| length > 0.0).for_each(|x| *x /= length);
    }
    rows
}

/// The nearest centres of each point, nearest first, and the product with the first.
fn nearest(points: &[f32], centres: &[f32], r: usize, homes: usize) -> (Vec<u32>, Vec<f32>) {
    let packed = Packed::transposed(centres, centres.len() / r, r);
    let table = Table::Packed(&packed);
    let batch = |points: &[f32]| -> Vec<(Vec<u32>, f32)> {
        let query = |vector| Query { vector, offsets: &[], eligible: Eligible::AllBut(&[]), k: homes };
        let queries: Vec<Query<'_>> = points.chunks_exact(r).map(query).collect();
        let near = rank(&queries, &table, false).into_iter();
        near.map(|ranked| (ranked.ids, ranked.scores.first().copied().unwrap_or(0.0))).collect()
    };
    let found: Vec<Vec<(Vec<u32>, f32)>> = points.par_chunks(BATCH * r).map(batch).collect();
    let (ids, products): (Vec<Vec<u32>>, Vec<f32>) = found.into_iter().flatten().unzip();
    (ids.into_iter().flatten().collect(), products)
}

/// The means of the points that are nearest to each centre. A centre with none goes to one of the points that are farthest
/// from theirs, for their length.
fn means(points: &[f32], nearest: &[u32], products: &[f32], centres: &[f32], r: usize) -> Vec<f32> {
    let point = |i: usize, out: &mut [f32]| out.copy_from_slice(&points[i * r..][..r]);
    let (sums, counts) = sums(nearest, centres.len() / r, r, point);
    let length = |i: usize| points[i * r..][..r].iter().map(|x| x * x).sum::<f32>();
    let mut far: Vec<(f32, usize)> = Vec::new();
    if counts.contains(&0) {
        let sine = |(i, product): (usize, &f32)| (length(i) - product * product, i);
        far = products.iter().enumerate().map(sine).collect();
        far.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    }
    let mut means = Vec::with_capacity(centres.len());
    for (sum, &count) in sums.chunks_exact(r).zip(&counts) {
        match (count, far.pop()) {
            (0, Some((_, point))) => means.extend_from_slice(Rows::new(points, nearest.len(), r).row(point)),
            (_, popped) => {
                far.extend(popped);
                means.extend(sum.iter().map(|sum| (sum / count.max(1) as f64) as f32));
            }
        }
    }
    means
}

/// The sums of the vectors that live in each cluster, and how many do.
fn sums(
    homes: &[u32],
    clusters: usize,
    r: usize,
    vector: impl Fn(usize, &mut [f32]),
) -> (Vec<f64>, Vec<usize>) {
    let (mut sums, mut counts) = (vec![0f64; clusters * r], vec![0usize; clusters]);
    let mut row = vec![0f32; r];
    for (i, &home) in homes.iter().enumerate() {
        vector(i, &mut row);
        counts[home as usize] += 1;
        let sum = &mut sums[home as usize * r..][..r];
        sum.iter_mut().zip(&row).filter(|(_, x)| x.is_finite()).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    (sums, counts)
}
