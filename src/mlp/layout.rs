//! Where things lie in a workspace. Offsets are in elements, decided once when the plan is made.

use super::spec::Mlp;
use crate::{Scalar, memory::Regions};
use nablas_kernels::{act::Saved, gemm::shape::padded};

/// Where one layer's activations and saved state lie, from a store's base.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerStore {
    /// A_l, rows × `ld`.
    pub(crate) a: usize,
    /// The derivative g'(Z_l); in a tile of the fused pass, δ_l takes its place.
    pub(crate) g: usize,
    /// The bit mask: `mask_ld` bytes a row.
    pub(crate) mask: usize,
    /// Elements from a row to the next.
    pub(crate) ld: usize,
    /// Bytes from a row of the mask to the next.
    pub(crate) mask_ld: usize,
}

/// Where the state of some rows of the minibatch lies.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) layers: alloc::vec::Vec<LayerStore>,
    /// X, copied where it cannot be read in place, then dX where that cannot be written in place.
    pub(crate) x: usize,
    pub(crate) ldx: usize,
    /// ∂L/∂A_L, then δ_L.
    pub(crate) dy: usize,
    /// Column sums of one layer's δ, padded.
    pub(crate) sums: usize,
    /// Elements in all.
    pub(crate) len: usize,
}

impl Store {
    /// For `rows` rows. Overflow shows in the regions that the store is taken from.
    pub(crate) fn new<T: Scalar>(mlp: &Mlp<T>, rows: usize) -> Self {
        let mut at = Regions::default();
        let area = |ld: usize| rows.saturating_mul(ld);
        let layers = mlp
            .layers()
            .iter()
            .map(|l| {
                let (ld, mask_ld) = (padded(l.outputs), padded(l.outputs) / 8);
                let mask = match l.activation.saved() {
                    Saved::Mask => area(mask_ld).div_ceil(size_of::<T>()),
                    _ => 0,
                };
                LayerStore {
                    a: at.take::<T>(area(ld)),
                    g: at.take::<T>(area(ld)),
                    mask: at.take::<T>(mask),
                    ld,
                    mask_ld,
                }
            })
            .collect();
        let ldx = padded(mlp.inputs());
        let x = at.take::<T>(area(ldx));
        let dy = at.take::<T>(area(padded(mlp.outputs())));
        let sums = at.take::<T>(padded(mlp.max_width()));
        let len = at.len("a workspace").unwrap_or(usize::MAX);
        Self { layers, x, ldx, dy, sums, len }
    }

    /// Bytes of activations and saved state a row.
    pub(crate) fn row_bytes<T: Scalar>(mlp: &Mlp<T>) -> usize {
        let widths: usize = mlp.layers().iter().map(|l| 2 * padded(l.outputs)).sum();
        (widths + padded(mlp.inputs())) * size_of::<T>()
    }
}

/// Where one layer's packed weights lie, from the workspace's base.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackedWeights {
    /// Wᵀ in panels, for the forward product.
    pub(crate) forward: usize,
    /// W in panels, for the input VJP.
    pub(crate) backward: usize,
    /// b, padded.
    pub(crate) bias: usize,
}

impl PackedWeights {
    pub(crate) fn new<T: Scalar>(mlp: &Mlp<T>, at: &mut Regions) -> alloc::vec::Vec<Self> {
        mlp.layers()
            .iter()
            .map(|l| Self {
                forward: at.take::<T>(l.inputs.saturating_mul(padded(l.outputs))),
                backward: at.take::<T>(l.outputs.saturating_mul(padded(l.inputs))),
                bias: at.take::<T>(padded(l.outputs)),
            })
            .collect()
    }
}
