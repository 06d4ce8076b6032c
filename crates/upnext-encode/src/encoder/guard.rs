//! Damaged tokenizers make their crate panic in places; here that becomes an error.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static TOKENIZING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is in a tokenizer right now, so that a panic is a damaged file and will be told as an error: a
/// program's panic hook can stay silent then.
#[must_use]
pub fn is_tokenizing() -> bool {
    TOKENIZING.get()
}

/// Runs a step of the tokenizer, which is not used again after an error.
pub(super) fn guarded<T>(step: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    TOKENIZING.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(step));
    TOKENIZING.set(false);
    match outcome {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the tokenizer gave up; its file is damaged".to_owned()),
    }
}
