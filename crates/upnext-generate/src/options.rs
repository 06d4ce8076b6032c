//! How a generator uses the machine. No option moves a bit of any slate.

/// Who does the work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Threads {
    /// The thread that calls; a server with a pool of its own wants this.
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
    /// About how many bytes of keys, values and candidates searches may hold at once. Requests beyond it wait for the
    /// next round; a request that alone needs more is answered alone.
    pub bytes: usize,
    /// Requests looked up and answered together.
    pub chunk: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: Threads::Caller, bytes: 256 << 20, chunk: 256 }
    }
}
