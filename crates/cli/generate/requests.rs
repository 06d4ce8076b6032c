//! `--requests FILE`: a line a user, with what that user's list is to be like.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use upnext_data::chance::name_key;
use upnext_generate::{Generator, ItemSet, RequestBuilder};

use crate::failure::BadInput;

/// One line: an object. Everything but `user_id` may be left out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    user_id: String,
    length: Option<usize>,
    #[serde(default)]
    deny: Vec<String>,
    allow: Option<Vec<String>>,
    #[serde(rename = "where")]
    only: Option<String>,
    /// Places from 1 and the items that stand there.
    #[serde(default)]
    pins: BTreeMap<usize, String>,
    keep_seen: Option<bool>,
    /// The moment that the list is made for, in Unix seconds: later events are left out.
    at: Option<i64>,
    /// Tells apart what lines ask for, but for `at`: which events that leaves is told by the history.
    #[serde(skip)]
    digest: u64,
}

/// What users ask for, by their keys.
pub(super) struct Requests {
    lines: BTreeMap<String, Line>,
    /// Each condition once, however many users name it.
    sets: BTreeMap<String, ItemSet>,
    /// Tells files apart.
    pub(super) digest: String,
}

impl Requests {
    /// Reads a file of JSON lines.
    ///
    /// # Errors
    /// By line: what is no such object, asks for no items, pins to no place, names a user twice, or a condition that does
    /// not read as one.
    pub(super) fn read(path: &Path, generator: &Generator) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| BadInput::unreadable(path, &source))?;
        let digest = format!("{} bytes, {:016x}", text.len(), name_key(&text));
        let (mut lines, mut sets) = (BTreeMap::new(), BTreeMap::new());
        for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            if line.trim().is_empty() {
                continue;
            }
            let refuse = |what: &str| BadInput(format!("{}:{number}: {what}", path.display()));
            let text = line.trim();
            let mut line: Line = serde_json::from_str(text).map_err(|error| refuse(&error.to_string()))?;
            let mut asked: serde_json::Map<String, Value> =
                serde_json::from_str(text).map_err(|error| refuse(&error.to_string()))?;
            asked.remove("at");
            line.digest = name_key(&serde_json::to_string(&asked)?);
            if line.length == Some(0) {
                return Err(refuse("\"length\" is at least 1").into());
            }
            if line.pins.contains_key(&0) {
                return Err(refuse("the places of \"pins\" count from 1").into());
            }
            if let Some(condition) = &line.only
                && !sets.contains_key(condition)
            {
                let set = generator
                    .items_where(condition)
                    .with_context(|| format!("{}:{number}", path.display()))?;
                sets.insert(condition.clone(), set);
            }
            let user = line.user_id.clone();
            if lines.insert(user.clone(), line).is_some() {
                return Err(refuse(&format!("user {user:?} was named before")).into());
            }
        }
        if lines.is_empty() {
            return Err(BadInput(format!("{}: names no user", path.display())).into());
        }
        Ok(Self { lines, sets, digest })
    }

    /// The users, in the order of their keys.
    pub(super) fn users(&self) -> impl Iterator<Item = &str> {
        self.lines.keys().map(String::as_str)
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn names(&self, user: &str) -> bool {
        self.lines.contains_key(user)
    }

    /// Names what a user asks for.
    pub(super) fn digest_of(&self, user: &str) -> Option<u64> {
        self.lines.get(user).map(|line| line.digest)
    }

    /// The moment that a user's list is made for.
    pub(super) fn at(&self, user: &str) -> Option<i64> {
        self.lines.get(user)?.at
    }

    /// A request with what its user asks for.
    pub(super) fn add(&self, user: &str, mut builder: RequestBuilder) -> RequestBuilder {
        let Some(line) = self.lines.get(user) else { return builder };
        if let Some(length) = line.length {
            builder = builder.length(length);
        }
        if let Some(keep) = line.keep_seen {
            builder = builder.keep_seen(keep);
        }
        if let Some(set) = line.only.as_ref().and_then(|condition| self.sets.get(condition)) {
            builder = builder.only(set);
        }
        builder = builder.deny(&line.deny.iter().map(String::as_str).collect::<Vec<_>>());
        if let Some(allow) = &line.allow {
            builder = builder.allow(&allow.iter().map(String::as_str).collect::<Vec<_>>());
        }
        line.pins.iter().fold(builder, |builder, (place, key)| builder.pin(place - 1, key))
    }
}
