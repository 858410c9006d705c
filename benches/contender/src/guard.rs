//! Failures stay on this side of the ABI.

use std::{
    error::Error,
    io::{Write, stderr},
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Why something cannot be done.
pub(crate) type Failure = Box<dyn Error>;

/// What `work` gives, or `None` if it fails or panics; standard error says why.
pub(crate) fn guarded<R>(work: impl FnOnce() -> Result<R, Failure>) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(result)) => Some(result),
        Ok(Err(failure)) => {
            // Where nobody listens, silence is no reason to fail again.
            let _ = writeln!(stderr(), "nablas: {failure}");
            None
        }
        // The panic hook has spoken.
        Err(_) => None,
    }
}
