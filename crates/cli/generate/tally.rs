//! What happened to the lists of a job.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use upnext_generate::{RequestError, Slate};

use crate::say;

/// Users named in the summary of short or failed lists.
const NAMED: usize = 10;

/// Counts; those of parts add up to those of the whole.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tally {
    pub(super) lists: u64,
    pub(super) rows: u64,
    short: u64,
    fallback: u64,
    skipped_events: u64,
    pub(super) failed: u64,
    /// Users whose lists an earlier job has made from the same histories.
    pub(super) unchanged: u64,
    short_users: Vec<String>,
    failures: Vec<(String, String)>,
}

impl Tally {
    pub(super) fn add(&mut self, user: &str, slate: &Slate) {
        self.lists += 1;
        self.rows += slate.items.len() as u64;
        self.fallback += u64::from(slate.fallback);
        self.skipped_events += slate.skipped as u64;
        if slate.is_short() {
            self.short += 1;
            if self.short_users.len() < NAMED {
                self.short_users.push(user.to_owned());
            }
        }
    }

    pub(super) fn fail(&mut self, user: &str, error: &RequestError) {
        self.failed += 1;
        if self.failures.len() < NAMED {
            self.failures.push((user.to_owned(), error.to_string()));
        }
    }

    /// The counts of a part, in the order of the parts.
    pub(super) fn merge(&mut self, part: Self) {
        self.lists += part.lists;
        self.rows += part.rows;
        self.short += part.short;
        self.fallback += part.fallback;
        self.skipped_events += part.skipped_events;
        self.failed += part.failed;
        self.unchanged += part.unchanged;
        let (short, failed) = (NAMED - self.short_users.len(), NAMED - self.failures.len());
        self.short_users.extend(part.short_users.into_iter().take(short));
        self.failures.extend(part.failures.into_iter().take(failed));
    }

    pub(super) fn json(&self) -> Value {
        let failures: Vec<String> =
            self.failures.iter().map(|(user, error)| format!("{user}: {error}")).collect();
        json!({
            "lists": self.lists,
            "rows": self.rows,
            "short": self.short,
            "short_users": self.short_users,
            "fallback": self.fallback,
            "skipped_events": self.skipped_events,
            "unchanged": self.unchanged,
            "failed": self.failed,
            "failures": failures,
        })
    }

    /// Says what is out of the ordinary.
    pub(super) fn tell(&self) {
        if self.unchanged > 0 {
            say::news(&format!(
                "{} users have the lists they had: nothing is new",
                say::count(self.unchanged)
            ));
        }
        if self.short > 0 {
            let named = self.short_users.join(", ");
            say::news(&format!(
                "{} lists are short for want of items that may stand in them: {named}",
                say::count(self.short)
            ));
        }
        if self.fallback > 0 {
            say::news(&format!(
                "{} lists are by popularity: no known item in the history",
                say::count(self.fallback)
            ));
        }
        if self.skipped_events > 0 {
            say::news(&format!(
                "{} events of items unknown to the model were left out",
                say::count(self.skipped_events)
            ));
        }
        for (user, error) in &self.failures {
            say::news(&format!("no list for {user}: {error}"));
        }
    }

    /// Nothing but failures is a failure of the job.
    ///
    /// # Errors
    /// When there are failures and nobody has a list.
    pub(super) fn refuse_nothing(&self) -> Result<()> {
        if let (0, Some((user, error))) = (self.lists + self.unchanged, self.failures.first()) {
            return Err(crate::failure::BadInput(format!(
                "no list for anybody; the first, user {user:?}: {error}"
            ))
            .into());
        }
        Ok(())
    }
}
