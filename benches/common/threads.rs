//! How many threads calls from outside of any pool may use.

/// Those of the default team.
pub(crate) fn all() -> usize {
    nablas::team::default_threads().expect("NABLAS_NUM_THREADS is a number")
}
