//! What a team is made of.

use alloc::vec::Vec;
use core::time::Duration;

/// How a [`Team`](super::Team) is made.
#[derive(Debug, Clone, PartialEq)]
pub struct TeamOptions {
    pub(super) threads: Option<usize>,
    pub(super) processors: Option<Vec<usize>>,
    pub(super) linger: Option<Duration>,
    pub(super) affinity: bool,
}

impl Default for TeamOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl TeamOptions {
    /// As many threads as [`default_threads`](super::default_threads), on all processors of the process.
    pub fn new() -> Self {
        Self { threads: None, processors: None, linger: None, affinity: true }
    }

    /// Threads, the caller included: 1 to 1024.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The processors that the team's own threads may run on, by the system's numbers; of those, the ones that the
    /// process may use. Where the caller runs is the caller's business. Nothing is done about it except on Linux.
    #[must_use]
    pub fn processors(mut self, processors: impl IntoIterator<Item = usize>) -> Self {
        self.processors = Some(processors.into_iter().collect());
        self
    }

    /// What the threads stay awake for after a call, at the price of their processors' time: 50 µs unless told otherwise,
    /// and nothing where a quota (that of a container, for one) grants less than the processors that there are.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = Some(linger);
        self
    }

    /// Whether the team's threads are kept off the processor that their caller is on, where there are enough: they are
    /// unless told otherwise here or by the environment variable `NABLAS_AFFINITY=0`. Linux only.
    #[must_use]
    pub fn affinity(mut self, affinity: bool) -> Self {
        self.affinity = affinity;
        self
    }
}
