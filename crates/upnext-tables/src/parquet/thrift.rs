//! Looks over metadata in Thrift's compact protocol before it is decoded.
//!
//! The decoder reserves what lists and schemas declare, and a reservation that fails ends the process. So what is
//! declared is compared with what is there first. Nothing is kept: whoever asks is shown every number.

/// Structures within structures.
const DEPTH: usize = 32;

/// Types of the protocol.
pub(super) const I32: u8 = 5;
pub(super) const LIST: u8 = 9;
pub(super) const STRUCT: u8 = 12;

/// Walks over the structure that `bytes` begin with and returns its length; `None` where it is none.
///
/// `see` is called with the field numbers that lead to a value, its type and the value: a whole number, the size of
/// a list, or 0 for the beginning of a structure within a list.
pub(super) fn walk(bytes: &[u8], see: &mut dyn FnMut(&[i16], u8, i64)) -> Option<usize> {
    let mut walker = Walker { rest: bytes, path: Vec::new(), see };
    walker.structure()?;
    Some(bytes.len() - walker.rest.len())
}

struct Walker<'a> {
    rest: &'a [u8],
    path: Vec<i16>,
    see: &'a mut dyn FnMut(&[i16], u8, i64),
}

impl Walker<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn skip(&mut self, count: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn whole(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn structure(&mut self) -> Option<()> {
        if self.path.len() >= DEPTH {
            return None;
        }
        let mut id = 0_i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            id = match head >> 4 {
                0 => i16::try_from(self.whole()?).ok()?,
                step => id.checked_add(i16::from(step))?,
            };
            self.path.push(id);
            self.value(head & 15)?;
            self.path.pop();
        }
    }

    fn value(&mut self, kind: u8) -> Option<()> {
        match kind {
            // True and false, which a field says in its type.
            1 | 2 => Some(()),
            3 => self.skip(1),
            4..=6 => {
                let value = self.whole()?;
                (self.see)(&self.path, kind, value);
                Some(())
            }
            7 => self.skip(8),
            8 => {
                let length = self.varint()?;
                self.skip(length)
            }
            LIST | 10 => self.list(),
            STRUCT => self.structure(),
            // Maps and identifiers do not occur in Parquet.
            _ => None,
        }
    }

    fn list(&mut self) -> Option<()> {
        let head = self.byte()?;
        let (size, kind) = match (head >> 4, head & 15) {
            (15, kind) => (self.varint()?, kind),
            (size, kind) => (u64::from(size), kind),
        };
        // Every element takes a byte. Lists of truths do not occur, and readers differ on how long they are.
        if size > self.rest.len() as u64 || matches!(kind, 1 | 2) {
            return None;
        }
        (self.see)(&self.path, LIST, size as i64);
        for _ in 0..size {
            if kind == STRUCT {
                (self.see)(&self.path, STRUCT, 0);
            }
            self.value(kind)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_the_way_to_them() {
        // {1: i32 3, 2: [{5: i32 -1}, {}], 4: "ab"}
        let bytes = [0x15, 6, 0x19, 0x2c, 0x55, 1, 0, 0, 0x28, 2, b'a', b'b', 0, 99];
        let mut seen = Vec::new();
        let length = walk(&bytes, &mut |path, kind, value| seen.push((path.to_vec(), kind, value)));
        assert_eq!(length, Some(13));
        let list = vec![2];
        let expected = [
            (vec![1], I32, 3),
            (list.clone(), LIST, 2),
            (list.clone(), STRUCT, 0),
            (vec![2, 5], I32, -1),
            (list, STRUCT, 0),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_is_declared_must_be_there() {
        let nothing = &mut |_: &[i16], _, _| {};
        for bytes in
            [&[0x15][..], &[0x18, 5, 0], &[0x19, 0xfc, 0xff, 0xff, 0x7f, 0], &[0x1c; 100], &[0x1b, 0]]
        {
            assert_eq!(walk(bytes, nothing), None, "{bytes:?}");
        }
    }
}
