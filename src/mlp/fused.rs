//! The fused pass: a tile of the minibatch goes forward and backward through all layers while it is in cache.

use super::{
    layout::{PackedWeights, Store},
    spec::Mlp,
};
use crate::{MatRef, Scalar, dense::State, engine::Engine, gemm::operand};
use nablas_kernels::{
    act::{BackwardRows, Rows, Saved},
    gemm::{
        dense::{Derivative, ForwardTile, InputVjpTile, WeightVjpTile, Weights},
        epilogue::Save,
        pack::{Operand, PackPanels},
        shape::{PAD, padded},
    },
};

/// A block of rows of a [`Store`]: the store's memory, and the row where the block starts.
#[derive(Debug)]
pub(crate) struct Block<'a, T> {
    pub(crate) base: *mut T,
    pub(crate) store: &'a Store,
    pub(crate) row: usize,
}

impl<T> Clone for Block<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Block<'_, T> {}

impl<T: Scalar> Block<'_, T> {
    /// A_l of layer index `l`, and its leading dimension.
    pub(crate) fn a(self, l: usize) -> (*mut T, usize) {
        let s = self.store.layers[l];
        (self.base.wrapping_add(s.a + self.row * s.ld), s.ld)
    }

    /// The derivative of layer index `l`, or its δ, and its leading dimension.
    pub(crate) fn g(self, l: usize) -> (*mut T, usize) {
        let s = self.store.layers[l];
        (self.base.wrapping_add(s.g + self.row * s.ld), s.ld)
    }

    /// What layer index `l` saves.
    pub(crate) fn state(self, mlp: &Mlp<T>, l: usize) -> State<T> {
        let s = self.store.layers[l];
        let saved = mlp.layers()[l].activation.saved();
        let (values, ld) = if saved == Saved::Output { self.a(l) } else { self.g(l) };
        let mask = self.base.wrapping_add(s.mask).cast::<u8>().wrapping_add(self.row * s.mask_ld);
        let mask = if saved == Saved::Mask { mask } else { core::ptr::null_mut() };
        State { values, ld, mask, mask_ld: s.mask_ld }
    }

    /// ∂L/∂A_L, then δ_L, and its leading dimension.
    pub(crate) fn dy(self, outputs: usize) -> (*mut T, usize) {
        let ld = padded(outputs);
        (self.base.wrapping_add(self.store.dy + self.row * ld), ld)
    }

    /// The copy of X, later dX, and its leading dimension.
    fn x(self) -> (*mut T, usize) {
        (self.base.wrapping_add(self.store.x + self.row * self.store.ldx), self.store.ldx)
    }
}

/// The network, its parameters and their packed copies: what every tile reads.
#[derive(Clone, Copy)]
pub(crate) struct Net<'a, T: Scalar> {
    pub(crate) mlp: &'a Mlp<T>,
    pub(crate) engine: &'a Engine,
    pub(crate) params: &'a [T],
    pub(crate) layout: &'a [PackedWeights],
    /// The workspace's base: the packed weights are only read once they are packed.
    pub(crate) base: *mut T,
}

// SAFETY: tasks pack disjoint layers and directions, and only read them afterwards.
unsafe impl<T: Scalar> Send for Net<'_, T> {}
// SAFETY: as for Send.
unsafe impl<T: Scalar> Sync for Net<'_, T> {}

/// Where X of the fused pass can be read by whole vectors, it is; elsewhere it is copied.
fn whole_rows<T>(x: &MatRef<'_, T>) -> bool {
    x.col_stride() == 1 && x.row_stride() >= 0 && x.ncols().is_multiple_of(PAD)
}

/// Copies rows of any strides.
///
/// # Safety
/// `rows` × `cols` elements are readable at `from` and writable at `to`, which do not overlap.
pub(crate) unsafe fn copy_rows<T: Copy>(
    (rows, cols): (usize, usize),
    from: Operand<T>,
    (to, rs, cs): (*mut T, isize, isize),
) {
    for i in 0..rows as isize {
        let (f, t) = (from.ptr.wrapping_offset(i * from.rs), to.wrapping_offset(i * rs));
        // SAFETY: row i of both.
        unsafe {
            if from.cs == 1 && cs == 1 {
                core::ptr::copy_nonoverlapping(f, t, cols);
            } else {
                for j in 0..cols as isize {
                    *t.wrapping_offset(j * cs) = *f.wrapping_offset(j * from.cs);
                }
            }
        }
    }
}

impl<T: Scalar> Net<'_, T> {
    /// W of layer index `l` as the input VJP reads it.
    fn backward_weights(&self, l: usize) -> Weights<T> {
        if self.in_place(l) {
            return Weights::Rows(self.weights(l).as_ptr(), self.mlp.layers()[l].inputs);
        }
        Weights::Packed(self.base.wrapping_add(self.layout[l].backward).cast_const())
    }

    /// Whether the input VJP reads W where it lies: its rows are whole vectors, and near enough for panels of it
    /// not to fall into few sets of L1.
    fn in_place(&self, l: usize) -> bool {
        let inputs = self.mlp.layers()[l].inputs;
        inputs.is_multiple_of(PAD) && inputs <= 128
    }

    /// Packs Wᵀ of layer index `l` for the forward product, and pads its bias.
    ///
    /// # Safety
    /// The workspace's packed regions are writable, and nothing else accesses this one.
    pub(crate) unsafe fn pack_forward(&self, l: usize) {
        let (spec, to) = (&self.mlp.layers()[l], self.base.wrapping_add(self.layout[l].bias));
        // What the padding holds only reaches padding.
        // SAFETY: the bias has n elements, and so has its copy.
        unsafe { core::ptr::copy_nonoverlapping(self.bias(l), to, spec.outputs) }
        let (b, k, n) = (operand(self.weights(l)).t(), spec.inputs, spec.outputs);
        let dst = self.base.wrapping_add(self.layout[l].forward);
        // SAFETY: W is valid over its shape, and its packed region is writable.
        unsafe { self.engine.run_raw(PackPanels { b, k, n, from: 0, to: usize::MAX, alpha: T::ONE, dst }) };
    }

    /// Packs W of layer index `l` for the input VJP, unless that reads it where it lies.
    ///
    /// # Safety
    /// As for [`pack_forward`](Self::pack_forward).
    pub(crate) unsafe fn pack_backward(&self, l: usize) {
        if self.in_place(l) {
            return;
        }
        let spec = &self.mlp.layers()[l];
        let (b, k, n) = (operand(self.weights(l)), spec.outputs, spec.inputs);
        let dst = self.base.wrapping_add(self.layout[l].backward);
        // SAFETY: W is valid over its shape, and its packed region is writable.
        unsafe { self.engine.run_raw(PackPanels { b, k, n, from: 0, to: usize::MAX, alpha: T::ONE, dst }) };
    }

    fn weights(&self, l: usize) -> MatRef<'_, T> {
        let s = &self.mlp.layers()[l];
        let at = self.offset(l);
        // SAFETY: the flat buffer was checked to have every layer's parameters.
        unsafe {
            MatRef::from_raw_parts(self.params[at..].as_ptr(), s.outputs, s.inputs, s.inputs as isize, 1)
        }
    }

    /// Where W_l starts in a flat buffer; b_l follows it.
    pub(crate) fn offset(&self, l: usize) -> usize {
        self.mlp.layer_offset(l)
    }

    fn bias(&self, l: usize) -> *const T {
        let s = &self.mlp.layers()[l];
        self.params[self.offset(l) + s.inputs * s.outputs..].as_ptr()
    }

    /// Forward through all layers for the rows of `x`: A_l and, if `save`, the saved state, into the block;
    /// A_L into `y` as well, if given (element (0, 0) and strides).
    ///
    /// # Safety
    /// The block and `y` are writable over the rows, the weights are packed, nothing else accesses them.
    pub(crate) unsafe fn forward(
        &self,
        block: Block<'_, T>,
        x: MatRef<'_, T>,
        save: bool,
        y: Option<(*mut T, isize, isize)>,
    ) {
        let m = x.nrows();
        let last = self.mlp.layers().len() - 1;
        let mut input = operand(x);
        if input.cs != 1 {
            // The tiles read contiguous rows.
            let (to, ld) = block.x();
            // SAFETY: the copy has room for the rows.
            unsafe { copy_rows(x.shape(), input, (to, ld as isize, 1)) }
            input = Operand { ptr: to.cast_const(), rs: ld as isize, cs: 1 };
        }
        for (l, spec) in self.mlp.layers().iter().enumerate() {
            let (k, n, act) = (spec.inputs, spec.outputs, spec.activation);
            let own = block.a(l);
            // A_L goes straight to the caller, unless the backward pass wants it beside the derivative.
            let direct =
                y.filter(|y| l == last && (y.2 == 1 && y.1 >= 0) && !(save && act.saved() == Saved::Output));
            let a = direct.map_or(own, |(ptr, rs, _)| (ptr, rs as usize));
            let save = if save { block.state(self.mlp, l).save(act) } else { Save::NONE };
            let w = self.base.wrapping_add(self.layout[l].forward).cast_const();
            let bias = self.base.wrapping_add(self.layout[l].bias).cast_const();
            let (kc, whole) = (usize::MAX, direct.is_none());
            // SAFETY: the caller's promise; the padding is the block's own.
            unsafe {
                self.engine.run_raw(ForwardTile { m, k, n, x: input, w, bias, a, save, act, kc, whole })
            };
            input = Operand { ptr: a.0, rs: a.1 as isize, cs: 1 };
            if let (Some(y), None, true) = (y, direct, l == last) {
                // SAFETY: A_L was just written to the block; `y` is writable over the rows.
                unsafe { copy_rows((m, n), input, y) }
            }
        }
    }

    /// Backward through all layers: adds to `grads` (or sets it, if `fresh`) dW and db of the rows of `x`, from
    /// ∂L/∂A_L in `work`'s `dy`; writes dX, if asked for.
    ///
    /// `acts` holds what the forward pass saved; `work` takes the δ_l. They may be the same block: δ_l then
    /// takes the place of the derivative of layer l, which is read for the last time as it is overwritten.
    ///
    /// # Safety
    /// The blocks are valid over the rows, `grads` over the parameters, `dx` over the rows; nothing else
    /// accesses them; the weights are packed.
    pub(crate) unsafe fn backward(
        &self,
        acts: Block<'_, T>,
        work: Block<'_, T>,
        x: MatRef<'_, T>,
        grads: *mut T,
        fresh: bool,
        dx: Option<(*mut T, isize, isize)>,
    ) {
        let rows = x.nrows();
        let layers = self.mlp.layers();
        let last = layers.len() - 1;
        let db = |l: usize| {
            let at = grads.wrapping_add(self.offset(l) + layers[l].inputs * layers[l].outputs);
            if fresh {
                // SAFETY: b_l's gradient has as many elements as layer l has outputs.
                unsafe { core::slice::from_raw_parts_mut(at, layers[l].outputs) }.fill(T::ZERO);
            }
            at
        };
        // SAFETY: the blocks are valid over the rows, and the gradient over the parameters.
        unsafe {
            let (mut delta, mut ld) = work.dy(layers[last].outputs);
            let d = Rows { ptr: delta, ld, rows, cols: layers[last].outputs };
            let act = layers[last].activation;
            self.engine.run(BackwardRows::new(act, d, acts.state(self.mlp, last).kept(act), db(last)));
            for l in (0..layers.len()).rev() {
                let (inputs, outputs) = (layers[l].inputs, layers[l].outputs);
                let d = Operand { ptr: delta.cast_const(), rs: ld as isize, cs: 1 };
                let (a, lda) = if l > 0 {
                    let (a, lda) = acts.a(l - 1);
                    (a.cast_const(), lda)
                } else {
                    self.input(work, x)
                };
                self.engine.run_raw(WeightVjpTile {
                    rows,
                    m: outputs,
                    n: inputs,
                    delta: d,
                    a,
                    lda,
                    dw: grads.wrapping_add(self.offset(l)),
                    lddw: inputs,
                    fresh,
                });
                let w = self.backward_weights(l);
                let (m, k, n, kc) = (rows, outputs, inputs, usize::MAX);
                if l > 0 {
                    let act = layers[l - 1].activation;
                    let derivative = acts.state(self.mlp, l - 1).derivative(act);
                    (delta, ld) = work.g(l - 1);
                    // The sums go on in padded memory, and back: tiles at no edge are the faster ones.
                    let (db, sums) = (db(l - 1), work.base.wrapping_add(work.store.sums));
                    core::ptr::copy_nonoverlapping(db.cast_const(), sums, inputs);
                    let (out, whole) = ((delta, ld), true);
                    self.engine.run_raw(InputVjpTile {
                        m,
                        k,
                        n,
                        delta: d,
                        w,
                        derivative,
                        out,
                        sums,
                        kc,
                        whole,
                    });
                    core::ptr::copy_nonoverlapping(sums.cast_const(), db, inputs);
                } else if let Some((ptr, rs, cs)) = dx {
                    let direct = cs == 1 && rs >= 0;
                    let out = if direct { (ptr, rs as usize) } else { work.x() };
                    let (derivative, sums) = (Derivative::One, core::ptr::null_mut());
                    let whole = false;
                    self.engine.run_raw(InputVjpTile {
                        m,
                        k,
                        n,
                        delta: d,
                        w,
                        derivative,
                        out,
                        sums,
                        kc,
                        whole,
                    });
                    if !direct {
                        let from = Operand { ptr: out.0.cast_const(), rs: out.1 as isize, cs: 1 };
                        copy_rows((rows, inputs), from, (ptr, rs, cs));
                    }
                }
            }
        }
    }

    /// X as the weight VJP reads it: by whole vectors.
    ///
    /// # Safety
    /// The block is writable over the rows.
    unsafe fn input(&self, work: Block<'_, T>, x: MatRef<'_, T>) -> (*const T, usize) {
        if whole_rows(&x) {
            return (x.as_ptr(), x.row_stride() as usize);
        }
        let (to, ld) = work.x();
        // SAFETY: the copy has room for the rows; its padding stays as it is, and only feeds padding.
        unsafe { copy_rows(x.shape(), operand(x), (to, ld as isize, 1)) }
        (to, ld)
    }
}
