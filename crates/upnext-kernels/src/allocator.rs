//! By which pages a binary's allocator, mimalloc, holds memory, and what becomes of it while it is free.

use libmimalloc_sys::{mi_collect, mi_option_set, mi_option_t};

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

/// From now on this process takes its memory by small pages, whatever the allocator asks the kernel for.
///
/// Of a huge page all two megabytes are held as soon as one byte is touched, and mimalloc spreads over many of them: a job
/// that works on one piece of its data after the other held half as much again, and how much hung on chance. Meant for
/// such jobs; it says nothing to other systems than Linux, and to one that has no huge pages.
pub fn small_pages() {
    // What a kernel without huge pages says to it is of no interest.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Gives what is free back to the kernel at once.
///
/// Meant for jobs that have done with one piece of their data and are about to read the next, which would otherwise take its
/// memory beside that of the one before.
pub fn give_back() {
    // SAFETY: may be called at any time; only memory that is free is given back.
    #[expect(unsafe_code, reason = "the allocator is written in C")]
    unsafe {
        mi_collect(true);
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

    #[test]
    #[cfg(target_os = "linux")]
    fn huge_pages_are_given_up() {
        if rustix::thread::transparent_huge_pages_are_disabled().is_ok() {
            small_pages();
            assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap());
        }
    }
}
