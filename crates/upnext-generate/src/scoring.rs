//! How the items of a catalogue are scored: all of them exactly, or fewer bytes or fewer items of it.

use upnext_kernels::score::{
    Clusters, Narrow, Precision, Probe, Query, Ranked, Table, rank, rank_clusters, rank_narrow,
};
use upnext_model::Vectors;
use upnext_model::folder::Index;

use crate::Error;

/// How the items of a catalogue are scored. In a catalogue of some thousands of items all ways take about as long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scoring {
    /// Every item, in full precision.
    #[default]
    Exact,
    /// Candidates by vectors of half the bytes, the best of them in full precision: the lists that one pass finds are those
    /// of [`Scoring::Exact`], item by item, and log-probabilities are off by no more than [`crate::Exactness::Bounded`]
    /// says. Searches that grow lists go by such log-probabilities.
    Bf16,
    /// The same by vectors of little more than a quarter of the bytes.
    Int8,
    /// The same, passing over clusters of items that cannot hold one of the best; the model folder has an index.
    BoundedClusters,
    /// The best of the nearest clusters and no more; the model folder has an index.
    Clusters {
        /// How many clusters are looked into; as many as the index was measured to need, if nothing is said.
        probes: Option<usize>,
    },
}

impl Scoring {
    /// Whether it needs the index of a model folder.
    #[must_use]
    pub fn needs_index(self) -> bool {
        matches!(self, Self::BoundedClusters | Self::Clusters { .. })
    }
}

/// As it is typed on a command line.
impl std::fmt::Display for Scoring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Exact => "exact",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::BoundedClusters => "bounded-clusters",
            Self::Clusters { .. } => "clusters",
        })
    }
}

/// Which clusters are looked into, where an index was measured to need so many.
fn probe(scoring: Scoring, measured: usize) -> Probe {
    match scoring {
        Scoring::Clusters { probes } => Probe::Best(probes.unwrap_or(measured).max(1)),
        _ => Probe::Bounded,
    }
}

/// What scoring needs beside the vectors themselves.
pub(crate) enum Scorer {
    Exact,
    Narrow(Narrow),
    Clusters(Box<Clusters>, Probe),
}

impl Scorer {
    /// `parallel` spreads the work over rayon's threads; without it the caller's does all of it.
    pub(crate) fn new(
        scoring: Scoring,
        vectors: &Vectors<'_>,
        index: Option<Index>,
        parallel: bool,
    ) -> Result<Self, Error> {
        let table = vectors.table();
        let clusters = |index: Option<Index>| {
            let index = index.ok_or(Error::NoIndex { scoring })?;
            if index.homes.items() != vectors.items() || index.homes.rank() != vectors.rank() {
                let (part, items) = ("items of an index", vectors.items());
                return Err(Error::Parts { part, found: index.homes.items(), items });
            }
            let probe = probe(scoring, index.probes);
            Ok(Self::Clusters(Box::new(Clusters::new(&table, index.homes, parallel)), probe))
        };
        match scoring {
            Scoring::Exact => Ok(Self::Exact),
            Scoring::Bf16 => Ok(Self::Narrow(Narrow::of(&table, Precision::Bf16, parallel))),
            Scoring::Int8 => Ok(Self::Narrow(Narrow::of(&table, Precision::Int8, parallel))),
            Scoring::BoundedClusters | Scoring::Clusters { .. } => clusters(index),
        }
    }

    /// Another way to score the same vectors: clusters with the same homes stay.
    pub(crate) fn turned_into(
        self,
        scoring: Scoring,
        vectors: &Vectors<'_>,
        index: Option<Index>,
        parallel: bool,
    ) -> Result<Self, Error> {
        match (self, index) {
            (Self::Clusters(clusters, _), Some(index))
                if scoring.needs_index() && *clusters.homes() == index.homes =>
            {
                Ok(Self::Clusters(clusters, probe(scoring, index.probes)))
            }
            (old, index) => {
                // Before the new one takes as much memory.
                drop(old);
                Self::new(scoring, vectors, index, parallel)
            }
        }
    }

    /// As [`rank`].
    pub(crate) fn rank(&self, queries: &[Query<'_>], table: &Table<'_>, parallel: bool) -> Vec<Ranked> {
        match self {
            Self::Exact => rank(queries, table, parallel),
            Self::Narrow(narrow) => rank_narrow(queries, table, narrow, parallel),
            Self::Clusters(clusters, probe) => rank_clusters(queries, table, clusters, *probe, parallel),
        }
    }

    /// Whether items may be passed over that belong into a list.
    pub(crate) fn may_miss(&self) -> bool {
        matches!(self, Self::Clusters(_, Probe::Best(_)))
    }

    /// Memory that it takes beside the vectors.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Exact => 0,
            Self::Narrow(narrow) => narrow.bytes(),
            Self::Clusters(clusters, _) => clusters.bytes(),
        }
    }
}
