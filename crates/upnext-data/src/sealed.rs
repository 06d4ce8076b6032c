//! Folders that are written whole or not at all, and files that are read with suspicion.
//!
//! Prepared folders, model folders and checkpoints share this: [`write_folder`] makes a folder appear at once,
//! [`write_tensors`] and [`write_bytes`] fill it and say what a manifest should remember, and [`TensorFile`] reads a
//! tensor file whose every byte may have been chosen by somebody else.

mod folder;
mod hash;
mod header;
mod read;
mod write;

pub use folder::{recover, write_folder};
pub use hash::{FileHash, hash_file, read_bytes};
pub use header::{Dtype, HEADER_LIMIT, HeaderError, TensorInfo};
pub use read::{TensorError, TensorFile};
pub use write::{Tensor, Values, write_bytes, write_tensors};
