//! The squares of a step's gradients, summed where the gradients are.

use super::{check_type, own};
use crate::ops::host::values;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout as Strides, Result, Tensor, bail};
use rayon::prelude::*;
use upnext_kernels::rows::sum_squares;

/// Parts that one tensor's sum is cut into; a CUDA kernel has a block for each.
pub(super) const PARTS: usize = 128;

/// Sums of squares of several tensors, one slot a tensor, for [`super::control`].
///
/// They are f64, as a norm over millions of values asks for; on Metal, which has no f64, f32.
#[derive(Debug)]
pub struct Squares {
    /// `(slots, parts)`: the sum of each part of each slot's tensor.
    pub(super) parts: Tensor,
}

impl Squares {
    /// Slots that all hold zero.
    ///
    /// # Errors
    /// When there is no room for them.
    pub fn new(slots: usize, device: &Device) -> Result<Self> {
        let (parts, dtype) = if device.is_metal() { (1, DType::F32) } else { (PARTS, DType::F64) };
        Ok(Self { parts: Tensor::zeros((slots, parts), dtype, device)? })
    }

    /// Writes the sum of the squares of `x`, f32 of any shape, into a slot.
    ///
    /// # Errors
    /// When there is no such slot, or `x` is of another type or on another device.
    pub fn set(&self, slot: usize, x: &Tensor) -> Result<()> {
        let (slots, _parts) = self.parts.dims2()?;
        if slot >= slots {
            bail!("there is no slot {slot} for a sum of squares, only {slots}");
        }
        check_type("a gradient", x, DType::F32)?;
        if !own(x) {
            return self.parts.slice_set(&x.sqr()?.sum_all()?.reshape((1, 1))?, 0, slot);
        }
        self.parts.narrow(0, slot, 1)?.inplace_op2(&x.contiguous()?, &Parts)
    }
}

/// Part `p` of `len` values is the `p`-th run of this many.
pub(super) fn share(len: usize) -> usize {
    len.div_ceil(PARTS).max(1)
}

struct Parts;

impl InplaceOp2 for Parts {
    fn name(&self) -> &'static str {
        "sum-squares"
    }

    fn cpu_fwd(&self, parts: &mut CpuStorage, lp: &Strides, x: &CpuStorage, lx: &Strides) -> Result<()> {
        let x = values::<f32>("a gradient", x, lx)?;
        let (CpuStorage::F64(parts), Some((start, end))) = (parts, lp.contiguous_offsets()) else {
            bail!("sums of squares must be contiguous f64");
        };
        let sums: Vec<f64> = x.par_chunks(share(x.len())).map(sum_squares).collect();
        let parts = &mut parts[start..end];
        parts.fill(0.0);
        parts[..sums.len()].copy_from_slice(&sums);
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, parts: &mut CudaStorage, lp: &Strides, x: &CudaStorage, lx: &Strides) -> Result<()> {
        super::cuda::square_parts((parts, lp), (x, lx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_holds_its_own_tensors_squares_and_forgets_the_last_ones() {
        let squares = Squares::new(2, &Device::Cpu).unwrap();
        for len in [1000_usize, 1, 127, 129, 0] {
            let x: Vec<f32> = (0..len).map(|j| (j as f32 * 0.7).cos()).collect();
            let truth: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
            squares.set(1, &Tensor::from_vec(x, len, &Device::Cpu).unwrap()).unwrap();
            let [first, second] = [0, 1]
                .map(|slot| squares.parts.get(slot).unwrap().to_vec1::<f64>().unwrap().iter().sum::<f64>());
            assert_eq!(first, 0.0);
            assert!((second - truth).abs() <= 1e-12 * truth, "{len} values: {second} and {truth}");
        }
        assert!(squares.set(2, &squares.parts).unwrap_err().to_string().contains("no slot 2"));
        let halves = Tensor::zeros(3, DType::F16, &Device::Cpu).unwrap();
        assert!(squares.set(0, &halves).unwrap_err().to_string().contains("must be f32, but it is f16"));
    }
}
