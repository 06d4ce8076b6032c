//! What makes a manifest vouch for itself, as it vouches for the other files.

use crate::error::{Error, Result};
use crate::folder::{MANIFEST, ModelManifest};

/// blake3 of a manifest with an empty seal, as compact JSON.
pub(super) fn of(manifest: &ModelManifest) -> Result<String> {
    let unsealed = ModelManifest { seal: String::new(), ..manifest.clone() };
    let json =
        serde_json::to_vec(&unsealed).map_err(|source| Error::Json { path: MANIFEST.into(), source })?;
    Ok(blake3::hash(&json).to_hex().to_string())
}
