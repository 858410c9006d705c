//! The threads of the process.

use crate::guard::Failure;

/// Makes the calling thread the first of a pool of `threads`, unless it is to work alone; gives their number.
///
/// rayon's global pool is made once in a process. A contender's process has one number of threads, so it never asks
/// for a second; refusing that is better than a figure for another number than it says.
pub(crate) fn threads(threads: i32) -> Result<usize, Failure> {
    let threads = usize::try_from(threads)?;
    match threads {
        0 => return Err("0 threads".into()),
        1 => return Ok(1),
        _ => {}
    }
    let builder = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread();
    // An error says that the pool is there already: what counts is its size.
    let made = builder.build_global();
    match rayon::current_num_threads() {
        n if n == threads => Ok(threads),
        n => Err(format!("{threads} threads in a process with a pool of {n} ({made:?})").into()),
    }
}
