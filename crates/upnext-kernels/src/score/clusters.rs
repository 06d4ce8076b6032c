//! Soft clusters of items: a query looks into the clusters that may hold its best, instead of at every item.
//!
//! Each item lives in the cluster whose centre is nearest to it, and has copies in the next nearest ones: an item between
//! two clusters is found from both. Clusters hold int8 vectors; candidates are scored again exactly. All of an item's
//! scores lie within `‖query‖ ‖item - centre‖` of its centre's, so that clusters that cannot hold one of the best may be
//! passed over without loss; or so many clusters are probed and no more. Letters: c clusters · m homes of an item.

mod build;
mod search;

use super::{Narrow, Precision, Table};
use crate::tile::PANEL;
use std::ops::Range;

pub use build::{Homes, Plan};
pub use search::{Probe, rank_clusters};

/// Items in clusters, ready to be searched.
#[derive(Clone, Debug)]
pub struct Clusters {
    items: usize,
    rank: usize,
    homes: Homes,
    /// `(c, r)`: the mean of the items that live in each cluster.
    centres: Vec<f32>,
    clusters: Vec<Cluster>,
    /// The item of each slot; slots that fill a panel up hold none, and are in no range of a cluster.
    items_of_slots: Vec<u32>,
    /// Vectors by slot.
    narrow: Narrow,
    /// Length of a centre, at most.
    longest: f64,
}

#[derive(Clone, Debug)]
struct Cluster {
    /// Slots of the items that live here; the first is a multiple of 32.
    own: Range<usize>,
    /// Slots of the copies of items that live elsewhere, as well.
    copies: Range<usize>,
    /// `ln` of the number of items that live here.
    log_count: f32,
    /// The largest distance of an item that lives here from the centre, rounded up.
    radius: f64,
    /// The mean of the squared distances.
    spread: f64,
}

impl Clusters {
    /// Of a table's items and their homes; `parallel` as in [`Narrow::of`].
    ///
    /// # Panics
    /// When the homes are of another number of items or another rank.
    pub fn new(table: &Table<'_>, homes: Homes, parallel: bool) -> Clusters {
        let (items, rank) = (table.items(), table.rank());
        assert!(homes.items() == items && homes.rank == rank, "homes of {} items", homes.items());
        let mut own: Vec<Vec<u32>> = vec![Vec::new(); homes.clusters()];
        let mut copies = own.clone();
        for (item, of_item) in (0u32..).zip(homes.of_items.chunks_exact(homes.each)) {
            own[of_item[0] as usize].push(item);
            of_item[1..].iter().for_each(|&home| copies[home as usize].push(item));
        }
        let (mut slots, mut clusters) = (Vec::new(), Vec::with_capacity(own.len()));
        // Whoever made the homes, bounds need the means of the items as they are.
        let centres = homes.means(table);
        let mut row = vec![0f32; rank];
        for ((own, copies), centre) in own.iter().zip(&copies).zip(centres.chunks_exact(rank)) {
            let (mut radius, mut squares) = (0f64, 0f64);
            for &item in own {
                table.vector(item, &mut row);
                let square: f64 =
                    row.iter().zip(centre).map(|(v, c)| (f64::from(*v) - f64::from(*c)).powi(2)).sum();
                radius = radius.max(square.sqrt());
                squares += square;
            }
            let (own_at, copies_at) = (fill(&mut slots, own), fill(&mut slots, copies));
            clusters.push(Cluster {
                own: own_at,
                copies: copies_at,
                log_count: (own.len() as f32).ln(),
                radius: radius * (1.0 + 1e-6),
                spread: squares / own.len().max(1) as f64,
            });
        }
        let narrow = Narrow::gathered(table, Precision::Int8, parallel, slots.len(), |slot| slots[slot]);
        let length = |centre: &[f32]| centre.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let longest = centres.chunks_exact(rank).map(length).fold(0.0, f64::max);
        let items_of_slots = slots.into_iter().map(|item| item.unwrap_or_default()).collect();
        Clusters { items, rank, homes, centres, clusters, items_of_slots, narrow, longest }
    }

    /// Where their items live: what they were made from.
    pub fn homes(&self) -> &Homes {
        &self.homes
    }

    /// Memory that they take.
    pub fn bytes(&self) -> usize {
        self.narrow.bytes()
            + size_of_val(&self.items_of_slots[..])
            + size_of_val(&self.homes.of_items[..])
            + size_of_val(&self.homes.centres[..])
            + size_of_val(&self.centres[..])
            + size_of_val(&self.clusters[..])
    }
}

/// Puts items into whole panels of slots.
fn fill(slots: &mut Vec<Option<u32>>, items: &[u32]) -> Range<usize> {
    let start = slots.len();
    slots.extend(items.iter().copied().map(Some));
    let end = slots.len();
    slots.resize(end.next_multiple_of(PANEL), None);
    start..end
}

#[cfg(test)]
mod tests;
