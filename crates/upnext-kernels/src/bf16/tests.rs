//! bf16 products against plain f64 loops over rounded operands, their two forms against each other, and their bits.

use super::*;
use crate::testing::{bits, close, noise};

/// Every form that this machine has, the plain one first.
fn forms() -> Vec<Tiles> {
    if Tiles::here().is_none() {
        println!("no bf16 tiles here: only their plain form is tested");
    }
    std::iter::once(Tiles::plain()).chain(Tiles::here()).collect()
}

/// The nearest bf16 by way of f64 arithmetic: multiples of the place that has 8 bits.
fn rounded(x: f32) -> f64 {
    if x == 0.0 {
        return 0.0;
    }
    let place = 2f64.powi(f64::from(x.abs()).log2().floor() as i32 - 7);
    (f64::from(x) / place).round_ties_even() * place
}

/// `x (m, k) · b (k, n)` of rounded operands, in f64.
fn truth(x: &[f32], b: &[f32], [m, k, n]: [usize; 3]) -> Vec<f64> {
    let mut out = vec![0f64; m * n];
    for i in 0..m {
        for q in 0..k {
            for j in 0..n {
                out[i * n + j] += rounded(x[i * k + q]) * rounded(b[q * n + j]);
            }
        }
    }
    out
}

fn transpose(x: &[f32], rows: usize) -> Vec<f32> {
    let cols = x.len() / rows.max(1);
    (0..x.len()).map(|i| x[i % rows * cols + i / rows]).collect()
}

const SHAPES: [[usize; 3]; 9] = [
    [1, 1, 1],
    [2, 7, 33],
    [13, 64, 40],
    [33, 31, 32],
    [32, 33, 31],
    [17, 300, 96],
    [75, 5, 7],
    [3, 0, 9],
    [64, 96, 128],
];

fn product(x: &[f32], b: &Packed, m: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; m * b.cols()];
    let view = RowsMut::new(&mut out, m, b.cols());
    let x = Rows::new(x, m, b.inner());
    multiply(x, b, 0..b.cols(), view, Write::Set, &mut Scratch::default());
    out
}

/// To the rounding of f32 sums: operands are rounded alike on both sides.
#[test]
fn products_are_those_of_rounded_operands_at_every_shape() {
    for [m, k, n] in SHAPES {
        let (x, b) = (noise(1, m * k), noise(2, k * n));
        let expected = truth(&x, &b, [m, k, n]);
        for tiles in forms() {
            close(&product(&x, &Packed::plain(tiles, Rows::new(&b, k, n)), m), &expected, 1e-6);
            let w = transpose(&b, k);
            close(&product(&x, &Packed::transposed(tiles, Rows::new(&w, n, k)), m), &expected, 1e-6);
        }
    }
}

/// The gradient of a weight by pieces of so many rows.
fn gradient(tiles: Tiles, dy: Rows<'_>, x: Rows<'_>, pieces: &[usize]) -> Vec<f32> {
    let mut scratch = Scratch::default();
    let mut gradient = WeightGradient::new(tiles, dy.cols(), x.cols(), pieces.iter().copied(), &mut scratch);
    let mut start = 0;
    for &rows in pieces {
        gradient.add(dy.part(start, rows), x.part(start, rows));
        start += rows;
    }
    gradient.finish(&mut scratch)
}

#[test]
fn gradients_of_a_weight_are_those_of_rounded_operands() {
    for [cols, m, inner] in SHAPES {
        let (dy, x) = (noise(3, m * cols), noise(4, m * inner));
        let expected = truth(&transpose(&dy, m), &x, [cols, m, inner]);
        let (dy, x) = (Rows::new(&dy, m, cols), Rows::new(&x, m, inner));
        for tiles in forms() {
            for pieces in [&[m][..], &[0, m / 3, m - m / 3]] {
                close(&gradient(tiles, dy, x, pieces), &expected, 1e-6);
            }
        }
    }
}

#[test]
fn tiles_and_their_plain_form_agree_to_the_last_bit() {
    let Some(tiles) = Tiles::here() else {
        println!("no bf16 tiles here: skipped");
        return;
    };
    for [m, k, n] in SHAPES {
        let (x, b, dy) = (noise(5, m * k), noise(6, k * n), noise(7, m * n));
        let both = [Tiles::plain(), tiles].map(|tiles| {
            let (plain, w) = (Packed::plain(tiles, Rows::new(&b, k, n)), transpose(&b, k));
            let turned = Packed::transposed(tiles, Rows::new(&w, n, k));
            assert_eq!(plain.panels, turned.panels);
            bits(&product(&x, &plain, m))
        });
        assert_eq!(both[0], both[1], "{m} x {k} x {n}");
        let (dy, x) = (Rows::new(&dy, m, n), Rows::new(&x, m, k));
        let dw = [Tiles::plain(), tiles].map(|tiles| bits(&gradient(tiles, dy, x, &[m])));
        assert_eq!(dw[0], dw[1], "gradient of {m} x {k} x {n}");
    }
}

#[test]
fn what_is_not_finite_stays_so_in_its_row_and_subnormals_are_zero_in_every_form() {
    for tiles in forms() {
        let mut x = noise(9, 40 * 40);
        x[3 * 40 + 39] = f32::NAN;
        x[35 * 40] = f32::INFINITY;
        x[20 * 40..21 * 40].fill(1e-40);
        let out = product(&x, &Packed::plain(tiles, Rows::new(&noise(10, 40 * 33), 40, 33)), 40);
        for (i, row) in out.chunks(33).enumerate() {
            match i {
                3 => assert!(row.iter().all(|x| x.is_nan())),
                20 => assert!(row.iter().all(|&x| x == 0.0)),
                35 => assert!(row.iter().all(|x| x.is_infinite())),
                _ => assert!(row.iter().all(|x| x.is_finite())),
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_rows_beside() {
    for tiles in forms() {
        for (k, n) in [(64, 96), (37, 45), (301, 33)] {
            let (x, packed) = (noise(11, 70 * k), Packed::plain(tiles, Rows::new(&noise(12, k * n), k, n)));
            let whole = product(&x, &packed, 70);
            for (first, m) in [(0, 1), (5, 31), (1, 32), (40, 30), (69, 1)] {
                let part = product(&x[first * k..(first + m) * k], &packed, m);
                assert_eq!(
                    bits(&part),
                    bits(&whole[first * n..(first + m) * n]),
                    "rows {first}.. of ({k}, {n})"
                );
            }
        }
    }
}

#[test]
fn cutting_the_inner_axis_at_multiples_of_32_moves_no_bit() {
    let (m, k, n) = (35, 130, 50);
    let (dy, x) = (noise(13, k * m), noise(14, k * n));
    let (dy, x) = (Rows::new(&dy, k, m), Rows::new(&x, k, n));
    for tiles in forms() {
        let whole = gradient(tiles, dy, x, &[k]);
        assert_eq!(bits(&gradient(tiles, dy, x, &[64, 32, 34])), bits(&whole));
        // The forward product adds to what there is.
        let left = transpose(&noise(13, k * m), k);
        let left = Rows::new(&left, m, k);
        let mut out = vec![f32::NAN; m * n];
        for (rows, write) in [(0..96, Write::Set), (96..k, Write::Add)] {
            let right = Packed::plain(tiles, x.part(rows.start, rows.len()));
            let view = RowsMut::new(&mut out, m, n);
            multiply(
                left.columns(rows.start, rows.len()),
                &right,
                0..n,
                view,
                write,
                &mut Scratch::default(),
            );
        }
        assert_eq!(bits(&out), bits(&whole));
    }
}

#[test]
fn some_columns_are_the_columns_of_all_and_nothing_else_is_written() {
    let (m, k, n) = (5, 20, 100);
    let x = noise(15, m * k);
    for tiles in forms() {
        let packed = Packed::transposed(tiles, Rows::new(&noise(16, n * k), n, k));
        let whole = product(&x, &packed, m);
        for columns in [0..32, 32..33, 64..100, 32..91, 96..96] {
            let width = columns.len();
            let mut out = vec![7f32; m * 80];
            let view = RowsMut::strided(&mut out, m, width, 80);
            let left = Rows::new(&x, m, k);
            multiply(left, &packed, columns.clone(), view, Write::Set, &mut Scratch::default());
            for i in 0..m {
                let expected = &whole[i * n + columns.start..i * n + columns.end];
                assert_eq!(bits(&out[i * 80..i * 80 + width]), bits(expected));
                assert!(out[i * 80 + width..(i + 1) * 80].iter().all(|&x| x == 7.0));
            }
        }
    }
}

#[test]
fn scratch_that_held_something_larger_changes_nothing() {
    for tiles in forms() {
        let (large, small) = (noise(17, 70 * 70), noise(18, 9 * 9));
        let mut scratch = Scratch::default();
        let mut run = |x: &[f32], side: usize| {
            let (x, mut out) = (Rows::new(x, side, side), vec![0.0; side * side]);
            let packed = Packed::plain(tiles, x);
            multiply(x, &packed, 0..side, RowsMut::new(&mut out, side, side), Write::Set, &mut scratch);
            let mut gradient = WeightGradient::new(tiles, side, side, [side], &mut scratch);
            gradient.add(x, x);
            (bits(&out), bits(&gradient.finish(&mut scratch)))
        };
        run(&large, 70);
        let used = run(&small, 9);
        let x = Rows::new(&small, 9, 9);
        let fresh = product(&small, &Packed::plain(tiles, x), 9);
        assert_eq!(used, (bits(&fresh), bits(&gradient(tiles, x, x, &[9]))));
    }
}

#[test]
#[should_panic(expected = "more than were announced")]
fn more_pieces_than_were_announced_are_refused() {
    let x = [0.0; 33];
    let mut gradient = WeightGradient::new(Tiles::plain(), 1, 1, [32], &mut Scratch::default());
    gradient.add(Rows::new(&x, 33, 1), Rows::new(&x, 33, 1));
}

#[test]
#[should_panic(expected = "times")]
fn operands_of_other_shapes_are_refused() {
    let b = Packed::plain(Tiles::plain(), Rows::new(&[0.0; 6], 3, 2));
    let (x, mut out) = (Rows::new(&[0.0; 4], 2, 2), [0.0; 4]);
    multiply(x, &b, 0..2, RowsMut::new(&mut out, 2, 2), Write::Set, &mut Scratch::default());
}
