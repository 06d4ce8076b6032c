//! `upnext similar`: items like an item.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use upnext_generate::{Generator, Options, Threads};

use crate::args::SimilarArgs;
use crate::{open, say};

/// Characters of a title.
const WIDTH: usize = 60;

pub(crate) fn run(args: &SimilarArgs) -> Result<ExitCode> {
    open::check_model(&args.model)?;
    let threads = Threads::Pool(rayon::current_num_threads());
    let generator = Generator::open(&args.model, Options { threads, ..Options::default() })?;
    let found = generator.similar(&args.item, args.length as usize)?;
    let catalog = generator.catalog();
    if args.json {
        let similar: Vec<_> = found
            .iter()
            .map(|place| json!({ "item_id": place.key, "title": catalog.title(place.item), "cosine": place.score }))
            .collect();
        say::json(&json!({ "item_id": args.item, "similar": similar }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let title = catalog.find(&args.item).and_then(|item| catalog.title(item)).unwrap_or_default();
    let mut text = format!("{}  {}\n", args.item, say::shorten(title, WIDTH));
    for place in found {
        let title = say::shorten(catalog.title(place.item).unwrap_or_default(), WIDTH);
        text.push_str(&format!("  {:>7.4}  {}  {title}\n", place.score, place.key));
    }
    say::result(&text)?;
    Ok(ExitCode::SUCCESS)
}
