//! The number of threads moves no bit.

use crate::rows::segments;
use crate::support::{DROP, Op, layout, passes, variable};
use crate::{attention, mlp};
use candle_core::Var;
use upnext_kernels::products::Products;
use upnext_model::ops;

/// Values and gradients at 1, 2 and 3 threads are the same bits.
pub(crate) fn assert_equal_bits(
    variables: &[Var],
    op: &(dyn Fn(&[candle_core::Tensor]) -> candle_core::Result<candle_core::Tensor> + Sync),
) {
    let bits = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (out, gradients) = pool.install(|| passes(variables, op as Op<'_>));
        let all = std::iter::once(out).chain(gradients).flatten();
        all.map(f64::to_bits).collect::<Vec<_>>()
    };
    let alone = bits(1);
    for threads in [2, 3] {
        assert!(alone == bits(threads), "bits differ at {threads} threads");
    }
}

pub(crate) fn lengths() -> Vec<usize> {
    (0..40).map(|j| 1 + j * 13 % 90).collect()
}

#[test]
fn attention_has_the_same_bits_at_any_number_of_threads() {
    let settings =
        ops::attention::Settings { drop: Some(DROP), ..attention::settings(&lengths(), 32, 2, true) };
    let variables = attention::variables(settings.layout.tokens(), 32);
    assert_equal_bits(&variables, &|x| ops::attention::run(&x[0], &x[1], &x[2], &settings));
}

#[test]
fn the_mlp_has_the_same_bits_at_any_number_of_threads() {
    let settings = ops::mlp::Settings { layer: 0, drop: Some(DROP), products: Products::F32 };
    assert_equal_bits(&mlp::variables(1900, 32, 50), &|x| ops::mlp::run(&x[0], &x[1], &x[2], &settings));
}

#[test]
fn the_other_ops_have_the_same_bits_at_any_number_of_threads() {
    let layout = layout(&lengths());
    let tensors = [variable(1, layout.tokens(), 16, 1.0), variable(2, 90, 16, 1.0)];
    assert_equal_bits(&tensors, &|x| ops::embed::run(&x[0], Some(&x[1]), &layout, Some(DROP)));
    assert_equal_bits(&tensors, &|x| ops::linear::run(&x[0], &x[1], Products::F32));
    assert_equal_bits(&tensors[..1], &|x| ops::norm::run(&x[0]));
    let segments = segments(4000, 700);
    assert_equal_bits(&[variable(3, 700, 16, 1.0)], &|x| ops::gather::run(&x[0], &segments));
}
