//! What a feature file says of how it was made, so that later items are made alike.

use std::path::Path;

use serde::{Deserialize, Serialize};
use upnext_data::sealed::FileHash;
use upnext_data::{Catalog, FeatureFile};

use crate::hashing::Hashing;
use crate::{Encoder, Error, Listener, Result, TextEncoding};

/// How the vectors of a feature file were made; its JSON is the file's `encoder` text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Description {
    /// Hashed columns.
    Hashing(Hashing),
    /// A text encoder over a template.
    Text(TextEncoding),
    /// Made elsewhere.
    Imported(Imported),
}

/// Where imported vectors came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// Of this description.
    pub version: u32,
    /// The modality.
    pub modality: String,
    /// The name of the file.
    pub file: String,
    /// What it held.
    pub hash: FileHash,
}

impl Description {
    /// Reads the `encoder` text of a feature file.
    ///
    /// # Errors
    /// When it is no description of ours.
    pub fn parse(text: &str) -> Result<Self> {
        let shown = || text.chars().take(80).collect();
        serde_json::from_str(text).map_err(|source| Error::Description { text: shown(), source })
    }

    /// The description as a feature file holds it.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
    }
}

/// Encodes the items of a catalogue in exactly the way in which other items were: `description` is the `encoder` text
/// of their feature file.
///
/// Hashing needs nothing else. A text encoder needs the folder it was read from, unchanged, and may use a cache.
///
/// # Errors
/// When the description is not ours or another version's, a column is not there, the encoder's folder is missing or is
/// not the same, or the vectors were imported.
pub fn again(
    description: &str,
    catalog: &Catalog,
    encoder_dir: Option<&Path>,
    cache: Option<&Path>,
    watch: &mut Listener<'_>,
) -> Result<FeatureFile> {
    match Description::parse(description)? {
        Description::Hashing(hashing) => hashing.encode(catalog),
        Description::Text(text) => {
            let Some(dir) = encoder_dir else {
                return Err(Error::EncoderNeeded { name: text.model.name });
            };
            let encoder = Encoder::open(dir)?;
            let (file, _) = text.encode(catalog, &encoder, cache, watch)?;
            Ok(file)
        }
        Description::Imported(Imported { modality, file, .. }) => Err(Error::Imported { modality, file }),
    }
}

/// Whether vectors of two feature files were made in the same way, so that they go together. Of imported vectors only the
/// modality is known: two files of them are taken to be alike. Texts that are no description of ours must be equal.
#[must_use]
pub fn alike(one: &str, other: &str) -> bool {
    match (Description::parse(one), Description::parse(other)) {
        (Ok(Description::Imported(one)), Ok(Description::Imported(other))) => one.modality == other.modality,
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Columns, hashing};
    use std::ops::ControlFlow;
    use upnext_data::Column;

    fn catalog(keys: &[&str], titles: &[&str]) -> Catalog {
        let column = Column { name: "title".into(), values: titles.iter().collect() };
        Catalog::new(keys.iter().collect(), vec![column]).unwrap()
    }

    fn again_from(description: &str, catalog: &Catalog) -> Result<FeatureFile> {
        again(description, catalog, None, None, &mut |_| ControlFlow::Continue(()))
    }

    #[test]
    fn new_items_are_hashed_as_the_old_ones_were() {
        let old = catalog(&["a", "b"], &["Heat", "Alien"]);
        let columns = Columns::choose(&old, &[], &[]).unwrap();
        let file = hashing::Hashing::new(columns, 32, "words").unwrap().encode(&old).unwrap();
        let new = again_from(&file.encoder, &catalog(&["c", "d"], &["", "Heat"])).unwrap();
        assert_eq!(new.modalities[0].name, "words");
        assert_eq!(new.modalities[0].items, [1]);
        assert_eq!(new.modalities[0].values, file.modalities[0].values[..32]);
        assert_eq!(new.encoder, file.encoder);
    }

    #[test]
    fn vectors_go_together_when_they_were_made_alike() {
        let hashing = |width: usize| {
            format!(r#"{{"kind":"hashing","version":1,"width":{width},"columns":[["title","text"]]}}"#)
        };
        let imported = |file: &str, modality: &str| {
            let hash = r#"{"blake3":"00","bytes":1}"#;
            format!(
                r#"{{"kind":"imported","version":1,"modality":"{modality}","file":"{file}","hash":{hash}}}"#
            )
        };
        assert!(alike(&hashing(8), &hashing(8)) && !alike(&hashing(8), &hashing(16)));
        assert!(alike(&imported("a.npy", "poster"), &imported("b.npy", "poster")));
        assert!(!alike(&imported("a.npy", "poster"), &imported("a.npy", "sound")));
        assert!(!alike(&imported("a.npy", "text"), &hashing(8)));
        assert!(alike("by hand", "by hand") && !alike("by hand", "by foot"));
    }

    #[test]
    fn what_cannot_be_done_again_says_why() {
        let items = catalog(&["a"], &["Heat"]);
        let refused = |text: &str| again_from(text, &items).unwrap_err().to_string();
        assert!(refused("by hand").contains("do not say how to make more"));
        assert!(
            refused(r#"{"kind":"hashing","version":1,"width":8,"columns":[],"more":1}"#)
                .contains("do not say")
        );
        assert!(refused(r#"{"kind":"hashing","version":9,"width":8,"columns":[]}"#).contains("version 9"));
        assert!(refused(r#"{"kind":"hashing","version":1,"width":1,"columns":[]}"#).contains("8 to 65536"));
        let plot = r#"{"kind":"hashing","version":1,"width":8,"columns":[["plot","text"]]}"#;
        assert!(refused(plot).contains("no column \"plot\""));
        let hash = r#"{"blake3":"00","bytes":1}"#;
        let imported =
            format!(r#"{{"kind":"imported","version":1,"modality":"poster","file":"p.npy","hash":{hash}}}"#);
        assert!(refused(&imported).contains("\"poster\" were imported from p.npy"));
    }
}
