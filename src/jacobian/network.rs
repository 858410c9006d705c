//! The Jacobian of a whole network, row by row from vector–Jacobian products.

use super::dense::Dense;
use crate::{
    Plan, Scalar, Workspace,
    error::{Result, check_len},
    view::MatRef,
};
use alloc::vec;

/// ∂A_L/∂X at one sample, n_L×n_0: row i is the VJP of the unit cotangent eᵢ. The rows are a batch of the same sample,
/// so a network with few outputs costs about one step of the plan; no Jacobian of a layer is formed.
///
/// # Errors
/// [`Error::Length`](crate::Error::Length) if `params` or `x` does not fit the network,
/// [`Error::Workspace`](crate::Error::Workspace) if the workspace is not the plan's,
/// [`Error::TooLarge`](crate::Error::TooLarge) if the Jacobian has more than `limit` bytes.
pub fn network_jacobian<T: Scalar>(
    plan: &Plan<T>,
    params: &[T],
    x: &[T],
    limit: u64,
    workspace: &mut Workspace<T>,
) -> Result<Dense<T>> {
    let mlp = plan.mlp();
    check_len("the sample", mlp.inputs(), x.len())?;
    mlp.check(params.len())?;
    let (n, m) = (mlp.inputs(), mlp.outputs());
    let mut jacobian = Dense::zeros("the Jacobian of a network", m, n, limit)?;
    let mut grads = vec![T::ZERO; mlp.param_len()];
    let block = plan.setup.max_batch.min(m).max(1);
    let mut units = vec![T::ZERO; block * m];
    for start in (0..m).step_by(block) {
        let rows = block.min(m - start);
        units.fill(T::ZERO);
        for i in 0..rows {
            units[i * m + start + i] = T::ONE;
        }
        // The same sample in each row.
        let samples = MatRef::with_strides(x, rows, n, 0, 1)?;
        let dx = jacobian.as_mut()?.rows(start..start + rows)?;
        plan.vjp(params, samples, MatRef::new(&units, rows, m)?, None, &mut grads, Some(dx), workspace)?;
    }
    Ok(jacobian)
}
