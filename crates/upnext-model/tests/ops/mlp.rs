//! The feed-forward sub-layer.

use crate::support::{DROP, assert_same, assert_true_gradient, variable};
use candle_core::Var;
use upnext_kernels::products::Products;
use upnext_model::ops::mlp::{Settings, reference, run};

pub(crate) fn variables(tokens: usize, width: usize, hidden: usize) -> Vec<Var> {
    let gate_up = variable(2, 2 * hidden, width, 2.0 / (width as f32).sqrt());
    vec![variable(1, tokens, width, 1.0), gate_up, variable(3, width, hidden, 1.0 / (hidden as f32).sqrt())]
}

#[test]
fn the_fused_mlp_is_the_reference() {
    for (tokens, hidden) in [(1, 5), (300, 86), (1100, 40)] {
        for drop in [None, Some(DROP)] {
            let settings = Settings { layer: 1, drop, products: Products::F32 };
            assert_same(
                &variables(tokens, 32, hidden),
                &|x| run(&x[0], &x[1], &x[2], &settings),
                &|x| reference(&x[0], &x[1], &x[2], &settings),
                &format!("{tokens} tokens, hidden {hidden}, drop {drop:?}"),
            );
        }
    }
}

#[test]
fn the_reference_has_the_gradient_of_finite_differences() {
    for drop in [None, Some(DROP)] {
        let settings = Settings { layer: 0, drop, products: Products::F32 };
        let case = format!("drop {drop:?}");
        assert_true_gradient(&variables(5, 4, 6), &|x| reference(&x[0], &x[1], &x[2], &settings), &case);
    }
}

#[test]
fn a_gate_that_does_not_fit_is_named() {
    let tensors = variables(3, 8, 10);
    let settings = Settings { layer: 0, drop: None, products: Products::F32 };
    let error = run(&tensors[0], &tensors[2], &tensors[2], &settings).unwrap_err().to_string();
    assert!(error.contains("mlp.gate_up must be (20, 8), but it is (8, 10)"), "{error}");
}
