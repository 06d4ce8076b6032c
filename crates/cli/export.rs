//! `upnext export`: item or user vectors as a file for other applications.

use std::process::ExitCode;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use upnext_data::{ItemId, UserId};
use upnext_generate::{Generator, Options, Request, RequestError, Threads};
use upnext_tables::VectorSink;

use crate::args::ExportArgs;
use crate::failure::BadInput;
use crate::{interrupt, open, say};

/// Users whose states are computed together.
const BATCH: usize = 256;

pub(crate) fn run(args: &ExportArgs) -> Result<ExitCode> {
    if args.items && args.data.is_some() {
        let what = "--data says whose states --users writes, and nothing to --items; leave it out";
        return Err(BadInput(what.into()).into());
    }
    open::check_model(&args.model)?;
    let threads = Threads::Pool(rayon::current_num_threads());
    let generator = Generator::open(&args.model, Options { threads, ..Options::default() })?;
    let (what, rows, left_out) = match &args.data {
        Some(data) if args.users => {
            let (rows, left_out) = users(args, &generator, data)?;
            ("users", rows, left_out)
        }
        _ => {
            let (rows, left_out) = items(args, &generator)?;
            ("items", rows, left_out)
        }
    };
    let width = generator.vectors().rank();
    if args.json {
        say::json(&json!({ "vectors": what, "rows": rows, "width": width, "left_out": left_out }))?;
        return Ok(ExitCode::SUCCESS);
    }
    say::news(&format!("{}: {} {what}, {width} wide", args.out.display(), say::count(rows)));
    if left_out > 0 {
        let why = match args.users {
            true => "users are left out: no event of theirs is of a known item",
            false => "items are left out: nothing is known of them, and no list shows them",
        };
        say::news(&format!("{} {why}", say::count(left_out)));
    }
    Ok(ExitCode::SUCCESS)
}

/// How many items have a vector, and how many are never recommended.
fn items(args: &ExportArgs, generator: &Generator) -> Result<(u64, u64)> {
    let vectors = generator.vectors();
    let mut sink = VectorSink::create(&args.out, "item_id", vectors.rank())?;
    let mut row = vec![0.0; vectors.rank()];
    let ineligible = generator.ineligible();
    let is_shown = |item: &u32| args.input || ineligible.binary_search(item).is_err();
    for item in (0..vectors.items() as u32).filter(is_shown).map(ItemId) {
        match args.input {
            true => vectors.input_row(item, &mut row)?,
            false => vectors.output_row(item, &mut row)?,
        }
        sink.row(generator.catalog().key(item), &row)?;
    }
    let rows = sink.finish()?;
    Ok((rows, vectors.items() as u64 - rows))
}

/// How many users have a vector, and how many have none.
fn users(args: &ExportArgs, generator: &Generator, data: &std::path::Path) -> Result<(u64, u64)> {
    let data = open::prepared(data)?;
    let map = generator.item_map(&data.catalog);
    let mut sink = VectorSink::create(&args.out, "user_id", generator.vectors().rank())?;
    interrupt::catch("stopping; no vector will be written")?;
    let all = data.histories.users() as u64;
    let bar = if say::is_watched() { ProgressBar::new(all) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("users {wide_bar} {pos}/{len} {per_sec} {eta} left")?);
    let mut left_out = 0;
    let users: Vec<UserId> = data.histories.iter().map(|(user, _)| user).collect();
    for batch in users.chunks(BATCH) {
        if interrupt::asked() {
            bail!("interrupted; {} is as it was", args.out.display());
        }
        let request = |&user: &UserId| map.request(data.histories.of(user).items).build();
        let requests: Vec<Request> = batch.iter().map(request).collect::<Result<_, _>>()?;
        for (&user, state) in batch.iter().zip(generator.states(&requests)) {
            match state {
                Ok(state) => sink.row(data.histories.user_key(user), &state)?,
                Err(RequestError::NothingKnown) => left_out += 1,
                Err(error) => return Err(error.into()),
            }
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok((sink.finish()?, left_out))
}
