//! Scores of a few items that are given.

use super::block::{add, tidy};
use super::{Query, Table};
use crate::level::Chosen;
use crate::product::Packed;
use crate::tile::PANEL;
use crate::{Rows, RowsMut};

/// Buffers for the vectors of a few items.
#[derive(Default)]
pub(super) struct Listed {
    /// `(PANEL, r)`.
    vectors: Vec<f32>,
    packed: Packed,
}

impl Listed {
    /// Hands each item's score on, finite or negative infinity. The bits are those of a pass over all items.
    pub(super) fn score(
        &mut self,
        level: Chosen,
        query: &Query<'_>,
        items: &[u32],
        table: &Table<'_>,
        mut take: impl FnMut(u32, f32),
    ) {
        let rank = table.rank();
        for ids in items.chunks(PANEL) {
            self.vectors.resize(ids.len() * rank, 0.0);
            for (&id, vector) in ids.iter().zip(self.vectors.chunks_exact_mut(rank.max(1))) {
                table.vector(id, vector);
            }
            let (mut scores, rows) = ([0f32; PANEL], Table::Rows { data: &self.vectors, rank });
            let out = RowsMut::new(&mut scores[..ids.len()], 1, ids.len());
            rows.multiply(level, Rows::new(query.vector, 1, rank), 0, out, &mut self.packed);
            for offset in query.offsets {
                let mut of = [0f32; PANEL];
                of.iter_mut().zip(ids).for_each(|(of, &id)| *of = offset.of[id as usize]);
                add(level, &of, offset.weight, &mut scores);
            }
            tidy(level, &mut scores);
            ids.iter().zip(scores).for_each(|(&id, score)| take(id, score));
        }
    }
}
