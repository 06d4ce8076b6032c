//! A job into a folder, part by part: killed at any moment and run again, it ends with the same bytes.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use upnext_tables::Parts;

use super::earlier::Earlier;
use super::job::Job;
use super::source::Source;
use super::tally::Tally;
use super::{code, watched};
use crate::args::{GenerateArgs, PartFormat};
use crate::{interrupt, say};

/// Users of a part, unless told.
const USERS: u32 = 100_000;

pub(super) fn run(
    args: &GenerateArgs,
    job: &Job<'_>,
    source: &Source,
    mut earlier: Earlier,
) -> Result<ExitCode> {
    let format = args.part_format.unwrap_or(PartFormat::Parquet);
    let about = about(args, job, &earlier, &source.data_hash(), format);
    let shard = args.shard().map(|shard| shard.to_string());
    let parts = Parts::open(&args.out, &about, shard.as_deref(), job.beside.form(args), args.overwrite)?;
    let (started, mut all, mut kept, mut written) = (Instant::now(), Tally::default(), 0, 0);
    let bar = watched(job.users(source))?;
    job.each_piece(source, |piece, histories, users| {
        let has_events = piece < source.pieces();
        for (chunk, users) in users.chunks(args.part_users.unwrap_or(USERS) as usize).enumerate() {
            stop_if_asked(kept + written)?;
            let name = parts.name(piece, chunk, &format.to_string());
            if let Some(tally) = parts.written(&name)?.and_then(|tally| serde_json::from_value(tally).ok()) {
                all.merge(tally);
                kept += 1;
                bar.inc(users.len() as u64);
                continue;
            }
            let sorted = earlier.sort(job, source, histories, users, has_events)?;
            let (mut sink, mut tally, mut made) = (parts.sink(&name)?, Tally::default(), Vec::new());
            tally.unchanged = sorted.unchanged();
            bar.inc(sorted.unchanged());
            for batch in sorted.changed.chunks(args.batch as usize) {
                stop_if_asked(kept + written)?;
                let lists = job.write(source, histories, batch, &mut sink, &mut tally)?;
                made.extend(lists.iter().map(|told| told.user));
                bar.inc(batch.len() as u64);
            }
            sink.finish()?;
            let record = sorted.record(histories, &made, has_events);
            parts.seal_part(&name, serde_json::to_value(&tally)?, &record)?;
            all.merge(tally);
            written += 1;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    bar.finish_and_clear();
    all.refuse_nothing()?;
    let mut summary = all.json();
    let seconds = started.elapsed().as_secs_f64();
    summary["parts"] = json!(kept + written);
    parts.finish(&summary)?;
    summary["parts_kept"] = json!(kept);
    summary["seconds"] = json!(seconds);
    summary["peak_rss_bytes"] = json!(upnext_train::memory::peak_rss_bytes());
    if args.json {
        say::json(&summary)?;
        return Ok(code(&all));
    }
    let again = if kept > 0 { format!(", {kept} of them from before") } else { String::new() };
    say::news(&format!(
        "{}: {} lists, {} rows, {} parts{again} in {}",
        args.out.display(),
        say::count(all.lists),
        say::count(all.rows),
        kept + written,
        say::duration(seconds)
    ));
    all.tell();
    Ok(code(&all))
}

fn stop_if_asked(parts: u64) -> Result<()> {
    if interrupt::asked() {
        bail!("interrupted; {parts} parts are whole, and the same command goes on from them");
    }
    Ok(())
}

/// All that the parts of a job depend on. Its shards have it in common.
fn about(args: &GenerateArgs, job: &Job<'_>, earlier: &Earlier, data: &str, format: PartFormat) -> Value {
    let mut about = job.choices();
    let of_parts = json!({
        "data": data,
        "only_changed_since": earlier.job(),
        "nested": args.nested,
        "part_format": format.to_string(),
        "part_users": args.part_users.unwrap_or(USERS),
        "shards": args.shard().map_or(1, |shard| shard.of),
    });
    for (field, value) in of_parts.as_object().into_iter().flatten() {
        about[field] = value.clone();
    }
    about
}
