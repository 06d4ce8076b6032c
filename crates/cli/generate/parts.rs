//! A job into a folder, part by part: killed at any moment and run again, it ends with the same bytes.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use upnext_generate::Generator;
use upnext_tables::Parts;

use super::source::Source;
use super::tally::Tally;
use super::{Job, code, layout, watched};
use crate::args::{GenerateArgs, PartFormat};
use crate::failure::BadInput;
use crate::{interrupt, say};

/// Users of a part, unless told.
const USERS: u32 = 100_000;

pub(super) fn run(
    args: &GenerateArgs,
    job: &Job<'_>,
    source: &Source,
    generator: &Generator,
) -> Result<ExitCode> {
    let Source::Shards(reader) = source else { return Err(refuse_events()) };
    let (format, layout) = (args.part_format.unwrap_or(PartFormat::Parquet), layout(args));
    let users_a_part = args.part_users.unwrap_or(USERS);
    let about = about(args, job, generator, &reader.manifest.data_hash(), format, users_a_part);
    let shard = args.shard.map(|shard| shard.to_string());
    let parts = Parts::open(&args.out, &about, shard.as_deref(), layout, args.overwrite)?;
    interrupt::catch(
        "stopping after this batch; finished parts stay, and the same command goes on from them",
    )?;
    let (started, mut all, mut kept, mut written) = (Instant::now(), Tally::default(), 0, 0);
    let bar = watched(job.users(source))?;
    job.each_piece(source, |piece, histories, users| {
        for (chunk, users) in users.chunks(users_a_part as usize).enumerate() {
            if interrupt::asked() {
                bail!(
                    "interrupted; {} parts are whole, and the same command goes on from them",
                    kept + written
                );
            }
            let name = parts.name(piece, chunk, &format.to_string());
            if let Some(tally) = parts.written(&name)?.and_then(|tally| serde_json::from_value(tally).ok()) {
                all.merge(tally);
                kept += 1;
                bar.inc(users.len() as u64);
                continue;
            }
            let (mut sink, mut tally) = (parts.sink(&name)?, Tally::default());
            for batch in users.chunks(args.batch as usize) {
                if interrupt::asked() {
                    let parts = kept + written;
                    bail!("interrupted; {parts} parts are whole, and the same command goes on from them");
                }
                job.write(histories, batch, generator, &mut sink, &mut tally)?;
                bar.inc(batch.len() as u64);
            }
            sink.finish()?;
            parts.seal_part(&name, serde_json::to_value(&tally)?)?;
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

/// Lists of an event file go into one file.
pub(super) fn refuse_events() -> anyhow::Error {
    let what = "lists of an event file go into one file; for a folder of parts, turn it into a prepared folder by upnext \
                prepare and name that by --data";
    BadInput(what.to_owned()).into()
}

/// All that the lists of a job depend on. Its shards have it in common.
fn about(
    args: &GenerateArgs,
    job: &Job<'_>,
    generator: &Generator,
    data: &str,
    format: PartFormat,
    users_a_part: u32,
) -> Value {
    let (methods, rules) = (args.methods, &args.rules);
    json!({
        "version": 1,
        "model": generator.manifest().seal,
        "data": data,
        "length": args.length,
        "method": format!("{:?}", methods.of(args.method)),
        "scoring": args.scoring.scoring().map(|scoring| format!("{scoring:?}")).unwrap_or_default(),
        "explore": methods.explore(),
        "seed": methods.seed(),
        "keep_seen": args.keep_seen,
        "deny": job.deny.as_ref().map(|keys| &keys.digest),
        "allow": job.allow.as_ref().map(|keys| &keys.digest),
        "requests": job.requests.as_ref().map(|requests| &requests.digest),
        "where": rules.only,
        "pin": rules.pin,
        "at_most": rules.at_most,
        "at_least": rules.at_least,
        "diversify": rules.diversify,
        "cold_boost": args.adjust.cold_boost,
        "popularity_penalty": args.adjust.popularity_penalty,
        "nested": args.nested,
        "part_format": format.to_string(),
        "part_users": users_a_part,
        "shards": args.shard.map_or(1, |shard| shard.of),
    })
}
