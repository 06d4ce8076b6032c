//! What items are like, whoever watched them: vectors of their text, pictures, sound, by modality.
//!
//! [`FeatureFile`] is a file of vectors by item key, made by an encoder or elsewhere; [`ItemFeatures`] are the vectors of
//! one catalogue's items, out of one or several files. An item may lack any modality.

use std::collections::BTreeMap;
use std::path::Path;

use crate::sealed::{FileHash, Tensor, TensorFile, Values, write_tensors};
use crate::{Catalog, Error, ItemId, Result, Strings};

/// Widest vector that is accepted.
const WIDEST: usize = 1 << 16;
/// The row of an item without a vector.
const NONE: u32 = u32::MAX;

/// Vectors of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Modality {
    /// What they are of: `text`, `poster`; unique in its file, and a name ([`Modality::is_name`]).
    pub name: String,
    /// f: how wide a vector is.
    pub width: usize,
    /// `(n)` places of the items, among the file's keys, that have one; ascending.
    pub items: Vec<u32>,
    /// `(n, f)` finite values.
    pub values: Vec<f32>,
}

/// Vectors by item key, as a file holds them.
///
/// Tensors: `keys.bytes`, `keys.offsets`, `modalities.bytes`, `modalities.offsets`, `encoder.bytes`, `encoder.offsets` (one
/// text: what made them), and for modality m `items.<m>` `(n)` u32 and `values.<m>` `(n, f)` f32.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureFile {
    /// Keys of the items.
    pub keys: Strings,
    /// What made the vectors, so that later items are made alike; free text, often JSON.
    pub encoder: String,
    /// Their vectors.
    pub modalities: Vec<Modality>,
}

/// How many items of a catalogue a modality covers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Coverage {
    /// The modality.
    pub modality: String,
    /// f: its width.
    pub width: usize,
    /// Items of the catalogue that have a vector.
    pub items: usize,
    /// Items of the file that the catalogue does not have.
    pub unknown: usize,
}

/// One modality of a catalogue.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    name: String,
    width: usize,
    encoder: String,
    /// `(i)` the row of each item, or `NONE`.
    rows: Vec<u32>,
    /// `(n, f)`, each row of length 1 or 0.
    values: Vec<f32>,
}

/// The vectors of a catalogue's items by modality, each scaled to length 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemFeatures {
    parts: Vec<Part>,
    items: usize,
}

impl FeatureFile {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// When keys or modalities repeat, an item is named twice or not there, or a value is not finite; the error names
    /// the item's key.
    pub fn check(&self) -> Result<()> {
        let mut order: Vec<usize> = (0..self.keys.len()).collect();
        order.sort_by_key(|&place| self.keys.get(place));
        if let Some(pair) = order.windows(2).find(|pair| self.keys.get(pair[0]) == self.keys.get(pair[1])) {
            return Err(Error::Duplicate { what: "item", key: self.keys.get(pair[0]).to_owned() });
        }
        for (place, modality) in self.modalities.iter().enumerate() {
            modality.check(&self.keys)?;
            if self.modalities[..place].iter().any(|other| other.name == modality.name) {
                return Err(Error::Duplicate { what: "modality", key: modality.name.clone() });
            }
        }
        Ok(())
    }

    /// Writes the file. The same contents give the same bytes.
    ///
    /// # Errors
    /// As [`FeatureFile::check`], and when the disk refuses.
    pub fn write(&self, path: &Path) -> Result<FileHash> {
        self.check().map_err(Error::within(path))?;
        let names: Strings = self.modalities.iter().map(|modality| &modality.name).collect();
        let encoder: Strings = [&self.encoder].into_iter().collect();
        let mut tensors = Vec::new();
        tensors.extend(self.keys.tensors("keys"));
        tensors.extend(names.tensors("modalities"));
        tensors.extend(encoder.tensors("encoder"));
        for (place, modality) in self.modalities.iter().enumerate() {
            let (count, width) = (modality.items.len(), modality.width);
            tensors.push(Tensor::new(format!("items.{place}"), &[count], Values::U32(&modality.items)));
            let values = Values::F32(&modality.values);
            tensors.push(Tensor::new(format!("values.{place}"), &[count, width], values));
        }
        write_tensors(path, &tensors)
    }

    /// Reads what [`FeatureFile::write`] wrote, trusting nothing.
    ///
    /// # Errors
    /// When the file cannot be read, or is no such file; the error names tensor and key.
    pub fn read(path: &Path) -> Result<Self> {
        let mut file = TensorFile::open(path)?;
        let (names, encoder) =
            (Strings::read(&mut file, "modalities")?, Strings::read(&mut file, "encoder")?);
        // A hostile file could name millions of modalities in a few bytes each; the header holds far fewer tensors.
        let (expected, found) = (file.names().count().saturating_sub(6) / 2, names.len());
        if found != expected {
            let source = Error::Entries { what: "modalities".into(), expected, found };
            return Err(file.refuse("modalities", source));
        }
        if encoder.len() != 1 {
            let source = Error::Entries { what: "encoder".into(), expected: 1, found: encoder.len() };
            return Err(file.refuse("encoder", source));
        }
        let mut tensors: Vec<String> = Vec::new();
        for part in ["keys", "modalities", "encoder"] {
            tensors.extend([format!("{part}.bytes"), format!("{part}.offsets")]);
        }
        tensors
            .extend((0..names.len()).flat_map(|place| [format!("items.{place}"), format!("values.{place}")]));
        file.expect_names(&tensors)?;
        let keys = Strings::read(&mut file, "keys")?;
        let mut modalities = Vec::with_capacity(names.len());
        for (place, name) in names.iter().enumerate() {
            let tensor = format!("values.{place}");
            let width = match file.info(&tensor).map(|info| info.shape.as_slice()) {
                Some(&[_, width]) => width,
                _ => 0,
            };
            let items = file.u32(&format!("items.{place}"))?;
            file.expect_shape(&tensor, &[items.len(), width])?;
            let values = file.f32(&tensor)?;
            let modality = Modality { name: name.to_owned(), width, items, values };
            if let Err(source) = modality.check(&keys) {
                return Err(file.refuse(&tensor, source));
            }
            modalities.push(modality);
        }
        let read = Self { keys, encoder: encoder.get(0).to_owned(), modalities };
        read.check().map_err(Error::within(path))?;
        Ok(read)
    }
}

impl Modality {
    /// Whether a text can name a modality, and so the tensors of its tower: letters, digits, `-` and `_`.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    }

    fn check(&self, keys: &Strings) -> Result<()> {
        let what = || format!("modality {:?}", self.name);
        if !Self::is_name(&self.name) {
            return Err(Error::Feature {
                what: what(),
                need: "is no name of letters, digits, - and _".into(),
            });
        }
        if self.width == 0 || self.width > WIDEST {
            return Err(Error::Feature {
                what: what(),
                need: format!("is {} wide; 1 to {WIDEST} are possible", self.width),
            });
        }
        if self.values.len() != self.items.len() * self.width {
            let expected = self.items.len() * self.width;
            return Err(Error::Entries { what: what(), expected, found: self.values.len() });
        }
        if let Some(place) = (1..self.items.len()).find(|&at| self.items[at] <= self.items[at - 1]) {
            let need = format!("its items must be ascending, each once; place {place} is not");
            return Err(Error::Feature { what: what(), need });
        }
        if let Some(&item) = self.items.last().filter(|&&item| item as usize >= keys.len()) {
            let need = format!("names item {item}, but there are {} keys", keys.len());
            return Err(Error::Feature { what: what(), need });
        }
        match self.values.iter().position(|value| !value.is_finite()) {
            Some(at) => {
                let key = keys.get(self.items[at / self.width] as usize);
                let need = format!(
                    "the vector of item {key:?} holds {}; every value must be finite",
                    self.values[at]
                );
                Err(Error::Feature { what: what(), need })
            }
            None => Ok(()),
        }
    }
}

impl ItemFeatures {
    /// The vectors of a catalogue's items, out of files; says how many items each modality covers. A vector of zeros has no
    /// direction and counts as none.
    ///
    /// # Errors
    /// When two files hold the same modality in different widths, or both have it for an item; when a file knows none
    /// of the catalogue's items.
    pub fn of(catalog: &Catalog, files: &[FeatureFile]) -> Result<(Self, Vec<Coverage>)> {
        let items = catalog.len();
        let mut parts = BTreeMap::<String, (Part, usize)>::new();
        for file in files {
            let known: Vec<Option<ItemId>> = file.keys.iter().map(|key| catalog.find(key)).collect();
            if known.iter().all(Option::is_none) && !file.keys.is_empty() {
                let need = format!(
                    "knows none of the catalogue's items: its first key is {:?}, the catalogue's {:?}",
                    file.keys.get(0),
                    catalog.keys().iter().next().unwrap_or_default()
                );
                return Err(Error::Feature { what: "the feature file".into(), need });
            }
            for modality in &file.modalities {
                let empty = Part {
                    name: modality.name.clone(),
                    width: modality.width,
                    encoder: file.encoder.clone(),
                    rows: vec![NONE; items],
                    values: Vec::new(),
                };
                let (part, unknown) = parts.entry(modality.name.clone()).or_insert((empty, 0));
                if part.width != modality.width {
                    let need =
                        format!("is {} wide in one file and {} in another", part.width, modality.width);
                    return Err(Error::Feature { what: format!("modality {:?}", modality.name), need });
                }
                let vectors = modality.items.iter().zip(modality.values.chunks_exact(modality.width));
                for (&place, vector) in vectors {
                    let Some(item) = known[place as usize] else {
                        *unknown += 1;
                        continue;
                    };
                    if part.rows[item.index()] != NONE {
                        let need = format!("has two vectors for item {:?}", catalog.key(item));
                        return Err(Error::Feature { what: format!("modality {:?}", modality.name), need });
                    }
                    if vector.iter().all(|&value| value == 0.0) {
                        continue;
                    }
                    part.rows[item.index()] = (part.values.len() / part.width) as u32;
                    part.values.extend(scaled(vector));
                }
            }
        }
        let coverage = parts.values().map(|(part, unknown)| Coverage {
            modality: part.name.clone(),
            width: part.width,
            items: part.values.len() / part.width,
            unknown: *unknown,
        });
        let coverage = coverage.collect();
        Ok((Self { parts: parts.into_values().map(|(part, _)| part).collect(), items }, coverage))
    }

    /// i: items of the catalogue.
    #[must_use]
    pub fn items(&self) -> usize {
        self.items
    }

    /// Names and widths of the modalities, in byte order of the names.
    pub fn modalities(&self) -> impl Iterator<Item = (&str, usize)> {
        self.parts.iter().map(|part| (part.name.as_str(), part.width))
    }

    /// What made each modality, by its name; of several files that have it, the first one's.
    #[must_use]
    pub fn encoders(&self) -> BTreeMap<String, String> {
        self.parts.iter().map(|part| (part.name.clone(), part.encoder.clone())).collect()
    }

    /// blake3 of all of it.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in &self.parts {
            hasher.update(part.name.as_bytes()).update(&[0]).update(&part.width.to_le_bytes());
            part.rows.iter().for_each(|row| {
                hasher.update(&row.to_le_bytes());
            });
            part.values.iter().for_each(|value| {
                hasher.update(&value.to_le_bytes());
            });
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Whether an item has a vector of any modality.
    #[must_use]
    pub fn has(&self, item: ItemId) -> bool {
        self.parts.iter().any(|part| part.rows.get(item.index()).is_some_and(|&row| row != NONE))
    }

    /// `(u, f)` vectors of some items in one modality, by its place; zeros where an item has none.
    ///
    /// # Panics
    /// When there is no such modality or item.
    #[must_use]
    pub fn gather(&self, modality: usize, items: &[u32]) -> Vec<f32> {
        let part = &self.parts[modality];
        let mut out = vec![0.0; items.len() * part.width];
        for (out, &item) in out.chunks_exact_mut(part.width).zip(items) {
            let row = part.rows[item as usize];
            if row != NONE {
                out.copy_from_slice(&part.values[row as usize * part.width..][..part.width]);
            }
        }
        out
    }
}

/// A vector of length 1 in the same direction; zeros stay zeros.
fn scaled(vector: &[f32]) -> impl Iterator<Item = f32> {
    let squares: f64 = vector.iter().map(|&value| f64::from(value).powi(2)).sum();
    let scale = if squares > 0.0 { 1.0 / squares.sqrt() } else { 0.0 };
    vector.iter().map(move |&value| (f64::from(value) * scale) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(keys: &[&str], items: &[u32], values: &[f32]) -> FeatureFile {
        let modality =
            Modality { name: "text".into(), width: 2, items: items.to_vec(), values: values.to_vec() };
        FeatureFile { keys: keys.iter().collect(), encoder: "by hand".into(), modalities: vec![modality] }
    }

    fn catalog(keys: &[&str]) -> Catalog {
        Catalog::new(keys.iter().collect(), vec![]).unwrap()
    }

    #[test]
    fn a_file_comes_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("features.safetensors");
        let written = file(&["b", "a", "c"], &[0, 2], &[3.0, 4.0, 0.0, -2.0]);
        written.write(&path).unwrap();
        assert_eq!(FeatureFile::read(&path).unwrap(), written);
    }

    #[test]
    fn vectors_reach_their_items_with_length_one() {
        let written = file(&["b", "x", "c"], &[0, 1, 2], &[3.0, 4.0, 9.0, 9.0, 0.0, 0.0]);
        let (features, coverage) = ItemFeatures::of(&catalog(&["a", "b", "c"]), &[written]).unwrap();
        assert_eq!(features.gather(0, &[1, 0, 2]), [0.6, 0.8, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!([0, 1, 2].map(|item| features.has(ItemId(item))), [false, true, false]);
        let expected = Coverage { modality: "text".into(), width: 2, items: 1, unknown: 1 };
        assert_eq!(coverage, [expected]);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let refused = |file: FeatureFile| file.check().unwrap_err().to_string();
        assert!(refused(file(&["a", "a"], &[0], &[1.0, 1.0])).contains("the item \"a\" occurs twice"));
        assert!(refused(file(&["a", "b"], &[1], &[1.0, f32::NAN])).contains("item \"b\" holds NaN"));
        assert!(refused(file(&["a", "b"], &[1, 1], &[1.0; 4])).contains("ascending"));
        assert!(refused(file(&["a"], &[1], &[1.0; 2])).contains("names item 1"));
        assert!(refused(file(&["a"], &[0], &[1.0; 3])).contains("has 3 entries where 2 are needed"));
        let one = file(&["a"], &[0], &[1.0; 2]);
        let twice = ItemFeatures::of(&catalog(&["a"]), &[one.clone(), one.clone()]).unwrap_err().to_string();
        assert!(twice.contains("two vectors for item \"a\""), "{twice}");
        let foreign = ItemFeatures::of(&catalog(&["z"]), &[one]).unwrap_err().to_string();
        assert!(foreign.contains("knows none of the catalogue's items"), "{foreign}");
    }

    #[test]
    fn a_damaged_file_is_refused_and_never_panics() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("features.safetensors");
        file(&["b", "a"], &[0, 1], &[3.0, 4.0, 0.0, -2.0]).write(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for cut in 0..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert!(FeatureFile::read(&path).is_err(), "cut at {cut}");
        }
        for place in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[place] ^= 0xff;
            std::fs::write(&path, &bytes).unwrap();
            drop(FeatureFile::read(&path));
        }
    }
}
