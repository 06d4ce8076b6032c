//! The header of a safetensors file, taken apart strictly.
//!
//! The format: eight bytes of header length (little-endian), a JSON object from names to `dtype`, `shape` and
//! `data_offsets`, then the elements. The safetensors crate accepts two tensors of one name and headers of 100 MB
//! (500,000 empty tensors take seconds); here both are errors, as is everything that a reader could take two ways.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// The longest header that is read or written, in bytes.
pub const HEADER_LIMIT: u64 = 1 << 20;

/// The element types that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dtype {
    /// 64-bit floats.
    F64,
    /// 32-bit floats.
    F32,
    /// 16-bit floats of IEEE 754.
    F16,
    /// The upper half of 32-bit floats.
    BF16,
    /// 32-bit unsigned integers.
    U32,
    /// 64-bit unsigned integers.
    U64,
    /// 64-bit signed integers.
    I64,
    /// Bytes.
    U8,
}

impl Dtype {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "F64" => Self::F64,
            "F32" => Self::F32,
            "F16" => Self::F16,
            "BF16" => Self::BF16,
            "U32" => Self::U32,
            "U64" => Self::U64,
            "I64" => Self::I64,
            "U8" => Self::U8,
            _ => return None,
        })
    }

    /// Bytes an element.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F16 | Self::BF16 => 2,
            Self::F32 | Self::U32 => 4,
            Self::F64 | Self::U64 | Self::I64 => 8,
        }
    }
}

/// What the header says of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorInfo {
    /// Its element type.
    pub dtype: Dtype,
    /// Its extents, the slowest first.
    pub shape: Vec<usize>,
    /// Where its elements begin, in bytes after the header.
    pub(super) start: u64,
    /// Where they end.
    pub(super) end: u64,
}

/// Why a header was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// No room for the header's length.
    #[error("the file has {0} bytes, too few for a tensor file")]
    Short(u64),
    /// A header that would take long to read.
    #[error("it claims {0} bytes, more than the {HEADER_LIMIT} that are allowed")]
    Long(u64),
    /// A header that goes on after the end of the file.
    #[error("it claims {claimed} bytes, the file has {left} left: it was cut short")]
    Cut {
        /// Its length by the first eight bytes.
        claimed: u64,
        /// What follows them.
        left: u64,
    },
    /// No JSON, or not the JSON of a tensor file.
    #[error("it is not the JSON of a tensor file")]
    Json(#[from] serde_json::Error),
    /// Two tensors of one name.
    #[error("the tensor {0:?} occurs twice")]
    Duplicate(String),
    /// An element type that we do not read.
    #[error(
        "the tensor {name:?} has elements of type {dtype:?}; known are F64, F32, F16, BF16, U32, U64, I64 and U8"
    )]
    Dtype {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// A shape that does not fit the bytes, or overflows.
    #[error("the tensor {name:?} of shape {shape:?} does not fit its {bytes} bytes")]
    Size {
        /// The tensor.
        name: String,
        /// Its extents.
        shape: Vec<usize>,
        /// The bytes between its offsets.
        bytes: u64,
    },
    /// Tensors that overlap or leave a hole.
    #[error("the tensor {name:?} begins at byte {start}, where the one before ends at {end}")]
    Gap {
        /// The tensor.
        name: String,
        /// Where it begins.
        start: u64,
        /// Where it should.
        end: u64,
    },
    /// Elements that the file does not have, or bytes that no tensor has.
    #[error("its tensors take {tensors} bytes, the file has {file} after the header")]
    Total {
        /// The end of the last tensor.
        tensors: u64,
        /// The bytes after the header.
        file: u64,
    },
}

/// The tensors of a header, by name; `data` is how many bytes follow it.
pub(super) fn parse(header: &[u8], data: u64) -> Result<BTreeMap<String, TensorInfo>, HeaderError> {
    let Entries(mut entries) = serde_json::from_slice(header)?;
    entries.sort_by_key(|(_, raw)| raw.data_offsets);
    let (mut tensors, mut end) = (BTreeMap::new(), 0);
    for (name, raw) in entries {
        let (start, stop) = raw.data_offsets;
        if start != end || stop < start {
            return Err(HeaderError::Gap { name, start, end });
        }
        let Some(dtype) = Dtype::of(&raw.dtype) else {
            return Err(HeaderError::Dtype { name, dtype: raw.dtype });
        };
        let size = raw.shape.iter().try_fold(dtype.size(), |size, &extent| size.checked_mul(extent));
        if size.map(|size| size as u64) != Some(stop - start) {
            return Err(HeaderError::Size { name, shape: raw.shape, bytes: stop - start });
        }
        end = stop;
        let info = TensorInfo { dtype, shape: raw.shape, start, end };
        if tensors.insert(name.clone(), info).is_some() {
            return Err(HeaderError::Duplicate(name));
        }
    }
    if end != data {
        return Err(HeaderError::Total { tensors: end, file: data });
    }
    Ok(tensors)
}

/// One entry as it stands in the header.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// All entries, those of equal names too, which a map would swallow.
struct Entries(Vec<(String, Raw)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object from tensor names to their types, shapes and offsets")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<BTreeMap<String, String>>()?;
            } else {
                entries.push((name, map.next_value()?));
            }
        }
        Ok(Entries(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, data: u64, expected: &str) {
        let error = parse(header.as_bytes(), data).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }

    fn entry(name: &str, dtype: &str, shape: &str, offsets: &str) -> String {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
    }

    #[test]
    fn a_plain_header_is_read() {
        let (b, a) = (entry("b", "F32", "[2,3]", "[0,24]"), entry("a", "U8", "[0]", "[24,24]"));
        let header = format!(r#"{{"__metadata__":{{"format":"pt"}},{b},{a}}}   "#);
        let tensors = parse(header.as_bytes(), 24).unwrap();
        assert_eq!(tensors["b"], TensorInfo { dtype: Dtype::F32, shape: vec![2, 3], start: 0, end: 24 });
        assert_eq!(tensors["a"].shape, [0]);
        assert!(parse(b"{}", 0).unwrap().is_empty());
    }

    #[test]
    fn whatever_could_be_taken_two_ways_is_refused() {
        let twice = format!("{{{},{}}}", entry("a", "U8", "[1]", "[0,1]"), entry("a", "U8", "[1]", "[1,2]"));
        check(&twice, 2, "the tensor \"a\" occurs twice");
        let one = |dtype, shape, offsets| format!("{{{}}}", entry("a", dtype, shape, offsets));
        check(&one("F8_E5M2", "[1]", "[0,1]"), 1, "the tensor \"a\" has elements of type \"F8_E5M2\"");
        check(&one("U8", "[2]", "[0,3]"), 3, "the tensor \"a\" of shape [2] does not fit its 3 bytes");
        check(&one("F32", "[4294967296,4294967296]", "[0,0]"), 0, "the tensor \"a\" of shape");
        check(&one("U8", "[1]", "[1,2]"), 2, "the tensor \"a\" begins at byte 1");
        check(&one("U8", "[1]", "[1,0]"), 2, "the tensor \"a\" begins at byte 1");
        check(&one("U8", "[1]", "[0,1]"), 2, "its tensors take 1 bytes, the file has 2");
        check(&one("U8", "[9]", "[0,9]"), 2, "its tensors take 9 bytes, the file has 2");
        let overlap =
            format!("{{{},{}}}", entry("a", "U8", "[2]", "[0,2]"), entry("b", "U8", "[2]", "[1,3]"));
        check(&overlap, 3, "the tensor \"b\" begins at byte 1, where the one before ends at 2");
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for header in
            ["", "[]", "{", "{} x", r#"{"a":1}"#, r#"{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}"#]
        {
            check(header, 0, "it is not the JSON of a tensor file");
        }
        check(&"[".repeat(200_000), 0, "it is not the JSON of a tensor file");
        let extra = r#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"more":1}}"#;
        check(extra, 0, "it is not the JSON of a tensor file");
        let metadata = r#"{"__metadata__":{"a":1}}"#;
        check(metadata, 0, "it is not the JSON of a tensor file");
    }
}
