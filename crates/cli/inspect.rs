//! `upnext inspect`: what a file or folder is, and what is in it.

mod draw;
mod lists;
mod model;
mod prepared;
mod raw;
mod run_folder;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};
use upnext_data::sealed::read_bytes;
use upnext_tables::ListStats;
use upnext_train::RunConfig;
use upnext_train::record::Record;

use crate::args::InspectArgs;
use crate::failure::BadInput;
use crate::say;

pub(crate) use draw::Facts;

/// The most bytes of a manifest or a configuration that are looked at.
const TEXT_LIMIT: u64 = 1 << 24;

/// What was found: a text for a person, and an object for a program.
struct Finding {
    text: String,
    json: Value,
}

pub(crate) fn run(args: &InspectArgs) -> Result<ExitCode> {
    let path = args.path.as_path();
    let (kind, finding) = if path.is_dir() { folder(path)? } else { file(path)? };
    if args.json {
        let mut object = json!({ "kind": kind, "path": path });
        if let (Some(object), Value::Object(found)) = (object.as_object_mut(), finding.json) {
            object.extend(found);
        }
        say::json(&object)?;
    } else {
        say::result(&format!("{}: {kind}\n\n{}", path.display(), finding.text))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A folder is told by the files that we write into it; any other may hold logs.
fn folder(path: &Path) -> Result<(&'static str, Finding)> {
    if Record::is_run(path) {
        return Ok(("run folder", run_folder::inspect(path)?));
    }
    if path.join("_job.json").is_file() {
        return Ok(("lists in parts", lists::parts(path)?));
    }
    let manifest = path.join("manifest.json");
    if !manifest.is_file() {
        return Ok(("raw files", raw::inspect(path)?));
    }
    let text = read_bytes(&manifest, TEXT_LIMIT)?;
    let has = |value: &Value, key: &str| value.get(key).is_some();
    match serde_json::from_slice::<Value>(&text) {
        Ok(found) if has(&found, "manifest") => Ok(("prepared folder", prepared::inspect(path)?)),
        Ok(found) if has(&found, "data_hash") => Ok(("model folder", model::inspect(path)?)),
        Ok(found) if has(&found, "body") => {
            let what = "is a checkpoint, from which `upnext train --resume` goes on; inspect its run folder";
            Err(BadInput(format!("{} {what}", path.display())).into())
        }
        _ => {
            let what = "is not the manifest of a prepared folder or a model folder";
            Err(BadInput(format!("{} {what}", manifest.display())).into())
        }
    }
}

/// A file is a table of lists, or of events or items; parts of our folders are sent on to the folder.
fn file(path: &Path) -> Result<(&'static str, Finding)> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let ours = path.is_file()
        && (parent.join("manifest.json").is_file() || Record::is_run(parent))
        && matches!(extension, "safetensors" | "json" | "jsonl" | "md");
    if ours {
        let (name, parent) = (say::shorten(name, 40), parent.display());
        return Err(BadInput(format!("{name} is a part of the folder {parent}: inspect the folder")).into());
    }
    if extension == "toml" && path.is_file() {
        return Ok(("run configuration", configuration(path)?));
    }
    // A pattern is no file yet.
    match if path.is_file() { ListStats::read(path)? } else { None } {
        Some(stats) => Ok(("lists", lists::finding(&stats)?)),
        None => Ok(("raw file", raw::inspect(path)?)),
    }
}

/// A run configuration with all its defaults written out.
fn configuration(path: &Path) -> Result<Finding> {
    let text = String::from_utf8_lossy(&read_bytes(path, TEXT_LIMIT)?).into_owned();
    let config = RunConfig::from_toml(&text, path)?;
    Ok(Finding { text: config.to_toml()?, json: json!({ "config": config }) })
}
