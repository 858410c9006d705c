//! What the library is and runs on.

use crate::{failure::Failure, threads};
use nablas::IsaToken;
use nablas_kernels::cache;
use pyo3::{prelude::*, types::PyDict};

/// Finds out now what is found out once: so no fork comes in between, and no child finds it half done. That
/// `NABLAS_ISA` names what is not here is said by the calls that need it.
pub(crate) fn settle() {
    cache::detect();
    _ = nablas::isa();
    _ = threads::threads(None);
}

/// The instruction set of this name, or the default one.
pub(crate) fn isa(name: Option<&str>) -> nablas::Result<IsaToken> {
    name.map_or_else(nablas::isa, |name| Ok(IsaToken::pin(name)?))
}

/// What the library is and runs on: version, instruction sets, caches, threads.
#[pyfunction]
fn config(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let (found, caches) = (PyDict::new(py), cache::detect());
    found.set_item("version", env!("CARGO_PKG_VERSION"))?;
    found.set_item("isa", nablas::isa().map_err(Failure::from)?.name())?;
    found.set_item("isas", IsaToken::available().map(IsaToken::name).collect::<Vec<_>>())?;
    found.set_item("threads", threads::threads(None).map_err(Failure::from)?)?;
    found.set_item("processors", std::thread::available_parallelism().map_or(1, usize::from))?;
    found.set_item("l1d_bytes", caches.l1d)?;
    found.set_item("l2_bytes", caches.l2)?;
    found.set_item("l3_bytes", caches.l3)?;
    Ok(found)
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add_function(wrap_pyfunction!(config, m)?)
}
