//! Items like an item, by their vectors.

use rayon::prelude::*;
use upnext_data::ItemId;
use upnext_model::{Result, Vectors};

/// Items that one task compares.
const CHUNK: usize = 4096;

/// The `k` items most similar to `item` by the cosine of their output vectors, best first, ties by id; `item` itself and
/// those in `without` (ascending) are left out. `parallel` spreads the comparisons over rayon's threads and moves no bit.
pub(crate) fn similar(
    vectors: &Vectors<'_>,
    item: ItemId,
    k: usize,
    without: &[u32],
    parallel: bool,
) -> Result<Vec<(ItemId, f32)>> {
    let mut query = vec![0.0; vectors.rank()];
    vectors.output_row(item, &mut query)?;
    let length = norm(&query);
    let compare = |chunk: usize| -> Result<Vec<(ItemId, f32)>> {
        let mut row = vec![0.0; vectors.rank()];
        let mut best = Vec::with_capacity(CHUNK);
        for id in (chunk * CHUNK..vectors.items().min((chunk + 1) * CHUNK)).map(|id| id as u32) {
            if id == item.0 || without.binary_search(&id).is_ok() {
                continue;
            }
            vectors.output_row(ItemId(id), &mut row)?;
            let both = length * norm(&row);
            let dot: f32 = query.iter().zip(&row).map(|(a, b)| a * b).sum();
            // Nothing is like a vector without a length, or with one that is no number.
            let cosine = dot / both;
            best.push((ItemId(id), if cosine.is_finite() { cosine } else { 0.0 }));
        }
        order(&mut best, k);
        Ok(best)
    };
    let chunks = vectors.items().div_ceil(CHUNK);
    let parts: Vec<Vec<(ItemId, f32)>> = match parallel {
        true => (0..chunks).into_par_iter().map(compare).collect::<Result<_>>()?,
        false => (0..chunks).map(compare).collect::<Result<_>>()?,
    };
    let mut best = parts.concat();
    order(&mut best, k);
    Ok(best)
}

fn norm(row: &[f32]) -> f32 {
    row.iter().map(|value| value * value).sum::<f32>().sqrt()
}

/// The first `k`, best first, ties by id.
fn order(found: &mut Vec<(ItemId, f32)>, k: usize) {
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    found.truncate(k);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_angle_counts_and_not_the_length() {
        // Item 0 points right; 1 nearly so, 2 right and far, 3 up, 4 left, 5 nowhere.
        let rows = [1.0, 0.0, 2.0, 0.2, 9.0, 0.0, 0.0, 3.0, -1.0, 0.0, 0.0, 0.0];
        let vectors = Vectors::packed(rows.to_vec(), None, 2).unwrap();
        let found = |without: &[u32]| -> Vec<u32> {
            let found = similar(&vectors, ItemId(0), 9, without, false).unwrap();
            assert_eq!(found, similar(&vectors, ItemId(0), 9, without, true).unwrap());
            found.iter().map(|(item, _)| item.0).collect()
        };
        assert_eq!(found(&[]), [2, 1, 3, 5, 4]);
        assert_eq!(found(&[2, 3]), [1, 5, 4]);
        assert_eq!(similar(&vectors, ItemId(0), 1, &[], false).unwrap(), [(ItemId(2), 1.0)]);
        assert!(similar(&vectors, ItemId(6), 1, &[], false).is_err());
    }
}
