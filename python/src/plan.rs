//! Plans and their calls.

use crate::{kept::Kept, mlp::Mlp, planned::Planned, typed::Typed};
use pyo3::prelude::*;

/// How the calls of a network are done, for batches up to a size: made once by `Mlp.plan`. Any number of threads may call
/// at once.
#[pyclass(frozen, module = "nablas")]
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) planned: Typed<Planned<f32>, Planned<f64>>,
    pub(crate) mlp: Py<Mlp>,
    /// The state that `forward` leaves and `backward` reads, if the plan keeps one.
    pub(crate) keep: Option<Py<Kept>>,
}
