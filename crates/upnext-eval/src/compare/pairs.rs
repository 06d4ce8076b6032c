//! Two sides question by question, summed by user.
//!
//! Letters: u users · m metrics.

use std::collections::BTreeMap;

use upnext_data::Protocol;

use super::{How, On, Side};
use crate::error::Unpaired;
use crate::rank::Seen;
use crate::record::Record;
use crate::{Error, Result};

/// Sums of both sides' metrics for each user, over all of the user's questions that count.
pub(super) struct Paired {
    /// `(u, m)`: reference and other.
    sums: Vec<[f64; 2]>,
    /// `(u)` questions.
    counts: Vec<u32>,
    metrics: usize,
}

impl Paired {
    /// Pairs the k-th report of one side with the k-th of the other.
    ///
    /// # Errors
    /// When the sides do not match, or no question is left.
    pub(super) fn of(reference: &[Side<'_>], other: &[Side<'_>], how: &How) -> Result<Self> {
        if reference.len() != other.len() {
            return Err(Error::Pooled { reference: reference.len(), other: other.len() });
        }
        let metrics = how.metrics.len();
        let mut paired = Self { sums: Vec::new(), counts: Vec::new(), metrics };
        let mut users = BTreeMap::<&str, usize>::new();
        for (left, right) in reference.iter().zip(other) {
            check(left.record, right.record)?;
            if how.on != On::All {
                same_cold(left.record, right.record)?;
            }
            if how.on == On::AmongCold {
                as_many_cold(left.record, right.record)?;
            }
            // Pooled reports may be of several draws, but "rank 7" must be among as many items in each.
            same_items(reference[0].record, left.record)?;
            let keys = &left.record.questions().users;
            for ((place, left), (_, right)) in ranks(left, how).zip(ranks(right, how)) {
                let next = users.len();
                let user = *users.entry(&keys[place]).or_insert(next);
                if user == next {
                    paired.sums.resize(paired.sums.len() + metrics, [0.0; 2]);
                    paired.counts.push(0);
                }
                paired.counts[user] += 1;
                for (sums, metric) in paired.sums[user * metrics..].iter_mut().zip(&how.metrics) {
                    sums[0] += metric.of_rank(left);
                    sums[1] += metric.of_rank(right);
                }
            }
        }
        if users.is_empty() { Err(Error::NothingToCompare(how.on.name())) } else { Ok(paired) }
    }

    pub(super) fn users(&self) -> usize {
        self.counts.len()
    }

    pub(super) fn questions(&self) -> usize {
        self.counts.iter().map(|&count| count as usize).sum()
    }

    /// `(m)` both means over all questions of some users.
    pub(super) fn means(&self, users: impl Iterator<Item = usize>) -> Vec<[f64; 2]> {
        let mut totals = vec![[0.0; 2]; self.metrics];
        let mut questions = 0_u64;
        for user in users {
            questions += u64::from(self.counts[user]);
            for (total, sums) in totals.iter_mut().zip(&self.sums[user * self.metrics..]) {
                total[0] += sums[0];
                total[1] += sums[1];
            }
        }
        totals.iter().map(|total| total.map(|sum| sum / questions.max(1) as f64)).collect()
    }
}

/// The questions that count, by place, with the side's rank of the target.
fn ranks<'a>(side: &Side<'a>, how: &How) -> Box<dyn Iterator<Item = (usize, u32)> + 'a> {
    let cold = &side.record.questions().cold;
    let all = match how.seen {
        Seen::Dropped => &side.ranked.dropped,
        Seen::Kept => &side.ranked.kept,
    };
    let every = all.iter().copied().enumerate();
    match how.on {
        On::All => Box::new(every),
        On::Warm => Box::new(every.filter(|(place, _)| cold.binary_search(place).is_err())),
        On::Cold => Box::new(cold.iter().map(|&place| (place, all[place]))),
        On::AmongCold => Box::new(cold.iter().copied().zip(side.ranked.among_cold.iter().copied())),
    }
}

/// Whether two protocols ask the questions of one split of the same events.
fn asks_alike(left: &Record, right: &Record) -> bool {
    let of = |record: &Record| record.protocol.parse::<Protocol>().ok();
    let tests_alike = || of(left).zip(of(right)).is_some_and(|(left, right)| left.tests_as(&right));
    left.protocol == right.protocol || (left.split == "test" && tests_alike())
}

/// Refuses reports that did not ask the same questions of the same catalogue.
fn check(left: &Record, right: &Record) -> Result<()> {
    let differ = |what: &str, one: &dyn ToString, two: &dyn ToString| unpaired(left, right, what, one, two);
    if !asks_alike(left, right) {
        return differ("the protocol", &left.protocol, &right.protocol);
    }
    if left.split != right.split {
        return differ("the split", &left.split, &right.split);
    }
    same_items(left, right)?;
    if left.len() != right.len() {
        return differ("the number of questions", &left.len(), &right.len());
    }
    let (one, two) = (left.questions(), right.questions());
    for (what, one, two) in [("user", &one.users, &two.users), ("target", &one.targets, &two.targets)] {
        if let Some(place) = (0..one.len()).find(|&place| one[place] != two[place]) {
            let (one, two) = (format!("{:?}", one[place]), format!("{:?}", two[place]));
            return differ(&format!("the {what} of question {place}"), &one, &two);
        }
    }
    Ok(())
}

/// Refuses reports that tell cold targets from warm ones apart differently: one protocol leaves more to train on.
fn same_cold(left: &Record, right: &Record) -> Result<()> {
    let (one, two) = (left.questions(), right.questions());
    let is_cold = |cold: &[usize], place: usize| cold.binary_search(&place).is_ok();
    let differs = |&place: &usize| is_cold(&one.cold, place) != is_cold(&two.cold, place);
    if let Some(place) = (0..left.len()).find(differs) {
        let [one, two] = [one, two].map(|asked| if is_cold(&asked.cold, place) { "cold" } else { "warm" });
        return unpaired(left, right, &format!("the target of question {place}"), &one, &two);
    }
    Ok(())
}

/// Refuses ranks among more cold items on one side than on the other.
fn as_many_cold(left: &Record, right: &Record) -> Result<()> {
    let cold = |record: &Record| record.report()["cold_start"]["items"].as_u64();
    if cold(left) == cold(right) {
        return Ok(());
    }
    let [one, two] = [left, right].map(|record| cold(record).unwrap_or_default());
    unpaired(left, right, "the number of cold items", &one, &two)
}

fn same_items(left: &Record, right: &Record) -> Result<()> {
    if left.items == right.items {
        return Ok(());
    }
    unpaired(left, right, "the number of ranked items", &left.items, &right.items)
}

fn unpaired(left: &Record, right: &Record, what: &str, one: &dyn ToString, two: &dyn ToString) -> Result<()> {
    Err(Error::Unpaired(Box::new(Unpaired {
        left_path: left.path().to_owned(),
        right_path: right.path().to_owned(),
        what: what.to_owned(),
        left: one.to_string(),
        right: two.to_string(),
    })))
}
