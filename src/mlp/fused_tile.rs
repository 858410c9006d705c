//! A tile of the fused path on its way through the layers.

use super::{
    call::Call,
    ends::{Cotangent, RowsAt, copy_rows, direct, slice, whole_rows},
    layout::{Block, PackedWeights, TileEnds},
    params::Places,
    pass::Layers,
    spec::Mlp,
};
use crate::{MatMut, MatRef, Scalar, engine::Engine, gemm::operand, shared::Shared};
use nablas_kernels::{
    act::{Activation, BackwardRows, ForwardRows, Rows, Saved, State},
    gemm::{
        dense::{ForwardTile, InputVjpTile, WeightVjpTile},
        epilogue::Bias,
        pack::{Operand, PackPanels, Right, Share},
        row_major::RowMajor,
        shape::PAD,
        turned::{FEW_INPUTS, FEW_OUTPUTS, ForwardTurned, WeightVjpTurned},
    },
    reduce::{ColumnSums, View},
};

/// An input VJP reads W where it lies up to this width: above, panels of it would fall into few sets of L1.
pub(super) const IN_PLACE: usize = 128;

/// Batches of up to this many rows do not repay packing: W is read where it lies, both ways.
pub(super) fn few(params: usize) -> usize {
    // W that leaves L1 costs more to pack.
    if params <= 1 << 15 { 24 } else { 32 }
}

/// A seat's memory.
#[derive(Clone, Copy)]
pub(super) struct Arena<'a, T> {
    pub(super) base: *mut T,
    pub(super) block: Block<'a, T>,
    pub(super) ends: TileEnds,
}

impl<T: Scalar> Arena<'_, T> {
    /// ∂L/∂A_L, then δ_L.
    pub(super) fn dy(&self) -> RowMajor<T> {
        RowMajor::new(self.base.wrapping_add(self.ends.dy), self.ends.lddy).at(self.block.row, 0)
    }

    /// The copy of X, later dX.
    pub(super) fn x(&self) -> RowMajor<T> {
        RowMajor::new(self.base.wrapping_add(self.ends.x), self.ends.ldx).at(self.block.row, 0)
    }

    /// X as the weight VJP reads it: its copy, if it needs one to be read by whole vectors, or along its rows.
    pub(super) fn input(&self, x: MatRef<'_, T>) -> Operand<T> {
        if whole_rows(x).is_some() || x.col_stride() == 1 && x.ncols() <= FEW_INPUTS {
            return operand(x);
        }
        self.x().operand()
    }
}

/// The network, its parameters and their panels: what every tile reads.
#[derive(Clone, Copy)]
pub(super) struct Net<'a, T: Scalar> {
    pub(super) mlp: &'a Mlp<T>,
    pub(super) engine: &'a Engine,
    pub(super) params: Places<'a, T>,
    pub(super) layout: &'a [PackedWeights],
    /// The panels: only read once they are packed.
    pub(super) panels: Shared<T>,
    /// The batch has few rows, and no panels came with the parameters: W is read where it lies as far as can be.
    pub(super) few: bool,
}

impl<T: Scalar> Net<'_, T> {
    /// Whether the forward product of layer index `l` reads W where it lies.
    fn across(&self, l: usize) -> bool {
        self.few || self.mlp.layers()[l].outputs <= FEW_OUTPUTS
    }

    /// W of layer index `l` as the input VJP reads it.
    fn right(&self, l: usize) -> Right<T> {
        let (w, n) = (self.params.w(l).cast_const(), self.mlp.layers()[l].inputs);
        match n.is_multiple_of(PAD) {
            true if n <= IN_PLACE || self.few => Right::Rows(w, n),
            false if n > PAD && self.few => Right::Ragged(w, n),
            _ => Right::Packed(self.panels.add(self.layout[l].backward)),
        }
    }

    /// Packs a share of W of layer index `l`: Wᵀ for the forward product, with the bias padded beside it, or W for the
    /// input VJP, unless that reads it where it lies.
    ///
    /// # Safety
    /// The parameters are valid, the panels writable; nothing else accesses the share.
    pub(super) unsafe fn pack(&self, l: usize, forward: bool, share: Share) {
        let (spec, at) = (&self.mlp.layers()[l], &self.layout[l]);
        let w = Operand { ptr: self.params.w(l).cast_const(), rs: spec.inputs as isize, cs: 1 };
        let (b, k, n, dst) = match forward {
            true => (w.t(), spec.inputs, spec.outputs, at.forward),
            false if !matches!(self.right(l), Right::Packed(_)) => return,
            false => (w, spec.outputs, spec.inputs, at.backward),
        };
        let dst = self.panels.add(dst);
        // What the padding of the bias holds only reaches padding.
        // SAFETY: W and b are valid over the layer's shape, and their copies have room.
        unsafe {
            if forward && share.index == 0 {
                core::ptr::copy_nonoverlapping(self.params.b(l), self.panels.add(at.bias), spec.outputs);
            }
            if forward && self.across(l) {
                return;
            }
            self.engine.run_raw(PackPanels { b, k, n, share, alpha: T::ONE, dst });
        }
    }
}

/// A tile on its way through the layers. Whoever makes one vouches: its blocks, `y` and `dx` are valid over the rows of
/// `x` and `grads` over the parameters, nothing else accesses what it writes, and the panels are packed.
pub(super) struct Tile<'a, T: Scalar> {
    pub(super) net: Net<'a, T>,
    /// What the forward pass saves and the backward pass reads.
    pub(super) acts: Block<'a, T>,
    pub(super) arena: Arena<'a, T>,
    /// `acts` is the arena's block: δ_l takes the place of g'(Z_l), which is read for the last time as it is overwritten.
    pub(super) shared: bool,
    pub(super) x: MatRef<'a, T>,
    /// A_{l−1}, with contiguous rows.
    pub(super) input: Operand<T>,
    /// Whether state is saved.
    pub(super) save: bool,
    pub(super) y: Option<RowsAt<T>>,
    /// The gradient; none where others make it of what this leaves.
    pub(super) grads: Option<Places<'a, T>>,
    /// The gradient is set, not added to.
    pub(super) fresh: bool,
    pub(super) dx: Option<RowsAt<T>>,
    /// δ_l.
    pub(super) delta: RowMajor<T>,
}

impl<T: Scalar> Tile<'_, T> {
    /// Sees to it that the input has contiguous rows: a copy where X has not.
    ///
    /// # Safety
    /// The arena is writable, and nothing else accesses it.
    pub(super) unsafe fn contiguous(&mut self) {
        if self.input.cs != 1 {
            let RowMajor { ptr: to, ld } = self.arena.x();
            // SAFETY: the copy has room for the rows.
            unsafe { copy_rows(self.x.shape(), self.input, (to, ld as isize, 1)) }
            self.input = Operand { ptr: to.cast_const(), rs: ld as isize, cs: 1 };
        }
    }

    /// Puts ∂L/∂A_L of rows `start..end` of the batch where the backward pass starts from.
    ///
    /// # Safety
    /// The tile is valid over the rows, and for a loss its A_L has been computed; the row losses are this call's alone.
    pub(super) unsafe fn seed(
        &mut self,
        call: &Call<'_, T>,
        cotangent: &Cotangent<'_, T>,
        start: usize,
        end: usize,
    ) {
        let (rows, n) = (end - start, self.net.mlp.outputs());
        let last = self.net.mlp.layers().len() - 1;
        self.delta = self.arena.dy();
        let RowMajor { ptr: to, ld } = self.delta;
        if let Some(there) = cotangent.in_place(&self.net.mlp.layers()[last], start) {
            self.delta = there;
            return;
        }
        // SAFETY: the caller's promise.
        unsafe {
            match cotangent {
                Cotangent::Given(dy) => {
                    copy_rows((rows, n), operand(slice(*dy, start, end)), (to, ld as isize, 1));
                }
                Cotangent::Loss(..) => {
                    let RowMajor { ptr: a, ld: lda } = self.acts.a(last);
                    let y = MatRef::from_raw_parts(a.cast_const(), rows, n, lda as isize, 1);
                    let delta = MatMut::from_raw_parts(to, rows, n, ld as isize, 1);
                    call.row_losses(cotangent, start, y, delta);
                }
            }
        }
    }

    /// db of layer index `l`, to be added to; null for none.
    fn db(&self, l: usize) -> *mut T {
        let at = self.grads.map_or(core::ptr::null_mut(), |g| g.b(l));
        if self.fresh {
            // SAFETY: b_l's gradient has as many elements as layer l has outputs.
            unsafe { core::slice::from_raw_parts_mut(at, self.net.mlp.layers()[l].outputs) }.fill(T::ZERO);
        }
        at
    }

    /// Leaves X where the weight VJP reads it by whole vectors: copies it, if it has to be.
    ///
    /// # Safety
    /// The arena is writable, and nothing else accesses it.
    pub(super) unsafe fn leave_input(&self) {
        let RowMajor { ptr: to, ld } = self.arena.x();
        if self.arena.input(self.x).ptr == to {
            // SAFETY: the copy has room for the rows; its padding stays as it is, and only feeds padding.
            unsafe { copy_rows(self.x.shape(), operand(self.x), (to, ld as isize, 1)) }
        }
    }
}

/// dW ← (dW +) δᵀ·A over some rows, n_l × n_{l−1}.
///
/// # Safety
/// As for [`WeightVjpTile`], or where inputs are few, for [`WeightVjpTurned`], over these sizes.
pub(super) unsafe fn weight_vjp<T: Scalar>(
    engine: &Engine,
    (rows, m, n): (usize, usize, usize),
    delta: Operand<T>,
    a: Operand<T>,
    dw: *mut T,
    fresh: bool,
) {
    let dw = RowMajor::new(dw, n);
    // SAFETY: the caller's promise.
    unsafe {
        if n <= FEW_INPUTS {
            let delta = RowMajor::new(delta.ptr.cast_mut(), delta.rs as usize);
            engine.run_raw(WeightVjpTurned { rows, m, n, delta, x: a, dw, fresh });
        } else {
            let a = RowMajor::new(a.ptr.cast_mut(), a.rs as usize);
            engine.run_raw(WeightVjpTile { rows, m, n, delta, a, dw, fresh });
        }
    }
}

impl<T: Scalar> Layers for Tile<'_, T> {
    fn forward(&mut self, l: usize) {
        let (net, m) = (&self.net, self.x.nrows());
        let spec = &net.mlp.layers()[l];
        let (k, n, act) = (spec.inputs, spec.outputs, spec.activation);
        let end = self.y.filter(|_| l + 1 == net.mlp.layers().len());
        // A_L goes straight to the caller, unless the backward pass wants it beside the derivative.
        let out = end.and_then(direct).filter(|_| !(self.save && act.saved() == Saved::Output));
        let (a, whole) = (out.unwrap_or(self.acts.a(l)), out.is_none());
        let save = if self.save { self.acts.state(net.mlp, l).written(act) } else { State::Nothing };
        let (raw, bias) = (net.params.w(l).cast_const(), net.panels.add(net.layout[l].bias).cast_const());
        let w = match net.across(l) {
            true => Right::Columns(raw, k),
            false => Right::Packed(net.panels.add(net.layout[l].forward)),
        };
        let x = self.input;
        self.input = a.operand();
        // SAFETY: the tile's maker vouched; the padding is the block's own; A_L is copied once it is there.
        unsafe {
            if n <= FEW_OUTPUTS && x.rs >= 0 {
                net.engine.run_raw(ForwardTurned { m, k, n, x, w: raw, bias, z: a });
                if act != Activation::Identity {
                    let z = Rows { ptr: a.ptr, ld: a.ld, rows: m, cols: n };
                    net.engine.run(ForwardRows::new(act, z, save));
                }
            } else {
                let bias = Bias::Columns(bias);
                net.engine.run_raw(ForwardTile { m, k, n, x, w, bias, a, save, act, whole });
            }
            if let Some(y) = end.filter(|_| whole) {
                copy_rows((m, n), self.input, y);
            }
        }
    }

    fn output_delta(&mut self) {
        let (mlp, last) = (self.net.mlp, self.net.mlp.layers().len() - 1);
        let (RowMajor { ptr, ld }, rows, cols) = (self.delta, self.x.nrows(), mlp.outputs());
        let (act, db) = (mlp.layers()[last].activation, self.db(last));
        // SAFETY: the tile's maker vouched. Where the cotangent is read in place, the activation is the identity.
        unsafe {
            if act != Activation::Identity {
                let kept = self.acts.state(mlp, last);
                let d = Rows { ptr, ld, rows, cols };
                self.net.engine.run(BackwardRows::new(act, d, kept, db));
            } else if !db.is_null() {
                let x = View::from_raw_parts(ptr, ld, rows, cols);
                let out = core::slice::from_raw_parts_mut(db, cols);
                self.net.engine.run(ColumnSums { x, out });
            }
        }
    }

    fn weight_vjp(&mut self, l: usize) {
        let Some(grads) = self.grads else { return };
        if l == 0 && !(self.shared && self.x.col_stride() != 1) {
            // SAFETY: the tile's maker vouched. Where X has no contiguous rows, the forward pass has copied it.
            unsafe { self.leave_input() }
        }
        let a = match l {
            0 => self.arena.input(self.x),
            _ => self.acts.a(l - 1).operand(),
        };
        let spec = &self.net.mlp.layers()[l];
        let sizes = (self.x.nrows(), spec.outputs, spec.inputs);
        // SAFETY: the tile's maker vouched; δ is padded.
        unsafe { weight_vjp(self.net.engine, sizes, self.delta.operand(), a, grads.w(l), self.fresh) }
    }

    fn input_vjp(&mut self, l: usize) {
        let (net, m) = (&self.net, self.x.nrows());
        let spec = &net.mlp.layers()[l];
        let (k, n, w) = (spec.outputs, spec.inputs, net.right(l));
        let delta = self.delta.operand();
        // SAFETY: the tile's maker vouched; δ takes the place of a derivative only where the two are one.
        unsafe {
            if l > 0 {
                let act = net.mlp.layers()[l - 1].activation;
                let out = self.arena.block.g(l - 1);
                let state = match self.shared && act.saved() == Saved::Derivative {
                    true => State::Values { ptr: out.ptr, ld: out.ld },
                    false => self.acts.state(net.mlp, l - 1),
                };
                // The sums go on in padded memory, and back: tiles at no edge are the faster ones.
                let (db, mut sums) = (self.db(l - 1), self.arena.base.wrapping_add(self.arena.ends.sums));
                if db.is_null() {
                    sums = db;
                } else {
                    core::ptr::copy_nonoverlapping(db.cast_const(), sums, n);
                }
                net.engine.run_raw(InputVjpTile { m, k, n, delta, w, act, state, out, sums, whole: true });
                if !db.is_null() {
                    core::ptr::copy_nonoverlapping(sums.cast_const(), db, n);
                }
                self.delta = out;
            } else if let Some(dx) = self.dx {
                let straight = direct(dx);
                let (out, whole) = (straight.unwrap_or(self.arena.x()), false);
                let (act, state, sums) = (Activation::Identity, State::Nothing, core::ptr::null_mut());
                net.engine.run_raw(InputVjpTile { m, k, n, delta, w, act, state, out, sums, whole });
                if straight.is_none() {
                    let from = out.operand();
                    copy_rows((m, n), from, dx);
                }
            }
        }
    }
}
