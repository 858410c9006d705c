//! Partial gradients: where a slot's lies, and the tree that adds them.

use super::{call::Call, params::Places};
use crate::Scalar;
use nablas_kernels::gemm::dense::FoldSlots;

/// Elements of every slot that an item folds.
const CHUNK: usize = 4096;

/// The partial gradient of slot `s`: the first is the caller's gradient, the others lie in the workspace, from an offset
/// on, a stride apart.
pub(crate) fn slot<'a, T: Scalar>(
    call: &Call<'a, T>,
    grads: Places<'a, T>,
    (at, stride): (usize, usize),
    s: usize,
) -> Places<'a, T> {
    match s {
        0 => grads,
        s => Places::flat(&call.setup.mlp, call.memory.add(at + (s - 1) * stride)),
    }
}

/// Items that fold `count` slots.
pub(crate) fn fold_items<T: Scalar>(call: &Call<'_, T>, count: usize) -> usize {
    if count <= 1 { 0 } else { call.setup.mlp.param_len().div_ceil(CHUNK) }
}

/// Adds an item's part of the slots into the first.
///
/// # Safety
/// The slots are the call's, and nothing writes them any more.
pub(crate) unsafe fn fold_slots<T: Scalar>(
    call: &Call<'_, T>,
    grads: Places<'_, T>,
    (at, stride): (usize, usize),
    count: usize,
    item: usize,
) {
    let (from, end) = (item * CHUNK, call.setup.mlp.param_len());
    for (from, first, len) in grads.pieces(from, end.min(from + CHUNK)) {
        let rest = call.memory.add(at + from);
        // SAFETY: items fold disjoint parts of the slots.
        unsafe { call.setup.engine().run_raw(FoldSlots { first, rest, stride, count, len }) };
    }
}
