//! Ctrl-C and SIGTERM: the first asks for an orderly end, a second one ends the process.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::say;

static ASKED: AtomicBool = AtomicBool::new(false);

/// Whether an end was asked for.
pub(crate) fn asked() -> bool {
    flag().load(Ordering::Relaxed)
}

/// Set once an end is asked for.
pub(crate) fn flag() -> &'static AtomicBool {
    &ASKED
}

/// From now on answers the first signal with `answer`. Calls after the first change nothing.
pub(crate) fn catch(answer: &'static str) -> Result<()> {
    let handler = move || {
        if ASKED.swap(true, Ordering::Relaxed) {
            process::exit(130);
        }
        say::news(answer);
    };
    match ctrlc::set_handler(handler) {
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(()),
        Err(error) => Err(error).context("listening for Ctrl-C"),
    }
}
