//! What is asked of every user's list, and the lists.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use anyhow::Result;
use serde_json::{Value, json};
use upnext_data::{Histories, History, UserId};
use upnext_generate::{Generator, Request, RequestBuilder, RequestError, Slate};
use upnext_tables::{RowSink, history_hash};

use super::beside::{Beside, Reasons};
use super::keys::Keys;
use super::requests::Requests;
use super::source::{Source, is_in, without_events};
use super::tally::Tally;
use crate::args::GenerateArgs;
use crate::rules::Rules;

/// What every request of the job has in common.
pub(super) struct Job<'a> {
    pub(super) deny: Option<Keys>,
    pub(super) allow: Option<Keys>,
    pub(super) rules: Rules,
    /// What single users ask for; nobody else gets a list then.
    pub(super) requests: Option<Requests>,
    pub(super) beside: Beside<'a>,
    /// How items are scored, and by which index.
    pub(super) scoring: String,
    pub(super) generator: &'a Generator,
    pub(super) args: &'a GenerateArgs,
}

/// A user's list, and what speaks for each of its items.
pub(super) struct Told {
    pub(super) user: UserId,
    pub(super) slate: Slate,
    reasons: Reasons,
}

impl Job<'_> {
    /// About how many users get a list.
    pub(super) fn users(&self, source: &Source) -> u64 {
        let all = self.requests.as_ref().map_or(source.users(), Requests::len) as u64;
        all / u64::from(self.args.shard().map_or(1, |shard| shard.of))
    }

    /// The users of a piece who get a list.
    fn users_of(&self, histories: &Histories) -> Vec<UserId> {
        let wanted = |user: &UserId| {
            let key = histories.user_key(*user);
            is_in(self.args.shard(), key) && self.requests.as_ref().is_none_or(|requests| requests.names(key))
        };
        histories.iter().map(|(user, _)| user).filter(wanted).collect()
    }

    /// Hands every piece of the histories to `work`, with its number and the users who get a list; then, as a piece of
    /// their own, those who ask for one and have no event. It ends once `work` wants no more.
    pub(super) fn each_piece(
        &self,
        source: &Source,
        mut work: impl FnMut(usize, &Histories, &[UserId]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut found: BTreeSet<String> = BTreeSet::new();
        for index in 0..source.pieces() {
            let histories = source.piece(index)?;
            let users = self.users_of(&histories);
            if self.requests.is_some() {
                found.extend(users.iter().map(|&user| histories.user_key(user).to_owned()));
            }
            if work(index, &histories, &users)?.is_break() {
                return Ok(());
            }
            drop((histories, users));
            upnext_kernels::allocator::give_back();
        }
        let Some(requests) = &self.requests else { return Ok(()) };
        let is_left = |user: &&str| !found.contains(*user) && is_in(self.args.shard(), user);
        let left = without_events(requests.users().filter(is_left))?;
        let users: Vec<UserId> = left.iter().map(|(user, _)| user).collect();
        if users.is_empty() { Ok(()) } else { work(source.pieces(), &left, &users).map(|_| ()) }
    }

    /// The lists of some users, counted.
    pub(super) fn answer(
        &self,
        source: &Source,
        histories: &Histories,
        users: &[UserId],
        tally: &mut Tally,
    ) -> Result<Vec<Told>> {
        let requests: Vec<Request> =
            users.iter().map(|&user| self.request(source, histories, user)).collect::<Result<_>>()?;
        let mut lists = Vec::with_capacity(users.len());
        let answers = self.generator.generate(&requests);
        for ((&user, request), answer) in users.iter().zip(&requests).zip(answers) {
            let key = histories.user_key(user);
            let told = answer.and_then(|slate| {
                let reasons = self.beside.reasons(self.generator, request, &slate)?;
                Ok(Told { user, slate, reasons })
            });
            match told {
                Ok(told) => {
                    tally.add(key, &told.slate);
                    lists.push(told);
                }
                Err(error) => tally.fail(key, &error),
            }
        }
        Ok(lists)
    }

    /// The same, written.
    pub(super) fn write(
        &self,
        source: &Source,
        histories: &Histories,
        users: &[UserId],
        sink: &mut RowSink,
        tally: &mut Tally,
    ) -> Result<Vec<Told>> {
        let lists = self.answer(source, histories, users, tally)?;
        for told in &lists {
            self.beside.write(sink, histories.user_key(told.user), &told.slate, &told.reasons)?;
        }
        Ok(lists)
    }

    /// Refuses what no request of the job could be answered for, before anything is written.
    pub(super) fn check(&self) -> Result<()> {
        let request = self.complete(Request::from_items(&[]), "").build()?;
        match self.generator.generate(&[request]).remove(0) {
            // Otherwise each user's own length and conditions decide.
            Err(error) if self.requests.is_some() && !matches!(error, RequestError::NoHorizons { .. }) => {
                Ok(())
            }
            // Without a history nothing is seen: too few items for a share now are too few for everybody.
            Err(error) if error.is_of_any_history() || matches!(error, RequestError::Share { .. }) => {
                Err(error.into())
            }
            _ => Ok(()),
        }
    }

    /// Names what a user's list is made from, whatever the numbers of the items: the history, and what the user asks for.
    pub(super) fn history_hash(&self, source: &Source, histories: &Histories, user: UserId) -> u64 {
        let history = self.history(histories, user);
        let keys = history.items.iter().map(|&item| source.catalog().key(item));
        let asked = self.requests.as_ref().and_then(|requests| requests.digest_of(histories.user_key(user)));
        let asked = asked.map(u64::to_le_bytes);
        history_hash(keys.zip(history.times.iter().copied()), asked.as_ref().map_or(&[], |bytes| &bytes[..]))
    }

    /// All that lists depend on beside the histories.
    pub(super) fn choices(&self) -> Value {
        let (args, methods, rules) = (self.args, self.args.methods, &self.args.rules);
        json!({
            "version": 3,
            "model": self.generator.manifest().seal,
            "length": args.length,
            "method": format!("{:?}", methods.of(args.method)),
            "scoring": self.scoring,
            "explore": methods.explore(),
            "seed": methods.seed(),
            "keep_seen": self.keep_seen(),
            "deny": self.deny.as_ref().map(|keys| &keys.digest),
            "allow": self.allow.as_ref().map(|keys| &keys.digest),
            "requests": self.requests.as_ref().map(|requests| &requests.digest),
            "where": rules.only,
            "pin": rules.pin,
            "at_most": rules.at_most,
            "at_least": rules.at_least,
            "diversify": rules.diversify,
            "cold_boost": args.adjust.cold_boost,
            "popularity_penalty": args.adjust.popularity_penalty,
            "with": args.with,
            "explain": args.explain,
        })
    }

    fn keep_seen(&self) -> bool {
        self.args.seen.keep(self.generator.defaults().keep_seen)
    }

    /// What a user's list is made from: the events up to the moment that it is asked for, if one is named.
    pub(super) fn history<'h>(&self, histories: &'h Histories, user: UserId) -> History<'h> {
        let History { items, times } = histories.of(user);
        let at = self.requests.as_ref().and_then(|requests| requests.at(histories.user_key(user)));
        let read = at.map_or(times.len(), |at| times.partition_point(|&time| time <= at));
        History { items: &items[..read], times: &times[..read] }
    }

    fn request(&self, source: &Source, histories: &Histories, user: UserId) -> Result<Request> {
        let builder = source.map.request(self.history(histories, user).items);
        Ok(self.complete(builder, histories.user_key(user)).build()?)
    }

    /// A request with all that is asked of the user's list.
    fn complete(&self, builder: RequestBuilder, user: &str) -> RequestBuilder {
        let mut builder = builder
            .length(self.args.length as usize)
            .method(self.args.methods.of(self.args.method))
            .seed_for(self.args.methods.seed(), user)
            .explore(self.args.methods.explore())
            .keep_seen(self.keep_seen())
            .adjust(self.args.adjust.adjustment());
        if let Some(deny) = &self.deny {
            builder = builder.without(&deny.set);
        }
        if let Some(allow) = &self.allow {
            builder = builder.only(&allow.set);
        }
        let builder = self.rules.add(builder);
        match &self.requests {
            Some(requests) => requests.add(user, builder),
            None => builder,
        }
    }
}
