//! What histories are like: how long, how popular, how repetitive, over which time, and what each protocol makes of
//! them. It looks at them once and changes nothing.

use serde::Serialize;

use crate::calendar::is_unix_time;
use crate::popularity;
use crate::spread::{Spread, gini, top_share};
use crate::{Histories, History, Protocol, Result};

/// The shares of events at which a time split is proposed: validation begins at the first, test at the second.
const CUTS: [u64; 2] = [80, 90];

/// A description of histories over a catalogue.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// How many users.
    pub users: usize,
    /// i: how many items.
    pub items: usize,
    /// How many events.
    pub events: usize,
    /// When they happened; `None` without events.
    pub times: Option<Times>,
    /// Events of each user.
    pub lengths: Spread,
    /// Events of each item.
    pub popularity: Popularity,
    /// Of the events that follow another of their user, the share with the same time as it: their order is that of the
    /// file.
    pub equal_time_share: f64,
    /// The share of events whose item the same user had before.
    pub repeat_share: f64,
    /// What the usual protocols make of them, the one by time only where times are Unix seconds.
    pub splits: Vec<SplitSizes>,
}

/// The time that events span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Times {
    /// The first event's.
    pub first: i64,
    /// The last event's.
    pub last: i64,
    /// Whether they are Unix seconds; otherwise they only say what came first.
    pub unix: bool,
}

/// How events are spread over the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Popularity {
    /// Events of each item.
    pub events: Spread,
    /// 0 when every item is as popular, near 1 when one has all events.
    pub gini: f64,
    /// The share of events that the most popular 1 % of items have.
    pub top_1_percent: f64,
    /// The share of events that the most popular 10 % of items have.
    pub top_10_percent: f64,
    /// Items without an event.
    pub without_events: usize,
}

/// How large the parts of a split are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SplitSizes {
    /// The protocol.
    pub protocol: Protocol,
    /// Events that train.
    pub train_events: usize,
    /// Users with at least two of them, from whom a next item can be learnt.
    pub train_users: usize,
    /// Questions asked after each epoch.
    pub validation: usize,
    /// Questions asked at the end.
    pub test: usize,
}

impl Profile {
    /// Describes histories over a catalogue of so many items.
    ///
    /// # Errors
    /// None for the protocols that are asked here; the split's own checks are passed on.
    pub fn of(histories: &Histories, items: usize) -> Result<Self> {
        let lengths: Vec<usize> = histories.iter().map(|(_, history)| history.len()).collect();
        let counts = popularity::counts(histories, &lengths, items);
        let times = times(histories.times());
        let mut protocols = vec![Protocol::LeaveOneOut, Protocol::Last { n: 1, m: 1 }];
        protocols.extend(times.filter(|times| times.unix).and_then(|_| time_split(histories.times())));
        let (mut equal, mut followers, mut repeats) = (0, 0, 0);
        let mut seen = Vec::new();
        for (_, history) in histories.iter() {
            equal += history.times.windows(2).filter(|pair| pair[0] == pair[1]).count();
            followers += history.len().saturating_sub(1);
            repeats += repeated(history, &mut seen);
        }
        Ok(Self {
            users: histories.users(),
            items,
            events: histories.events(),
            times,
            lengths: Spread::of(lengths.into_iter().map(|length| length as u64).collect()),
            popularity: Popularity::of(counts),
            equal_time_share: share(equal, followers),
            repeat_share: share(repeats, histories.events()),
            splits: protocols.iter().map(|protocol| sizes(protocol, histories)).collect::<Result<_>>()?,
        })
    }
}

impl Popularity {
    fn of(counts: Vec<u64>) -> Self {
        Self {
            gini: gini(counts.clone()),
            top_1_percent: top_share(counts.clone(), 1),
            top_10_percent: top_share(counts.clone(), 10),
            without_events: counts.iter().filter(|&&count| count == 0).count(),
            events: Spread::of(counts),
        }
    }
}

fn times(times: &[i64]) -> Option<Times> {
    let (first, last) = (*times.iter().min()?, *times.iter().max()?);
    Some(Times { first, last, unix: is_unix_time(last) })
}

/// Cuts after 80 and 90 percent of the events; `None` where too many share a time.
fn time_split(times: &[i64]) -> Option<Protocol> {
    let mut times = times.to_vec();
    let [validation, test] = CUTS.map(|percent| {
        let place = (times.len() as u64 * percent / 100) as usize;
        // The caller has seen that there is an event.
        *times.select_nth_unstable(place).1
    });
    (validation < test).then_some(Protocol::Time { validation, test, all_targets: false })
}

/// Events whose item stands further ahead in the history.
fn repeated(history: History<'_>, seen: &mut Vec<u32>) -> usize {
    seen.clear();
    seen.extend(history.items.iter().map(|item| item.0));
    seen.sort_unstable();
    seen.dedup();
    history.len() - seen.len()
}

fn sizes(protocol: &Protocol, histories: &Histories) -> Result<SplitSizes> {
    let split = protocol.split(histories)?;
    let train = split.training(histories)?.train;
    Ok(SplitSizes {
        protocol: *protocol,
        train_events: train.iter().sum(),
        train_users: train.iter().filter(|&&events| events >= 2).count(),
        validation: split.validation.len(),
        test: split.test.len(),
    })
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ItemId, Strings};

    fn histories(lengths: &[usize], items: &[u32], times: &[i64]) -> Histories {
        let keys: Strings = (0..lengths.len()).map(|user| format!("u{user}")).collect();
        let mut offsets = vec![0];
        for &length in lengths {
            offsets.push(offsets[offsets.len() - 1] + length as u64);
        }
        let items = items.iter().copied().map(ItemId).collect();
        Histories::new(keys, offsets, items, times.to_vec()).unwrap()
    }

    #[test]
    fn a_small_log_is_described_by_hand() {
        let log = histories(&[4, 3, 1], &[0, 1, 0, 2, 0, 0, 0, 1], &[1, 1, 1, 4, 2, 5, 5, 9]);
        let profile = Profile::of(&log, 4).unwrap();
        assert_eq!((profile.users, profile.items, profile.events), (3, 4, 8));
        assert_eq!(profile.times, Some(Times { first: 1, last: 9, unix: false }));
        // Pairs: (1,1) (1,1) (1,4) (2,5) (5,5).
        assert_eq!(profile.equal_time_share, 3.0 / 5.0);
        // Item 0 again for the first user, twice again for the second.
        assert_eq!(profile.repeat_share, 3.0 / 8.0);
        assert_eq!((profile.lengths.least, profile.lengths.most), (1, 4));
        assert_eq!(profile.popularity.events.most, 5);
        assert_eq!(profile.popularity.without_events, 1);
        assert_eq!(profile.popularity.top_10_percent, 5.0 / 8.0);
        let loo = SplitSizes {
            protocol: Protocol::LeaveOneOut,
            train_events: 2 + 1 + 1,
            train_users: 1,
            validation: 2,
            test: 2,
        };
        assert_eq!(profile.splits[0], loo);
        assert_eq!(profile.splits[1], SplitSizes { protocol: Protocol::Last { n: 1, m: 1 }, ..loo });
        assert_eq!(profile.splits.len(), 2, "order alone makes no split by time");
    }

    #[test]
    fn unix_times_propose_cuts_that_ask_for_the_latest_tenth() {
        let start = 1_700_000_000;
        let times: Vec<i64> = (0..100).map(|at| start + at).collect();
        let profile = Profile::of(&histories(&[100], &[0; 100], &times), 1).unwrap();
        let [.., by_time] = &profile.splits[..] else { panic!("no splits") };
        assert_eq!(by_time.protocol.to_string(), format!("time:{},{}", start + 80, start + 90));
        assert_eq!((by_time.train_events, by_time.validation, by_time.test), (80, 1, 1));
        let same = Profile::of(&histories(&[3], &[0; 3], &[start; 3]), 1).unwrap();
        assert_eq!(same.splits.len(), 2);
    }

    #[test]
    fn no_events_are_described_too() {
        let profile = Profile::of(&histories(&[], &[], &[]), 0).unwrap();
        assert_eq!((profile.times, profile.equal_time_share, profile.repeat_share), (None, 0.0, 0.0));
    }
}
