//! Products against plain f64 loops, and their bits against each other.

use super::*;
use crate::testing::{bits, close, noise};

/// `x (m, k) · b (k, n)` in f64.
fn truth(x: &[f32], b: &[f32], [m, k, n]: [usize; 3]) -> Vec<f64> {
    let mut out = vec![0f64; m * n];
    for i in 0..m {
        for q in 0..k {
            for j in 0..n {
                out[i * n + j] += f64::from(x[i * k + q]) * f64::from(b[q * n + j]);
            }
        }
    }
    out
}

fn product(level: Chosen, x: &[f32], b: &Packed, m: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; m * b.cols()];
    let cols = b.cols();
    let view = RowsMut::new(&mut out, m, cols);
    multiply_at(level, Rows::new(x, m, b.inner()), b, 0..cols, view, Write::Set);
    out
}

#[test]
fn products_agree_with_plain_loops_at_every_shape() {
    for [m, k, n] in [[1, 1, 1], [2, 7, 33], [13, 64, 40], [17, 300, 96], [175, 5, 7], [3, 0, 9]] {
        let (x, b) = (noise(1, m * k), noise(2, k * n));
        let packed = Packed::plain(&b, k, n);
        for level in Chosen::all() {
            close(&product(level, &x, &packed, m), &truth(&x, &b, [m, k, n]), 1e-6);
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_rows_or_the_level() {
    for (k, n) in [(64, 192), (37, 45), (301, 33)] {
        let (x, packed) = (noise(3, 64 * k), Packed::transposed(&noise(4, n * k), n, k));
        let whole = product(Chosen::now(), &x, &packed, 64);
        for level in Chosen::all() {
            for m in [1, 2, 3, 4, 5, 7, 8, 13, 17, 64] {
                let part = product(level, &x[..m * k], &packed, m);
                assert_eq!(bits(&part), bits(&whole[..m * n]), "{m} rows of ({k}, {n}) at {level:?}");
            }
        }
    }
}

#[test]
fn cutting_the_inner_axis_into_calls_moves_no_bit() {
    let (m, k, n) = (9, 290, 50);
    let (x, b) = (noise(5, m * k), noise(6, k * n));
    let whole = product(Chosen::now(), &x, &Packed::plain(&b, k, n), m);
    for level in Chosen::all() {
        for cut in [1, 32, 100, 257, 289] {
            let mut out = vec![f32::NAN; m * n];
            let (first, second) =
                (Packed::plain(&b[..cut * n], cut, n), Packed::plain(&b[cut * n..], k - cut, n));
            let left = Rows::strided(&x, m, cut, k);
            multiply_at(level, left, &first, 0..n, RowsMut::new(&mut out, m, n), Write::Set);
            let left = Rows::strided(&x[cut..], m, k - cut, k);
            multiply_at(level, left, &second, 0..n, RowsMut::new(&mut out, m, n), Write::Add);
            assert_eq!(bits(&out), bits(&whole), "cut at {cut}, {level:?}");
        }
    }
}

#[test]
fn some_columns_are_the_columns_of_all_and_nothing_else_is_written() {
    let (m, k, n) = (5, 20, 100);
    let (x, packed) = (noise(7, m * k), Packed::transposed(&noise(8, n * k), n, k));
    let whole = product(Chosen::now(), &x, &packed, m);
    for level in Chosen::all() {
        for columns in [0..32, 32..33, 64..100, 32..91, 96..96] {
            let width = columns.len();
            let mut out = vec![7f32; m * 80];
            let view = RowsMut::strided(&mut out, m, width, 80);
            multiply_at(level, Rows::new(&x, m, k), &packed, columns.clone(), view, Write::Set);
            for i in 0..m {
                let expected = &whole[i * n + columns.start..i * n + columns.end];
                assert_eq!(bits(&out[i * 80..i * 80 + width]), bits(expected));
                assert!(out[i * 80 + width..(i + 1) * 80].iter().all(|&x| x == 7.0));
            }
        }
    }
}

#[test]
fn gradients_of_a_weight_agree_with_plain_loops() {
    let (m, cols, inner) = (23, 10, 17);
    let (dy, w, x) = (noise(9, m * cols), noise(10, cols * inner), noise(11, m * inner));
    let mut dx = vec![1f32; m * inner];
    gradient_input(Rows::new(&dy, m, cols), &w, RowsMut::new(&mut dx, m, inner), Write::Set);
    close(&dx, &truth(&dy, &w, [m, cols, inner]), 1e-6);
    let transpose: Vec<f32> = (0..cols * m).map(|i| dy[i % m * cols + i / m]).collect();
    let expected = truth(&transpose, &x, [cols, m, inner]);
    let mut dw = vec![0f32; cols * inner];
    gradient_weight(Rows::new(&dy, m, cols), Rows::new(&x, m, inner), &mut dw, Write::Set);
    close(&dw, &expected, 1e-6);
    gradient_weight(Rows::new(&dy, m, cols), Rows::new(&x, m, inner), &mut dw, Write::Add);
    close(&dw, &expected.iter().map(|x| 2.0 * x).collect::<Vec<_>>(), 1e-6);
    gradient_weight(Rows::new(&[], 0, cols), Rows::new(&[], 0, inner), &mut dw, Write::Set);
    assert!(dw.iter().all(|&x| x == 0.0));
}

#[test]
#[should_panic(expected = "times")]
fn operands_of_other_shapes_are_refused() {
    let b = Packed::plain(&[0.0; 6], 3, 2);
    multiply(Rows::new(&[0.0; 4], 2, 2), &b, RowsMut::new(&mut [0.0; 4], 2, 2), Write::Set);
}
