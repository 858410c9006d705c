//! Networks: widths, activations, where the parameters lie.

use crate::typed::{Typed, typed};
use pyo3::prelude::*;

/// A multi-layer perceptron: widths and activations. The parameters are the caller's, one flat array: for each layer in
/// order, W [n_l, n_{l−1}] by rows and then b [n_l].
#[pyclass(frozen, module = "nablas")]
#[derive(Debug)]
pub(crate) struct Mlp(pub(crate) Typed<nablas::Mlp<f32>, nablas::Mlp<f64>>);
