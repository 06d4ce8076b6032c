//! Files of keys: one a line, in the order of the rows that they belong to.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use upnext_data::Strings;

use crate::{Error, Result};

/// Bytes that a key may have, as in prepared data.
const KEY_LIMIT: usize = 4096;

/// Reads all keys; spaces count, line ends of Windows do not.
pub(super) fn read(path: &Path) -> Result<Strings> {
    let mut file = BufReader::new(File::open(path).map_err(Error::io("opening", path))?);
    let (mut keys, mut line) = (Strings::new(), Vec::new());
    loop {
        line.clear();
        // A little more than a key may have: what is longer is refused, not read.
        let mut part = std::io::Read::take(&mut file, KEY_LIMIT as u64 + 8);
        if part.read_until(b'\n', &mut line).map_err(Error::io("reading", path))? == 0 {
            return Ok(keys);
        }
        let number = keys.len() + 1;
        let refuse = |problem: &str| Error::file(path, format!("line {number}: {problem}"));
        let bytes = line.strip_suffix(b"\n").unwrap_or(&line);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let bytes = if number == 1 { bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes) } else { bytes };
        if bytes.is_empty() {
            return Err(refuse("an empty line where a key should be"));
        }
        if bytes.len() > KEY_LIMIT {
            return Err(refuse("a key of more than 4096 bytes"));
        }
        keys.push(std::str::from_utf8(bytes).map_err(|_| refuse("the key is not UTF-8"))?);
    }
}
