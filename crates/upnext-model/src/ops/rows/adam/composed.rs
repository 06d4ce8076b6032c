//! The same updates of candle's ops, for devices without kernels of ours.

use candle_core::{Result, Tensor};
use upnext_kernels::rows::Adam;

/// As [`super::update_all`].
pub(super) fn all(
    values: &Tensor,
    moments: &Tensor,
    gradient: &Tensor,
    control: &Tensor,
    adam: &Adam,
) -> Result<()> {
    let old = [values.clone(), moments.get(0)?, moments.get(1)?];
    let [x, m, v] = new(&old, gradient, control, adam)?;
    moments.slice_set(&Tensor::stack(&[m, v], 0)?, 0, 0)?;
    values.slice_set(&x, 0, 0)
}

/// As [`super::update_rows`].
pub(super) fn rows(
    table: &Tensor,
    moments: &Tensor,
    ids: &Tensor,
    gradient: &Tensor,
    control: &Tensor,
    adam: &Adam,
) -> Result<()> {
    let whole = [table.clone(), moments.get(0)?, moments.get(1)?];
    let [x, m, v] = &whole;
    let old = [x.index_select(ids, 0)?, m.index_select(ids, 0)?, v.index_select(ids, 0)?];
    let places = ids.unsqueeze(1)?.broadcast_as(gradient.shape())?.contiguous()?;
    for (whole, new) in whole.iter().zip(new(&old, gradient, control, adam)?) {
        whole.scatter_set(&places, &new, 0)?;
    }
    Ok(())
}

/// Values and moments after the update, or as they were under a flag of 0.
fn new(old: &[Tensor; 3], gradient: &Tensor, control: &Tensor, adam: &Adam) -> Result<[Tensor; 3]> {
    let [x, m, v] = old;
    let [beta1, beta2] = [adam.beta1, adam.beta2].map(f64::from);
    let gradient = gradient.broadcast_mul(&control.narrow(0, 0, 1)?)?;
    let m = ((m * beta1)? + (&gradient * (1.0 - beta1))?)?;
    let v = ((v * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
    let root = ((&v * f64::from(adam.correction2))?.sqrt()? + f64::from(adam.eps))?;
    let step = ((&m * f64::from(adam.lr * adam.correction1))? / root)?;
    let x = ((x * f64::from(1.0 - adam.lr * adam.weight_decay))? - step)?;
    let update = control.narrow(0, 1, 1)?.ne(0.0)?.broadcast_as(x.shape())?.contiguous()?;
    let pick = |new: &Tensor, old: &Tensor| update.where_cond(new, &old.contiguous()?);
    Ok([pick(&x, &old[0])?, pick(&m, &old[1])?, pick(&v, &old[2])?])
}
