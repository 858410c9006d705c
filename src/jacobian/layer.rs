//! The Jacobians of one layer at one sample, and the products with them.

use super::dense::{Dense, bytes};
use crate::{
    Activation, Backend, Pointwise, Scalar,
    error::{Error, Result, check_len, check_shape},
    view::MatRef,
};
use alloc::{vec, vec::Vec};

/// The bytes of all Jacobians of an m×n layer at one sample: m·n for ∂z/∂x, m·m·n for the generalized ∂z/∂W, m·m for
/// ∂z/∂b and, with `activation`, m·m for ∂a/∂z.
pub fn layer_bytes<T>(m: usize, n: usize, activation: bool) -> u128 {
    let by_weights = bytes::<T>(m, n).saturating_mul(m as u128);
    let by_activation = if activation { bytes::<T>(m, m) } else { 0 };
    [bytes::<T>(m, n), by_weights, bytes::<T>(m, m), by_activation].into_iter().fold(0, u128::saturating_add)
}

/// Refuses Jacobians of more than `limit` bytes together.
pub(super) fn check_limit<T>(m: usize, n: usize, activation: bool, limit: u64) -> Result<()> {
    let bytes = layer_bytes::<T>(m, n, activation);
    if bytes <= u128::from(limit) {
        return Ok(());
    }
    Err(Error::TooLarge { what: "the Jacobians of a layer", bytes, limit: limit.into() })
}

/// ∂a/∂z = diag(g'(z)), n×n for n elements.
///
/// # Errors
/// [`Error::TooLarge`] if it has more than `limit` bytes, [`Error::Parameter`] for a bad activation.
pub fn activation_jacobian<T: Scalar>(g: &Activation<T>, z: &[T], limit: u64) -> Result<Dense<T>> {
    let n = z.len();
    let mut jacobian = Dense::zeros("∂a/∂z", n, n, limit)?;
    let (mut a, mut d) = (vec![T::ZERO; n], vec![T::ZERO; n]);
    g.value_and_derivative(z, &mut a, &mut d)?;
    for (i, d) in d.into_iter().enumerate() {
        jacobian.data_mut()[i * n + i] = d;
    }
    Ok(jacobian)
}

/// ∂z/∂x = W, m×n: a copy, as a matrix in a chain of matrices is.
///
/// # Errors
/// [`Error::TooLarge`] if it has more than `limit` bytes.
pub fn input_jacobian<T: Scalar>(w: MatRef<'_, T>, limit: u64) -> Result<Dense<T>> {
    Dense::copy("∂z/∂x", w, limit)
}

/// The generalized ∂z/∂W, m×(m·n) for n inputs: row i holds x in columns i·n … i·n + n.
///
/// # Errors
/// [`Error::TooLarge`] if it has more than `limit` bytes, [`Error::Overflow`] if m·n is no size.
pub fn weight_jacobian<T: Scalar>(x: &[T], m: usize, limit: u64) -> Result<Dense<T>> {
    let n = x.len();
    let cols = m.checked_mul(n).ok_or(Error::Overflow { what: "∂z/∂W" })?;
    let mut jacobian = Dense::zeros("∂z/∂W", m, cols, limit)?;
    if cols > 0 {
        for (i, row) in jacobian.data_mut().chunks_exact_mut(cols).enumerate() {
            row[i * n..(i + 1) * n].copy_from_slice(x);
        }
    }
    Ok(jacobian)
}

/// ∂z/∂b, the m×m identity.
///
/// # Errors
/// [`Error::TooLarge`] if it has more than `limit` bytes.
pub fn bias_jacobian<T: Scalar>(m: usize, limit: u64) -> Result<Dense<T>> {
    let mut jacobian = Dense::zeros("∂z/∂b", m, m, limit)?;
    for i in 0..m {
        jacobian.data_mut()[i * m + i] = T::ONE;
    }
    Ok(jacobian)
}

/// gᵀ·diag(g'(z)) through the n×n matrix, for a cotangent g of n elements: what
/// [`Pointwise::vjp`] gives without it.
///
/// # Errors
/// [`Error::Length`] if z and g differ in length; [`Error::TooLarge`] if the matrix has more than `limit` bytes.
pub fn activation_vjp_naive<T: Scalar>(
    activation: &Activation<T>,
    z: &[T],
    g: &[T],
    limit: u64,
    backend: &dyn Backend<T>,
) -> Result<Vec<T>> {
    check_len("the cotangent", z.len(), g.len())?;
    let jacobian = activation_jacobian(activation, z, limit)?;
    row_times(g, &jacobian, backend)
}

/// vᵀ·J, a row times a matrix by GEMM.
pub(super) fn row_times<T: Scalar>(v: &[T], jacobian: &Dense<T>, backend: &dyn Backend<T>) -> Result<Vec<T>> {
    let mut product = vec![T::ZERO; jacobian.shape().1];
    add_row_times(v, jacobian, &mut product, backend, T::ZERO)?;
    Ok(product)
}

/// sum ← vᵀ·J + β·sum, by GEMM.
pub(super) fn add_row_times<T: Scalar>(
    v: &[T],
    jacobian: &Dense<T>,
    sum: &mut [T],
    backend: &dyn Backend<T>,
    beta: T,
) -> Result<()> {
    let n = sum.len();
    let sum = crate::MatMut::new(sum, 1, n)?;
    backend.gemm(T::ONE, MatRef::new(v, 1, v.len())?, jacobian.as_ref()?, beta, sum)
}

/// The gradient of a layer over a batch, by Jacobians.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerGradient<T> {
    /// ∂L/∂X, B×n.
    pub dx: Dense<T>,
    /// ∂L/∂W, m×n.
    pub dw: Dense<T>,
    /// ∂L/∂b, m.
    pub db: Vec<T>,
    /// The bytes of all Jacobians that were written out.
    pub bytes_materialised: u128,
}

/// The VJPs of z = W·x + b through its Jacobians, for W m×n, X B×n and δ = ∂L/∂Z B×m, summed over the batch:
/// for each sample δᵀ·∂z/∂x, δᵀ·∂z/∂W and δᵀ·∂z/∂b, each matrix written out.
///
/// # Errors
/// [`Error::Shape`] if the shapes don't agree, [`Error::TooLarge`] if a sample's Jacobians have more than `limit`
/// bytes; nothing has then been allocated.
pub fn layer_vjp_naive<T: Scalar>(
    w: MatRef<'_, T>,
    x: MatRef<'_, T>,
    delta: MatRef<'_, T>,
    limit: u64,
    backend: &dyn Backend<T>,
) -> Result<LayerGradient<T>> {
    let ((m, n), batch) = (w.shape(), x.nrows());
    check_shape("X", (batch, n), x.shape())?;
    check_shape("δ", (batch, m), delta.shape())?;
    check_limit::<T>(m, n, false, limit)?;
    let (x, delta) = (Dense::copy("X", x, u64::MAX)?, Dense::copy("δ", delta, u64::MAX)?);
    let mut dx = Dense::zeros("dX", batch, n, u64::MAX)?;
    let mut dw = Dense::zeros("dW", m, n, u64::MAX)?;
    let (mut db, mut bytes_materialised) = (vec![T::ZERO; m], 0);
    // Samples without elements take no memory: there may be more of them than can be counted through.
    let samples = if m == 0 && n == 0 { 0 } else { batch };
    for s in 0..samples {
        let by_input = input_jacobian(w, limit)?;
        let by_weights = weight_jacobian(x.row(s), m, limit)?;
        let by_bias = bias_jacobian(m, limit)?;
        add_row_times(delta.row(s), &by_input, &mut dx.data_mut()[s * n..(s + 1) * n], backend, T::ZERO)?;
        add_row_times(delta.row(s), &by_weights, dw.data_mut(), backend, T::ONE)?;
        add_row_times(delta.row(s), &by_bias, &mut db, backend, T::ONE)?;
        bytes_materialised += by_input.bytes() + by_weights.bytes() + by_bias.bytes();
    }
    Ok(LayerGradient { dx, dw, db, bytes_materialised })
}

/// The full products of one layer at one sample, matrix by matrix: (∂a/∂x, ∂a/∂W) = (diag(g'(z))·W,
/// diag(g'(z))·∂z/∂W), m×n and m×(m·n), of which a chain of Jacobians read from the input on is made.
///
/// # Errors
/// [`Error::Length`] if x or z does not fit W; [`Error::TooLarge`] if a matrix has more than `limit` bytes.
pub fn layer_full_products<T: Scalar>(
    w: MatRef<'_, T>,
    activation: &Activation<T>,
    x: &[T],
    z: &[T],
    limit: u64,
    backend: &dyn Backend<T>,
) -> Result<(Dense<T>, Dense<T>)> {
    let (m, n) = w.shape();
    check_len("x", n, x.len())?;
    check_len("z", m, z.len())?;
    check_limit::<T>(m, n, true, limit)?;
    let diagonal = activation_jacobian(activation, z, limit)?;
    let by_input = diagonal.times(&input_jacobian(w, limit)?, limit, backend)?;
    let by_weights = diagonal.times(&weight_jacobian(x, m, limit)?, limit, backend)?;
    Ok((by_input, by_weights))
}
