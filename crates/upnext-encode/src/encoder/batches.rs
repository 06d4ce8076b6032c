//! Which texts share a batch: texts of like length, the longest first.

/// Tokens of a batch, at most, where it has more than one text: its activations then fit the second-level cache.
const TOKENS: usize = 512;

/// The places of the texts of each batch, given the lengths of all. They depend on the lengths and their order alone;
/// with `equal` the texts of a batch are equally long.
pub(super) fn plan(lengths: &[usize], equal: bool) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&place| (std::cmp::Reverse(lengths[place]), place));
    let mut batches = Vec::<Vec<usize>>::new();
    let mut tokens = 0;
    for place in order {
        let length = lengths[place];
        match batches.last_mut() {
            Some(batch) if tokens + length <= TOKENS && (!equal || lengths[batch[0]] == length) => {
                batch.push(place);
                tokens += length;
            }
            _ => {
                batches.push(vec![place]);
                tokens = length;
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_like_length_share_a_batch_as_far_as_it_goes() {
        let lengths = [3, 200, 3, 200, 200, 900];
        assert_eq!(plan(&lengths, false), [vec![5], vec![1, 3], vec![4, 0, 2]]);
        assert_eq!(plan(&lengths, true), [vec![5], vec![1, 3], vec![4], vec![0, 2]]);
        assert!(plan(&[], false).is_empty());
    }
}
