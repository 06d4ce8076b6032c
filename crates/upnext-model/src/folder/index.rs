//! The index in a model folder: where its items live, and what was measured of looking there.
//!
//! A folder of its own, `index/`, sealed like the model's: written whole or not at all, checked on the way in, and bound to
//! the model by its seal. A model that is replaced loses its index.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use upnext_data::sealed::{
    FileHash, Tensor, TensorFile, Values, read_bytes, write_bytes, write_folder, write_tensors,
};
use upnext_kernels::score::Homes;

use super::{FORMAT, INDEX, MANIFEST, ModelManifest, TEXT_LIMIT};
use crate::error::{Error, Result};

const CLUSTERS: &str = "clusters.safetensors";

/// Where the items of a model live, and how well they are found there.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    /// The clusters of the items' output vectors.
    pub homes: Homes,
    /// How many clusters are looked into where nobody says otherwise.
    pub probes: usize,
    /// What was measured of every way to score, in the order of measuring.
    pub measured: Vec<MeasuredScoring>,
}

/// How a way to score a catalogue did, beside exact scores of the same requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredScoring {
    /// The way.
    pub scoring: String,
    /// Clusters looked into; none where their number is not fixed.
    pub probes: Option<usize>,
    /// Requests that were made, each alone and on one thread.
    pub requests: usize,
    /// k: items asked for.
    pub length: usize,
    /// The share of the items of exact lists that stand in the lists, too.
    pub recall: f64,
    /// The largest difference of a list's first log-probability from that of the exact list.
    pub error: f64,
    /// The largest error that any list said it might have; none where a list promised nothing.
    pub promised: Option<f64>,
    /// Median and 99th percentile of a request's milliseconds.
    pub ms: [f64; 2],
}

/// `index/manifest.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexManifest {
    format: u32,
    /// The seal of the model.
    model: String,
    items: usize,
    rank: usize,
    clusters: usize,
    homes: usize,
    probes: usize,
    measured: Vec<MeasuredScoring>,
    files: BTreeMap<String, FileHash>,
}

/// Where a model folder keeps what its index was made of: another index has other bytes here.
#[must_use]
pub fn index_manifest(dir: &Path) -> PathBuf {
    dir.join(INDEX).join(MANIFEST)
}

/// Writes a model's index, replacing the one that is there.
///
/// # Errors
/// When the disk refuses.
pub fn save_index(dir: &Path, model: &ModelManifest, index: &Index) -> Result<PathBuf> {
    let folder = dir.join(INDEX);
    let homes = &index.homes;
    let (clusters, each, items) = (homes.clusters(), homes.each(), homes.items());
    let rank = homes.rank();
    write_folder(
        &folder,
        true,
        |name| [MANIFEST, CLUSTERS].contains(&name),
        |temp| {
            let tensors = [
                Tensor::new("centres", &[clusters, rank], Values::F32(homes.centres())),
                Tensor::new("homes", &[items, each], Values::U32(homes.of_items())),
            ];
            let files = [(CLUSTERS.to_owned(), write_tensors(&temp.join(CLUSTERS), &tensors)?)].into();
            let manifest = IndexManifest {
                format: FORMAT,
                model: model.seal.clone(),
                items,
                rank,
                clusters,
                homes: each,
                probes: index.probes,
                measured: index.measured.clone(),
                files,
            };
            let wrong = |source| Error::Json { path: MANIFEST.into(), source };
            let mut bytes = serde_json::to_vec_pretty(&manifest).map_err(wrong)?;
            bytes.push(b'\n');
            write_bytes(&temp.join(MANIFEST), &bytes)?;
            Ok::<(), Error>(())
        },
    )?;
    Ok(folder)
}

/// The index of a model folder, if it has one.
///
/// # Errors
/// When it is damaged, or was made for another model.
pub fn open_index(dir: &Path, model: &ModelManifest) -> Result<Option<Index>> {
    let (folder, path) = (dir.join(INDEX), index_manifest(dir));
    if !upnext_data::sealed::recover(&folder)? {
        return Ok(None);
    }
    let wrong = |source| Error::Json { path: path.clone(), source };
    let manifest: IndexManifest = serde_json::from_slice(&read_bytes(&path, TEXT_LIMIT)?).map_err(wrong)?;
    let refuse = |need: &str| Error::File { path: path.clone(), need: need.to_owned() };
    if manifest.format != FORMAT {
        return Err(Error::Version { path, found: u64::from(manifest.format), expected: FORMAT });
    }
    if manifest.model != model.seal {
        return Err(refuse(
            "is the index of another model than the one beside it; `upnext index` makes a new one",
        ));
    }
    if manifest.probes == 0 || manifest.probes > manifest.clusters {
        return Err(refuse("`probes` must be from 1 to `clusters`"));
    }
    let sealed = manifest.files.get(CLUSTERS).ok_or_else(|| refuse("does not list clusters.safetensors"))?;
    let clusters = folder.join(CLUSTERS);
    let mut file = TensorFile::open_sealed(&clusters, sealed)?;
    file.expect_names(&["centres", "homes"])?;
    file.expect_shape("centres", &[manifest.clusters, manifest.rank])?;
    file.expect_shape("homes", &[manifest.items, manifest.homes])?;
    let (centres, homes) = (file.f32("centres")?, file.u32("homes")?);
    file.verify()?;
    let fits = manifest.items == model.items;
    let homes = Homes::from_parts(manifest.rank, manifest.homes, centres, homes).filter(|_| fits);
    let need = "must give each item of the model different clusters, and centres that are finite".to_owned();
    let homes = homes.ok_or(Error::Tensor { path: clusters, name: "homes".to_owned(), need })?;
    Ok(Some(Index { homes, probes: manifest.probes, measured: manifest.measured }))
}
