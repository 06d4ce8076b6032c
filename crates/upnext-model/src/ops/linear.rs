//! A product with a weight matrix, `y = x · wᵀ`, without bias: `(n, k)` to `(n, c)` by a `(c, k)` weight.

use super::host::{Host, slice};
use super::sums::{CHUNK_ROWS, lane_rows, tree};
use super::{check_matrix, fused, rounded};
use candle_core::{CpuStorage, CustomOp2, Layout as Strides, Result, Shape, Tensor};
use rayon::prelude::*;
use upnext_kernels::bf16;
use upnext_kernels::product::{Packed, Write, multiply};
use upnext_kernels::products::{Adjoint, Products, Weight};
use upnext_kernels::view::{Rows, RowsMut};

/// `x · wᵀ`: fused on the CPU, the reference elsewhere.
///
/// # Errors
/// When the widths of `x` and `w` disagree.
pub fn run(x_nk: &Tensor, w_ck: &Tensor, products: Products) -> Result<Tensor> {
    let (_n, k) = x_nk.dims2()?;
    check_matrix("the weight of a linear layer", w_ck, w_ck.dim(0)?, k)?;
    if !fused(x_nk) {
        return reference(x_nk, w_ck, products);
    }
    x_nk.contiguous()?.apply_op2(&w_ck.contiguous()?, Linear { products })
}

/// The same by candle's `matmul`.
///
/// # Errors
/// When the widths of `x` and `w` disagree.
pub fn reference(x_nk: &Tensor, w_ck: &Tensor, products: Products) -> Result<Tensor> {
    match products {
        Products::F32 => x_nk.matmul(&w_ck.t()?),
        Products::Bf16(_) => rounded::product(x_nk, w_ck),
    }
}

/// `out = x · wᵀ` over slices: rows do not mix, so any cut of the rows gives the same bits.
pub fn forward(x: &[f32], weight: &Packed, out: &mut [f32]) {
    let rows = x.len() / weight.inner();
    let x = Rows::new(x, rows, weight.inner());
    multiply(x, weight, RowsMut::new(out, rows, weight.cols()), Write::Set);
}

struct Linear {
    products: Products,
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Strides,
        w: &CpuStorage,
        lw: &Strides,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, k), (c, _)) = (lx.shape().dims2()?, lw.shape().dims2()?);
        let x = slice("the input of a linear layer", x, lx)?;
        let weight = self.products.weight(slice("the weight of a linear layer", w, lw)?, c, k);
        let mut out = vec![0.0; n * c];
        let chunks = out.par_chunks_mut(CHUNK_ROWS * c).zip(x.par_chunks(CHUNK_ROWS * k));
        chunks.for_each_init(bf16::Scratch::default, |scratch, (out, x)| match &weight {
            Weight::F32(weight) => forward(x, weight, out),
            Weight::Bf16(_) => {
                let rows = x.len() / k;
                weight.multiply(Rows::new(x, rows, k), RowsMut::new(out, rows, c), Write::Set, scratch);
            }
        });
        Ok((CpuStorage::F32(out), (n, c).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((n, k), (c, _)) = (x.dims2()?, w.dims2()?);
        let dy = dy.contiguous()?;
        let (x_host, w_host, dy_host) = (Host::of("x", x), Host::of("w", w), Host::of("dy", &dy));
        let (xs, ws, dys) = (x_host.values()?, w_host.values()?, dy_host.values()?);
        let lane = lane_rows(n);
        let mut dx = vec![0.0; n * k];
        let parts = dx.par_chunks_mut(lane * k).zip(xs.par_chunks(lane * k)).zip(dys.par_chunks(lane * c));
        let pass = Backward { k, c, products: self.products, weight: self.products.adjoint(ws, c, k) };
        let parts: Vec<Vec<f32>> = parts.map(|((dx, x), dy)| pass.lane(x, dy, dx)).collect();
        let dw = Tensor::from_vec(tree(parts), (c, k), w.device())?;
        Ok((Some(Tensor::from_vec(dx, (n, k), x.device())?), Some(dw)))
    }
}

/// What the lanes of one backward share.
struct Backward<'a> {
    k: usize,
    c: usize,
    products: Products,
    weight: Adjoint<'a>,
}

impl Backward<'_> {
    /// One lane's gradients: fills `dx` (rows, k) and returns its share of dw (c, k).
    fn lane(&self, x: &[f32], dy: &[f32], dx: &mut [f32]) -> Vec<f32> {
        let (k, c) = (self.k, self.c);
        let lengths = dy.chunks(CHUNK_ROWS * c).map(|dy| dy.len() / c);
        let mut scratch = bf16::Scratch::default();
        let mut dw = self.products.weight_gradient(c, k, lengths, &mut scratch);
        let pieces =
            dx.chunks_mut(CHUNK_ROWS * k).zip(x.chunks(CHUNK_ROWS * k)).zip(dy.chunks(CHUNK_ROWS * c));
        for ((dx, x), dy) in pieces {
            let rows = x.len() / k;
            let dy = Rows::new(dy, rows, c);
            self.weight.multiply(dy, RowsMut::new(dx, rows, k), Write::Set, &mut scratch);
            dw.add(dy, Rows::new(x, rows, k));
        }
        dw.finish(&mut scratch)
    }
}
