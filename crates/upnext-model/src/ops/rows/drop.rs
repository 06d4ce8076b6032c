//! Dropout where the values are: no mask is stored or sent, each element's fate is hashed on the spot.
//!
//! The masks are those of the jagged batch, whatever the padding between its rows: [`crate::dropout`] says which
//! element is which.

use super::{PADDING, check_type, own};
use crate::dropout::of_history;
use crate::ops::host::{Host, values};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout as Strides, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use upnext_kernels::dropout::Mask;

/// Rows of `(n, d)` with a site's mask: row `p` holds token `tokens[p]` of the batch; rows of [`PADDING`] become zeros.
///
/// # Errors
/// When shapes or types disagree.
pub fn drop_tokens(x_nd: &Tensor, tokens_n: &Tensor, mask: Mask) -> Result<Tensor> {
    let (n, _d) = x_nd.dims2()?;
    check(x_nd, "the tokens of a mask", tokens_n, n)?;
    apply(x_nd, &Drop { mask, of: Of::Tokens, ids: tokens_n.contiguous()? })
}

/// Probabilities `(b, h, t, t)` with a layer's mask: `histories[j]` is which history of the batch the `j`-th is; those
/// of [`PADDING`] become zeros.
///
/// # Errors
/// When shapes or types disagree.
pub fn drop_probabilities(p_bhtt: &Tensor, histories_b: &Tensor, mask: Mask) -> Result<Tensor> {
    let (b, h, t, keys) = p_bhtt.dims4()?;
    check(p_bhtt, "the histories of a mask", histories_b, b)?;
    if t != keys || h >= 1 << 8 || t >= 1 << 24 {
        bail!("a mask covers up to 255 heads of up to 2^24 positions squared, not {:?}", p_bhtt.shape());
    }
    let op = Drop { mask, of: Of::Probabilities, ids: histories_b.contiguous()? };
    apply(p_bhtt, &op)
}

fn check(x: &Tensor, what: &str, ids: &Tensor, rows: usize) -> Result<()> {
    check_type("what is masked", x, DType::F32)?;
    check_type(what, ids, DType::U32)?;
    if ids.dims1()? != rows {
        bail!("{what} are {}, but there are {rows}", ids.elem_count());
    }
    Ok(())
}

fn apply(x: &Tensor, op: &Drop) -> Result<Tensor> {
    if !own(x) {
        // The mask is made on the host and sent.
        let ones = Tensor::ones(x.shape(), DType::F32, &Device::Cpu)?;
        let scales = ones.apply_op1_no_bwd(&Drop { ids: op.ids.to_device(&Device::Cpu)?, ..op.clone() })?;
        return x * scales.to_device(x.device())?;
    }
    x.contiguous()?.apply_op1(op.clone())
}

/// What the leading axis of a masked tensor counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Of {
    Tokens,
    Probabilities,
}

#[derive(Clone)]
pub(super) struct Drop {
    pub(super) mask: Mask,
    pub(super) of: Of,
    /// Whose each entry of the leading axis is.
    pub(super) ids: Tensor,
}

impl CustomOp1 for Drop {
    fn name(&self) -> &'static str {
        "drop"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Strides) -> Result<(CpuStorage, Shape)> {
        let shape = layout.shape();
        let mut out = values::<f32>("what is masked", x, layout)?.to_vec();
        let ids = Host::of("whose a mask is", &self.ids);
        let (ids, dims) = (ids.typed::<u32>()?, shape.dims());
        let each = out.len() / ids.len().max(1);
        if each > 0 {
            let width = dims[dims.len() - 1];
            out.par_chunks_mut(each).zip(ids).for_each(|(out, &id)| match (id, self.of) {
                (PADDING, _) => out.fill(0.0),
                (id, Of::Tokens) => self.mask.apply(out, u64::from(id) * width as u64),
                (id, Of::Probabilities) => {
                    let mask = of_history(self.mask, id as usize);
                    for (row, out) in out.chunks_exact_mut(width).enumerate() {
                        // The row of (head, query): see the element's index in the composed sub-layer.
                        mask.apply_row(out, ((row / width) as u64) << 24 | (row % width) as u64);
                    }
                }
            });
        }
        Ok((CpuStorage::F32(out), shape.clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Strides) -> Result<(CudaStorage, Shape)> {
        Ok((super::cuda::drop((x, layout), self)?, layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(dy.contiguous()?.apply_op1_no_bwd(self)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    const MASK: Mask = Mask { key: 77, rate: 0.4 };

    fn ids(ids: &[u32]) -> Tensor {
        Tensor::new(ids, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_token_has_the_mask_of_its_place_in_the_batch_and_so_has_its_gradient() {
        let x = Var::from_tensor(&Tensor::ones((3, 5), DType::F32, &Device::Cpu).unwrap()).unwrap();
        let y = drop_tokens(x.as_tensor(), &ids(&[7, PADDING, 2]), MASK).unwrap();
        let gradients = y.sum_all().unwrap().backward().unwrap();
        let expected: Vec<f32> = [Some(7_u64), None, Some(2)]
            .into_iter()
            .flat_map(|token| (0..5).map(move |c| token.map_or(0.0, |token| MASK.scale(token * 5 + c))))
            .collect();
        for found in [&y, gradients.get(x.as_tensor()).unwrap()] {
            assert_eq!(found.flatten_all().unwrap().to_vec1::<f32>().unwrap(), expected);
        }
    }

    #[test]
    fn a_probability_has_the_mask_of_its_history_head_query_and_key() {
        let (h, t) = (2, 3);
        let x = Tensor::ones((2, h, t, t), DType::F32, &Device::Cpu).unwrap();
        let y = drop_probabilities(&x, &ids(&[4, PADDING]), MASK).unwrap();
        let y = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (at, &found) in y.iter().enumerate() {
            let (j, head, query, key) = (at / (h * t * t), at / (t * t) % h, at / t % t, at % t);
            let index = (head as u64) << 56 | (query as u64) << 32 | key as u64;
            let expected = if j == 0 { of_history(MASK, 4).scale(index) } else { 0.0 };
            assert_eq!(found, expected, "head {head}, query {query}, key {key} of the {j}-th");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let x = Tensor::ones((3, 5), DType::F32, &Device::Cpu).unwrap();
        let error = drop_tokens(&x, &ids(&[1]), MASK).unwrap_err().to_string();
        assert!(error.contains("the tokens of a mask are 1, but there are 3"), "{error}");
    }
}
