//! How a generator uses the machine. But for the scoring, no option moves a bit of any slate.

use crate::Scoring;

/// Who does the work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Threads {
    /// The thread that calls, to open a model and to answer; a server with a pool of its own wants this.
    #[default]
    Caller,
    /// A pool of so many threads that belongs to the generator; 0 for one a core.
    Pool(usize),
}

/// How a [`crate::Generator`] uses the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Who does the work.
    pub threads: Threads,
    /// How the items of the catalogue are scored.
    pub scoring: Scoring,
    /// About how many bytes of keys, values and candidates searches may hold at once. Requests beyond it wait for the
    /// next round; a request that alone needs more is answered alone.
    pub bytes: usize,
    /// Requests looked up and answered together.
    pub chunk: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: Threads::Caller, scoring: Scoring::Exact, bytes: 256 << 20, chunk: 256 }
    }
}
