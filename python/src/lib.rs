//! nablas for Python: the module `nablas._nablas`.
//!
//! Thin classes over the Rust API. `array.rs` reads what Python hands over, in place; `overlap.rs` refuses outputs that
//! overlap; `failure.rs` turns errors and panics into exceptions; `typed.rs` chooses the element type. The frameworks'
//! entry points, which take addresses, are in files of their own.

mod activation;
mod array;
mod cache;
mod config;
mod dense;
mod failure;
mod kept;
mod lent;
mod loss;
mod mlp;
mod optim;
mod overhead;
mod overlap;
mod packed;
mod params;
mod plan;
mod planned;
mod shelf;
mod state;
mod tensor;
mod threads;
mod torch;
mod typed;
mod xla;
mod xla_abi;

use pyo3::prelude::*;

/// Python's objects start at multiples of 16 bytes: what needs more lies in boxes.
const _: () = assert!(
    align_of::<plan::Plan>() <= 16
        && align_of::<kept::Kept>() <= 16
        && align_of::<packed::PackedParams>() <= 16
        && align_of::<optim::Optimizer>() <= 16
        && align_of::<dense::Dense>() <= 16
        && align_of::<mlp::Mlp>() <= 16
);

/// The kernels. Import `nablas`, which has all of this and more.
#[pymodule(gil_used = false)]
fn _nablas(m: &Bound<'_, PyModule>) -> PyResult<()> {
    config::settle();
    activation::register(m)?;
    config::register(m)?;
    dense::register(m)?;
    failure::register(m)?;
    kept::register(m)?;
    loss::register(m)?;
    mlp::register(m)?;
    optim::register(m)?;
    overhead::register(m)?;
    packed::register(m)?;
    plan::register(m)?;
    threads::register(m)?;
    torch::register(m)?;
    xla::register(m)?;
    // What is for everybody is said by the package.
    m.delattr("__all__")
}
