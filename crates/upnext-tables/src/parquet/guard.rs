//! Damaged files make the decoder panic in places; here that becomes an error.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ::parquet::errors::ParquetError;

use crate::error::{Error, Result};

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is decoding a file right now, so that a panic is a damaged file and will be told as an error:
/// a program's panic hook can stay silent then.
#[must_use]
pub fn is_decoding() -> bool {
    DECODING.get()
}

/// Runs a step of the decoder. What it worked on is not used again after an error.
pub(super) fn guarded<T>(
    path: &Path,
    step: impl FnOnce() -> std::result::Result<T, ParquetError>,
) -> Result<T> {
    DECODING.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(step));
    DECODING.set(false);
    let source = match outcome {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error,
        Err(_) => ParquetError::General("the decoder gave up on it".into()),
    };
    Err(Error::Parquet { path: path.into(), source })
}
