//! The attention sub-layer.

use crate::support::{DROP, LENGTHS, assert_same, assert_true_gradient, layout, numbers, variable};
use candle_core::Var;
use std::sync::Arc;
use upnext_kernels::products::Products;
use upnext_kernels::rotary::Rotary;
use upnext_model::ops::attention::{Settings, reference, run};

pub(crate) fn settings(lengths: &[usize], width: usize, heads: usize, rotary: bool) -> Settings {
    let rotary = rotary.then(|| Arc::new(Rotary::new(width / heads, *lengths.iter().max().unwrap())));
    Settings { layout: layout(lengths), heads, rotary, layer: 1, drop: None, products: Products::F32 }
}

pub(crate) fn variables(tokens: usize, width: usize) -> Vec<Var> {
    let scale = 2.0 / (width as f32).sqrt();
    let qkv = variable(2, 3 * width, width, scale);
    vec![variable(1, tokens, width, 1.0), qkv, variable(3, width, width, scale)]
}

#[test]
fn fused_attention_is_the_reference() {
    for heads in [1, 2, 4] {
        for (rotary, drop) in [(false, None), (true, None), (false, Some(DROP)), (true, Some(DROP))] {
            let settings = Settings { drop, ..settings(&LENGTHS, 32, heads, rotary) };
            assert_same(
                &variables(settings.layout.tokens(), 32),
                &|x| run(&x[0], &x[1], &x[2], &settings),
                &|x| reference(&x[0], &x[1], &x[2], &settings),
                &format!("heads {heads}, rotary {rotary}, drop {drop:?}"),
            );
        }
    }
}

/// To [`assert_same`]'s tolerance, on batches drawn at random.
#[test]
fn fused_attention_is_the_reference_on_random_lengths_from_1_to_300() {
    for seed in 0..6 {
        let lengths: Vec<usize> =
            numbers(seed, 5, 1.0).iter().map(|value| 1 + (value.abs() * 299.0) as usize).collect();
        let drop = (seed % 2 == 1).then_some(DROP);
        let settings = Settings { drop, ..settings(&lengths, 24, 2, seed % 3 == 0) };
        assert_same(
            &variables(settings.layout.tokens(), 24),
            &|x| run(&x[0], &x[1], &x[2], &settings),
            &|x| reference(&x[0], &x[1], &x[2], &settings),
            &format!("lengths {lengths:?}, drop {drop:?}"),
        );
    }
}

#[test]
fn the_reference_has_the_gradient_of_finite_differences() {
    for (rotary, drop) in [(false, None), (true, None), (true, Some(DROP))] {
        let settings = Settings { drop, ..settings(&[1, 4, 2], 4, 2, rotary) };
        let case = format!("rotary {rotary}, drop {drop:?}");
        assert_true_gradient(&variables(7, 4), &|x| reference(&x[0], &x[1], &x[2], &settings), &case);
    }
}

#[test]
fn a_later_event_changes_no_earlier_state() {
    let settings = settings(&[5], 8, 2, true);
    let tensors = variables(5, 8);
    let x = tensors[0].as_tensor();
    let changed = candle_core::Tensor::cat(
        &[x.narrow(0, 0, 4).unwrap(), variable(9, 1, 8, 1.0).as_tensor().clone()],
        0,
    );
    let first_four = |x| {
        let y = run(x, &tensors[1], &tensors[2], &settings).unwrap();
        y.narrow(0, 0, 4).unwrap().to_vec2::<f32>().unwrap()
    };
    assert_eq!(first_four(x), first_four(&changed.unwrap()));
}

#[test]
fn misfits_are_named() {
    let settings = settings(&[3, 4], 8, 2, false);
    let tensors = variables(7, 8);
    let error = run(&tensors[0], &tensors[2], &tensors[2], &settings).unwrap_err().to_string();
    assert!(error.contains("attention.qkv must be (24, 8), but it is (8, 8)"), "{error}");
    let error = run(&variable(1, 6, 8, 1.0), &tensors[1], &tensors[2], &settings).unwrap_err().to_string();
    assert!(error.contains("the batch has 7 tokens, but 6 rows were given"), "{error}");
    let settings = Settings { heads: 3, ..settings };
    let error = run(&tensors[0], &tensors[1], &tensors[2], &settings).unwrap_err().to_string();
    assert!(error.contains("a width of 8 does not divide into 3 heads"), "{error}");
}

#[test]
fn rotary_positions_that_are_too_few_are_named() {
    let rotary = Some(Arc::new(Rotary::new(4, 3)));
    let settings = Settings { rotary, ..settings(&[3, 4], 8, 2, false) };
    let tensors = variables(7, 8);
    let error = run(&tensors[0], &tensors[1], &tensors[2], &settings).unwrap_err().to_string();
    assert!(error.contains("a history has 4 tokens, but there are 3 rotary positions"), "{error}");
}

#[test]
fn a_second_backward_is_refused() {
    let settings = settings(&[3, 4], 8, 2, false);
    let tensors = variables(7, 8);
    let loss = run(&tensors[0], &tensors[1], &tensors[2], &settings).unwrap().sum_all().unwrap();
    loss.backward().unwrap();
    let error = loss.backward().unwrap_err().to_string();
    assert!(error.contains("runs once for each forward"), "{error}");
}
