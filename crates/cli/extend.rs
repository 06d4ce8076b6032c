//! `upnext extend`: new items in a trained model, from what they are like.

use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::json;
use upnext_data::{Catalog, FeatureFile, ItemFeatures};
use upnext_encode::Description;
use upnext_model::ModelManifest;
use upnext_model::folder::{describe, extend};

use crate::args::ExtendArgs;
use crate::failure::BadInput;
use crate::{open, say};

pub(crate) fn run(args: &ExtendArgs) -> Result<ExitCode> {
    open::check_model(&args.model)?;
    let model = describe(&args.model)?;
    let offered = upnext_tables::read_items(&args.items, args.item.as_deref())?;
    let features = match args.features.is_empty() {
        true => encoded(args, &model.manifest, &offered)?,
        false => open::features(&args.features, &offered, Some(&model.manifest))?,
    };
    let added = extend(&args.model, &offered, &features, &args.out, args.overwrite).with_context(|| {
        format!("adding the items of {} to {}", args.items.display(), args.model.display())
    })?;
    let items = model.manifest.items + added.items;
    if args.json {
        say::json(&json!({
            "added": added.items,
            "without_features": added.without_features,
            "known": added.known,
            "revived": added.revived,
            "columns_left_out": added.columns_left_out,
            "items": items,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (new, known) = (say::count(added.items), say::count(added.known));
    let out = args.out.display();
    say::news(&format!(
        "{out}: {new} new items, now {}; {known} were known and are as they were",
        say::count(items)
    ));
    if added.revived > 0 {
        let revived = say::count(added.revived);
        say::news(&format!(
            "{revived} of the known items had no features before and are recommended from now on"
        ));
    }
    if !added.columns_left_out.is_empty() {
        let columns = added.columns_left_out.join(", ");
        say::news(&format!(
            "the model's items have no column {columns}: what the new ones say there is left out"
        ));
    }
    if added.without_features > 0 {
        let bare = say::count(added.without_features);
        say::news(&format!(
            "{bare} of the new items have no features: nothing is known of them, and no list shows them that does not pin them"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The features of the items, made as those of the model's training were.
fn encoded(args: &ExtendArgs, manifest: &ModelManifest, offered: &Catalog) -> Result<ItemFeatures> {
    if manifest.encoders.is_empty() {
        let what = "the model does not say how its features were made, if it has a tower at all; name a feature file of \
                    the new items by --features";
        return Err(BadInput(what.into()).into());
    }
    let is_text = |text: &String| matches!(Description::parse(text), Ok(Description::Text(_)));
    if let Some(dir) = args.encoder.as_ref().filter(|_| !manifest.encoders.values().any(is_text)) {
        let what = format!(
            "--encoder {}: no features of the model were made by a text encoder; leave it out",
            dir.display()
        );
        return Err(BadInput(what).into());
    }
    let mut files: Vec<FeatureFile> = Vec::new();
    for (modality, description) in &manifest.encoders {
        let watch = &mut |_| ControlFlow::Continue(());
        let file = upnext_encode::again(description, offered, args.encoder.as_deref(), None, watch)
            .with_context(|| format!("encoding the new items in the modality {modality:?}"))?;
        if !files.contains(&file) {
            files.push(file);
        }
    }
    Ok(ItemFeatures::of(offered, &files)?.0)
}
