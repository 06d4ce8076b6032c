//! What an encoder is, to the byte.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use upnext_data::sealed::FileHash;

use super::family::Family;
use super::pooling::Pooling;
use crate::{Error, Result};

/// All that a vector depends on beside the text: files by their hash, and the settings around them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The name of the folder; for people, and not compared.
    pub name: String,
    /// Its family.
    pub family: Family,
    /// d: how wide its vectors are.
    pub width: usize,
    /// Longer texts are cut to so many tokens.
    pub max_tokens: usize,
    /// How the vectors of tokens become one.
    pub pooling: Pooling,
    /// Whether vectors are scaled to length 1.
    pub normalised: bool,
    /// Whether texts are put into lower case first.
    pub lower_case: bool,
    /// What stands before every text.
    pub prompt: String,
    /// `config.json`, `model.safetensors` and `tokenizer.json`.
    pub files: BTreeMap<String, FileHash>,
}

/// Whatever the folders are called.
impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files && self.settings() == other.settings()
    }
}

impl Eq for Identity {}

impl Identity {
    /// Refuses another encoder, found in `dir`, than this one.
    ///
    /// # Errors
    /// When a file or a setting differs; the error names it.
    pub fn check(&self, found: &Self, dir: &Path) -> Result<()> {
        let name = self.name.clone();
        let of = |identity: &Self, file: &str| {
            identity.files.get(file).map_or("nothing".to_owned(), |hash| hash.blake3.clone())
        };
        for file in self.files.keys().chain(found.files.keys()) {
            let (expected, found) = (of(self, file), of(found, file));
            if expected != found {
                let path = dir.join(file);
                return Err(Error::OtherEncoder { name, path, what: "blake3", expected, found });
            }
        }
        for ((what, expected), (_, other)) in self.settings().into_iter().zip(found.settings()) {
            if expected != other {
                let path = dir.to_owned();
                return Err(Error::OtherEncoder { name, path, what, expected, found: other });
            }
        }
        Ok(())
    }

    fn settings(&self) -> [(&'static str, String); 7] {
        [
            ("family", self.family.to_string()),
            ("width", self.width.to_string()),
            ("longest text", self.max_tokens.to_string()),
            ("pooling", format!("{:?}", self.pooling)),
            ("normalisation", self.normalised.to_string()),
            ("lower case", self.lower_case.to_string()),
            ("prompt", format!("{:?}", self.prompt)),
        ]
    }

    /// blake3 of all of it but the name; with a text it names a vector.
    pub(crate) fn hash(&self) -> Result<blake3::Hash> {
        let nameless = Self { name: String::new(), ..self.clone() };
        Ok(blake3::hash(&serde_json::to_vec(&nameless)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &str, files: &[(&str, &str)]) -> Identity {
        let file = |&(name, blake3): &(&str, &str)| {
            (name.to_owned(), FileHash { blake3: blake3.to_owned(), bytes: 1 })
        };
        Identity {
            name: name.to_owned(),
            family: Family::Bert,
            width: 8,
            max_tokens: 16,
            pooling: Pooling::Mean,
            normalised: true,
            lower_case: false,
            prompt: String::new(),
            files: files.iter().map(file).collect(),
        }
    }

    #[test]
    fn the_folders_name_is_for_people_and_everything_else_is_compared() {
        let one = identity("minilm", &[("config.json", "aa")]);
        let moved = identity("all-MiniLM-L6-v2", &[("config.json", "aa")]);
        assert_eq!(one, moved);
        assert!(one.check(&moved, Path::new("dir")).is_ok());
        assert_ne!(one, Identity { normalised: false, ..moved.clone() });
        assert_ne!(one, identity("minilm", &[("config.json", "bb")]));
        // A description that names no file vouches for none.
        let bare = identity("minilm", &[]);
        assert!(matches!(
            bare.check(&one, Path::new("dir")),
            Err(Error::OtherEncoder { what: "blake3", .. })
        ));
    }
}
