//! A loss whose gradients were computed beside it, as one node of candle's graph.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp1, Layout as Strides, Result, Shape, Tensor, bail};

/// A scalar tensor of value `loss` whose gradient with respect to `x` is `gradient`, shaped like `x`.
///
/// # Errors
/// When candle refuses the node.
pub(crate) fn link(x: &Tensor, loss: f32, gradient: Vec<f32>) -> Result<Tensor> {
    x.apply_op1(Linked { loss, gradient: Mutex::new(Some(gradient)) })
}

struct Linked {
    loss: f32,
    gradient: Mutex<Option<Vec<f32>>>,
}

impl CustomOp1 for Linked {
    fn name(&self) -> &'static str {
        "linked-loss"
    }

    fn cpu_fwd(&self, _x: &CpuStorage, _strides: &Strides) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![self.loss]), Shape::from(())))
    }

    fn bwd(&self, x: &Tensor, _loss: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let gradient = take(&self.gradient, self.name())?;
        Ok(Some(scaled(Tensor::from_vec(gradient, x.shape(), x.device())?, grad)?))
    }
}

/// Takes what a forward pass left for its backward pass.
pub(crate) fn take<T>(cell: &Mutex<Option<T>>, op: &str) -> Result<T> {
    match cell.lock().map(|mut held| held.take()) {
        Ok(Some(held)) => Ok(held),
        _ => bail!("{op}: a loss is differentiated once"),
    }
}

/// A gradient times the scalar gradient of what follows, which is nearly always 1.
pub(crate) fn scaled(gradient: Tensor, by: &Tensor) -> Result<Tensor> {
    let by = f64::from(by.to_scalar::<f32>()?);
    if by == 1.0 { Ok(gradient) } else { gradient * by }
}
