//! The names of parts: `part-[IofN-]HISTORIES-CHUNK.EXTENSION`.

/// Where a part stands in its job. Within a shard parts are in byte order of their users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Which of how many shards, from 1; none in a whole job.
    pub(super) shard: Option<(u32, u32)>,
    histories: u64,
    chunk: u64,
}

/// `2of8`.
pub(super) fn shard(text: &str) -> Option<(u32, u32)> {
    let (index, of) = text.split_once("of")?;
    Some((u32::try_from(number(index)?).ok()?, u32::try_from(number(of)?).ok()?))
}

/// The place and the extension of a part.
pub(super) fn parse(name: &str) -> Option<(Place, &str)> {
    let (numbers, extension) = name.strip_prefix("part-")?.split_once('.')?;
    let numbers: Vec<&str> = numbers.split('-').collect();
    let (shard, histories, chunk) = match numbers[..] {
        [histories, chunk] => (None, histories, chunk),
        [of, histories, chunk] => (Some(shard(of)?), histories, chunk),
        _ => return None,
    };
    let place = Place { shard, histories: number(histories)?, chunk: number(chunk)? };
    Some((place, extension))
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}
