//! Where the state of a tile of the narrow path lies: feature-major, one leading dimension for all.

use super::spec::{LayerSpec, Mlp};
use crate::Scalar;
use alloc::vec::Vec;
use nablas_kernels::{
    act::{Activation, Saved, State},
    gemm::narrow::Features,
};

/// Where one layer's state lies, in features.
#[derive(Debug, Clone, Copy)]
struct NarrowLayer {
    a: usize,
    /// The derivative, or δ.
    g: usize,
    mask: usize,
}

/// The features of a tile, or of what a forward pass keeps.
#[derive(Debug, Clone)]
pub(crate) struct NarrowStore {
    layers: Vec<NarrowLayer>,
    x: usize,
    /// Of a tile alone: ∂L/∂A_L, then δ_L.
    pub(crate) dy: usize,
    /// Of a tile alone: A_L and ∂L/∂A_L, row-major, as losses take them.
    pub(crate) y: [usize; 2],
    /// How many.
    pub(crate) features: usize,
}

impl NarrowStore {
    /// What a tile needs.
    pub(crate) fn tile<T: Scalar>(mlp: &Mlp<T>) -> Self {
        let mut store = Self::new(mlp, true);
        let mut take = || {
            store.features += mlp.outputs();
            store.features - mlp.outputs()
        };
        (store.dy, store.y) = (take(), [take(), take()]);
        store
    }

    /// What a forward pass keeps.
    pub(crate) fn kept<T: Scalar>(mlp: &Mlp<T>) -> Self {
        Self::new(mlp, false)
    }

    /// X, all A_l, the saved state; with `delta` room for δ of every layer.
    fn new<T: Scalar>(mlp: &Mlp<T>, delta: bool) -> Self {
        let mut features = 0;
        let mut take = |count: usize| {
            features += count;
            features - count
        };
        let layer = |l: &LayerSpec<T>| {
            let saved = l.activation.saved();
            NarrowLayer {
                a: take(l.outputs),
                g: take(if delta || saved == Saved::Derivative { l.outputs } else { 0 }),
                mask: take(if saved == Saved::Mask { l.outputs.div_ceil(8 * size_of::<T>()) } else { 0 }),
            }
        };
        let layers = mlp.layers().iter().map(layer).collect();
        let x = take(mlp.inputs());
        Self { layers, x, dy: 0, y: [0; 2], features }
    }

    /// Bytes of state a row.
    pub(crate) fn row_bytes<T: Scalar>(mlp: &Mlp<T>) -> usize {
        let widths: usize = mlp.layers().iter().map(|l| 2 * l.outputs).sum();
        (widths + mlp.inputs()) * size_of::<T>()
    }
}

/// A tile's memory.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a, T> {
    pub(crate) base: *mut T,
    pub(crate) store: &'a NarrowStore,
    /// From a feature to the next.
    pub(crate) ld: usize,
}

impl<T: Scalar> Tile<'_, T> {
    /// The leading dimension of a seat's tile of at most `rows` rows: off a power of two, or the features of a sample would
    /// fall into few sets of the caches.
    pub(crate) fn arena_ld(rows: usize) -> usize {
        rows.next_multiple_of(64) + 16
    }

    /// The features from the one given.
    pub(crate) fn features(self, first: usize) -> Features<T> {
        Features { ptr: self.base.wrapping_add(first * self.ld), ld: self.ld }
    }

    /// X, or its copy of dX.
    pub(crate) fn x(self) -> Features<T> {
        self.features(self.store.x)
    }

    /// A_l of layer index `l`.
    pub(crate) fn a(self, l: usize) -> Features<T> {
        self.features(self.store.layers[l].a)
    }

    /// The derivative of layer index `l`, or its δ.
    pub(crate) fn g(self, l: usize) -> Features<T> {
        self.features(self.store.layers[l].g)
    }

    /// What layer index `l` saves: in memory laid out as a layer of `samples` outputs with features as rows.
    pub(crate) fn state(self, act: Activation<T>, l: usize) -> State<T> {
        let values = |Features { ptr, ld }| State::Values { ptr, ld };
        match act.saved() {
            Saved::Nothing => State::Nothing,
            Saved::Mask => {
                State::Mask { ptr: self.features(self.store.layers[l].mask).ptr.cast(), ld: self.ld / 8 }
            }
            Saved::Output => values(self.a(l)),
            Saved::Derivative => values(self.g(l)),
        }
    }
}
