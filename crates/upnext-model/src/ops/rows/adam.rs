//! `AdamW` in place, on all values of a parameter or on some rows of a table, steered by [`super::control`].
//!
//! The formula is `upnext_kernels::rows::adamw`'s (Kingma & Ba 2015, arXiv:1412.6980; Loshchilov & Hutter 2019,
//! arXiv:1711.05101). Rows that are not named keep every bit, moments included (lazy Adam).

mod composed;

use super::{PADDING, check_type, own};
use crate::ops::host::{Host, slice};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, DType, InplaceOp1, InplaceOp3, Layout as Strides, Result, Tensor, bail};
use rayon::prelude::*;
use std::cell::RefCell;
use upnext_kernels::rows::{self, Adam};

/// Values that one task of the CPU form updates.
const CHUNK: usize = 1 << 16;

/// `(2, …)` zeros: first and second moments of `values`, before the first update.
///
/// # Errors
/// When there is no room for them.
pub fn moments(values: &Tensor) -> Result<Tensor> {
    Tensor::zeros([&[2], values.dims()].concat(), DType::F32, values.device())
}

/// Updates all `values` and their moments in place; nothing changes under a flag of 0.
///
/// # Errors
/// When shapes, types or devices disagree, or a tensor that is written is not contiguous.
pub fn update_all(
    values: &Tensor,
    moments: &Tensor,
    gradient: &Tensor,
    control: &Tensor,
    adam: &Adam,
) -> Result<()> {
    check(values, moments, gradient, control)?;
    if gradient.dims() != values.dims() {
        bail!("a gradient of {:?} cannot update values of {:?}", gradient.dims(), values.dims());
    }
    let gradient = gradient.contiguous()?;
    if !own(values) {
        return composed::all(values, moments, &gradient, control, adam);
    }
    values.inplace_op3(&gradient, control, &Update { moments, ids: None, adam })
}

/// Updates the rows `ids` (u32, ascending, each once, then any number of [`PADDING`]) of a table `(i, r)` and of its
/// moments in place by their gradients `(u, r)`; nothing changes under a flag of 0.
///
/// On Metal the ids must not be padded.
///
/// # Errors
/// When shapes, types or devices disagree, or a tensor that is written is not contiguous; on the CPU also when the ids
/// are not ascending or not in the table. A CUDA kernel passes ids over that are not in the table.
pub fn update_rows(
    table_ir: &Tensor,
    moments_2ir: &Tensor,
    ids_u: &Tensor,
    gradient_ur: &Tensor,
    control: &Tensor,
    adam: &Adam,
) -> Result<()> {
    check(table_ir, moments_2ir, gradient_ur, control)?;
    check_type("the ids of an update", ids_u, DType::U32)?;
    let ((_i, r), u) = (table_ir.dims2()?, ids_u.dims1()?);
    if gradient_ur.dims2()? != (u, r) {
        bail!("gradients of {:?} cannot update {u} rows of {r}", gradient_ur.dims());
    }
    let (ids, gradient) = (ids_u.contiguous()?, gradient_ur.contiguous()?);
    if !own(table_ir) {
        return composed::rows(table_ir, moments_2ir, &ids, &gradient, control, adam);
    }
    table_ir.inplace_op3(&gradient, control, &Update { moments: moments_2ir, ids: Some(&ids), adam })
}

fn check(values: &Tensor, moments: &Tensor, gradient: &Tensor, control: &Tensor) -> Result<()> {
    let tensors =
        [("values", values), ("moments", moments), ("a gradient", gradient), ("the control", control)];
    for (what, tensor) in tensors {
        check_type(what, tensor, DType::F32)?;
        if !tensor.device().same_device(values.device()) {
            bail!("{what} of an update must be where the values are");
        }
    }
    if moments.dims() != [&[2], values.dims()].concat() || control.dims() != [4] {
        let found = [moments.dims(), control.dims()];
        bail!("an update of {:?} got moments and a control of {found:?}", values.dims());
    }
    if !values.is_contiguous() || !moments.is_contiguous() || !control.is_contiguous() {
        bail!("values, moments and the control of an update must be contiguous");
    }
    Ok(())
}

/// An update of values. candle lets an op write one tensor only, so this one takes the values and has the moments run
/// [`Inner`], which writes both.
#[derive(Clone, Copy)]
pub(super) struct Update<'a> {
    moments: &'a Tensor,
    pub(super) ids: Option<&'a Tensor>,
    pub(super) adam: &'a Adam,
}

impl InplaceOp3 for Update<'_> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(
        &self,
        values: &mut CpuStorage,
        layout: &Strides,
        gradient: &CpuStorage,
        lg: &Strides,
        control: &CpuStorage,
        lc: &Strides,
    ) -> Result<()> {
        let (gradient, control) = ((gradient, lg), (control, lc));
        self.moments.inplace_op1(&Inner {
            update: *self,
            values: RefCell::new(values),
            layout,
            gradient,
            control,
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        values: &mut CudaStorage,
        layout: &Strides,
        gradient: &CudaStorage,
        lg: &Strides,
        control: &CudaStorage,
        lc: &Strides,
    ) -> Result<()> {
        let (gradient, control) = ((gradient, lg), (control, lc));
        self.moments.inplace_op1(&Inner {
            update: *self,
            values: RefCell::new(values),
            layout,
            gradient,
            control,
        })
    }
}

/// The same with the storages of values, gradient and control at hand.
struct Inner<'a, 'b, S> {
    update: Update<'a>,
    values: RefCell<&'b mut S>,
    layout: &'b Strides,
    gradient: (&'b S, &'b Strides),
    control: (&'b S, &'b Strides),
}

impl InplaceOp1 for Inner<'_, '_, CpuStorage> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(&self, moments: &mut CpuStorage, layout: &Strides) -> Result<()> {
        let Update { ids, adam, .. } = self.update;
        let gradient = slice("a gradient", self.gradient.0, self.gradient.1)?;
        let &[scale, flag, ..] = slice("the control", self.control.0, self.control.1)? else {
            bail!("a control has four numbers");
        };
        if flag == 0.0 {
            return Ok(());
        }
        let mut storage = self.values.borrow_mut();
        let values = written(&mut storage, self.layout)?;
        let (first, second) = written(moments, layout)?.split_at_mut(values.len());
        match ids {
            Some(ids) => {
                let (ids, (i, r)) = (Host::of("the ids of an update", ids), self.layout.shape().dims2()?);
                let ids = real(ids.typed()?, i)?;
                rows::adam_rows(values, first, second, r, ids, &gradient[..ids.len() * r], scale, adam);
            }
            None => {
                let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
                let values = values.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
                values.zip(moments).for_each(|((x, g), (m, v))| rows::adamw(x, m, v, g, scale, adam));
            }
        }
        Ok(())
    }
}

#[cfg(feature = "cuda")]
impl InplaceOp1 for Inner<'_, '_, CudaStorage> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(&self, _: &mut CpuStorage, _: &Strides) -> Result<()> {
        bail!("the values of an update are on a GPU, but their moments are not")
    }

    fn cuda_fwd(&self, moments: &mut CudaStorage, layout: &Strides) -> Result<()> {
        let mut values = self.values.borrow_mut();
        super::cuda::adam(
            (&mut **values, self.layout),
            (moments, layout),
            self.gradient,
            self.control,
            &self.update,
        )
    }
}

/// The values of a tensor that an update writes.
fn written<'a>(storage: &'a mut CpuStorage, layout: &Strides) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("what an update writes must be contiguous f32"),
    }
}

/// The ids before the padding.
fn real(ids: &[u32], items: usize) -> Result<&[u32]> {
    let end = ids.iter().position(|&id| id == PADDING).unwrap_or(ids.len());
    let (real, padding) = ids.split_at(end);
    let inside = real.last().is_none_or(|&last| (last as usize) < items);
    if !inside || !real.is_sorted_by(|a, b| a < b) || padding.iter().any(|&id| id != PADDING) {
        bail!("updated rows must be ascending and in the table of {items}");
    }
    Ok(real)
}

#[cfg(test)]
mod tests;
