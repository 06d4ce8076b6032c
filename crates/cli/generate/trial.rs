//! `--dry-run`: some of the lists, none of them written, and what all of them would take.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use serde_json::json;
use upnext_data::UserId;

use super::code;
use super::earlier::Earlier;
use super::job::Job;
use super::source::Source;
use super::tally::Tally;
use crate::args::GenerateArgs;
use crate::failure::BadInput;
use crate::{interrupt, say};

/// Users whose lists are made, at most.
const TRIAL: usize = 2_000;
/// The same, where each list is explained, which takes as many readings as the window holds events.
const TRIAL_EXPLAINED: usize = 100;

/// Makes some lists, writes none, and says what all of them would take.
pub(super) fn try_out(
    args: &GenerateArgs,
    job: &Job<'_>,
    source: &Source,
    mut earlier: Earlier,
) -> Result<ExitCode> {
    let trial = if job.beside.most > 0 { TRIAL_EXPLAINED } else { TRIAL };
    let (mut tally, mut answering, mut last) = (Tally::default(), 0.0, Instant::now());
    let (mut opening, mut tried, mut pieces) = (0.0, 0, 0);
    job.each_piece(source, |piece, histories, users| {
        // All over the piece, not its first users alone.
        let users: Vec<UserId> = users.iter().copied().step_by(users.len().div_ceil(trial).max(1)).collect();
        let has_events = piece < source.pieces();
        // What the earlier job says of the piece is read through, however few of its users are tried.
        let (changed, unchanged) = earlier.changed(job, source, histories, &users, has_events)?;
        tally.unchanged += unchanged;
        opening += last.elapsed().as_secs_f64();
        let started = Instant::now();
        for batch in changed.chunks(args.batch as usize) {
            if interrupt::asked() {
                bail!("interrupted");
            }
            job.answer(source, histories, batch, &mut tally)?;
        }
        answering += started.elapsed().as_secs_f64();
        (tried, pieces, last) = (tried + users.len(), pieces + 1, Instant::now());
        Ok(if tried < trial { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    if tried == 0 {
        return Err(BadInput("there is no user whose list could be tried".to_owned()).into());
    }
    tally.refuse_nothing()?;
    let all = job.users(source) as f64;
    let rate = tried as f64 / answering.max(1e-4);
    let estimate = source.preparing + opening / f64::from(pieces) * source.pieces() as f64 + all / rate;
    let memory = upnext_train::memory::peak_rss_bytes().unwrap_or(0);
    if args.json {
        let mut summary = tally.json();
        summary["users"] = json!(all.round());
        summary["users_per_second"] = json!(rate);
        summary["estimated_seconds"] = json!(estimate);
        summary["peak_rss_bytes"] = json!(memory);
        say::json(&summary)?;
        return Ok(code(&tally));
    }
    let threads = rayon::current_num_threads();
    say::news(&format!(
        "tried {} of about {:.0} users: {rate:.0} a second on {threads} threads, {:.0} MiB of memory; all of them would take \
         about {}",
        tried,
        all,
        memory as f64 / f64::from(1 << 20),
        say::duration(estimate)
    ));
    tally.tell();
    Ok(code(&tally))
}
