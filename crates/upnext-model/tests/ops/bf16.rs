//! Products of bf16 operands: fused against the reference with rounded operands, and any number of threads.

use crate::support::{DROP, LENGTHS, Op, assert_same_rounded, distance, passes, variable};
use crate::threads::{assert_equal_bits, lengths};
use crate::{attention, mlp};
use candle_core::Var;
use upnext_kernels::products::Products;
use upnext_kernels::tiles::Tiles;
use upnext_model::ops;

/// bf16 products in plain Rust, and by the CPU's tiles where it has them.
fn kinds() -> Vec<Products> {
    if Tiles::here().is_none() {
        println!("no bf16 tiles here: only their plain form is tested");
    }
    std::iter::once(Tiles::plain()).chain(Tiles::here()).map(Products::Bf16).collect()
}

/// Rounding shows: values are not those of f32, though near.
fn assert_rounded(variables: &[Var], rounded: Op<'_>, whole: Op<'_>) {
    let apart = distance(&passes(variables, rounded).0, &passes(variables, whole).0);
    assert!(apart > 1e-4 && apart < 2e-2, "{apart:e} from f32");
}

#[test]
fn fused_attention_is_the_reference_with_rounded_operands() {
    for products in kinds() {
        for (rotary, drop) in [(false, None), (true, Some(DROP))] {
            let f32 = ops::attention::Settings { drop, ..attention::settings(&LENGTHS, 32, 2, rotary) };
            let settings = ops::attention::Settings { products, ..f32.clone() };
            let variables = attention::variables(settings.layout.tokens(), 32);
            let case = format!("{products:?}, rotary {rotary}, drop {drop:?}");
            assert_same_rounded(
                &variables,
                &|x| ops::attention::run(&x[0], &x[1], &x[2], &settings),
                &|x| ops::attention::reference(&x[0], &x[1], &x[2], &settings),
                &case,
            );
            assert_rounded(&variables, &|x| ops::attention::run(&x[0], &x[1], &x[2], &settings), &|x| {
                ops::attention::run(&x[0], &x[1], &x[2], &f32)
            });
        }
    }
}

#[test]
fn the_fused_mlp_is_the_reference_with_rounded_operands() {
    for products in kinds() {
        for (tokens, hidden, drop) in [(1, 5, None), (300, 86, Some(DROP)), (1100, 40, None)] {
            let settings = ops::mlp::Settings { layer: 1, drop, products };
            assert_same_rounded(
                &mlp::variables(tokens, 32, hidden),
                &|x| ops::mlp::run(&x[0], &x[1], &x[2], &settings),
                &|x| ops::mlp::reference(&x[0], &x[1], &x[2], &settings),
                &format!("{products:?}, {tokens} tokens, hidden {hidden}, drop {drop:?}"),
            );
        }
    }
}

#[test]
fn the_fused_product_is_the_reference_with_rounded_operands() {
    for products in kinds() {
        for (tokens, inner, columns) in [(1, 3, 5), (700, 64, 32), (5000, 16, 40)] {
            let tensors = [variable(1, tokens, inner, 1.0), variable(2, columns, inner, 1.0)];
            assert_same_rounded(
                &tensors,
                &|x| ops::linear::run(&x[0], &x[1], products),
                &|x| ops::linear::reference(&x[0], &x[1], products),
                &format!("{products:?}, ({tokens}, {inner}) to {columns}"),
            );
        }
    }
}

#[test]
fn rounded_products_have_the_same_bits_at_any_number_of_threads() {
    for products in kinds() {
        let settings = ops::attention::Settings {
            drop: Some(DROP),
            products,
            ..attention::settings(&lengths(), 32, 2, true)
        };
        let variables = attention::variables(settings.layout.tokens(), 32);
        assert_equal_bits(&variables, &|x| ops::attention::run(&x[0], &x[1], &x[2], &settings));
        let settings = ops::mlp::Settings { layer: 0, drop: Some(DROP), products };
        assert_equal_bits(&mlp::variables(1900, 32, 50), &|x| ops::mlp::run(&x[0], &x[1], &x[2], &settings));
        let tensors = [variable(1, 1900, 24, 1.0), variable(2, 40, 24, 1.0)];
        assert_equal_bits(&tensors, &|x| ops::linear::run(&x[0], &x[1], products));
    }
}

/// The plain form sums in the order of the tiles: what is trained on a machine can be recomputed on another.
#[test]
fn tiles_and_their_plain_form_give_an_op_the_same_bits() {
    let Some(tiles) = Tiles::here() else {
        println!("no bf16 tiles here: skipped");
        return;
    };
    let variables = mlp::variables(700, 32, 50);
    let [plain, tiles] = [Tiles::plain(), tiles].map(|tiles| {
        let settings = ops::mlp::Settings { layer: 0, drop: Some(DROP), products: Products::Bf16(tiles) };
        passes(&variables, &|x| ops::mlp::run(&x[0], &x[1], &x[2], &settings))
    });
    assert!(plain == tiles);
}
