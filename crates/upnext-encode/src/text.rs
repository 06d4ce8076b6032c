//! A template over a catalogue's columns, through an encoder, to vectors.

use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};
use upnext_data::{Catalog, FeatureFile, Modality};

use crate::cache::{Cache, Key};
use crate::encoder::Identity;
use crate::{Description, Encoder, Error, Result, Template};

/// Changes with every change of a vector.
const VERSION: u32 = 1;

/// Which text of an item goes through which encoder; all that it takes, with the encoder, to encode other items in the
/// same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextEncoding {
    version: u32,
    /// The name of the modality.
    pub modality: String,
    /// The template, as it was written.
    pub template: String,
    /// The encoder.
    pub model: Identity,
}

/// What became of the texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Different texts.
    pub texts: usize,
    /// Those whose vectors the cache had.
    pub cached: usize,
    /// Items without any text.
    pub without_text: usize,
    /// Files of the cache that were damaged; their texts were encoded again.
    pub damaged: usize,
}

/// How far the encoding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Texts that have a vector.
    pub done: usize,
    /// Those of them that came from the cache.
    pub cached: usize,
    /// All texts.
    pub of: usize,
}

/// Who is told of the progress, and may break off; a cache then keeps what was done.
pub type Listener<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

impl TextEncoding {
    /// This template through this encoder.
    #[must_use]
    pub fn new(template: &Template, encoder: &Encoder, modality: &str) -> Self {
        Self {
            version: VERSION,
            modality: modality.to_owned(),
            template: template.as_str().to_owned(),
            model: encoder.identity().clone(),
        }
    }

    /// Vectors of all items that have a text; equal texts are encoded once, and none that the folder `cache` has.
    ///
    /// # Errors
    /// When a column is not there, the encoder is another one, a text cannot be encoded, the cache cannot be written, or
    /// the listener breaks off.
    pub fn encode(
        &self,
        catalog: &Catalog,
        encoder: &Encoder,
        cache: Option<&Path>,
        watch: &mut Listener<'_>,
    ) -> Result<(FeatureFile, Counts)> {
        if self.version != VERSION {
            return Err(Error::Version { kind: "text", found: self.version, known: VERSION });
        }
        self.model.check(encoder.identity(), encoder.dir())?;
        let template = Template::parse(&self.template)?;
        let distinct = Distinct::of(catalog, &template)?;
        let identity = blake3::hash(format!("{VERSION} {}", self.model.hash()?).as_bytes());
        let cache = cache.map(|dir| Cache::new(dir, identity, self.model.width));
        let (vectors, mut counts) = vectors(&distinct.texts, encoder, cache, watch)?;
        counts.without_text = catalog.len() - distinct.items.len();
        let width = self.model.width;
        let rows = distinct.rows.iter().flat_map(|&row| &vectors[row * width..][..width]);
        let modality = Modality {
            name: self.modality.clone(),
            width,
            values: rows.copied().collect(),
            items: distinct.items,
        };
        let encoder = Description::Text(self.clone()).to_json()?;
        Ok((FeatureFile { keys: catalog.keys().clone(), encoder, modalities: vec![modality] }, counts))
    }
}

/// The different texts of a catalogue.
struct Distinct {
    /// In byte order.
    texts: Vec<String>,
    /// The items that have one, ascending, and which.
    items: Vec<u32>,
    rows: Vec<usize>,
}

impl Distinct {
    fn of(catalog: &Catalog, template: &Template) -> Result<Self> {
        let texts = template.over(catalog)?;
        let all: Vec<String> = (0..catalog.len()).map(|item| texts.of(item)).collect();
        let mut distinct: Vec<String> = all.iter().filter(|text| !text.is_empty()).cloned().collect();
        distinct.sort_unstable();
        distinct.dedup();
        let row = |(item, text): (u32, &String)| Some((item, distinct.binary_search(text).ok()?));
        let (items, rows) = (0..).zip(&all).filter_map(row).unzip();
        Ok(Self { texts: distinct, items, rows })
    }
}

/// `(n, f)` vectors of texts, from the cache or the encoder.
fn vectors(
    texts: &[String],
    encoder: &Encoder,
    mut cache: Option<Cache>,
    watch: &mut Listener<'_>,
) -> Result<(Vec<f32>, Counts)> {
    let width = encoder.width();
    let mut out = vec![0.0; texts.len() * width];
    let mut counts = Counts { texts: texts.len(), ..Counts::default() };
    let mut keys = Vec::<Key>::new();
    let mut missing: Vec<usize> = (0..texts.len()).collect();
    if let Some(cache) = &cache {
        keys = texts.iter().map(|text| cache.key(text)).collect();
        let found = cache.find(&keys)?;
        missing.retain(|&place| match &found.vectors[place] {
            Some(vector) => {
                out[place * width..][..width].copy_from_slice(vector);
                false
            }
            None => true,
        });
        (counts.cached, counts.damaged) = (texts.len() - missing.len(), found.damaged);
    }
    let mut done = counts.cached;
    let mut tell = |done| match watch(Progress { done, cached: counts.cached, of: texts.len() }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Interrupted),
    };
    let wanted: Vec<&str> = missing.iter().map(|&place| texts[place].as_str()).collect();
    let encoded = tell(done).and_then(|()| {
        encoder.encode_each(&wanted, &mut |places, rows| {
            for (&at, row) in places.iter().zip(rows.chunks_exact(width)) {
                let place = missing[at];
                out[place * width..][..width].copy_from_slice(row);
                if let Some(cache) = &mut cache {
                    cache.push(&keys[place], row)?;
                }
            }
            done += places.len();
            tell(done)
        })
    });
    // What was done is kept, however it ended.
    let flushed = cache.as_mut().map_or(Ok(()), Cache::flush);
    encoded.and(flushed)?;
    Ok((out, counts))
}
