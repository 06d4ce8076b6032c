//! `--only-changed-since RUN`: whose list an earlier job has made from the very same history.

use std::borrow::Cow;

use anyhow::Result;
use rayon::prelude::*;
use serde_json::Value;
use upnext_data::{Histories, UserId};
use upnext_tables::{EarlierJob, HistoryRecord};

use super::job::Job;
use super::source::Source;
use crate::args::GenerateArgs;
use crate::failure::BadInput;

/// What lists depend on and histories do not, and of which the earlier job may differ all the same: what users ask for is
/// told by the hashes of their histories.
const MAY_DIFFER: [&str; 1] = ["requests"];

/// The earlier job, if one was named.
pub(super) struct Earlier(Option<EarlierJob>);

/// Users of a part: whose lists are to be made, and what all of theirs are made from.
pub(super) struct Sorted {
    pub(super) changed: Vec<UserId>,
    /// Of every user the hash, and whether the list is known.
    users: Vec<(UserId, u64, bool)>,
}

impl Earlier {
    /// Opens the job that was named.
    ///
    /// # Errors
    /// When it is none, or is one after which every list would be another.
    pub(super) fn open(args: &GenerateArgs, job: &Job<'_>) -> Result<Self> {
        let Some(path) = &args.only_changed_since else { return Ok(Self(None)) };
        let refuse = |what: &str| BadInput(format!("--only-changed-since {}: {what}", path.display()));
        if !path.exists() {
            return Err(refuse("no such folder; name that of a finished job, with its parts").into());
        }
        let earlier = EarlierJob::open(path, args.shard().map(|shard| (shard.index, shard.of)))?;
        if earlier
            .folder()
            .canonicalize()
            .ok()
            .is_some_and(|folder| args.out.canonicalize().ok() == Some(folder))
        {
            return Err(refuse("is --out as well; write the new lists to another folder").into());
        }
        let (before, now) = (earlier.about(), job.choices());
        let differs = |(field, value): (&String, &Value)| {
            let differs = !MAY_DIFFER.contains(&field.as_str()) && before.get(field) != Some(value);
            differs.then(|| field.clone())
        };
        if let Some(field) = now.as_object().into_iter().flatten().find_map(differs) {
            return Err(refuse(&format!(
                "that job differs in {field}, so that every list would be another; leave the flag out to make all of them"
            ))
            .into());
        }
        Ok(Self(Some(earlier)))
    }

    /// Names the job.
    pub(super) fn job(&self) -> Option<&str> {
        self.0.as_ref().map(EarlierJob::job)
    }

    /// Tells users whose lists are to be made from those whose are as they were. Pieces and users come in their order.
    pub(super) fn sort(
        &mut self,
        job: &Job<'_>,
        source: &Source,
        histories: &Histories,
        users: &[UserId],
        has_events: bool,
    ) -> Result<Sorted> {
        let hash = |&user: &UserId| job.history_hash(source, histories, user);
        let hashes: Vec<u64> = users.par_iter().map(hash).collect();
        let mut sorted = Sorted { changed: Vec::new(), users: Vec::with_capacity(users.len()) };
        for (&user, hash) in users.iter().zip(hashes) {
            let is_known = match &mut self.0 {
                Some(earlier) => earlier.has(histories.user_key(user), hash, !has_events)?,
                None => false,
            };
            sorted.users.push((user, hash, is_known));
            if !is_known {
                sorted.changed.push(user);
            }
        }
        Ok(sorted)
    }

    /// As [`Earlier::sort`], where no record is kept: the users whose lists are to be made, and how many others there are.
    pub(super) fn changed<'u>(
        &mut self,
        job: &Job<'_>,
        source: &Source,
        histories: &Histories,
        users: &'u [UserId],
        has_events: bool,
    ) -> Result<(Cow<'u, [UserId]>, u64)> {
        if self.0.is_none() {
            return Ok((Cow::Borrowed(users), 0));
        }
        let sorted = self.sort(job, source, histories, users, has_events)?;
        let unchanged = sorted.unchanged();
        Ok((Cow::Owned(sorted.changed), unchanged))
    }
}

impl Sorted {
    pub(super) fn unchanged(&self) -> u64 {
        (self.users.len() - self.changed.len()) as u64
    }

    /// The record of a part in which lists of some of the users were made. Who has none is tried again by the next job.
    pub(super) fn record(&self, histories: &Histories, made: &[UserId], has_events: bool) -> HistoryRecord {
        let mut record = match has_events {
            true => HistoryRecord::default(),
            false => HistoryRecord::of_users_without_events(),
        };
        let mut made = made.iter().peekable();
        for &(user, hash, is_known) in &self.users {
            if is_known || made.next_if(|made| **made == user).is_some() {
                record.push(histories.user_key(user), hash);
            }
        }
        record
    }
}
