//! Blocks of a bf16 product on the CPU's matrix tiles (Intel AMX), or in plain Rust with the same roundings.
//!
//! A block is 32 rows by 32 columns of the output. Its operands are panels: steps of 32 along the inner axis, each two
//! tiles of 16 by 16 pairs of bf16 values, zero padded. An output element is one fixed sequence: for each step, the
//! products of even and of odd inner indices are summed apart in f32, each from 0 and in ascending order; their sum is
//! added to the element. Products are exact, each sum is rounded to nearest even, and subnormal numbers count as zero
//! (the operation `TDPBF16PS` in Intel's "Architecture Instruction Set Extensions" reference). So neither its place in
//! a block nor its neighbours move a bit of an element.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
mod plain;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::level::{self, Level};
use crate::tile::{Out, Size};

/// Rows or columns of a block, and the inner length of a step.
pub(crate) const SIDE: usize = 32;

/// 16 rows of 16 pairs; the lower half of a word is the pair's even inner index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Tile(pub(crate) [[u32; 16]; 16]);

impl Tile {
    pub(crate) const ZERO: Tile = Tile([[0; 16]; 16]);
}

/// A panel's 32 by 32 values at one step: its first 16 rows (or columns), and the others.
///
/// Word `(r, p)` of a left operand's tile is row r, pair p; word `(p, c)` of a right operand's is pair p, column c.
pub(crate) type Step = [Tile; 2];

/// How blocks are multiplied here. To hold one is the proof that the instructions are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles(Form);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx,
    Plain,
}

impl Tiles {
    /// The CPU's own tiles: where it has AMX with bf16, the system grants them to this process, and the SIMD level is
    /// not pinned below AVX-512 ([`crate::level::pin`]), which stands for a fleet that must compute alike.
    #[must_use]
    pub fn here() -> Option<Tiles> {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if level::current() == Level::Avx512 && amx::granted() {
            return Some(Tiles(Form::Amx));
        }
        None
    }

    /// The same products in plain Rust, a hundred times slower: for tests, which compare the others with it.
    #[must_use]
    pub fn plain() -> Tiles {
        Tiles(Form::Plain)
    }

    /// Whether operands may be packed by AVX-512 with bf16.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn vectors(self) -> bool {
        self.0 != Form::Plain
    }
}

/// `out = left · right`, or `out += left · right`, of operands in panels.
///
/// # Panics
/// When there are fewer panels than `size` needs.
///
/// # Safety
/// All elements of `out` that `size` names lie in a live allocation that nobody else reaches.
#[expect(unsafe_code, reason = "a strided output, whose bounds the callers check")]
pub(crate) unsafe fn product(tiles: Tiles, size: Size, left: &[Step], right: &[Step], out: Out, add: bool) {
    let Size { rows, inner, cols } = size;
    let steps = inner.div_ceil(SIDE);
    assert!(
        left.len() >= rows.div_ceil(SIDE) * steps && right.len() >= cols.div_ceil(SIDE) * steps,
        "{} and {} steps for {rows} x {inner} x {cols}",
        left.len(),
        right.len()
    );
    // SAFETY: blocks name elements within `size`, and a `Tiles` of that form is one that this CPU has.
    unsafe {
        match tiles.0 {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Form::Amx => {
                amx::configure();
                blocks(size, left, right, out, add, |left, right, out, add| {
                    amx::block(left, right, out, add);
                });
                amx::release();
            }
            Form::Plain => {
                blocks(size, left, right, out, add, |left, right, out, add| {
                    plain::block(left, right, out, add);
                });
            }
        }
    }
}

/// All blocks of an output, those at its edges by way of a buffer.
///
/// # Safety
/// As for [`product`]; `block` writes 32 rows of 32 columns.
#[inline(always)]
#[expect(unsafe_code, reason = "as for the product")]
unsafe fn blocks(
    size: Size,
    left: &[Step],
    right: &[Step],
    out: Out,
    add: bool,
    block: impl Fn(&[Step], &[Step], Out, bool),
) {
    let steps = size.inner.div_ceil(SIDE);
    // A left panel stays in the first-level cache while all right ones pass by it, and rows are written from end to end.
    for row in (0..size.rows).step_by(SIDE) {
        let left = &left[row / SIDE * steps..][..steps];
        for col in (0..size.cols).step_by(SIDE) {
            let right = &right[col / SIDE * steps..][..steps];
            let width = (size.cols - col).min(SIDE);
            let height = (size.rows - row).min(SIDE);
            // SAFETY: `height` rows of `width` columns from here exist; the buffer holds a whole block.
            unsafe {
                let out = Out { data: out.data.add(row * out.row + col), ..out };
                if height == SIDE && width == SIDE {
                    block(left, right, out, add);
                    continue;
                }
                let mut buffer = [0f32; SIDE * SIDE];
                let beside = Out { data: buffer.as_mut_ptr(), row: SIDE };
                let copy = |from: Out, to: Out| {
                    for i in 0..height {
                        std::ptr::copy_nonoverlapping(
                            from.data.add(i * from.row),
                            to.data.add(i * to.row),
                            width,
                        );
                    }
                };
                if add {
                    copy(out, beside);
                }
                block(left, right, beside, add);
                copy(beside, out);
            }
        }
    }
}
