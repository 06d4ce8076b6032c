//! Buffers that outlive a call.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use super::pass::Scratch;

/// Buffers that no thread uses at the moment.
///
/// Made anew by each call, they would be faulted in and zeroed each time, and freed ones of all sizes would wait in the
/// allocator: a job's memory would hang on chance. They are as large as the largest group of histories that passed.
pub(super) struct Rooms {
    idle: Mutex<Vec<Scratch>>,
    /// No more than can be used at once are kept, however many callers come together.
    most: usize,
}

/// Buffers in use, which go back when they are dropped.
pub(super) struct Room<'a> {
    scratch: Scratch,
    rooms: &'a Rooms,
}

impl Rooms {
    pub(super) fn new() -> Self {
        Self { idle: Mutex::default(), most: available_parallelism().map_or(1, usize::from) }
    }

    /// Buffers of an earlier call, or new ones.
    pub(super) fn enter(&self) -> Room<'_> {
        let scratch = self.idle().pop().unwrap_or_default();
        Room { scratch, rooms: self }
    }

    /// Nothing panics while it holds the list.
    fn idle(&self) -> MutexGuard<'_, Vec<Scratch>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut idle = self.rooms.idle();
        if idle.len() < self.rooms.most {
            idle.push(std::mem::take(&mut self.scratch));
        }
    }
}

impl Deref for Room<'_> {
    type Target = Scratch;

    fn deref(&self) -> &Scratch {
        &self.scratch
    }
}

impl DerefMut for Room<'_> {
    fn deref_mut(&mut self) -> &mut Scratch {
        &mut self.scratch
    }
}
