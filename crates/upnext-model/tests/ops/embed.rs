//! Learned positions and embedding dropout.

use crate::support::{DROP, LENGTHS, assert_same, assert_true_gradient, layout, variable};
use upnext_model::ops::embed::{reference, run};

#[test]
fn fused_embedding_is_the_reference() {
    let layout = layout(&LENGTHS);
    let tensors = [variable(1, layout.tokens(), 24, 1.0), variable(2, 210, 24, 1.0)];
    for drop in [None, Some(DROP)] {
        assert_same(
            &tensors,
            &|x| run(&x[0], Some(&x[1]), &layout, drop),
            &|x| reference(&x[0], Some(&x[1]), &layout, drop),
            &format!("drop {drop:?}"),
        );
        assert_same(
            &tensors[..1],
            &|x| run(&x[0], None, &layout, drop),
            &|x| reference(&x[0], None, &layout, drop),
            &format!("no positions, drop {drop:?}"),
        );
    }
}

#[test]
fn the_reference_has_the_gradient_of_finite_differences() {
    let layout = layout(&[1, 3, 2]);
    let tensors = [variable(1, 6, 3, 1.0), variable(2, 4, 3, 1.0)];
    assert_true_gradient(&tensors, &|x| reference(&x[0], Some(&x[1]), &layout, Some(DROP)), "embed");
}

#[test]
fn a_history_longer_than_the_positions_is_refused() {
    let layout = layout(&[2, 5]);
    let (x, positions) = (variable(1, 7, 4, 1.0), variable(2, 4, 4, 1.0));
    let error = run(&x, Some(&positions), &layout, None).unwrap_err().to_string();
    assert!(error.contains("a history has 5 tokens, but there are 4 learned positions"), "{error}");
}
