//! The model card: a folder's `README.md`.

use std::fmt::Write;

use super::{Card, FORMAT, MANIFEST};
use crate::config::{Block, Positions};
use crate::error::{Error, Result};
use crate::model::Model;

/// What the model is, what it learned from, how good it is, how to use it, and what it cannot do.
pub(super) fn readme(model: &Model, card: &Card) -> Result<String> {
    let config = model.config();
    let block = match config.block {
        Block::Transformer => "transformer",
    };
    let positions = match config.positions {
        Positions::Learned => "learned",
        Positions::Rotary => "rotary",
    };
    let head = if config.project { "projected" } else { "plain" };
    let tables =
        if config.tied { "one table for input and output" } else { "separate input and output tables" };
    let mut facts = vec![
        (
            "decoder",
            format!("{block}, {} layers, width {}, {} heads", config.layers, config.width, config.heads),
        ),
        ("reads", format!("the latest {} events, {positions} positions", config.window)),
        ("item vectors", format!("rank {}, {head} head, {tables}", config.rank)),
        ("items", model.items().to_string()),
        ("parameters", config.parameter_count(model.items())?.to_string()),
        ("held out by protocol", format!("`{}`", card.protocol)),
        ("data", format!("`{}`", card.data_hash)),
        ("trained for", format!("{} steps, {} tokens", card.trained.steps, card.trained.tokens)),
    ];
    if config.horizons > 1 {
        let how = match config.merge_horizons {
            true => "merged: it says what comes soon, not what comes next",
            false => "each with a vector of its own, for lists by multi-token",
        };
        facts.insert(3, ("horizons", format!("{}, {how}", config.horizons)));
    }
    let mut text = format!(
        "# A next-item model\n\n\
         A generative sequential recommender: a person's history in, a list of next items out.\n\
         Written by upnext {}, folder format {FORMAT}.\n\n| | |\n|---|---|\n",
        env!("CARGO_PKG_VERSION")
    );
    for (name, fact) in facts {
        line(&mut text, format_args!("| {name} | {fact} |"));
    }
    metrics(&mut text, card);
    text.push_str(USE);
    text.push_str(match config.tower {
        Some(_) => WITH_TOWER,
        None => BY_EVENTS,
    });
    for addition in card.additions.iter().filter(|addition| addition.items > 0) {
        let bare = match addition.without_features {
            0 => String::new(),
            bare => {
                format!(", {bare} of them without features and never recommended unless they were told later")
            }
        };
        line(
            &mut text,
            format_args!(
                "\n{} items joined after the training, by what they are like{bare}.",
                addition.items
            ),
        );
    }
    let run = serde_json::to_string_pretty(&card.run)
        .map_err(|source| Error::Json { path: MANIFEST.into(), source })?;
    line(&mut text, format_args!("\n## The run\n\n```json\n{run}\n```"));
    Ok(text)
}

fn metrics(text: &mut String, card: &Card) {
    let Some(metrics) = card.metrics.as_object().filter(|metrics| !metrics.is_empty()) else { return };
    let seen = card.generation.seen();
    line(text, format_args!("\n## Validation\n\nOver all items, seen ones {seen}.\n"));
    text.push_str("| metric | value |\n|---|---|\n");
    for (name, value) in metrics {
        line(text, format_args!("| {name} | {value} |"));
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

const USE: &str = "
## Use

```sh
upnext generate --model . --data DATA --out lists.csv
upnext evaluate --model . --data DATA
```

A server opens this folder with `upnext_generate::Generator::open`. Every file but this one, which is
yours to edit, is checked against `manifest.json` on the way in.

## What it cannot do

Unknown items in a history are skipped. Metrics hold for the protocol and the data named above.
";

const BY_EVENTS: &str = "
It knows the items of its catalog by their events alone: an item without training events has a vector that means
nothing.
";

const WITH_TOWER: &str = "
It knows an item by its events and by its features. One without training events is served by its features alone, and one
that has neither is never recommended. `upnext extend` adds items.
";
