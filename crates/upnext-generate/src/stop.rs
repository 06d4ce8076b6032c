//! When a request is no longer worth an answer: past its deadline, or called off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::RequestError;

/// Calls requests off from another thread. Clones call off the same requests.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    is_off: Arc<AtomicBool>,
}

impl Cancel {
    /// One that has not been used.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls off every request that was built with this, for good.
    pub fn cancel(&self) {
        self.is_off.store(true, Ordering::Relaxed);
    }

    /// Whether that has happened.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.is_off.load(Ordering::Relaxed)
    }
}

/// Two are equal if they call off the same requests.
impl PartialEq for Cancel {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.is_off, &other.is_off)
    }
}

/// What ends the work on a request before its list is complete.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stop {
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancel: Option<Cancel>,
}

impl Stop {
    /// Looked at when a request is taken up and before each step that ranks items.
    pub(crate) fn check(&self) -> Result<(), RequestError> {
        if self.cancel.as_ref().is_some_and(Cancel::is_cancelled) {
            return Err(RequestError::Cancelled);
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(RequestError::Late);
        }
        Ok(())
    }
}
