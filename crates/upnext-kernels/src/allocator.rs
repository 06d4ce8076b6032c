//! How a binary's allocator, mimalloc, treats memory that is free for the moment.

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// `mi_option_purge_delay` of mimalloc's C header, which the Rust crate does not name.
const PURGE_DELAY: mi_option_t = 15;

/// From now on freed pages stay with the process, instead of going back to the kernel a second later.
///
/// A training step frees and takes the same hundreds of megabytes again and again; handed back, every page of them is
/// faulted in and zeroed anew. Meant for programs that train; it changes nothing unless mimalloc allocates.
pub fn keep_pages() {
    // SAFETY: sets one integer that the allocator reads atomically; any value is valid, and -1 means never.
    #[expect(unsafe_code, reason = "the allocator is written in C")]
    unsafe {
        mi_option_set(PURGE_DELAY, -1);
    }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::{mi_option_get, mi_option_set_default};

    use super::*;

    /// No other option has a thousand milliseconds by default: a header that moved would be seen.
    #[test]
    #[expect(unsafe_code, reason = "the allocator is written in C")]
    fn the_option_is_the_one_with_a_thousand_milliseconds() {
        // SAFETY: as in `keep_pages`.
        unsafe {
            assert_eq!(mi_option_get(PURGE_DELAY), 1000);
            keep_pages();
            assert_eq!(mi_option_get(PURGE_DELAY), -1);
            mi_option_set_default(PURGE_DELAY, 1000);
        }
    }
}
