//! How many threads calls bring that do not say.

use crate::status::{Result, fail, nablas_status as Status};
use nablas::team;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Threads at most.
const MAX_THREADS: usize = 1024;

/// What `nablas_set_num_threads` said; 0 for nothing.
static SET: AtomicUsize = AtomicUsize::new(0);

/// A number of threads, if it is one.
pub(crate) fn check(threads: usize) -> Result<usize> {
    if (1..=MAX_THREADS).contains(&threads) {
        return Ok(threads);
    }
    fail(Status::Parameter, format_args!("threads: expected 1 to {MAX_THREADS}, got {threads}"))
}

/// The threads of a call that names none: what was set, `NABLAS_NUM_THREADS`, or the processors.
pub(crate) fn default() -> Result<usize> {
    match SET.load(Ordering::Relaxed) {
        0 => Ok(team::default_threads()?),
        set => Ok(set),
    }
}

/// Sets the threads of calls that name none; 0 for the default.
pub(crate) fn set(threads: usize) -> Result<()> {
    let threads = if threads == 0 { 0 } else { check(threads)? };
    SET.store(threads, Ordering::Relaxed);
    Ok(())
}
