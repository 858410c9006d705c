//! The Jacobian of a whole network, row by row from vector–Jacobian products.

use super::dense::{Dense, bytes};
use crate::{
    Plan, Scalar, Workspace,
    error::{Error, Result, check_len},
    view::MatRef,
};

/// Unit cotangents in a batch at most: each takes n_L elements.
const ROWS: usize = 64;

/// ∂A_L/∂X at one sample, n_L×n_0: row i is the VJP of the unit cotangent eᵢ. The rows are batches of the same sample,
/// of 64 at most and no more than the limit has room for, so a network with few outputs costs about one step of the plan;
/// no Jacobian of a layer is formed.
///
/// # Errors
/// [`Error::Length`] if `params` or `x` does not fit the network, [`Error::Workspace`] if the workspace is not the plan's,
/// [`Error::TooLarge`] if the Jacobian, the gradient of the parameters that comes with each VJP and one unit cotangent have
/// more than `limit` bytes together, [`Error::Memory`] if the system has not that many.
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
    let (what, n, m) = ("the Jacobian of a network", mlp.inputs(), mlp.outputs());
    let (always, unit) = (bytes::<T>(m, n).saturating_add(bytes::<T>(1, params.len())), bytes::<T>(1, m));
    let (needed, max) = (always.saturating_add(unit), u128::from(limit));
    if needed > max {
        return Err(Error::TooLarge { what, bytes: needed, limit: max });
    }
    let room = usize::try_from((max - always) / unit).unwrap_or(usize::MAX);
    let block = ROWS.min(room).min(m).min(plan.setup.max_batch).max(1);
    let mut jacobian = Dense::zeros(what, m, n, limit)?;
    let mut grads: Dense<T> = Dense::zeros("the gradient of the parameters", 1, params.len(), limit)?;
    let mut units = Dense::zeros("unit cotangents", block, m, limit)?;
    for start in (0..m).step_by(block) {
        let rows = block.min(m - start);
        units.data_mut().fill(T::ZERO);
        for i in 0..rows {
            units.data_mut()[i * m + start + i] = T::ONE;
        }
        // The same sample in each row.
        let samples = MatRef::with_strides(x, rows, n, 0, 1)?;
        let (dy, dx) = (units.as_ref()?.rows(0..rows)?, jacobian.as_mut()?.rows(start..start + rows)?);
        plan.vjp(params, samples, dy, None, grads.data_mut(), Some(dx), workspace)?;
    }
    Ok(jacobian)
}
