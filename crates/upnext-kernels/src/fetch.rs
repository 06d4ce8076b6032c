//! Memory that is asked for before its turn, while something else is computed.

/// Bytes that come from memory together.
const LINE: usize = 64;

/// Asks for the cache line in which `value` begins, to be read at once.
#[inline(always)]
pub(crate) fn soon<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "an instruction that has no safe name")]
    // SAFETY: a prefetch reads nothing, whatever the address, and every CPU of the kind has it.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>((&raw const *value).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// What is read next, a few lines at a time.
#[derive(Debug)]
pub(crate) struct Lines {
    next: *const i8,
    left: usize,
}

/// Lines that are asked for together: about what memory brings in the time of sixteen exponentials.
const SOME: usize = 4;

impl Lines {
    pub(crate) fn none() -> Lines {
        Lines::of::<u8>(&[])
    }

    pub(crate) fn of<T>(values: &[T]) -> Lines {
        Lines { next: values.as_ptr().cast(), left: size_of_val(values) / LINE }
    }

    /// Asks for the next few, for a cache that is large.
    #[inline(always)]
    pub(crate) fn fetch(&mut self) {
        if self.left < SOME {
            return;
        }
        for _ in 0..SOME {
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "an instruction that has no safe name")]
            // SAFETY: as in `soon`.
            unsafe {
                use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T1>(self.next);
            }
            self.next = self.next.wrapping_add(LINE);
        }
        self.left -= SOME;
    }
}
