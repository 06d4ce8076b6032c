//! A product of operands rounded to bf16, composed of candle ops: what bf16 [`Products`] mean, on any device.
//!
//! `y = r(x) · r(w)ᵀ`, and for a gradient dy of y: `dx = r(dy) · r(w)` and `dw = r(dy)ᵀ · r(x)`, where r rounds to
//! nearest even. Sums are those of `matmul` in the operands' own type.
//!
//! [`Products`]: upnext_kernels::products::Products

use candle_core::{DType, Result, Tensor};

/// `r(x) · r(w)ᵀ` with those gradients.
pub(super) fn product(x_nk: &Tensor, w_ck: &Tensor) -> Result<Tensor> {
    gradient_rounded(&value_rounded(x_nk)?.matmul(&value_rounded(w_ck)?.t()?)?)
}

/// r(x), whose gradient goes to x as it is.
fn value_rounded(x: &Tensor) -> Result<Tensor> {
    round(&x.detach())? + (x - x.detach())?
}

/// y, whose gradient is rounded on its way: a conversion converts its gradient, too.
fn gradient_rounded(y: &Tensor) -> Result<Tensor> {
    let rounded = round(y)?;
    y.detach() + (&rounded - rounded.detach())?
}

fn round(x: &Tensor) -> Result<Tensor> {
    x.to_dtype(DType::BF16)?.to_dtype(x.dtype())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    /// 1 + 2⁻⁸ is halfway between 1 and the next bf16, and goes to the even one, 1.
    #[test]
    fn operands_and_the_gradient_are_rounded_and_nothing_else_is() {
        let var = |value: f32| Var::new(&[[value]], &Device::Cpu).unwrap();
        let (x, w) = (var(1.0 + 1.0 / 256.0), var(3.0));
        let y = product(&x, &w).unwrap();
        // 100.1 is not a bf16; the nearest is 100.
        let loss = (&y * 100.1).unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        let value = |tensor: &Tensor| tensor.to_vec2::<f32>().unwrap()[0][0];
        let of = |var: &Var| value(gradients.get(var.as_tensor()).unwrap());
        assert_eq!((value(&y), of(&x), of(&w)), (3.0, 300.0, 100.0));
    }
}
