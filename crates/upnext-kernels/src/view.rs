//! Row-major views of slices: `(rows, cols)` with a stride between rows.
//!
//! A strided view is how a kernel reads or writes the query, key or value columns of one `(n, 3d)` buffer, or one
//! head's columns of it, without a copy.

use std::fmt;
use std::marker::PhantomData;

/// A read-only `(rows, cols)` view; row `j` starts at `j * stride`.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    stride: usize,
}

/// Panics unless `rows` rows of `cols` floats, `stride` apart, lie within `len` floats.
fn check(len: usize, rows: usize, cols: usize, stride: usize) {
    assert!(rows <= 1 || stride >= cols, "rows of {cols} floats overlap at a stride of {stride}");
    let end = rows.checked_sub(1).map_or(Some(0), |last| last.checked_mul(stride)?.checked_add(cols));
    assert!(
        end.is_some_and(|end| end <= len),
        "{rows} rows of {cols} floats, {stride} apart, do not fit a slice of {len}"
    );
}

impl<'a> Rows<'a> {
    /// `(rows, cols)` without gaps.
    ///
    /// # Panics
    /// When `data` is not exactly `rows * cols` long.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Rows<'a> {
        assert!(rows.checked_mul(cols) == Some(data.len()), "{rows} x {cols} is not {} floats", data.len());
        Rows { data, rows, cols, stride: cols }
    }

    /// `(rows, cols)` whose rows start `stride` floats apart.
    ///
    /// # Panics
    /// When rows overlap or the last one ends after `data`.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Rows<'a> {
        check(data.len(), rows, cols, stride);
        Rows { data, rows, cols, stride }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Floats from one row's start to the next one's.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Row `j`.
    ///
    /// # Panics
    /// When there is no row `j`.
    #[inline]
    pub fn row(&self, j: usize) -> &'a [f32] {
        assert!(j < self.rows, "row {j} of {}", self.rows);
        &self.data[j * self.stride..j * self.stride + self.cols]
    }

    /// The columns `start..start + cols` of every row.
    ///
    /// # Panics
    /// When the view is narrower than that.
    pub fn columns(&self, start: usize, cols: usize) -> Rows<'a> {
        assert!(start + cols <= self.cols, "columns {start}..{} of {}", start + cols, self.cols);
        let data = if self.rows == 0 { self.data } else { &self.data[start..] };
        Rows { data, cols, ..*self }
    }

    /// The rows `start..start + rows`.
    ///
    /// # Panics
    /// When there are fewer rows.
    pub fn part(&self, start: usize, rows: usize) -> Rows<'a> {
        assert!(start + rows <= self.rows, "rows {start}..{} of {}", start + rows, self.rows);
        let data = if rows == 0 { &self.data[..0] } else { &self.data[start * self.stride..] };
        Rows { data, rows, ..*self }
    }

    pub(crate) fn as_ptr(&self) -> *const f32 {
        self.data.as_ptr()
    }
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({} x {}, stride {})", self.rows, self.cols, self.stride)
    }
}

/// A writable `(rows, cols)` view; row `j` starts at `j * stride`.
///
/// It owns the right to write its rows only, not the gaps between them, so that one buffer can be split into
/// columns that are written apart ([`RowsMut::split_columns`]).
pub struct RowsMut<'a> {
    data: *mut f32,
    rows: usize,
    cols: usize,
    stride: usize,
    _borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: a view is the only one that reaches its elements, as a `&mut [f32]` is, and f32 is Send.
#[expect(unsafe_code, reason = "column views of one buffer need a pointer, as slices of it would overlap")]
unsafe impl Send for RowsMut<'_> {}

impl<'a> RowsMut<'a> {
    /// `(rows, cols)` without gaps.
    ///
    /// # Panics
    /// When `data` is not exactly `rows * cols` long.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> RowsMut<'a> {
        assert!(rows.checked_mul(cols) == Some(data.len()), "{rows} x {cols} is not {} floats", data.len());
        RowsMut { data: data.as_mut_ptr(), rows, cols, stride: cols, _borrow: PhantomData }
    }

    /// `(rows, cols)` whose rows start `stride` floats apart.
    ///
    /// # Panics
    /// When rows overlap or the last one ends after `data`.
    pub fn strided(data: &'a mut [f32], rows: usize, cols: usize, stride: usize) -> RowsMut<'a> {
        check(data.len(), rows, cols, stride);
        RowsMut { data: data.as_mut_ptr(), rows, cols, stride, _borrow: PhantomData }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Floats from one row's start to the next one's.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The same view for a shorter while.
    pub fn reborrow(&mut self) -> RowsMut<'_> {
        RowsMut { _borrow: PhantomData, ..*self }
    }

    /// Row `j`, to write.
    ///
    /// # Panics
    /// When there is no row `j`.
    #[inline]
    #[expect(unsafe_code, reason = "the rows of a column view are slices of a shared buffer")]
    pub fn row_mut(&mut self, j: usize) -> &mut [f32] {
        assert!(j < self.rows, "row {j} of {}", self.rows);
        // SAFETY: the constructors checked that row j lies within the borrowed slice, and no other view holds it.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(j * self.stride), self.cols) }
    }

    /// Row `j`, to read.
    ///
    /// # Panics
    /// When there is no row `j`.
    #[inline]
    #[expect(unsafe_code, reason = "the rows of a column view are slices of a shared buffer")]
    pub fn row(&self, j: usize) -> &[f32] {
        assert!(j < self.rows, "row {j} of {}", self.rows);
        // SAFETY: as in `row_mut`.
        unsafe { std::slice::from_raw_parts(self.data.add(j * self.stride), self.cols) }
    }

    /// The first `cols` columns of every row, and the others.
    ///
    /// # Panics
    /// When the view is narrower than that.
    pub fn split_columns(self, cols: usize) -> (RowsMut<'a>, RowsMut<'a>) {
        assert!(cols <= self.cols, "columns 0..{cols} of {}", self.cols);
        let right = if self.rows == 0 { self.data } else { self.data.wrapping_add(cols) };
        (RowsMut { cols, ..self }, RowsMut { data: right, cols: self.cols - cols, ..self })
    }

    /// The first `rows` rows, and the others.
    ///
    /// # Panics
    /// When there are fewer rows.
    pub fn split_rows(self, rows: usize) -> (RowsMut<'a>, RowsMut<'a>) {
        assert!(rows <= self.rows, "rows 0..{rows} of {}", self.rows);
        let below = if rows == self.rows { self.data } else { self.data.wrapping_add(rows * self.stride) };
        (RowsMut { rows, ..self }, RowsMut { data: below, rows: self.rows - rows, ..self })
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.data
    }
}

impl fmt::Debug for RowsMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowsMut({} x {}, stride {})", self.rows, self.cols, self.stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_one_buffer_are_written_apart() {
        let mut data = vec![0f32; 8];
        let (mut left, mut right) = RowsMut::new(&mut data, 2, 4).split_columns(1);
        left.row_mut(1).fill(1.0);
        right.row_mut(0).fill(2.0);
        assert_eq!(data, [0.0, 2.0, 2.0, 2.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(Rows::strided(&data[1..], 2, 2, 4).row(1), [0.0, 0.0]);
        assert_eq!(Rows::new(&data, 2, 4).columns(1, 3).row(0), [2.0; 3]);
        assert_eq!(Rows::new(&data, 2, 4).part(1, 1).row(0), [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "do not fit")]
    fn a_view_past_the_end_is_refused() {
        Rows::strided(&[0.0; 7], 2, 4, 4);
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn overlapping_rows_are_refused() {
        RowsMut::strided(&mut [0.0; 8], 2, 4, 3);
    }
}
