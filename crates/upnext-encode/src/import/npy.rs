//! NumPy's `.npy` files: a short header in the notation of Python, then the elements.
//!
//! After the format's description (NEP 1, versions 1 to 3). Read are two dimensions of little-endian floats in C order;
//! the size of the file is compared with what the header declares before anything is allocated.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use half::f16;

use super::Matrix;
use crate::{Error, Result};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Bytes of a header that is read.
const HEADER_LIMIT: usize = 64 << 10;
/// Bytes of elements that are read at once.
const CHUNK: usize = 1 << 18;

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// How elements are written.
#[derive(Clone, Copy)]
enum Kind {
    F64,
    F32,
    F16,
}

pub(super) fn read(path: &Path) -> Result<Matrix> {
    let file = File::open(path).map_err(Error::io("opening", path))?;
    let size = file.metadata().map_err(Error::io("reading", path))?.len();
    let mut file = BufReader::new(file);
    let refuse = |problem: String| Error::file(path, problem);
    let (header, offset) = header(&mut file).map_err(refuse)?;
    let kind = match header.descr.as_str() {
        "<f8" => Kind::F64,
        "<f4" => Kind::F32,
        "<f2" => Kind::F16,
        other => {
            let cast = "save it with array.astype(\"<f4\")";
            return Err(refuse(format!("its elements are {other:?}, not <f4, <f8 or <f2; {cast}")));
        }
    };
    let &[rows, width] = header.shape.as_slice() else {
        let shape = &header.shape;
        return Err(refuse(format!("its shape is {shape:?}; a matrix of one vector a row is needed")));
    };
    if header.fortran_order {
        let how = "save it with numpy.ascontiguousarray";
        return Err(refuse(format!("its elements are in Fortran order, column by column; {how}")));
    }
    let bytes = rows.checked_mul(width).and_then(|count| count.checked_mul(kind.size()));
    let (declared, found) = (bytes.map(|bytes| bytes as u64), size.saturating_sub(offset));
    if declared != Some(found) {
        let shape = &header.shape;
        return Err(refuse(format!("its shape is {shape:?}, but {found} bytes of elements follow")));
    }
    let values = elements(&mut file, rows * width, kind).map_err(Error::io("reading", path))?;
    Ok(Matrix { rows, width, values })
}

/// The header, and where the elements begin.
fn header(file: &mut impl Read) -> std::result::Result<(Header, u64), String> {
    let mut fixed = [0; 8];
    let short = |_| "it is too short for a .npy file".to_owned();
    file.read_exact(&mut fixed).map_err(short)?;
    if &fixed[..6] != MAGIC {
        return Err("it is no .npy file".to_owned());
    }
    let (length, before) = match fixed[6] {
        1 => {
            let mut length = [0; 2];
            file.read_exact(&mut length).map_err(short)?;
            (usize::from(u16::from_le_bytes(length)), 10)
        }
        2 | 3 => {
            let mut length = [0; 4];
            file.read_exact(&mut length).map_err(short)?;
            (u32::from_le_bytes(length) as usize, 12)
        }
        other => return Err(format!("it is .npy of version {other}; 1 to 3 are known")),
    };
    if length > HEADER_LIMIT {
        return Err(format!("its header claims {length} bytes; at most {HEADER_LIMIT} are read"));
    }
    let mut text = vec![0; length];
    file.read_exact(&mut text).map_err(short)?;
    let text = String::from_utf8(text).map_err(|_| "its header is no text".to_owned())?;
    let header = parse(&text).ok_or_else(|| {
        let shown: String = text.trim().chars().take(80).collect();
        format!("its header is not one that NumPy writes: {shown:?}")
    })?;
    Ok((header, before + length as u64))
}

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, the keys in any order, each once.
fn parse(text: &str) -> Option<Header> {
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim_start();
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        let value = after.trim_start().strip_prefix(':')?.trim_start();
        rest = match key {
            "descr" if descr.is_none() => {
                let (text, after) = quoted(value)?;
                descr = Some(text.to_owned());
                after
            }
            "fortran_order" if fortran_order.is_none() => {
                let truth = [("True", true), ("False", false)];
                let (after, order) =
                    truth.iter().find_map(|&(word, order)| Some((value.strip_prefix(word)?, order)))?;
                fortran_order = Some(order);
                after
            }
            "shape" if shape.is_none() => {
                let (inside, after) = value.strip_prefix('(')?.split_once(')')?;
                let inside = inside.trim().trim_end_matches(',');
                let extents = inside.split(',').filter(|part| !part.is_empty());
                shape = Some(extents.map(|part| part.trim().parse().ok()).collect::<Option<Vec<_>>>()?);
                after
            }
            _ => return None,
        };
        rest = rest.trim_start();
        rest = rest.strip_prefix(',').map(str::trim_start).or_else(|| rest.is_empty().then_some(rest))?;
    }
    Some(Header { descr: descr?, fortran_order: fortran_order?, shape: shape? })
}

/// A text in quotes, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

impl Kind {
    fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

fn elements(file: &mut impl Read, count: usize, kind: Kind) -> std::io::Result<Vec<f32>> {
    let mut values = Vec::with_capacity(count);
    let mut buffer = vec![0; CHUNK.min(count * kind.size())];
    while values.len() < count {
        let part = &mut buffer[..CHUNK.min((count - values.len()) * kind.size())];
        file.read_exact(part)?;
        match kind {
            Kind::F64 => {
                values.extend(part.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32));
            }
            Kind::F32 => values.extend(part.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))),
            Kind::F16 => {
                values.extend(part.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()));
            }
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_numpy_are_understood() {
        let expected = Header { descr: "<f4".into(), fortran_order: false, shape: vec![3, 4] };
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n";
        assert_eq!(parse(text).as_ref(), Some(&expected));
        assert_eq!(parse("{\"shape\":(3,4),'fortran_order':False,'descr':'<f4'}"), Some(expected));
        assert_eq!(parse("{'descr': '<f4', 'fortran_order': True, 'shape': (3,), }").unwrap().shape, [3]);
        assert!(parse("{'descr': '<f4', 'fortran_order': True, 'shape': (), }").unwrap().shape.is_empty());
    }

    #[test]
    fn other_headers_are_none() {
        for text in [
            "",
            "{}",
            "{'descr': '<f4'}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': True, 'shape': (-1, 2)}",
            "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), 'shape': (1, 2)}",
            "{'descr': '<f4', 'fortran_order': True, 'shape': (99999999999999999999, 2)}",
            "{'descr': [('a', '<f4')], 'fortran_order': True, 'shape': (1, 2)}",
            "{'descr': '<f4' 'fortran_order': True, 'shape': (1, 2)}",
            "{'descr': 'é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
