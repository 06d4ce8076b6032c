//! `upnext encode`: what items are like, as a feature file.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::json;
use upnext_data::{Catalog, Coverage, FeatureFile, ItemFeatures};
use upnext_encode::hashing::{self, Hashing};
use upnext_encode::import::{self, Vectors};
use upnext_encode::{Columns, Counts, Encoder, Progress, Template, TextEncoding};

use crate::args::EncodeArgs;
use crate::failure::BadInput;
use crate::{interrupt, open, say};

/// Between two lines of news where nobody watches a bar.
const NEWS: Duration = Duration::from_secs(30);

pub(crate) fn run(args: &EncodeArgs) -> Result<ExitCode> {
    let started = Instant::now();
    upnext_encode::check_free(&args.out, args.overwrite)?;
    refuse_own_inputs(args)?;
    let catalog = catalog(args)?;
    interrupt::catch("stopping; no features will be written")?;
    let mut made = Made::default();
    let file = if let Some(dir) = &args.encoder {
        let (file, counts) = text(args, dir, &catalog)?;
        made.counts = Some(counts);
        file
    } else if let Some(path) = &args.import {
        imported(args, path, &catalog, &mut made)?
    } else {
        let columns = Columns::choose(&catalog, &args.text, &args.category)?;
        Hashing::new(columns, args.width.unwrap_or(hashing::WIDTH), &args.modality)?.encode(&catalog)?
    };
    let (_, coverage) = ItemFeatures::of(&catalog, std::slice::from_ref(&file))
        .with_context(|| format!("features of {}", args.out.display()))?;
    if interrupt::asked() {
        return Err(upnext_encode::Error::Interrupted.into());
    }
    let hash = upnext_encode::save(&file, &args.out, args.overwrite)?;
    made.report(args, &catalog, &coverage, hash.bytes, started.elapsed().as_secs_f64());
    if args.json {
        let encoder: serde_json::Value =
            serde_json::from_str(&file.encoder).unwrap_or_else(|_| file.encoder.clone().into());
        say::json(&json!({
            "out": args.out,
            "items": catalog.len(),
            "coverage": coverage,
            "texts": made.counts,
            "rows_without_vector": made.without,
            "encoder": encoder,
            "bytes": hash.bytes,
            "blake3": hash.blake3,
            "seconds": started.elapsed().as_secs_f64(),
        }))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What came of the encoding, beside the vectors.
#[derive(Default)]
struct Made {
    counts: Option<Counts>,
    /// Rows of an imported table that have no vector.
    without: u64,
}

/// The items to encode.
fn catalog(args: &EncodeArgs) -> Result<Catalog> {
    match (&args.data, &args.items) {
        (Some(dir), _) => Ok(open::prepared(dir)?.catalog),
        (None, Some(path)) => Ok(upnext_tables::read_items(path, args.item.as_deref())?),
        (None, None) => Err(BadInput("name the items with --data or --items".into()).into()),
    }
}

/// A file that vectors are made from is not replaced by them.
fn refuse_own_inputs(args: &EncodeArgs) -> Result<()> {
    let Ok(out) = args.out.canonicalize() else { return Ok(()) };
    let mut inputs = [&args.items, &args.import, &args.keys].into_iter().flatten();
    match inputs.find(|input| input.canonicalize().is_ok_and(|input| input == out)) {
        Some(input) => {
            let what = format!("--out {} is also read as input; name another file", input.display());
            Err(BadInput(what).into())
        }
        None => Ok(()),
    }
}

fn text(args: &EncodeArgs, dir: &Path, catalog: &Catalog) -> Result<(FeatureFile, Counts)> {
    let template = match &args.template {
        Some(template) => Template::parse(template)?,
        None => Template::of(&Columns::choose(catalog, &args.text, &args.category)?)?,
    };
    template.over(catalog)?;
    let encoder = Encoder::open(dir).with_context(|| format!("reading the encoder {}", dir.display()))?;
    let identity = encoder.identity();
    say::news(&format!(
        "{}: {}, {} wide, up to {} tokens a text; the text of an item is {:?}",
        identity.name,
        identity.family,
        identity.width,
        identity.max_tokens,
        template.as_str()
    ));
    let mut drawing = Drawing::new()?;
    let encoding = TextEncoding::new(&template, &encoder, &args.modality);
    let encoded = encoding.encode(catalog, &encoder, args.cache.as_deref(), &mut |progress| {
        drawing.show(progress);
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    drawing.bar.finish_and_clear();
    Ok(encoded?)
}

fn imported(args: &EncodeArgs, path: &Path, catalog: &Catalog, made: &mut Made) -> Result<FeatureFile> {
    let kind = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let refuse = |flag: &str, kind: &str| {
        BadInput(format!("{flag} goes with {kind}; --import {} is another kind", path.display()))
    };
    if args.tensor.is_some() && kind != "safetensors" {
        return Err(refuse("--tensor", ".safetensors").into());
    }
    if kind != "parquet" && (args.key_column.is_some() || args.vector_column.is_some()) {
        return Err(refuse("--key-column and --vector-column", ".parquet").into());
    }
    let vectors = match kind {
        "parquet" if args.keys.is_some() => return Err(refuse("--keys", ".npy and .safetensors").into()),
        "parquet" => {
            let (key, vector) = (args.key_column.as_deref(), args.vector_column.as_deref());
            let read = upnext_tables::read_vectors(path, key, vector)?;
            made.without = read.without;
            Vectors { path: path.to_owned(), keys: read.keys, width: read.width, values: read.values }
        }
        "npy" => Vectors::from_npy(path, keys(args, path)?)?,
        "safetensors" if import::is_feature_file(path)? => {
            if args.keys.is_some() || args.tensor.is_some() {
                return Err(BadInput(format!(
                    "{}: is a feature file, which has its own keys",
                    path.display()
                ))
                .into());
            }
            return Ok(import::feature_file(path, catalog, &args.modality, args.width)?);
        }
        "safetensors" => Vectors::from_tensor(path, args.tensor.as_deref(), keys(args, path)?)?,
        _ => {
            let what = "--import reads .npy, .safetensors and .parquet";
            return Err(BadInput(format!("{what}; {} is none of them", path.display())).into());
        }
    };
    Ok(vectors.into_features(catalog, &args.modality, args.width)?)
}

fn keys<'a>(args: &'a EncodeArgs, path: &Path) -> Result<&'a Path> {
    let missing =
        || BadInput(format!("{}: name the keys of its rows with --keys FILE, one a line", path.display()));
    Ok(args.keys.as_deref().ok_or_else(missing)?)
}

impl Made {
    fn report(&self, args: &EncodeArgs, catalog: &Catalog, coverage: &[Coverage], bytes: u64, seconds: f64) {
        let out = args.out.display();
        say::news(&format!("{out}: {}, written after {}", HumanBytes(bytes), say::duration(seconds)));
        for Coverage { modality, width, items, unknown } in coverage {
            let (items, of, share) = (
                say::count(*items),
                say::count(catalog.len()),
                100.0 * *items as f64 / catalog.len().max(1) as f64,
            );
            say::news(&format!(
                "  {modality}: {items} of {of} items ({share:.1} %) have a vector, {width} wide"
            ));
            if *unknown > 0 {
                let unknown = say::count(*unknown);
                say::news(&format!(
                    "  {modality}: {unknown} vectors of items that the catalogue does not have are kept"
                ));
            }
        }
        if self.without > 0 {
            say::news(&format!("  {} rows have no vector and were left out", say::count(self.without)));
        }
        if let Some(counts) = self.counts {
            let (texts, cached) = (say::count(counts.texts), say::count(counts.cached));
            say::news(&format!("  {texts} texts, {cached} from the cache"));
            if counts.damaged > 0 {
                let damaged = say::count(counts.damaged);
                say::news(&format!(
                    "  {damaged} files of the cache were damaged; their texts were encoded again"
                ));
            }
        }
    }
}

/// An encoding that is being watched.
struct Drawing {
    bar: ProgressBar,
    started: Instant,
    last_news: Instant,
}

impl Drawing {
    fn new() -> Result<Self> {
        let bar = if say::is_watched() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        bar.set_style(ProgressStyle::with_template("texts {wide_bar} {pos}/{len} {msg}")?);
        let now = Instant::now();
        Ok(Self { bar, started: now, last_news: now })
    }

    fn show(&mut self, progress: Progress) {
        let Progress { done, cached, of, .. } = progress;
        self.bar.set_length(of as u64);
        self.bar.set_position(done as u64);
        let encoded = done - cached;
        if encoded == 0 {
            self.started = Instant::now();
            return;
        }
        let rate = encoded as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        let left = say::duration((of - done) as f64 / rate);
        let message = format!("{} texts/s, {left} left", say::count(rate as u64));
        if !say::is_watched() && self.last_news.elapsed() >= NEWS {
            self.last_news = Instant::now();
            say::news(&format!("{} of {} texts, {message}", say::count(done), say::count(of)));
        }
        self.bar.set_message(message);
    }
}
