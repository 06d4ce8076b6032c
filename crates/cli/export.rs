//! `upnext export`: item or user vectors as a file for other applications.

use std::process::ExitCode;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use upnext_data::{ItemId, UserId};
use upnext_generate::{Generator, Options, Request, RequestError, Threads};
use upnext_tables::VectorSink;

use crate::args::ExportArgs;
use crate::{interrupt, open, say};

/// Users whose states are computed together.
const BATCH: usize = 256;

pub(crate) fn run(args: &ExportArgs) -> Result<ExitCode> {
    open::check_model(&args.model)?;
    let threads = Threads::Pool(rayon::current_num_threads());
    let generator = Generator::open(&args.model, Options { threads, ..Options::default() })?;
    let (what, rows, left_out) = match &args.data {
        Some(data) if args.users => {
            let (rows, left_out) = users(args, &generator, data)?;
            ("users", rows, left_out)
        }
        _ => ("items", items(args, &generator)?, 0),
    };
    let width = generator.vectors().rank();
    if args.json {
        say::json(&json!({ "vectors": what, "rows": rows, "width": width, "left_out": left_out }))?;
        return Ok(ExitCode::SUCCESS);
    }
    say::news(&format!("{}: {} {what}, {width} wide", args.out.display(), say::count(rows)));
    if left_out > 0 {
        say::news(&format!(
            "{} users are left out: no event of theirs is of a known item",
            say::count(left_out)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn items(args: &ExportArgs, generator: &Generator) -> Result<u64> {
    let vectors = generator.vectors();
    let mut sink = VectorSink::create(&args.out, "item_id", vectors.rank())?;
    let mut row = vec![0.0; vectors.rank()];
    for item in (0..vectors.items()).map(|item| ItemId(item as u32)) {
        match args.input {
            true => vectors.input_row(item, &mut row)?,
            false => vectors.output_row(item, &mut row)?,
        }
        sink.row(generator.catalog().key(item), &row)?;
    }
    Ok(sink.finish()?)
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
