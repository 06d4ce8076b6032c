//! Ops without parameters of their own shape: gather, linear, norm.

use crate::support::{assert_same, assert_true_gradient, numbers, variable};
use std::sync::Arc;
use upnext_kernels::products::Products;
use upnext_model::ops::gather::{self, Segments};
use upnext_model::ops::{linear, norm};

pub(crate) fn segments(tokens: usize, rows: usize) -> Arc<Segments> {
    let positions: Vec<u32> = numbers(4, tokens, 1.0)
        .iter()
        .map(|x| ((x + 1.0) / 2.0 * rows as f32) as u32 % rows as u32)
        .collect();
    Arc::new(Segments::new(&positions, rows).unwrap())
}

#[test]
fn fused_gather_is_the_reference() {
    for (tokens, rows) in [(1, 1), (40, 7), (3000, 900)] {
        let segments = segments(tokens, rows);
        let leaf = [variable(1, rows, 17, 1.0)];
        let case = format!("{tokens} tokens of {rows} rows");
        assert_same(
            &leaf,
            &|x| gather::run(&x[0], &segments),
            &|x| gather::reference(&x[0], &segments),
            &case,
        );
    }
}

#[test]
fn the_fused_product_is_the_reference() {
    for (tokens, inner, columns) in [(1, 3, 5), (700, 64, 32), (5000, 16, 40)] {
        let tensors = [variable(1, tokens, inner, 1.0), variable(2, columns, inner, 1.0)];
        let case = format!("({tokens}, {inner}) to {columns}");
        assert_same(
            &tensors,
            &|x| linear::run(&x[0], &x[1], Products::F32),
            &|x| linear::reference(&x[0], &x[1], Products::F32),
            &case,
        );
    }
}

#[test]
fn the_fused_norm_is_the_reference() {
    for (tokens, width) in [(1, 7), (600, 64)] {
        let tensors = [variable(1, tokens, width, 2.0)];
        assert_same(
            &tensors,
            &|x| norm::run(&x[0]),
            &|x| norm::reference(&x[0]),
            &format!("({tokens}, {width})"),
        );
    }
}

#[test]
fn the_references_have_the_gradient_of_finite_differences() {
    let segments = segments(9, 4);
    assert_true_gradient(&[variable(1, 4, 3, 1.0)], &|x| gather::reference(&x[0], &segments), "gather");
    let tensors = [variable(1, 5, 4, 1.0), variable(2, 3, 4, 1.0)];
    assert_true_gradient(&tensors, &|x| linear::reference(&x[0], &x[1], Products::F32), "linear");
    assert_true_gradient(&tensors[..1], &|x| norm::reference(&x[0]), "norm");
}

#[test]
fn misfits_are_named() {
    let error = gather::run(&variable(1, 5, 3, 1.0), &segments(9, 4)).unwrap_err().to_string();
    assert!(error.contains("the leaf has 5 rows, but its positions were sorted for 4"), "{error}");
    let error =
        linear::run(&variable(1, 5, 3, 1.0), &variable(2, 2, 4, 1.0), Products::F32).unwrap_err().to_string();
    assert!(error.contains("must be (2, 3), but it is (2, 4)"), "{error}");
    assert!(linear::run(&variable(1, 5, 3, 1.0), &variable(2, 0, 3, 1.0), Products::F32).is_err());
    assert!(norm::run(&variable(1, 5, 3, 1.0).flatten_all().unwrap()).is_err());
}
