//! Wall-clock time of a run. Nothing that a run computes reads it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Steps over which the speed is averaged.
const WINDOW: usize = 50;

/// Times a run, over all parts of it when it was resumed.
#[derive(Debug)]
pub(crate) struct Clock {
    begun: Instant,
    before: f64,
    /// Seconds of steps alone.
    stepping: f64,
    last: Instant,
    recent: VecDeque<(f64, usize)>,
    saved: Instant,
}

impl Clock {
    /// A clock that goes on from earlier seconds, of the run and of its steps.
    pub(crate) fn new(seconds: f64, stepping: f64) -> Self {
        let now = Instant::now();
        Self { begun: now, before: seconds, stepping, last: now, recent: VecDeque::new(), saved: now }
    }

    /// Seconds of the run.
    pub(crate) fn seconds(&self) -> f64 {
        self.before + self.begun.elapsed().as_secs_f64()
    }

    /// Seconds of steps alone.
    pub(crate) fn stepping(&self) -> f64 {
        self.stepping
    }

    /// A step begins.
    pub(crate) fn begin(&mut self) {
        self.last = Instant::now();
    }

    /// A step of so many tokens ended; gives tokens a second over the latest steps.
    pub(crate) fn end(&mut self, tokens: usize) -> f64 {
        let seconds = self.last.elapsed().as_secs_f64();
        self.stepping += seconds;
        self.recent.push_back((seconds, tokens));
        if self.recent.len() > WINDOW {
            self.recent.pop_front();
        }
        let (seconds, tokens) = self.recent.iter().fold((0.0, 0), |(s, t), (ds, dt)| (s + ds, t + dt));
        tokens as f64 / seconds.max(1e-9)
    }

    /// A checkpoint was written.
    pub(crate) fn saved(&mut self) {
        self.saved = Instant::now();
    }

    /// Time since a checkpoint was written.
    pub(crate) fn since_saved(&self) -> Duration {
        self.saved.elapsed()
    }
}
