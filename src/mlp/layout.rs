//! Where things lie in a workspace and in a kept state, row-major. Offsets are in elements, decided once when the plan is
//! made; those of a store are multiples of its rows, so that one store describes any number of them.

use super::spec::{LayerSpec, Mlp};
use crate::{Scalar, memory::Regions};
use alloc::vec::Vec;
use nablas_kernels::{
    act::{Saved, State},
    gemm::{
        row_major::RowMajor,
        shape::{PAD, padded},
        turned::FEW_OUTPUTS,
    },
};

/// Where one layer's activations and saved state lie.
#[derive(Debug, Clone, Copy)]
struct LayerStore {
    /// A_l, rows × `ld`: elements a row before it.
    a: usize,
    /// The derivative g'(Z_l), if the layer saves one or δ_l takes its place: elements a row before it.
    g: Option<usize>,
    /// Elements from a row to the next.
    ld: usize,
    /// The bit mask: bytes a row before it.
    mask: usize,
    /// Bytes from a row of the mask to the next.
    mask_ld: usize,
}

/// Where the state of some rows of the minibatch lies: all A_l and g', then all masks.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    layers: Vec<LayerStore>,
    /// Elements a row, and bytes of masks a row.
    row: usize,
    mask_row: usize,
}

impl Store {
    /// What a forward pass leaves for a backward pass. With `delta` also room for δ of every layer.
    pub(crate) fn new<T: Scalar>(mlp: &Mlp<T>, delta: bool) -> Self {
        let (mut row, mut mask_row) = (0, 0);
        let layers = mlp.layers().iter().map(|l| {
            let (ld, saved) = (padded(l.outputs), l.activation.saved());
            let mut take = || {
                row += ld;
                row - ld
            };
            let (a, g) = (take(), (delta || saved == Saved::Derivative).then(&mut take));
            let (mask, mask_ld) = (mask_row, if saved == Saved::Mask { ld / 8 } else { 0 });
            mask_row += mask_ld;
            LayerStore { a, g, ld, mask, mask_ld }
        });
        let layers = layers.collect();
        Self { layers, row, mask_row }
    }

    /// Elements of `rows` rows; as large as can be if that overflows.
    pub(crate) fn len<T>(&self, rows: usize) -> usize {
        let masks = rows.saturating_mul(self.mask_row).div_ceil(size_of::<T>());
        rows.saturating_mul(self.row).saturating_add(masks)
    }

    /// Bytes of a row.
    pub(crate) fn row_bytes<T>(&self) -> usize {
        self.row * size_of::<T>() + self.mask_row
    }
}

/// A block of rows of a [`Store`]: the store's memory, how many rows that has, and the row where the block starts.
#[derive(Debug)]
pub(crate) struct Block<'a, T> {
    pub(crate) base: *mut T,
    pub(crate) store: &'a Store,
    pub(crate) rows: usize,
    pub(crate) row: usize,
}

impl<T> Clone for Block<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Block<'_, T> {}

impl<T: Scalar> Block<'_, T> {
    fn at(self, before: usize, ld: usize) -> RowMajor<T> {
        RowMajor::new(self.base.wrapping_add(self.rows * before), ld).at(self.row, 0)
    }

    /// A_l of layer index `l`.
    pub(crate) fn a(self, l: usize) -> RowMajor<T> {
        let s = self.store.layers[l];
        self.at(s.a, s.ld)
    }

    /// The derivative of layer index `l`, or its δ; null if there is neither.
    pub(crate) fn g(self, l: usize) -> RowMajor<T> {
        let s = self.store.layers[l];
        s.g.map_or(RowMajor::new(core::ptr::null_mut(), s.ld), |g| self.at(g, s.ld))
    }

    /// What layer index `l` saves.
    pub(crate) fn state(self, mlp: &Mlp<T>, l: usize) -> State<T> {
        let s = self.store.layers[l];
        let values = |RowMajor { ptr, ld }| State::Values { ptr, ld };
        match mlp.layers()[l].activation.saved() {
            Saved::Nothing => State::Nothing,
            Saved::Mask => {
                let masks = self.base.wrapping_add(self.rows * self.store.row).cast::<u8>();
                let ptr = masks.wrapping_add(self.rows * s.mask + self.row * s.mask_ld);
                State::Mask { ptr, ld: s.mask_ld }
            }
            Saved::Output => values(self.a(l)),
            Saved::Derivative => values(self.g(l)),
        }
    }
}

/// What a fused tile needs besides: X where it cannot be read in place, then dX where that cannot be written in place;
/// ∂L/∂A_L, then δ_L; column sums of one layer's δ. Offsets from the tile's base.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TileEnds {
    pub(crate) x: usize,
    pub(crate) ldx: usize,
    pub(crate) dy: usize,
    pub(crate) lddy: usize,
    pub(crate) sums: usize,
    /// Elements in all, the store's included.
    pub(crate) len: usize,
}

impl TileEnds {
    /// For `rows` rows, behind a store of theirs.
    pub(crate) fn new<T: Scalar>(mlp: &Mlp<T>, store: &Store, rows: usize) -> Self {
        let (ldx, lddy) = (padded(mlp.inputs()), padded(mlp.outputs()));
        let mut at = Regions::default();
        at.take::<T>(store.len::<T>(rows));
        let x = at.take::<T>(rows.saturating_mul(ldx));
        let dy = at.take::<T>(rows.saturating_mul(lddy));
        let sums = at.take::<T>(padded(mlp.max_width()));
        let len = at.len("a workspace").unwrap_or(usize::MAX);
        Self { x, ldx, dy, lddy, sums, len }
    }
}

/// Where one layer's packed weights lie, from the panels' base.
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
    /// Of every layer. `in_place`: the width up to which an input VJP reads W where it lies, if its rows are whole vectors.
    pub(crate) fn new<T: Scalar>(mlp: &Mlp<T>, in_place: usize, at: &mut Regions) -> Vec<Self> {
        let of = |l: &LayerSpec<T>| Self {
            // Few outputs read W where it lies.
            forward: at.take::<T>(match l.outputs {
                n if n <= FEW_OUTPUTS => 0,
                n => l.inputs.saturating_mul(padded(n)),
            }),
            backward: at.take::<T>(match l.inputs {
                n if n <= in_place && n.is_multiple_of(PAD) => 0,
                n => l.outputs.saturating_mul(padded(n)),
            }),
            bias: at.take::<T>(padded(l.outputs)),
        };
        mlp.layers().iter().map(of).collect()
    }
}
