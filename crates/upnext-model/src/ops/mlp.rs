//! Gated feed-forward sub-layer (`SwiGLU`, Shazeer 2020, arXiv:2002.05202), pre-norm, residual inside:
//! `y = x + drop(W_down · (silu(g) ⊙ u))` with `[g; u] = W_gate_up · rmsnorm(x)`.
//!
//! Letters: n tokens, d width, m hidden width. `W_gate_up (2m, d)`, `W_down (d, m)`. Tokens do not mix.

mod fused;

use super::sums::{appended, sized};
use super::{check_matrix, dropped, fused as takes, linear, norm};
use crate::dropout::{Drop, Site};
use candle_core::{Result, Tensor};
use upnext_kernels::bf16;
use upnext_kernels::dropout::Mask;
use upnext_kernels::gate::swiglu;
use upnext_kernels::norm::rms_norm;
use upnext_kernels::product::Write;
use upnext_kernels::products::{Products, Weight};
use upnext_kernels::view::{Rows, RowsMut};

/// What the sub-layer needs besides its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Which layer of the decoder this is, from 0; it keys the dropout.
    pub layer: usize,
    /// Dropout of the step; none outside training.
    pub drop: Option<Drop>,
    /// How the products with its matrices are computed.
    pub products: Products,
}

impl Settings {
    fn mask(&self) -> Option<Mask> {
        self.drop.and_then(|drop| drop.mask(Site::MlpOutput, self.layer))
    }
}

/// The sub-layer: fused on the CPU, the reference elsewhere.
///
/// # Errors
/// When the matrices do not fit the width of `x` or each other.
pub fn run(x_nd: &Tensor, gate_up: &Tensor, down: &Tensor, settings: &Settings) -> Result<Tensor> {
    check(x_nd, gate_up, down)?;
    if !takes(x_nd) {
        return reference(x_nd, gate_up, down, settings);
    }
    let op = fused::MlpSub::new(settings);
    x_nd.contiguous()?.apply_op3(&gate_up.contiguous()?, &down.contiguous()?, op)
}

/// The same composed of candle ops.
///
/// # Errors
/// As [`run`].
pub fn reference(x_nd: &Tensor, gate_up: &Tensor, down: &Tensor, settings: &Settings) -> Result<Tensor> {
    check(x_nd, gate_up, down)?;
    let hidden_nm = gated(&linear::reference(&norm::reference(x_nd)?, gate_up, settings.products)?)?;
    x_nd + dropped(linear::reference(&hidden_nm, down, settings.products)?, settings.mask())?
}

/// `silu(g) ⊙ u` of `[g | u]` `(n, 2m)`, composed; silu(g) = g / (1 + exp(-g)).
pub(crate) fn gated(gate_up_n2m: &Tensor) -> Result<Tensor> {
    let m = gate_up_n2m.dim(1)? / 2;
    let gate_nm = gate_up_n2m.narrow(1, 0, m)?;
    let gate_nm = (&gate_nm / (gate_nm.neg()?.exp()? + 1.0)?)?;
    gate_nm * gate_up_n2m.narrow(1, m, m)?
}

/// Refuses shapes that do not fit.
fn check(x_nd: &Tensor, gate_up: &Tensor, down: &Tensor) -> Result<()> {
    let ((_n, d), (_d, m)) = (x_nd.dims2()?, down.dims2()?);
    check_matrix("mlp.gate_up", gate_up, 2 * m, d)?;
    check_matrix("mlp.down", down, d, m)
}

/// The matrices of one sub-layer, packed for products.
pub struct Weights {
    gate_up: Weight,
    down: Weight,
}

impl Weights {
    /// Packs `gate_up (2m, d)` and `down (d, m)`; serving multiplies in f32.
    pub fn new(gate_up: &[f32], down: &[f32], width: usize, hidden: usize, products: Products) -> Self {
        Self {
            gate_up: products.weight(gate_up, 2 * hidden, width),
            down: products.weight(down, width, hidden),
        }
    }
}

/// Buffers that calls of [`forward`] share.
#[derive(Default)]
pub struct Scratch {
    norm: Vec<f32>,
    gate_up: Vec<f32>,
    hidden: Vec<f32>,
    out: Vec<f32>,
    packed: bf16::Scratch,
}

/// The sub-layer over the rows `x (rows, d)`, in place; a row's bits do not depend on its neighbours.
///
/// `mask` comes with the global index of the first row's token. The products `[g | u]` are appended to `saved` when a
/// backward will need them.
pub fn forward(
    x: &mut [f32],
    weights: &Weights,
    mask: Option<(Mask, usize)>,
    saved: Option<&mut Vec<f32>>,
    scratch: &mut Scratch,
) {
    let (d, m) = (weights.down.cols(), weights.down.inner());
    let rows = x.len() / d;
    let norm = sized(&mut scratch.norm, rows * d);
    rms_norm(x, d, norm);
    let gate_up = match saved {
        Some(saved) => appended(saved, rows * 2 * m),
        None => sized(&mut scratch.gate_up, rows * 2 * m),
    };
    let packed = &mut scratch.packed;
    let out = RowsMut::new(gate_up, rows, 2 * m);
    weights.gate_up.multiply(Rows::new(norm, rows, d), out, Write::Set, packed);
    let hidden = sized(&mut scratch.hidden, rows * m);
    swiglu(gate_up, m, hidden);
    residual(x, Rows::new(hidden, rows, m), &weights.down, mask, &mut scratch.out, packed);
}

/// `x += drop(input · wᵀ)`; without a mask the product accumulates right onto `x`.
pub(super) fn residual(
    x: &mut [f32],
    input: Rows<'_>,
    weight: &Weight,
    mask: Option<(Mask, usize)>,
    scratch: &mut Vec<f32>,
    packed: &mut bf16::Scratch,
) {
    let d = weight.cols();
    let rows = x.len() / d;
    let Some((mask, first_token)) = mask else {
        return weight.multiply(input, RowsMut::new(x, rows, d), Write::Add, packed);
    };
    let out = sized(scratch, rows * d);
    weight.multiply(input, RowsMut::new(out, rows, d), Write::Set, packed);
    mask.apply(out, (first_token * d) as u64);
    x.iter_mut().zip(out).for_each(|(x, out)| *x += *out);
}
