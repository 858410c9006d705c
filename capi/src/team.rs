//! Teams by handle.

use crate::{operand::optional, status::Result};
use nablas::{Team, TeamOptions};
use std::time::Duration;

/// Threads to run calls on, the calling one among them. Calls of several threads may use one team at once: each gets the
/// threads that are idle, and runs alone if none is. The child of a `fork` gets threads of its own at its first call.
#[derive(Debug)]
pub struct nablas_team(pub(crate) Team);

/// A team as C asks for it: threads, processors, linger, affinity.
///
/// # Safety
/// `processors` is NULL or has as many elements as are said.
pub(crate) unsafe fn team(
    threads: usize,
    (processors, count): (*const usize, usize),
    linger: i64,
    affinity: i32,
) -> Result<nablas_team> {
    let processors = optional("the processors", processors, (1, count), count)?;
    let mut options = TeamOptions::new().affinity(affinity != 0);
    if threads != 0 {
        options = options.threads(threads);
    }
    if let Some(processors) = processors {
        // SAFETY: the caller's promise.
        options = options.processors(unsafe { processors.slice() }.iter().copied());
    }
    if let Ok(micros) = u64::try_from(linger) {
        options = options.linger(Duration::from_micros(micros));
    }
    Ok(nablas_team(Team::new(&options)?))
}
