//! The nearest known word to a mistyped one.

/// The candidate with the fewest single-letter edits to `word`, if they are few: at most a third of its letters.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |candidate: &'a str| (edits(word, candidate), candidate);
    let (edits, found) = candidates.into_iter().map(distance).min_by_key(|(edits, _)| *edits)?;
    let letters = word.chars().count().max(found.chars().count());
    (edits <= letters.div_ceil(3)).then_some(found)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`
/// (Damerau 1964 and Levenshtein 1966, restricted to one edit a place).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted_by_hand() {
        for (a, b, expected) in
            [("", "abc", 3), ("lr", "lr", 0), ("lrr", "lr", 1), ("cuont", "count", 1), ("sede", "seed", 1)]
        {
            assert_eq!(edits(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn a_word_far_from_all_has_no_neighbour() {
        assert_eq!(nearest("patiense", ["patience", "precision"]), Some("patience"));
        assert_eq!(nearest("frobnicate", ["lr", "seed"]), None);
        assert_eq!(nearest("x", []), None);
    }
}
