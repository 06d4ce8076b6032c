//! Hashed features: no model, nothing fitted, the same vector for the same text for ever.
//!
//! Each word, character n-gram and category of a column is a direction: a few signed places of the vector, drawn by a
//! hash of it (feature hashing: Weinberger et al. 2009, arXiv 0902.2206; several places each: the sparse projections of
//! Kane and Nelson 2014, arXiv 1012.1577). A column's directions are summed, scaled to length 1, and the columns summed,
//! so that a long description does not drown three genres.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use upnext_data::chance::name_key;
use upnext_data::{Catalog, FeatureFile, Modality};

use crate::{Columns, Description, Error, Result, Role};

/// How wide a vector is when nobody says otherwise.
pub const WIDTH: usize = 256;
/// Signed places of a direction.
const PLACES: usize = 4;
/// Lengths of character n-grams.
const GRAMS: [usize; 2] = [3, 4];
/// Weight of a character n-gram beside a word's 1.
const GRAM: f32 = 0.25;
/// The name of the modality when nobody says otherwise.
pub const MODALITY: &str = "text";
/// Changes with every change of a vector.
const VERSION: u32 = 1;

/// What is hashed and how wide; all that it takes to encode other items in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hashing {
    version: u32,
    /// The name of the modality.
    #[serde(default = "text")]
    modality: String,
    /// f: how wide a vector is.
    width: usize,
    columns: Columns,
}

fn text() -> String {
    MODALITY.to_owned()
}

impl Hashing {
    /// Hashes these columns into vectors of a modality.
    ///
    /// # Errors
    /// When the width makes no sense.
    pub fn new(columns: Columns, width: usize, modality: &str) -> Result<Self> {
        let hashing = Self { version: VERSION, modality: modality.to_owned(), width, columns };
        hashing.check()?;
        Ok(hashing)
    }

    /// What may be wrong with one that was read.
    fn check(&self) -> Result<()> {
        if self.version != VERSION {
            return Err(Error::Version { kind: "hashing", found: self.version, known: VERSION });
        }
        if (8..=65_536).contains(&self.width) { Ok(()) } else { Err(Error::Width(self.width)) }
    }

    /// Vectors of all items that have text in one of the columns.
    ///
    /// # Errors
    /// When a column is not there, or another version described the hashing.
    pub fn encode(&self, catalog: &Catalog) -> Result<FeatureFile> {
        self.check()?;
        let width = self.width;
        let mut read = Vec::with_capacity(self.columns.0.len());
        for (name, role) in &self.columns.0 {
            let column = catalog.column(name).ok_or_else(|| Error::no_column(name, catalog))?;
            read.push((name.as_str(), *role, &column.values));
        }
        let (items, values) = rows(catalog.len(), width, |item, vector| {
            for (name, role, values) in &read {
                add_column(name, *role, values.get(item), vector);
            }
        });
        let modality = Modality { name: self.modality.clone(), width, items, values };
        let encoder = Description::Hashing(self.clone()).to_json()?;
        Ok(FeatureFile { keys: catalog.keys().clone(), encoder, modalities: vec![modality] })
    }
}

/// Vectors of all items that have text in one of the columns, as the modality [`MODALITY`].
///
/// # Errors
/// When the width makes no sense, or a column is not there.
pub fn encode(catalog: &Catalog, columns: &Columns, width: usize) -> Result<FeatureFile> {
    Hashing::new(columns.clone(), width, MODALITY)?.encode(catalog)
}

/// The items whose vectors are not zero, and those vectors.
fn rows(items: usize, width: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> (Vec<u32>, Vec<f32>) {
    let vectors: Vec<Option<Vec<f32>>> = (0..items)
        .into_par_iter()
        .map(|item| {
            let mut vector = vec![0.0; width];
            fill(item, &mut vector);
            vector.iter().any(|&value| value != 0.0).then_some(vector)
        })
        .collect();
    let (mut items, mut values) = (Vec::new(), Vec::new());
    for (item, vector) in (0..).zip(vectors) {
        if let Some(vector) = vector {
            items.push(item);
            values.extend(vector);
        }
    }
    (items, values)
}

/// Adds what a column says of an item, at length 1.
fn add_column(name: &str, role: Role, text: &str, vector: &mut [f32]) {
    let mut own = vec![0.0; vector.len()];
    match role {
        Role::Category => {
            for value in text.split(['|', ';', ',']).map(str::trim).filter(|value| !value.is_empty()) {
                add(&format!("category\0{name}\0{}", value.to_lowercase()), 1.0, &mut own);
            }
        }
        Role::Text => {
            let lower = text.to_lowercase();
            for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
                add(&format!("word\0{name}\0{word}"), 1.0, &mut own);
                let bounded: Vec<char> = std::iter::once(' ').chain(word.chars()).chain([' ']).collect();
                for gram in GRAMS.iter().flat_map(|&length| bounded.windows(length)) {
                    let gram: String = gram.iter().collect();
                    add(&format!("gram\0{name}\0{gram}"), GRAM, &mut own);
                }
            }
        }
    }
    let length = own.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().zip(own).for_each(|(sum, value)| *sum += value / length);
    }
}

/// Adds a feature's direction.
fn add(feature: &str, weight: f32, vector: &mut [f32]) {
    for place in 0..PLACES {
        let hash = name_key(&format!("{place}\0{feature}"));
        let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
        vector[(hash % vector.len() as u64) as usize] += sign * weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::{Column, ItemFeatures};

    fn catalog(titles: &[&str], genres: &[&str]) -> Catalog {
        let column =
            |name: &str, values: &[&str]| Column { name: name.into(), values: values.iter().collect() };
        let keys = (0..titles.len()).map(|item| format!("i{item}")).collect();
        Catalog::new(keys, vec![column("title", titles), column("genres", genres)]).unwrap()
    }

    fn cosines(catalog: &Catalog) -> Vec<f32> {
        let columns = Columns::choose(catalog, &[], &[]).unwrap();
        let file = encode(catalog, &columns, WIDTH).unwrap();
        let (features, _) = ItemFeatures::of(catalog, &[file]).unwrap();
        let row = |item: u32| features.gather(0, &[item]);
        let first = row(0);
        let dot = |other: Vec<f32>| first.iter().zip(other).map(|(a, b)| a * b).sum();
        (1..catalog.len() as u32).map(|item| dot(row(item))).collect()
    }

    #[test]
    fn alike_is_near_and_unlike_is_far() {
        let titles = ["Toy Story (1995)", "Toy Story 2 (1999)", "Heat (1995)", "Storytelling (2001)", ""];
        let genres = ["Animation|Comedy", "Animation|Comedy", "Action|Crime", "Drama", "Animation|Comedy"];
        let near = cosines(&catalog(&titles, &genres));
        assert!(near[0] > 0.8 && near[3] > 0.5, "{near:?}");
        assert!(near[0] > near[3] && near[3] > near[1] && near[1] > -0.2 && near[1] < 0.4, "{near:?}");
        assert!(near[2] > 0.0 && near[2] < 0.4, "n-grams tie a word to its derivation: {near:?}");
    }

    #[test]
    fn an_item_without_text_has_no_vector() {
        let catalog = catalog(&["", "A"], &["", ""]);
        let columns = Columns::choose(&catalog, &[], &[]).unwrap();
        let file = encode(&catalog, &columns, 64).unwrap();
        assert_eq!((&file.modalities[0].items[..], file.modalities[0].values.len()), (&[1][..], 64));
        assert!(file.check().is_ok());
        assert!(file.encoder.contains("\"width\":64") && file.encoder.contains("genres"));
    }

    #[test]
    fn a_vector_keeps_its_values_between_versions_and_catalogues() {
        let one = catalog(&["Heat"], &["Action"]);
        let columns = Columns::choose(&one, &[], &[]).unwrap();
        let alone = encode(&one, &columns, 16).unwrap().modalities[0].values.clone();
        let two = encode(&catalog(&["Alien", "Heat"], &["", "action"]), &columns, 16).unwrap();
        assert_eq!(two.modalities[0].values[16..], alone, "whatever stands beside it, however it is written");
        assert!(matches!(encode(&one, &columns, 4), Err(Error::Width(4))));
    }
}
