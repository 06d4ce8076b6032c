//! Many strings in two allocations: all their text, and where each begins.

use crate::sealed::{Tensor, TensorFile, Values};
use crate::{Error, Result};

/// A list of strings held as one text and the offsets of its pieces; ten million keys are fine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strings {
    /// n + 1 byte offsets into `text`, from 0, never falling.
    offsets: Vec<u64>,
    text: String,
}

impl Strings {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self { offsets: vec![0], text: String::new() }
    }

    /// Makes a list from the two arrays of the file format: n + 1 offsets and the UTF-8 text.
    ///
    /// # Errors
    /// When the offsets are empty, do not start at 0, fall, do not end at the text's length or cut a character, or
    /// when the bytes are no UTF-8.
    pub fn from_parts(offsets: Vec<u64>, bytes: Vec<u8>) -> Result<Self> {
        let text = String::from_utf8(bytes)?;
        let refuse = |index, rule| {
            let found = offsets.get(index).copied().unwrap_or(0);
            Err(Error::Offset { what: "offsets", index, found, rule })
        };
        if offsets.first() != Some(&0) {
            return refuse(0, "the first must be 0 and present");
        }
        for (index, pair) in offsets.windows(2).enumerate() {
            if pair[1] < pair[0] {
                return refuse(index + 1, "they must not fall");
            }
            if !usize::try_from(pair[1]).is_ok_and(|at| text.is_char_boundary(at)) {
                return refuse(index + 1, "they must lie between two characters of the text");
            }
        }
        if offsets.last().copied() != Some(text.len() as u64) {
            return refuse(offsets.len() - 1, "the last must be the length of the text");
        }
        Ok(Self { offsets, text })
    }

    /// How many strings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The string at a place.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Self::len), as a slice does.
    #[must_use]
    pub fn get(&self, index: usize) -> &str {
        &self.text[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }

    /// Adds a string at the end.
    pub fn push(&mut self, value: &str) {
        self.text.push_str(value);
        self.offsets.push(self.text.len() as u64);
    }

    /// The strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The n + 1 byte offsets.
    #[must_use]
    pub fn offsets(&self) -> &[u64] {
        &self.offsets
    }

    /// The two tensors of the file format: `<name>.offsets` (n + 1) and `<name>.bytes`.
    pub(crate) fn tensors(&self, name: &str) -> [Tensor<'_>; 2] {
        let (offsets, bytes) = (self.offsets(), self.bytes());
        [
            Tensor::new(format!("{name}.offsets"), &[offsets.len()], Values::U64(offsets)),
            Tensor::new(format!("{name}.bytes"), &[bytes.len()], Values::U8(bytes)),
        ]
    }

    /// Reads what [`tensors`](Self::tensors) put into a file.
    pub(crate) fn read(file: &mut TensorFile, name: &str) -> Result<Self> {
        let offsets = file.u64(&format!("{name}.offsets"))?;
        let bytes = file.u8(&format!("{name}.bytes"))?;
        Self::from_parts(offsets, bytes).map_err(|source| file.refuse(name, source))
    }

    /// The text of all strings, one after the other.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Default for Strings {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: AsRef<str>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(values: I) -> Self {
        let mut strings = Self::new();
        for value in values {
            strings.push(value.as_ref());
        }
        strings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_as_they_went_in() {
        let strings = Strings::from_iter(["", "Amélie", "", "Léon", "z"]);
        assert_eq!(strings.iter().collect::<Vec<_>>(), ["", "Amélie", "", "Léon", "z"]);
        let again = Strings::from_parts(strings.offsets().to_vec(), strings.bytes().to_vec()).unwrap();
        assert_eq!(again, strings);
        assert!(Strings::new().is_empty());
        assert_eq!(Strings::from_parts(vec![0], vec![]).unwrap(), Strings::default());
    }

    #[test]
    fn offsets_that_do_not_cut_the_text_are_refused() {
        let check = |offsets: &[u64], text: &str, place: &str| {
            let error = Strings::from_parts(offsets.to_vec(), text.as_bytes().to_vec()).unwrap_err();
            assert!(error.to_string().starts_with(place), "{error}");
        };
        check(&[], "", "offsets[0] is 0, where the first must be 0 and present");
        check(&[1, 2], "ab", "offsets[0] is 1");
        check(&[0, 2, 1], "ab", "offsets[2] is 1, where they must not fall");
        check(&[0, 1], "ab", "offsets[1] is 1, where the last");
        check(&[0, 3], "ab", "offsets[1] is 3");
        check(&[0, 1, 2], "é", "offsets[1] is 1, where they must lie between two characters");
        check(&[0, u64::MAX], "", "offsets[1] is 18446744073709551615");
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let error = Strings::from_parts(vec![0, 1], vec![0xff]).unwrap_err();
        assert!(matches!(error, Error::Text(_)));
    }
}
