//! What a training step does with rows and gradients without waiting for the host: gather rows, sum their gradients,
//! drop values, clip, update in place, find the best scores.
//!
//! Nothing here reads a device's memory back, so a step made of these ops only queues work. Each op has a form for the
//! CPU, which runs everywhere, and for CUDA kernels of our own (`cuda/rows.cu`, feature `cuda`). Metal has no kernels
//! of ours: there an op is composed of candle's own ops, with the differences that it names.
//!
//! Sums have a fixed order on every device: equal inputs give equal bits on the same device.
//!
//! Letters: n places, u rows, i rows of a table, r rank, b rows of scores, k length of a list.

mod adam;
mod control;
#[cfg(feature = "cuda")]
#[expect(unsafe_code, reason = "a kernel launch is unsafe; every launch of ours is in this one file")]
mod cuda;
mod drop;
mod gather;
mod inverse;
mod late;
mod parcel;
mod squares;
mod top_k;

pub use adam::{moments, update_all, update_rows};
pub use control::control;
pub use drop::{drop_probabilities, drop_tokens};
pub use gather::{gather_rows, pick_rows, segment_sum};
pub use inverse::Inverse;
pub use late::Late;
pub use parcel::{Gathered, Parcel, Sent};
pub use squares::Squares;
pub use top_k::top_k;

use candle_core::{DType, Result, Tensor, bail};

/// The id that names no row: it reads zeros, and an update passes it over. It fills up axes of a fixed length.
pub const PADDING: u32 = u32::MAX;

/// Compiles the CUDA kernels, as their first use does; gives the bytes of their PTX. None in a build without CUDA.
#[must_use]
pub fn compiled() -> Option<Result<usize>> {
    #[cfg(feature = "cuda")]
    return Some(cuda::ptx().map(str::len));
    #[cfg(not(feature = "cuda"))]
    None
}

/// Whether a tensor's device has forms of ours.
fn own(x: &Tensor) -> bool {
    !x.device().is_metal()
}

/// Refuses a tensor of another type, naming it.
fn check_type(what: &str, x: &Tensor, dtype: DType) -> Result<()> {
    if x.dtype() != dtype {
        bail!("{what} must be {}, but it is {}", dtype.as_str(), x.dtype().as_str());
    }
    Ok(())
}
