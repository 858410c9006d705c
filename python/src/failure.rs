//! What can go wrong, as Python's exceptions: `ValueError` or `TypeError` with the words of the Rust error, and a
//! panic, which would be a defect, as a `RuntimeError`, so that `except Exception` sees it.

use nablas::Error;
use pyo3::{
    exceptions::{PyMemoryError, PyOSError, PyRuntimeError, PyValueError},
    prelude::*,
};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Why a call has not been made.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was refused.
    Refused(Error),
    /// It panicked, with these words.
    Panic(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    /// Its words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Refused(error) => error.to_string(),
            Self::Panic(words) => format!("a defect of nablas: {words}"),
        }
    }
}

impl From<Failure> for PyErr {
    #[cold]
    fn from(failure: Failure) -> Self {
        let words = failure.words();
        match failure {
            Failure::Refused(Error::Memory { .. }) => PyMemoryError::new_err(words),
            Failure::Refused(Error::Threads { .. }) => PyOSError::new_err(words),
            Failure::Refused(_) => PyValueError::new_err(words),
            Failure::Panic(_) => PyRuntimeError::new_err(words),
        }
    }
}

/// The words of a panic.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic")
}

/// Makes a call, whose panic stops here. Python need not be attached.
pub(crate) fn guard<R>(call: impl FnOnce() -> nablas::Result<R>) -> Result<R, Failure> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(done) => Ok(done?),
        Err(panic) => Err(Failure::Panic(words(&*panic).to_owned())),
    }
}

/// Makes a call that an attached thread made: without the interpreter's lock if it is `long`.
pub(crate) fn call<R: Send>(
    py: Python<'_>,
    long: bool,
    call: impl FnOnce() -> nablas::Result<R> + Send,
) -> PyResult<R> {
    Ok(if long { py.detach(|| guard(call)) } else { guard(call) }?)
}

/// Panics within a call: for the test of what becomes of it.
#[pyfunction]
fn _panic(py: Python<'_>, words: String, long: bool) -> PyResult<()> {
    call(py, long, || std::panic::resume_unwind(Box::new(words)))
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_panic, m)?)
}
