//! The threads of a step or product.

use crate::guard::Failure;
use nablas::{Team, TeamOptions};

/// A team of so many threads, the calling one among them; none for the calling one alone.
pub(crate) fn team(threads: i32) -> Result<Option<Team>, Failure> {
    match usize::try_from(threads)? {
        0 => Err("0 threads".into()),
        1 => Ok(None),
        threads => Ok(Some(Team::new(&TeamOptions::new().threads(threads))?)),
    }
}
