//! Rows by id, with and without a gradient, and the sum of gradients back into rows.
//!
//! Offsets are computed in 64 bit: candle's `index_select` on CUDA reads wrong rows of a table of more than 2³² values,
//! and its gradient is an `index_add` that walks all places in one thread a column.

use super::{Inverse, PADDING, check_type, own};
use crate::ops::host::values;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout as Strides, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use upnext_kernels::{Rows, rows};

/// Rows that one task of the CPU form works on.
const CHUNK: usize = 256;

/// `(u, r)` rows to `(n, r)`: place `p` reads row `ids[p]`, or zeros where that is [`PADDING`].
///
/// A row's gradient is the sum over the places that `inverse` lists for it, in that order; a place that it does not
/// list costs nothing. On Metal, and for other types than f32, this is `index_select`, whose gradient counts every place
/// but those of `PADDING`: a caller keeps the gradients of padded places zero there.
///
/// # Errors
/// When shapes or types disagree; on the CPU also when an id is neither below u nor `PADDING`. A CUDA kernel cannot
/// report that one: it reads zeros.
pub fn gather_rows(rows_ur: &Tensor, ids_n: &Tensor, inverse: &Inverse) -> Result<Tensor> {
    let (u, _r) = rows_ur.dims2()?;
    check_ids(ids_n)?;
    if inverse.starts.dims1()? != u + 1 || inverse.order.dims1()? != ids_n.dims1()? {
        let [order, starts] = [&inverse.order, &inverse.starts].map(Tensor::elem_count);
        bail!(
            "gather: an inverse of {order} places and {starts} starts for {} ids and {u} rows",
            ids_n.elem_count()
        );
    }
    if !own(rows_ur) || rows_ur.dtype() != DType::F32 {
        return rows_ur.index_select(ids_n, 0);
    }
    rows_ur.contiguous()?.apply_op2(&ids_n.contiguous()?, Gather { inverse: Some(inverse.clone()) })
}

/// `(i, r)` table rows by id as a new `(u, r)` tensor that no gradient flows through; zeros where an id is [`PADDING`].
///
/// # Errors
/// As [`gather_rows`].
pub fn pick_rows(table_ir: &Tensor, ids_u: &Tensor) -> Result<Tensor> {
    table_ir.dims2()?;
    check_ids(ids_u)?;
    if !own(table_ir) || table_ir.dtype() != DType::F32 {
        return table_ir.detach().index_select(ids_u, 0);
    }
    table_ir.contiguous()?.apply_op2_no_bwd(&ids_u.contiguous()?, &Gather { inverse: None })
}

/// `(n, r)` gradients of places to `(u, r)` of rows: row `j` sums the places `order[starts[j]..starts[j + 1]]`.
///
/// # Errors
/// When shapes or types disagree, on Metal, and on the CPU when a place or a start is out of range. A CUDA kernel
/// passes such places over.
pub fn segment_sum(grads_nr: &Tensor, inverse: &Inverse) -> Result<Tensor> {
    grads_nr.dims2()?;
    check_type("the gradient of gathered rows", grads_nr, DType::F32)?;
    let (order_n, starts) = (inverse.order.contiguous()?, inverse.starts.contiguous()?);
    grads_nr.contiguous()?.apply_op3_no_bwd(&order_n, &starts, &SegmentSum)
}

fn check_ids(ids: &Tensor) -> Result<()> {
    ids.dims1()?;
    check_type("the ids of a gather", ids, DType::U32)
}

struct Gather {
    /// For the backward, where there is one.
    inverse: Option<Inverse>,
}

impl CustomOp2 for Gather {
    fn name(&self) -> &'static str {
        "gather-rows"
    }

    fn cpu_fwd(
        &self,
        table: &CpuStorage,
        lt: &Strides,
        ids: &CpuStorage,
        li: &Strides,
    ) -> Result<(CpuStorage, Shape)> {
        let (u, r) = lt.shape().dims2()?;
        let (table, ids) = (values::<f32>("a table", table, lt)?, values::<u32>("row ids", ids, li)?);
        if let Some(id) = ids.iter().find(|&&id| id != PADDING && id as usize >= u) {
            bail!("gather: there is no row {id}, the table has {u}");
        }
        let mut out = vec![0.0; ids.len() * r];
        if r > 0 {
            out.par_chunks_mut(r).zip(ids).filter(|&(_, &id)| id != PADDING).for_each(|(out, &id)| {
                out.copy_from_slice(&table[id as usize * r..][..r]);
            });
        }
        Ok((CpuStorage::F32(out), (ids.len(), r).into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        table: &CudaStorage,
        lt: &Strides,
        ids: &CudaStorage,
        li: &Strides,
    ) -> Result<(CudaStorage, Shape)> {
        let (_u, r) = lt.shape().dims2()?;
        let shape = (li.shape().elem_count(), r).into();
        Ok((super::cuda::gather((table, lt), (ids, li))?, shape))
    }

    fn bwd(
        &self,
        _rows: &Tensor,
        _ids: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let sums = self.inverse.as_ref().map(|inverse| segment_sum(grad, inverse)).transpose()?;
        Ok((sums, None))
    }
}

struct SegmentSum;

impl CustomOp3 for SegmentSum {
    fn name(&self) -> &'static str {
        "segment-sum"
    }

    fn cpu_fwd(
        &self,
        grads: &CpuStorage,
        lg: &Strides,
        order: &CpuStorage,
        lo: &Strides,
        starts: &CpuStorage,
        ls: &Strides,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, r) = lg.shape().dims2()?;
        let grads = Rows::new(values::<f32>("the gradient of gathered rows", grads, lg)?, n, r);
        let order = values::<u32>("the order of an inverse", order, lo)?;
        let starts = values::<u32>("the starts of an inverse", starts, ls)?;
        let end = starts.last().map_or(0, |&end| end as usize);
        if !starts.is_sorted() || end > order.len() || order[..end].iter().any(|&p| p as usize >= n) {
            bail!(
                "an inverse of {} starts and {} places does not fit {n} gradients",
                starts.len(),
                order.len()
            );
        }
        let u = starts.len().saturating_sub(1);
        let mut out = vec![0.0; u * r];
        if r > 0 {
            out.par_chunks_mut(CHUNK * r).enumerate().for_each(|(chunk, out)| {
                let starts = &starts[chunk * CHUNK..=chunk * CHUNK + out.len() / r];
                rows::segment_sum(grads, order, starts, out);
            });
        }
        Ok((CpuStorage::F32(out), (u, r).into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        grads: &CudaStorage,
        lg: &Strides,
        order: &CudaStorage,
        lo: &Strides,
        starts: &CudaStorage,
        ls: &Strides,
    ) -> Result<(CudaStorage, Shape)> {
        let (_n, r) = lg.shape().dims2()?;
        let shape = (ls.shape().elem_count().saturating_sub(1), r).into();
        Ok((super::cuda::segment_sum((grads, lg), (order, lo), (starts, ls))?, shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    const CPU: &Device = &Device::Cpu;

    fn table(rows: usize, r: usize) -> Tensor {
        let values = (0..rows * r).map(|j| ((j * 37 % 101) as f32).sin()).collect();
        Tensor::from_vec(values, (rows, r), CPU).unwrap()
    }

    #[test]
    fn a_rows_gradient_is_the_sum_over_its_real_places() {
        let ids = [2_u32, 0, 2, PADDING, 4, PADDING];
        let (n, u, r) = (ids.len(), 5, 3);
        let leaf = Var::from_tensor(&table(u, r)).unwrap();
        let weights = table(n, r).affine(2.0, 1.0).unwrap();
        let inverse = Inverse::new(&ids, u, CPU).unwrap();
        let places = gather_rows(leaf.as_tensor(), &Tensor::new(&ids, CPU).unwrap(), &inverse).unwrap();
        let gradients = (&places * &weights).unwrap().sum_all().unwrap().backward().unwrap();

        let (rows, places) = (leaf.to_vec2::<f32>().unwrap(), places.to_vec2::<f32>().unwrap());
        for (place, &id) in places.iter().zip(&ids) {
            assert_eq!(*place, if id == PADDING { vec![0.0; r] } else { rows[id as usize].clone() });
        }
        let weights = weights.to_vec2::<f32>().unwrap();
        let mut expected = vec![vec![0.0; r]; u];
        for (place, &id) in ids.iter().enumerate().filter(|&(_, &id)| id != PADDING) {
            (0..r).for_each(|c| expected[id as usize][c] += weights[place][c]);
        }
        assert_eq!(gradients.get(leaf.as_tensor()).unwrap().to_vec2::<f32>().unwrap(), expected);
    }

    #[test]
    fn without_padding_it_is_an_index_select_in_values_and_gradients() {
        let ids: Vec<u32> = (0..700).map(|p| p * p % 331).collect();
        let (leaf, weights) = (Var::from_tensor(&table(331, 5)).unwrap(), table(700, 5));
        let ids_n = Tensor::new(ids.as_slice(), CPU).unwrap();
        let inverse = Inverse::new(&ids, 331, CPU).unwrap();
        let ours = gather_rows(leaf.as_tensor(), &ids_n, &inverse).unwrap();
        let theirs = leaf.index_select(&ids_n, 0).unwrap();
        assert_eq!(ours.to_vec2::<f32>().unwrap(), theirs.to_vec2::<f32>().unwrap());
        let [ours, theirs] = [ours, theirs].map(|places| {
            let gradients = (places * &weights).unwrap().sum_all().unwrap().backward().unwrap();
            gradients.get(leaf.as_tensor()).unwrap().to_vec2::<f32>().unwrap()
        });
        assert_eq!(ours, theirs);
    }

    #[test]
    fn picked_rows_are_a_leaf_of_their_own() {
        let table = Var::from_tensor(&table(6, 2)).unwrap();
        let picked = pick_rows(table.as_tensor(), &Tensor::new(&[5_u32, 1, PADDING], CPU).unwrap()).unwrap();
        let rows = table.to_vec2::<f32>().unwrap();
        assert_eq!(picked.to_vec2::<f32>().unwrap(), [&rows[5][..], &rows[1], &[0.0, 0.0]]);
        assert!(picked.sum_all().unwrap().backward().unwrap().get(table.as_tensor()).is_none());
    }

    #[test]
    fn what_does_not_fit_is_an_error_that_says_what() {
        let (rows, ids) = (table(3, 2), Tensor::new(&[0_u32, 3], CPU).unwrap());
        let error = pick_rows(&rows, &ids).unwrap_err().to_string();
        assert!(error.contains("there is no row 3, the table has 3"), "{error}");
        let inverse = Inverse::new(&[0], 3, CPU).unwrap();
        let error = gather_rows(&rows, &ids, &inverse).unwrap_err().to_string();
        assert!(error.contains("an inverse of 1 places and 4 starts for 2 ids and 3 rows"), "{error}");
        let wrong = Inverse { order: Tensor::new(&[7_u32], CPU).unwrap(), ..inverse };
        assert!(segment_sum(&rows, &wrong).unwrap_err().to_string().contains("does not fit 3 gradients"));
    }
}
