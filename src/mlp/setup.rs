//! What a plan and its path stand on.

use super::spec::Mlp;
use crate::{Scalar, engine::Engine, product::Ops};

/// A network, who runs its products, and for how many rows at most.
pub(crate) struct Setup<T: Scalar> {
    pub(crate) mlp: Mlp<T>,
    pub(crate) max_batch: usize,
    pub(crate) ops: Ops<T>,
}

impl<T: Scalar> Setup<T> {
    pub(crate) fn engine(&self) -> &Engine {
        self.ops.engine()
    }
}
