//! Slice kernels: what the model, the generator and the trainer compute with on a CPU.
//!
//! Slices in, slices out: no tensors, no files, no chance but stateless masks. Every function runs on the
//! caller's thread unless it says otherwise, and every result is a fixed sequence of roundings for each output
//! element, so that no bit depends on how many rows share a call, on how a sum over the inner axis is cut into
//! calls, on the number of threads or on the SIMD [`level`]. The training gradients of [`product`] are the one
//! exception: they come from the gemm crate, which is deterministic on one machine only. Products of [`bf16`] operands
//! round elsewhere than those of f32, but as fixedly.
//!
//! Letters: n tokens · m rows of a call · t positions · d model width · h heads · e head width · r rank of an item
//! vector · i items · k length of an inner axis or of a list.

#[cfg(feature = "mimalloc")]
pub mod allocator;
pub mod attention;
pub mod bf16;
pub mod dropout;
mod fetch;
pub mod gate;
pub mod gelu;
mod lane;
pub mod lanes;
pub mod layer_norm;
pub mod level;
pub mod norm;
mod packed;
pub mod product;
pub mod products;
pub mod rotary;
pub mod rows;
pub mod score;
pub mod softmax;
#[cfg(test)]
mod testing;
mod tile;
pub mod tiles;
mod transpose;
pub mod view;

pub use view::{Rows, RowsMut};
