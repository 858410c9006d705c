//! The gradient of a whole network by the naive pass.

use super::{
    dense::Dense,
    layer::{
        activation_jacobian, add_row_times, bias_jacobian, check_limit, input_jacobian, row_times,
        weight_jacobian,
    },
};
use crate::{
    Backend, Mlp, Pointwise, Scalar,
    error::{Result, check_shape},
    view::MatRef,
};
use alloc::{vec, vec::Vec};

/// What the naive pass computes.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients<T> {
    /// A_L, B×n_L.
    pub y: Dense<T>,
    /// dW and db of each layer, in the layout of the parameters.
    pub params: Vec<T>,
    /// ∂L/∂X, B×n_0.
    pub dx: Dense<T>,
    /// The bytes of all Jacobians that were written out.
    pub bytes_materialised: u128,
}

/// Z and A of a layer for the whole batch.
struct Activated<T> {
    z: Dense<T>,
    a: Dense<T>,
}

/// The gradient of a network over a batch, for X B×n_0 and dY = ∂L/∂A_L B×n_L, each sample through its Jacobians:
/// from the last layer to the first the cotangent, a row, is multiplied by ∂a/∂z, then by ∂z/∂W, ∂z/∂b and ∂z/∂x.
/// The sums over the batch are in sample order.
///
/// # Errors
/// [`Error::Length`](crate::Error::Length) or [`Error::Shape`](crate::Error::Shape) if an operand does not fit,
/// [`Error::TooLarge`](crate::Error::TooLarge) if one layer's Jacobians at one sample have more than `limit` bytes;
/// nothing has then been allocated.
pub fn gradients<T: Scalar>(
    mlp: &Mlp<T>,
    params: &[T],
    x: MatRef<'_, T>,
    dy: MatRef<'_, T>,
    limit: u64,
    backend: &dyn Backend<T>,
) -> Result<Gradients<T>> {
    mlp.check(params.len())?;
    let batch = x.nrows();
    check_shape("X", (batch, mlp.inputs()), x.shape())?;
    check_shape("dY", (batch, mlp.outputs()), dy.shape())?;
    for layer in mlp.layers() {
        check_limit::<T>(layer.outputs, layer.inputs, true, limit)?;
    }
    let x = Dense::copy("X", x, u64::MAX)?;
    let dy = Dense::copy("dY", dy, u64::MAX)?;
    let layers = forward(mlp, params, &x, backend)?;
    let mut grads = vec![T::ZERO; mlp.param_len()];
    let mut dx = Dense::zeros("dX", batch, mlp.inputs(), u64::MAX)?;
    let mut bytes_materialised = 0;
    for s in 0..batch {
        let mut cotangent = dy.row(s).to_vec();
        for (l, layer) in mlp.layers().iter().enumerate().rev() {
            let input = if l == 0 { x.row(s) } else { layers[l - 1].a.row(s) };
            let diagonal = activation_jacobian(&layer.activation, layers[l].z.row(s), limit)?;
            let by_weights = weight_jacobian(input, layer.outputs, limit)?;
            let by_bias = bias_jacobian(layer.outputs, limit)?;
            let by_input = input_jacobian(mlp.weights(params, l)?, limit)?;
            let delta = row_times(&cotangent, &diagonal, backend)?;
            add_row_times(&delta, &by_weights, &mut grads[mlp.weights_range(l)?], backend, T::ONE)?;
            add_row_times(&delta, &by_bias, &mut grads[mlp.bias_range(l)?], backend, T::ONE)?;
            cotangent = row_times(&delta, &by_input, backend)?;
            for jacobian in [&diagonal, &by_weights, &by_bias, &by_input] {
                bytes_materialised += jacobian.bytes();
            }
        }
        let n = cotangent.len();
        dx.data_mut()[s * n..(s + 1) * n].copy_from_slice(&cotangent);
    }
    let y = layers.into_iter().next_back().map_or(x, |last| last.a);
    Ok(Gradients { y, params: grads, dx, bytes_materialised })
}

/// Z = A·Wᵀ + b and g(Z) of each layer, by plain GEMMs over the batch.
fn forward<T: Scalar>(
    mlp: &Mlp<T>,
    params: &[T],
    x: &Dense<T>,
    backend: &dyn Backend<T>,
) -> Result<Vec<Activated<T>>> {
    let mut layers: Vec<Activated<T>> = Vec::with_capacity(mlp.layers().len());
    for (l, layer) in mlp.layers().iter().enumerate() {
        let input = layers.last().map_or(x, |last| &last.a);
        let bias = mlp.bias(params, l)?;
        let mut z = Dense::zeros("Z", x.shape().0, layer.outputs, u64::MAX)?;
        for row in z.data_mut().chunks_exact_mut(layer.outputs) {
            row.copy_from_slice(bias);
        }
        backend.gemm(T::ONE, input.as_ref()?, mlp.weights(params, l)?.t(), T::ONE, z.as_mut()?)?;
        let mut a = z.clone();
        layer.activation.value(z.data(), a.data_mut())?;
        layers.push(Activated { z, a });
    }
    Ok(layers)
}
