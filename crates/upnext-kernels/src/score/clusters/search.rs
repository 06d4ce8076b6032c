//! The best items of the clusters that are looked into.

use super::{Cluster, Clusters};
use crate::Rows;
use crate::level::Chosen;
use crate::product::Packed;
use crate::score::best::Best;
use crate::score::block::{largest, tidy};
use crate::score::listed::Listed;
use crate::score::narrow::{
    Asked, Bounded, Candidate, RUN, all_of, ask, best_of, floor, joined, less, or_exact, up, wanted,
};
use crate::score::{Eligible, Query, Ranked, Table, check, scores};
use crate::softmax::LogSumExp;
use rayon::prelude::*;

/// Which clusters are looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// All that may hold one of the best: the answer has the ids and bits of [`rank`](crate::score::rank).
    Bounded,
    /// So many whose centres score highest.
    Best(usize),
}

/// Items of which the share in what was passed over is taken out again, where they are not eligible.
const TAKEN_OUT: usize = 4096;

/// As [`rank`](crate::score::rank), looking into some clusters only.
///
/// What is not looked into adds an estimate to the log-sum-exp: each cluster as if its items lay around their centre as
/// draws from a normal distribution of their spread do. `slack` says how far that may be wrong: by Jensen's inequality items add no
/// less than if all of them lay in the centre, and no more than if all scored the cluster's most. A query that clusters
/// cannot help (with offsets; few items eligible; about as many asked for; fewer found) is answered by [`rank`](crate::score::rank).
///
/// # Panics
/// As [`rank`](crate::score::rank), and when the clusters are not of the table's items.
pub fn rank_clusters(
    queries: &[Query<'_>],
    table: &Table<'_>,
    clusters: &Clusters,
    probe: Probe,
    parallel: bool,
) -> Vec<Ranked> {
    check(queries, table);
    assert!(
        clusters.items == table.items() && clusters.rank == table.rank(),
        "clusters of {} items",
        clusters.items
    );
    let one = |query: &Query<'_>| {
        let fits = |asked: &Asked<'_>| asked.length.max(1.0) * clusters.longest.max(1.0) < 1e36;
        let asked = if query.offsets.is_empty() { ask(query, &clusters.narrow, table.items()) } else { None };
        let asked = asked.filter(fits);
        asked.and_then(|asked| Search::new(query, &asked, table, clusters).run(probe))
    };
    let found: Vec<Option<Ranked>> =
        if parallel { queries.par_iter().map(one).collect() } else { queries.iter().map(one).collect() };
    or_exact(queries, found, table, parallel)
}

/// One query on its way through clusters.
struct Search<'a> {
    query: &'a Query<'a>,
    asked: &'a Asked<'a>,
    table: &'a Table<'a>,
    clusters: &'a Clusters,
    level: Chosen,
    /// A bit for each item that is not eligible; empty where all are.
    barred: Vec<u64>,
    /// Scores of the centres.
    centres: Vec<f32>,
    visited: Vec<bool>,
    least: Best,
    candidates: Vec<Candidate>,
    sum: Bounded,
    scores: Vec<f32>,
}

impl<'a> Search<'a> {
    fn new(
        query: &'a Query<'a>,
        asked: &'a Asked<'a>,
        table: &'a Table<'a>,
        clusters: &'a Clusters,
    ) -> Search<'a> {
        let count = clusters.clusters.len();
        let mut centres = vec![0f32; count];
        let of_centres = Table::Rows { data: &clusters.centres, rank: clusters.rank };
        scores(Rows::new(query.vector, 1, clusters.rank), &of_centres, &mut centres, false);
        Search {
            query,
            asked,
            table,
            clusters,
            level: Chosen::now(),
            barred: barred(&query.eligible, clusters.items),
            centres,
            visited: vec![false; count],
            least: Best::new(wanted(query)),
            candidates: Vec::new(),
            sum: Bounded::new(),
            scores: Vec::new(),
        }
    }

    /// None where too few items were found.
    fn run(mut self, probe: Probe) -> Option<Ranked> {
        match probe {
            Probe::Bounded => self.by_bounds(),
            Probe::Best(count) => self.best(count),
        }
        let bar = self.least.settled();
        self.candidates.retain(|candidate| candidate.most >= bar);
        let exact = all_of(self.level, self.query, &self.candidates, self.table);
        let (scores, ids) = best_of(self.query.k, &self.candidates, &exact);
        for (candidate, &exact) in self.candidates.iter().zip(&exact) {
            // A copy whose own cluster was passed over is in no sum.
            if self.visited[self.homes_of(candidate.id)[0] as usize] {
                self.sum.replace(candidate, exact);
            }
        }
        if ids.len() < self.query.k || !scores.iter().all(|score| score.is_finite()) {
            return None;
        }
        let mut known = LogSumExp::new();
        known.push(&exact);
        let (log_sum_exp, slack) = self.partition(known.value());
        let eligible = self.query.eligible.count(self.clusters.items);
        let answer = Ranked { ids, scores, log_sum_exp, slack, eligible };
        (log_sum_exp.is_finite() && slack.is_finite()).then_some(answer)
    }

    /// The most that an item that lives in a cluster may score.
    fn most(&self, cluster: usize) -> f64 {
        f64::from(self.centres[cluster]) + self.asked.length * self.radius(cluster) + self.rounding(cluster)
    }

    /// The centre's own score is rounded, and so are those of the items.
    fn rounding(&self, cluster: usize) -> f64 {
        let lengths = self.clusters.longest + self.radius(cluster);
        self.asked.length * (self.clusters.rank + 8) as f64 * 2e-7 * lengths
    }

    fn radius(&self, cluster: usize) -> f64 {
        self.clusters.clusters[cluster].radius
    }

    /// From the cluster that may hold the best on, until none may hold one of the best any more.
    fn by_bounds(&mut self) {
        let mut order: Vec<(f64, usize)> =
            (0..self.visited.len()).map(|cluster| (self.most(cluster), cluster)).collect();
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (most, cluster) in order {
            // Where no item is asked for, the log-sum-exp is: then all clusters count.
            if self.query.k > 0 && most < f64::from(self.least.settled()) {
                break;
            }
            self.visited[cluster] = true;
            self.look(cluster, false);
        }
    }

    fn best(&mut self, count: usize) {
        let clusters = &self.clusters.clusters;
        let is_inhabited = |at: &usize| !(clusters[*at].own.is_empty() && clusters[*at].copies.is_empty());
        let mut order: Vec<usize> = (0..clusters.len()).filter(is_inhabited).collect();
        let by_score = |a: &usize, b: &usize| self.centres[*b].total_cmp(&self.centres[*a]).then(a.cmp(b));
        let count = count.max(1);
        if count < order.len() {
            order.select_nth_unstable_by(count - 1, by_score);
            order.truncate(count);
        }
        order.sort_unstable_by(by_score);
        order.iter().for_each(|&cluster| self.visited[cluster] = true);
        for cluster in order {
            self.look(cluster, true);
        }
    }

    /// Looks at the items that live in a cluster and, if wanted, at the copies of others.
    fn look(&mut self, cluster: usize, with_copies: bool) {
        let Cluster { own, copies, .. } = &self.clusters.clusters[cluster];
        self.score(own.clone(), |search, slack, scores| search.sum.push(scores, slack));
        self.take(cluster, own.start, own.len());
        if with_copies && !copies.is_empty() {
            self.score(copies.clone(), |_, _, _| ());
            self.take(cluster, copies.start, copies.len());
        }
    }

    /// Scores of slots, negative infinity for what is not eligible.
    fn score(&mut self, slots: std::ops::Range<usize>, sum: impl FnOnce(&mut Self, f64, &[f32])) {
        let mut scores = std::mem::take(&mut self.scores);
        scores.clear();
        scores.resize(slots.len(), 0.0);
        let narrow = &self.clusters.narrow;
        if !slots.is_empty() {
            let (asked, spare) = (&[self.asked], &mut Packed::default());
            narrow.scores(self.level, asked, slots.clone(), &mut scores, slots.len(), spare);
        }
        tidy(self.level, &mut scores);
        if !self.barred.is_empty() {
            for (score, &item) in scores.iter_mut().zip(&self.clusters.items_of_slots[slots.clone()]) {
                if self.barred[item as usize / 64] >> (item % 64) & 1 == 1 {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
        sum(self, self.slack(narrow.reach(slots)), &scores);
        self.scores = scores;
    }

    /// How far any of some scores may be off.
    fn slack(&self, reach: &[f32]) -> f64 {
        let farthest = reach.iter().copied().fold(0.0, f32::max);
        self.asked.length * f64::from(farthest) + 1e-30
    }

    /// Takes what was scored among the candidates.
    fn take(&mut self, cluster: usize, first: usize, count: usize) {
        let clusters = self.clusters;
        let (reach, items) =
            (clusters.narrow.reach(first..first + count), &clusters.items_of_slots[first..first + count]);
        let slack = self.slack(reach);
        for start in (0..count).step_by(RUN) {
            let run = start..(start + RUN).min(count);
            let floor = floor(self.least.bar(), slack);
            if largest(self.level, &self.scores[run.clone()]) < floor {
                continue;
            }
            for (&reach, (&item, at)) in reach[run.clone()].iter().zip(items[run.clone()].iter().zip(run)) {
                let score = self.scores[at];
                if score < floor {
                    continue;
                }
                let off = self.asked.length * f64::from(reach) + 1e-30;
                let most = up(f64::from(score) + off);
                if most < self.least.bar() || self.is_seen_before(item, cluster) {
                    continue;
                }
                self.candidates.push(Candidate { id: item, score, most, slack });
                let least = -up(off - f64::from(score));
                if least > self.least.bar() {
                    self.least.offer(least, item);
                }
            }
        }
    }

    /// Whether an item stands in another visited cluster that is nearer to it: there it is taken, and not here.
    fn is_seen_before(&self, item: u32, cluster: usize) -> bool {
        let nearer = self.homes_of(item).iter().take_while(|&&home| home as usize != cluster);
        nearer.into_iter().any(|&home| self.visited[home as usize])
    }

    fn homes_of(&self, item: u32) -> &'a [u32] {
        let homes = &self.clusters.homes;
        &homes.of_items[item as usize * homes.each..][..homes.each]
    }

    /// The log-sum-exp with what was passed over, and by how much it may be wrong; it is no less than that of what is known.
    fn partition(&self, known: f64) -> (f64, f64) {
        let (mut low, mut middle, mut high) = (Vec::new(), Vec::new(), Vec::new());
        let variance = self.asked.length * self.asked.length / self.clusters.rank as f64;
        for (at, cluster) in self.clusters.clusters.iter().enumerate() {
            if !self.visited[at] && !cluster.own.is_empty() {
                let most = up(self.most(at) + f64::from(cluster.log_count) + 1e-6);
                let sum = of_normal(cluster.own.len(), variance * cluster.spread) as f32;
                low.push(self.centres[at] + cluster.log_count - up(self.rounding(at) + 1e-6));
                middle.push((self.centres[at] + sum).min(most));
                high.push(most);
            }
        }
        let (value, slack) = (self.sum.value(), self.sum.slack());
        let (nothing, out) = (f64::NEG_INFINITY, self.taken_out());
        let with = |seen: f64, passed: &[f32], out: f64| {
            let mut sum = LogSumExp::new();
            sum.push(passed);
            joined(seen, less(sum.value(), out))
        };
        let top = with(value + slack, &high, nothing);
        let bottom = out.map_or(value - slack, |out| with(value - slack, &low, out)).max(known);
        let middle = with(value, &middle, out.unwrap_or(nothing)).clamp(bottom, top.max(bottom));
        (middle, (top - middle).max(middle - bottom))
    }

    /// The log-sum-exp of the items that are not eligible in clusters that were passed over; none where it is not known.
    fn taken_out(&self) -> Option<f64> {
        let Eligible::AllBut(list) = self.query.eligible else { return None };
        if list.len() > TAKEN_OUT {
            return None;
        }
        let passed = |item: &&u32| !self.visited[self.homes_of(**item)[0] as usize];
        let some: Vec<u32> = list.iter().filter(passed).copied().collect();
        let mut scores = Vec::with_capacity(some.len());
        Listed::default().score(self.level, self.query, &some, self.table, |_, score| scores.push(score));
        let mut sum = LogSumExp::new();
        sum.push(&scores);
        Some(sum.value())
    }
}

/// The log-sum-exp of so many draws from a normal distribution around 0, as it usually is: that of the mean of `exp` unless
/// this comes from draws so far out that nobody draws them (the random energy model, Derrida 1981).
fn of_normal(count: usize, variance: f64) -> f64 {
    let log_count = (count as f64).ln();
    match variance <= 2.0 * log_count {
        true => log_count + 0.5 * variance,
        false => (2.0 * variance * log_count).sqrt(),
    }
}

/// A bit for each item that is not eligible; nothing where all are.
fn barred(eligible: &Eligible<'_>, items: usize) -> Vec<u64> {
    let words = items.div_ceil(64);
    match eligible {
        Eligible::AllBut([]) => Vec::new(),
        Eligible::AllBut(list) => {
            let mut bits = vec![0u64; words];
            list.iter().for_each(|&item| bits[item as usize / 64] |= 1 << (item % 64));
            bits
        }
        Eligible::Only(list) => {
            let mut bits = vec![u64::MAX; words];
            list.iter().for_each(|&item| bits[item as usize / 64] &= !(1 << (item % 64)));
            bits
        }
    }
}
