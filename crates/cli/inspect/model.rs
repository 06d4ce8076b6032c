//! A model folder: sizes, parameters, origin, validation metrics.

use std::path::Path;

use anyhow::{Context, Result};
use indicatif::BinaryBytes;
use serde_json::{Value, json};
use upnext_eval::scoring::table;
use upnext_model::folder::{Addition, Description, Index, describe, open_index};

use super::Finding;
use super::draw::{self, Facts};
use crate::say;

pub(super) fn inspect(path: &Path) -> Result<Finding> {
    let model = describe(path).with_context(|| format!("opening model folder {}", path.display()))?;
    let manifest = &model.manifest;
    // One that cannot be used leaves a model as good as it is.
    let index = open_index(path, manifest);
    let of_index = match &index {
        Ok(index) => json!(index.as_ref().map(|index| {
            json!({
                "clusters": index.homes.clusters(),
                "homes": index.homes.each(),
                "probes": index.probes,
                "measured": index.measured,
            })
        })),
        Err(error) => json!({ "error": error.to_string() }),
    };
    let json = json!({
        "config": model.config,
        "run": model.run,
        "items": manifest.items,
        "parameters": model.parameters(),
        "groups": model.groups,
        "bytes": model.bytes(),
        "protocol": manifest.protocol,
        "data_hash": manifest.data_hash,
        "trained": manifest.trained,
        "encoders": manifest.encoders,
        "additions": manifest.additions,
        "metrics": manifest.metrics,
        "generation": model.generation,
        "index": of_index,
    });
    let config = serde_json::to_value(&model.config)?;
    let measured = match &index {
        Ok(index) => index.as_ref().map(indexed).unwrap_or_default(),
        Err(error) => format!("\nIndex: cannot be used: {error}\n"),
    };
    let text = [
        facts(&model, &config),
        groups(&model),
        metrics(&manifest.metrics, model.generation.seen()),
        measured,
    ]
    .join("");
    Ok(Finding { text, json })
}

fn facts(model: &Description, config: &Value) -> String {
    let Description { manifest, generation, .. } = model;
    let settings = config.as_object().into_iter().flatten();
    let settings: Vec<String> = settings.map(|(key, value)| format!("{key} {}", word(value))).collect();
    let mut facts = Facts::default();
    facts.add("items", say::count(manifest.items));
    facts.add("parameters", say::count(model.parameters()));
    facts.add("size", BinaryBytes(model.bytes()).to_string());
    facts.add("held out by", manifest.protocol.clone());
    facts.add("data hash", manifest.data_hash.clone());
    let (steps, tokens) = (say::count(manifest.trained.steps), say::count(manifest.trained.tokens));
    facts.add("trained for", format!("{steps} steps, {tokens} tokens"));
    for (modality, encoder) in &manifest.encoders {
        facts.add(&format!("features {modality}"), say::shorten(encoder, 100));
    }
    if !manifest.additions.is_empty() {
        let sum = |of: fn(&Addition) -> usize| say::count(manifest.additions.iter().map(of).sum::<usize>());
        let (joined, bare) = (sum(|addition| addition.items), sum(|addition| addition.without_features));
        let revived = sum(|addition| addition.revived);
        facts.add(
            "joined later",
            format!("{joined} items, {bare} of them without features then; {revived} that had none have some since"),
        );
    }
    let seen = generation.seen();
    facts.add("lists", format!("{} items unless asked otherwise, seen ones {seen}", generation.length));
    format!("{}\nConfiguration\n  {}\n", facts.text(), settings.join(", "))
}

fn indexed(index: &Index) -> String {
    let (clusters, each) = (say::count(index.homes.clusters()), index.homes.each());
    let head = format!("\nIndex: {clusters} clusters, each item in {each}, {} probes\n", index.probes);
    head + &table(&index.measured)
}

fn word(value: &Value) -> String {
    match (value.as_str(), value.as_f64()) {
        (Some(text), _) => text.to_owned(),
        // Held in single precision: 0.2 has no more digits than that.
        (None, Some(number)) if value.is_f64() => (number as f32).to_string(),
        _ => value.to_string(),
    }
}

fn groups(model: &Description) -> String {
    let mut rows = vec![["parameters", "tensors", "numbers"].map(str::to_owned).to_vec()];
    for group in &model.groups {
        rows.push(vec![group.name.clone(), say::count(group.tensors), say::count(group.parameters)]);
    }
    format!("\n{}", draw::table(&rows, &[1, 2], draw::width()))
}

fn metrics(metrics: &Value, seen: &str) -> String {
    let Some(metrics) = metrics.as_object().filter(|metrics| !metrics.is_empty()) else {
        return "\nIt was never validated.\n".to_owned();
    };
    let mut facts = Facts::default();
    for (name, value) in metrics {
        facts.add(name, value.as_f64().map_or_else(|| value.to_string(), |value| format!("{value:.4}")));
    }
    format!("\nValidation, seen items {seen}\n{}", facts.text())
}
