//! A tile of the narrow path on its way through the layers, feature-major.

use super::{
    call::Call,
    ends::{Cotangent, RowsAt, copy_rows, slice},
    narrow_store::Tile,
    params::Places,
    pass::Layers,
    spec::Mlp,
};
use crate::{MatMut, MatRef, Scalar, engine::Engine, gemm::operand, shared::Shared};
use nablas_kernels::{
    act::{Activation, BackwardRows, Rows, Saved, State},
    gemm::{
        dense::{ForwardTile, InputVjpTile},
        epilogue::Bias,
        narrow::{Features, NarrowWeightVjp, clear_tail, whole_lanes},
        pack::{CopyRows, Operand, Right},
        row_major::RowMajor,
    },
    reduce::VIRTUAL_LANES,
};

/// The network and its parameters: what every tile reads.
#[derive(Clone, Copy)]
pub(super) struct NarrowNet<'a, T: Scalar> {
    pub(super) mlp: &'a Mlp<T>,
    pub(super) engine: &'a Engine,
    pub(super) params: Places<'a, T>,
    pub(super) transposed: &'a [usize],
    /// Wᵀ of every layer: only read once it is there.
    pub(super) panels: Shared<T>,
}

impl<T: Scalar> NarrowNet<'_, T> {
    fn weights(&self, l: usize) -> Operand<T> {
        let rs = self.mlp.layers()[l].inputs as isize;
        Operand { ptr: self.params.w(l).cast_const(), rs, cs: 1 }
    }

    fn transposed(&self, l: usize) -> Operand<T> {
        let rs = self.mlp.layers()[l].outputs as isize;
        Operand { ptr: self.panels.add(self.transposed[l]).cast_const(), rs, cs: 1 }
    }

    /// Wᵀ of a layer.
    ///
    /// # Safety
    /// The parameters are valid, the panels writable; nothing else accesses this one.
    pub(super) unsafe fn transpose(&self, l: usize) {
        let spec = &self.mlp.layers()[l];
        let (m, k, dst) = (spec.inputs, spec.outputs, self.panels.add(self.transposed[l]));
        // SAFETY: W is valid over its shape, and there is room for Wᵀ.
        unsafe { self.engine.run_raw(CopyRows { a: self.weights(l).t(), m, k, dst, ld: k }) }
    }

    /// Rows of a matrix into a tile's features.
    ///
    /// # Safety
    /// The features are writable over the tile's rows, and overlap nothing else.
    pub(super) unsafe fn load(&self, x: MatRef<'_, T>, to: Features<T>) {
        let (rows, cols) = x.shape();
        // SAFETY: the caller's promise.
        unsafe {
            let copy = CopyRows { a: operand(x).t(), m: cols, k: rows, dst: to.ptr, ld: to.ld };
            self.engine.run_raw(copy);
            clear_tail(to, cols, rows);
        }
    }

    /// A tile's features into `rows` rows of a matrix.
    ///
    /// # Safety
    /// The features are readable and `to` is writable over rows × cols.
    pub(super) unsafe fn store(&self, from: Features<T>, (rows, cols): (usize, usize), to: RowsAt<T>) {
        let a = Operand { ptr: from.ptr.cast_const(), rs: 1, cs: from.ld as isize };
        // SAFETY: the caller's promise.
        unsafe {
            match to {
                (dst, rs, 1) if rs >= 0 => {
                    self.engine.run_raw(CopyRows { a, m: rows, k: cols, dst, ld: rs as usize });
                }
                _ => copy_rows((rows, cols), a, to),
            }
        }
    }
}

/// A tile on its way through the layers. Whoever makes one vouches: its tiles and `dx` are valid over the samples, `sums`
/// over [`VIRTUAL_LANES`] times the parameters, nothing else accesses what it writes, and Wᵀ is there for a backward pass.
pub(super) struct Through<'a, T: Scalar> {
    pub(super) net: NarrowNet<'a, T>,
    /// What the forward pass saves and the backward pass reads.
    pub(super) acts: Tile<'a, T>,
    /// What takes δ.
    pub(super) work: Tile<'a, T>,
    /// The two are one: δ_l takes the place of g'(Z_l), which is read for the last time as it is overwritten.
    pub(super) shared: bool,
    pub(super) samples: usize,
    /// A_{l−1}.
    pub(super) input: Features<T>,
    /// Whether state is saved.
    pub(super) save: bool,
    /// dW and db in virtual lanes.
    pub(super) sums: *mut T,
    /// They are set, not added to.
    pub(super) fresh: bool,
    /// The tile is all of a run, whose gradient goes there.
    pub(super) whole: Option<Places<'a, T>>,
    pub(super) dx: Option<RowsAt<T>>,
    /// δ_l.
    pub(super) delta: Features<T>,
}

impl<T: Scalar> Through<'_, T> {
    /// Puts ∂L/∂A_L of rows `start..end` of the batch where the backward pass starts from.
    ///
    /// # Safety
    /// The tile is valid over the rows, and for a loss its A_L has been computed; the row losses are this call's alone.
    pub(super) unsafe fn seed(
        &self,
        call: &Call<'_, T>,
        cotangent: &Cotangent<'_, T>,
        start: usize,
        end: usize,
    ) {
        let (net, rows, n) = (&self.net, end - start, self.net.mlp.outputs());
        let dy = self.work.features(self.work.store.dy);
        // SAFETY: the caller's promise.
        unsafe {
            match cotangent {
                Cotangent::Given(m) => net.load(slice(*m, start, end), dy),
                Cotangent::Loss(..) => {
                    let [y, delta] = self.work.store.y.map(|at| self.work.features(at).ptr);
                    net.store(self.acts.a(net.mlp.layers().len() - 1), (rows, n), (y, n as isize, 1));
                    let y = MatRef::from_raw_parts(y.cast_const(), rows, n, n as isize, 1);
                    let to = MatMut::from_raw_parts(delta, rows, n, n as isize, 1);
                    call.row_losses(cotangent, start, y, to);
                    net.load(MatRef::from_raw_parts(delta.cast_const(), rows, n, n as isize, 1), dy);
                }
            }
        }
    }
}

impl<T: Scalar> Layers for Through<'_, T> {
    fn forward(&mut self, l: usize) {
        let (net, x, samples) = (&self.net, self.input, self.samples);
        let spec = &net.mlp.layers()[l];
        let (k, m, act) = (spec.inputs, spec.outputs, spec.activation);
        let (w, bias, a) = (net.weights(l), net.params.b(l).cast_const(), self.acts.a(l));
        let save = if self.save { self.acts.state(act, l).written(act) } else { State::Nothing };
        self.input = a;
        // SAFETY: the pass' maker vouched; each layer has its own part of the tile.
        unsafe {
            let (n, w, x, bias) = (whole_lanes(samples), Right::Rows(x.ptr, x.ld), w, Bias::Rows(bias));
            let out = RowMajor::new(a.ptr, a.ld);
            net.engine.run_raw(ForwardTile { m, k, n, x, w, bias, a: out, save, act, whole: true });
            clear_tail(a, m, samples);
        }
    }

    fn output_delta(&mut self) {
        let last = self.net.mlp.layers().len() - 1;
        let act = self.net.mlp.layers()[last].activation;
        self.delta = self.work.features(self.work.store.dy);
        let Features { ptr, ld } = self.delta;
        let d = Rows { ptr, ld, rows: self.net.mlp.outputs(), cols: self.samples };
        let kept = self.acts.state(act, last);
        // SAFETY: the pass' maker vouched.
        unsafe { self.net.engine.run(BackwardRows::new(act, d, kept, core::ptr::null_mut())) }
    }

    fn weight_vjp(&mut self, l: usize) {
        let (samples, delta, fresh) = (self.samples, self.delta, self.fresh);
        let (n, m) = (self.net.mlp.layers()[l].inputs, self.net.mlp.layers()[l].outputs);
        let a = if l > 0 { self.acts.a(l - 1) } else { self.acts.x() };
        let dw = self.sums.wrapping_add(self.net.mlp.layer_offset(l) * VIRTUAL_LANES);
        let db = dw.wrapping_add(n * m * VIRTUAL_LANES);
        let whole = self.whole.map(|to| (to.w(l), to.b(l)));
        // SAFETY: the pass' maker vouched.
        unsafe { self.net.engine.run_raw(NarrowWeightVjp { m, n, samples, delta, a, dw, db, fresh, whole }) }
    }

    fn input_vjp(&mut self, l: usize) {
        let (net, samples, delta, wt) = (&self.net, self.samples, self.delta, self.net.transposed(l));
        let (m, k) = (net.mlp.layers()[l].inputs, net.mlp.layers()[l].outputs);
        let (out, act, state) = if l > 0 {
            let (act, out) = (net.mlp.layers()[l - 1].activation, self.work.g(l - 1));
            let state = match self.shared && act.saved() == Saved::Derivative {
                true => State::Values { ptr: out.ptr, ld: out.ld },
                false => self.acts.state(act, l - 1),
            };
            (out, act, state)
        } else {
            // X of the tile has been read for the last time, unless it is kept, and then it is not `work`'s.
            (self.work.x(), Activation::Identity, State::Nothing)
        };
        self.delta = out;
        // SAFETY: the pass' maker vouched; δ takes the place of a derivative only where the two are one.
        unsafe {
            let (n, w, to) =
                (whole_lanes(samples), Right::Rows(delta.ptr, delta.ld), RowMajor::new(out.ptr, out.ld));
            let (delta, sums) = (wt, core::ptr::null_mut());
            net.engine.run_raw(InputVjpTile { m, k, n, delta, w, act, state, out: to, sums, whole: true });
            clear_tail(out, m, samples);
            if let Some(dx) = self.dx.filter(|_| l == 0) {
                net.store(out, (samples, m), dx);
            }
        }
    }
}
