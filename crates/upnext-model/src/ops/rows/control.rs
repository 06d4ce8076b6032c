//! What an update asks of its step, worked out on the device: by how much to clip, and whether to update at all.

use super::{Squares, check_type, own};
use crate::ops::host::values;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, DType, Layout as Strides, Result, Shape, Tensor, bail};

/// `(4)` f32 `[scale, flag, norm, loss]`, on the device, from the squares of all gradients and the loss, a scalar.
///
/// `norm` is the root of the sum over all slots, `scale` what clipping multiplies gradients with (`clip / norm` where
/// that is below one), and `flag` is 1 when loss and squares are finite, else 0. An update under a flag of 0 changes
/// nothing, so a caller may read norm, loss and flag steps later. On Metal sums are f32.
///
/// # Errors
/// When the loss is no single f32.
pub fn control(squares: &Squares, loss: &Tensor, clip: f64) -> Result<Tensor> {
    check_type("the loss", loss, DType::F32)?;
    if loss.elem_count() != 1 {
        bail!("the loss must be one number, but its shape is {:?}", loss.shape());
    }
    if !own(loss) {
        return composed(&squares.parts, loss, clip);
    }
    squares.parts.apply_op2_no_bwd(&loss.contiguous()?, &Control { clip })
}

/// The same of candle's ops; a number is finite when it is at most the largest one, itself compared.
fn composed(parts: &Tensor, loss: &Tensor, clip: f64) -> Result<Tensor> {
    let loss = loss.detach().reshape(1)?;
    let total = parts.sum_all()?.to_dtype(DType::F32)?.reshape(1)?;
    let finite = |x: &Tensor| x.abs()?.le(f64::from(f32::MAX))?.to_dtype(DType::F32);
    let flag = (finite(&total)? * finite(&loss)?)?;
    let norm = total.sqrt()?;
    let scale = (norm.recip()? * clip)?.minimum(1.0)?;
    Tensor::cat(&[scale, flag, norm, loss], 0)
}

struct Control {
    clip: f64,
}

impl CustomOp2 for Control {
    fn name(&self) -> &'static str {
        "control"
    }

    fn cpu_fwd(
        &self,
        parts: &CpuStorage,
        lp: &Strides,
        loss: &CpuStorage,
        ll: &Strides,
    ) -> Result<(CpuStorage, Shape)> {
        let total: f64 = values::<f64>("sums of squares", parts, lp)?.iter().sum();
        let &[loss] = values::<f32>("the loss", loss, ll)? else {
            bail!("the loss must be one number");
        };
        let norm = total.sqrt();
        let scale = if norm > self.clip { (self.clip / norm) as f32 } else { 1.0 };
        let flag = if total.is_finite() && loss.is_finite() { 1.0 } else { 0.0 };
        Ok((CpuStorage::F32(vec![scale, flag, norm as f32, loss]), 4.into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        parts: &CudaStorage,
        lp: &Strides,
        loss: &CudaStorage,
        ll: &Strides,
    ) -> Result<(CudaStorage, Shape)> {
        Ok((super::cuda::control((parts, lp), (loss, ll), self.clip)?, 4.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn found(values: &[f32], loss: f32, clip: f64) -> [Vec<f32>; 2] {
        let squares = Squares::new(3, &Device::Cpu).unwrap();
        let loss = Tensor::new(loss, &Device::Cpu).unwrap();
        squares.set(0, &Tensor::new(&values[..1], &Device::Cpu).unwrap()).unwrap();
        squares.set(2, &Tensor::new(&values[1..], &Device::Cpu).unwrap()).unwrap();
        [control(&squares, &loss, clip), composed(&squares.parts, &loss, clip)]
            .map(|control| control.unwrap().to_vec1().unwrap())
    }

    #[test]
    fn a_gradient_of_norm_five_is_clipped_to_the_given_norm() {
        for control in found(&[3.0, 4.0], 0.5, 2.0) {
            assert_eq!(control, [0.4, 1.0, 5.0, 0.5]);
        }
        for control in found(&[3.0, 4.0], 0.5, 6.0) {
            assert_eq!(control, [1.0, 1.0, 5.0, 0.5]);
        }
        for control in found(&[0.0, 0.0], 0.5, 1.0) {
            assert_eq!(control, [1.0, 1.0, 0.0, 0.5]);
        }
    }

    #[test]
    fn what_is_not_finite_lowers_the_flag_wherever_it_is() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let cases = [([nan, 1.0], 1.0), ([1.0, inf], 1.0), ([1.0, 1.0], nan), ([1.0, 1.0], -inf)];
        for (gradient, loss) in cases {
            for control in found(&gradient, loss, 1.0) {
                assert_eq!(control[1], 0.0, "{gradient:?} {loss}");
            }
        }
    }
}
