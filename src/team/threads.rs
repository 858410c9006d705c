//! How many threads there are to be had.

use crate::error::Result;

/// Threads of a team at most.
pub(crate) const MAX_THREADS: usize = 1024;

/// Threads of the default team, without making it: what the environment variable `NABLAS_NUM_THREADS` says, or else what
/// the system grants to this process, quotas included. Asked for once. 1 without the feature `rayon`.
///
/// # Errors
/// [`Error::Variable`](crate::Error::Variable) if `NABLAS_NUM_THREADS` is no number from 1 to 1024.
pub fn default_threads() -> Result<usize> {
    #[cfg(feature = "rayon")]
    {
        asked::default_threads()
    }
    #[cfg(not(feature = "rayon"))]
    {
        Ok(1)
    }
}

/// Threads that a call may use if nothing is said: inside of a rayon pool that pool's, or else those of the default team.
///
/// # Errors
/// As [`default_threads`].
pub(crate) fn available_threads() -> Result<usize> {
    #[cfg(feature = "rayon")]
    {
        if rayon::current_thread_index().is_some() {
            return Ok(rayon::current_num_threads().min(MAX_THREADS));
        }
    }
    default_threads()
}

#[cfg(feature = "rayon")]
pub(super) use asked::{granted, linger};

#[cfg(feature = "rayon")]
mod asked {
    use super::MAX_THREADS;
    use crate::{
        error::{Error, Result},
        team::processors,
    };
    use core::{
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
        time::Duration,
    };
    use std::{env, thread};

    /// What a member stays awake for after a call: a loop of steps has pauses of some microseconds, and to wake a member
    /// costs as much as to keep it awake for a third of this.
    const LINGER: Duration = Duration::from_micros(50);

    /// What the system grants, quotas included.
    pub(in crate::team) fn granted() -> usize {
        // No lock, which a fork could leave locked: threads that ask at once find the same.
        static GRANTED: AtomicUsize = AtomicUsize::new(0);
        let known = GRANTED.load(Relaxed);
        if known != 0 {
            return known;
        }
        let granted = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        GRANTED.store(granted, Relaxed);
        granted
    }

    pub(super) fn default_threads() -> Result<usize> {
        static DEFAULT: AtomicUsize = AtomicUsize::new(0);
        let known = DEFAULT.load(Relaxed);
        if known != 0 {
            return Ok(known);
        }
        let name = "NABLAS_NUM_THREADS";
        let threads = match env::var_os(name) {
            Some(text) if !text.is_empty() => {
                let text = text.to_string_lossy();
                let number = text.trim().parse().ok().filter(|n| (1..=MAX_THREADS).contains(n));
                number.ok_or_else(|| Error::Variable { name, expected: "1 to 1024", got: text.into() })?
            }
            _ => granted(),
        };
        DEFAULT.store(threads, Relaxed);
        Ok(threads)
    }

    /// What members stay awake for if nothing is said: not at all under a quota, which waiting would use up.
    pub(in crate::team) fn linger() -> Duration {
        if processors::quota(granted()) { Duration::ZERO } else { LINGER }
    }
}
