//! The best of many scores, row by row.

use super::check_type;
use crate::ops::host::values;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout as Strides, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::cmp::Ordering;

/// Longest list that [`top_k`] makes.
pub(super) const LONGEST: usize = 1024;

/// Values `(b, k)` f32 and ids `(b, k)` u32 of the `k` best scores of each row of `(b, i)`, best first.
///
/// Equal scores are ordered by id, and a score that is not finite comes after all that are, by id. CUDA finds the best of
/// each block of scores, then the best of these; on Metal scores are copied to the host and back.
///
/// # Errors
/// When scores are not f32, or `k` is more than i, more than 1024, or 0.
pub fn top_k(scores_bi: &Tensor, k: usize) -> Result<(Tensor, Tensor)> {
    let (_b, i) = scores_bi.dims2()?;
    check_type("scores", scores_bi, DType::F32)?;
    if k == 0 || k > i.min(LONGEST) || u32::try_from(i).is_err() {
        bail!("the {k} best of {i} scores: it must be 1 to {}", i.min(LONGEST));
    }
    let scores_bi = scores_bi.detach().contiguous()?;
    let ids_bk = if scores_bi.device().is_metal() {
        let ids_bk = scores_bi.to_device(&Device::Cpu)?.apply_op1_no_bwd(&TopK { k })?;
        ids_bk.to_device(scores_bi.device())?
    } else {
        scores_bi.apply_op1_no_bwd(&TopK { k })?
    };
    Ok((scores_bi.gather(&ids_bk, 1)?, ids_bk))
}

struct TopK {
    k: usize,
}

impl CustomOp1 for TopK {
    fn name(&self) -> &'static str {
        "top-k"
    }

    fn cpu_fwd(&self, scores: &CpuStorage, layout: &Strides) -> Result<(CpuStorage, Shape)> {
        let ((b, i), k) = (layout.shape().dims2()?, self.k);
        let scores = values::<f32>("scores", scores, layout)?;
        let mut out = vec![0; b * k];
        out.par_chunks_mut(k).zip(scores.par_chunks(i)).for_each(|(out, scores)| {
            let order = |&a: &u32, &b: &u32| order((scores[a as usize], a), (scores[b as usize], b));
            let mut ids: Vec<u32> = (0..i as u32).collect();
            if k < i {
                ids.select_nth_unstable_by(k, order);
            }
            let best = &mut ids[..k];
            best.sort_unstable_by(order);
            out.copy_from_slice(best);
        });
        Ok((CpuStorage::U32(out), (b, k).into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, scores: &CudaStorage, layout: &Strides) -> Result<(CudaStorage, Shape)> {
        let (b, _i) = layout.shape().dims2()?;
        Ok((super::cuda::top_k((scores, layout), self.k)?, (b, self.k).into()))
    }
}

/// Finite scores first, higher ones first, then by id.
fn order((a, i): (f32, u32), (b, j): (f32, u32)) -> Ordering {
    match (a.is_finite(), b.is_finite()) {
        (true, true) => b.partial_cmp(&a).unwrap_or(Ordering::Equal).then(i.cmp(&j)),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => i.cmp(&j),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_lower_id_and_what_is_not_finite_comes_last() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let scores =
            Tensor::new(&[[1.0, 3.0, nan, 3.0, inf], [-0.0, 0.0, -inf, -1.0, 0.0]], &Device::Cpu).unwrap();
        let (values, ids) = top_k(&scores, 5).unwrap();
        assert_eq!(ids.to_vec2::<u32>().unwrap(), [[1, 3, 0, 2, 4], [0, 1, 4, 3, 2]]);
        assert_eq!(values.get(0).unwrap().to_vec1::<f32>().unwrap()[..3], [3.0, 3.0, 1.0]);
    }

    #[test]
    fn a_short_list_is_the_start_of_the_sorted_scores() {
        let scores: Vec<f32> = (0..3000).map(|j| (j * 7919 % 997) as f32).collect();
        let rows = Tensor::from_slice(&scores, (3, 1000), &Device::Cpu).unwrap();
        for k in [1, 10, 999] {
            let ids = top_k(&rows, k).unwrap().1.to_vec2::<u32>().unwrap();
            for (ids, scores) in ids.iter().zip(scores.chunks(1000)) {
                let mut all: Vec<u32> = (0..1000).collect();
                all.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
                assert_eq!(ids[..], all[..k]);
            }
        }
    }

    #[test]
    fn a_list_longer_than_the_scores_is_refused() {
        let scores = Tensor::zeros((2, 5), DType::F32, &Device::Cpu).unwrap();
        for k in [0, 6] {
            assert!(top_k(&scores, k).unwrap_err().to_string().contains("it must be 1 to 5"));
        }
    }
}
