//! The one place that says which events a model sees of a long history.

use std::ops::Range;

use crate::{Error, Result};

/// The events that are seen: `start..len`, where start is the smallest multiple of the hop `max(1, window / 4)` with
/// `len - start <= window - reserve`.
///
/// Starts move in hops so that a growing history keeps its cached keys and values for a quarter of a window before it
/// is read again; the reserve leaves room for the decode steps that follow. [`Window::new`] checks the reserve.
#[must_use]
pub fn of(len: usize, window: usize, reserve: usize) -> Range<usize> {
    let (hop, room) = ((window / 4).max(1), window.saturating_sub(reserve));
    let start = len.saturating_sub(room).div_ceil(hop).saturating_mul(hop);
    start.min(len)..len
}

/// A window and a reserve that fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    window: usize,
    reserve: usize,
}

impl Window {
    /// A window of so many positions, of which the last `reserve` are left free for decode steps.
    ///
    /// # Errors
    /// When the window is 0 or the reserve more than half of it.
    pub fn new(window: usize, reserve: usize) -> Result<Self> {
        if window == 0 || reserve > window / 2 {
            return Err(Error::Reserve { window, reserve });
        }
        Ok(Self { window, reserve })
    }

    /// The events seen of a history of `len`: see [`of`].
    #[must_use]
    pub fn of(&self, len: usize) -> Range<usize> {
        of(len, self.window, self.reserve)
    }
}
