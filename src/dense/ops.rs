//! The three fused products of a dense layer on raw memory, native or over a backend that only multiplies.

use crate::{
    MatMut, MatRef, Scalar,
    backend::{Backend, BackendKind, MatrixMultiply},
    engine::{Engine, Product},
    error::{Error, Result},
    parallel::{Shared, for_each_item, tasks_for},
};
use alloc::boxed::Box;
use nablas_kernels::{
    act::{Activation, BackwardRows, ForwardRows, Kept, Rows, Saved},
    gemm::{
        dense::Derivative,
        epilogue::{Save, Start},
        pack::Operand,
        shape::PAD,
    },
    reduce::{ColumnSums, View},
};

/// What a layer saved for its backward pass, row-major, one row a sample.
#[derive(Debug)]
pub(crate) struct State<T> {
    /// The derivative, or the output where the activation's backward needs that; null if neither.
    pub(crate) values: *mut T,
    /// Elements from a row to the next.
    pub(crate) ld: usize,
    /// The bit mask; null if none.
    pub(crate) mask: *mut u8,
    /// Bytes from a row to the next.
    pub(crate) mask_ld: usize,
}

impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for State<T> {}

// SAFETY: addresses only; tasks touch disjoint rows or columns of what they point to.
unsafe impl<T: Send> Send for State<T> {}
// SAFETY: as for Send.
unsafe impl<T: Send> Sync for State<T> {}

impl<T: Scalar> State<T> {
    /// Saves nothing.
    pub(crate) const NONE: Self =
        Self { values: core::ptr::null_mut(), ld: 0, mask: core::ptr::null_mut(), mask_ld: 0 };

    /// From row `i` and column `j` on; `j` is a multiple of 8.
    pub(crate) fn at(self, i: usize, j: usize) -> Self {
        let mut s = self;
        if !s.values.is_null() {
            s.values = s.values.wrapping_add(i * s.ld + j);
        }
        if !s.mask.is_null() {
            s.mask = s.mask.wrapping_add(i * s.mask_ld + j / 8);
        }
        s
    }

    /// As a forward epilogue writes it. An activation whose backward needs its output saves nothing besides.
    pub(crate) fn save(self, act: Activation<T>) -> Save<T> {
        match act.saved() {
            Saved::Mask => Save { mask: self.mask, mask_ld: self.mask_ld, ..Save::NONE },
            Saved::Derivative => Save { values: self.values, ld: self.ld, ..Save::NONE },
            Saved::Nothing | Saved::Output | Saved::Pre => Save::NONE,
        }
    }

    /// As the input VJP of the layer above reads it.
    pub(crate) fn derivative(self, act: Activation<T>) -> Derivative<T> {
        match act {
            Activation::Identity => Derivative::One,
            Activation::LeakyRelu(alpha) => Derivative::Mask(self.mask, self.mask_ld, alpha),
            _ if act.saved() == Saved::Mask => Derivative::Mask(self.mask, self.mask_ld, T::ZERO),
            _ => Derivative::Values(self.values, self.ld),
        }
    }

    /// As the row kernels read and write it.
    pub(crate) fn kept(self, act: Activation<T>) -> Kept<T> {
        match act.saved() {
            Saved::Nothing => Kept::Nothing,
            Saved::Mask if self.mask.is_null() => Kept::Nothing,
            Saved::Mask => Kept::Mask { ptr: self.mask, ld: self.mask_ld },
            _ if self.values.is_null() => Kept::Nothing,
            _ => Kept::Elements { ptr: self.values, ld: self.ld },
        }
    }
}

/// Who runs the products of a layer.
pub(crate) enum Ops<T: Scalar> {
    /// Fused kernels.
    Native(Engine),
    /// A plain GEMM on blocks of rows, and the epilogue on each block while it is hot.
    Foreign(Engine, Box<dyn Backend<T> + Send>),
}

/// Bytes of a foreign product's row block: what stays in L2 between the product and its epilogue.
const BLOCK_BYTES: usize = 256 << 10;

/// Rows of such a block.
fn block_rows<T>(n: usize) -> usize {
    (BLOCK_BYTES / (n.max(1) * size_of::<T>())).clamp(16, 512)
}

/// A view of raw memory.
///
/// # Safety
/// `rows` × `cols` elements are readable through the operand for the life of the view.
unsafe fn view<'a, T: Scalar>(x: Operand<T>, rows: usize, cols: usize) -> MatRef<'a, T> {
    // SAFETY: the caller's promise.
    unsafe { MatRef::from_raw_parts(x.ptr, rows, cols, x.rs, x.cs) }
}

impl<T: Scalar> Ops<T> {
    /// The products of a backend.
    pub(crate) fn new(backend: BackendKind, engine: Engine) -> Self {
        match backend {
            BackendKind::Native => Self::Native(engine),
            BackendKind::MatrixMultiply => Self::Foreign(engine, Box::new(MatrixMultiply)),
            #[cfg(feature = "cblas")]
            BackendKind::Cblas => Self::Foreign(engine, Box::new(crate::backend::Cblas)),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Native(_) => "native",
            Self::Foreign(_, b) => b.name(),
        }
    }

    /// Refuses sizes that a foreign backend may not take: CBLAS has integers of 31 bits.
    pub(crate) fn check(&self, largest: usize) -> Result<()> {
        match self {
            Self::Foreign(_, b) if largest > i32::MAX as usize - PAD => {
                Err(Error::Backend { name: b.name(), why: "a size beyond 31 bits" })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        match self {
            Self::Native(e) | Self::Foreign(e, _) => e,
        }
    }

    /// Elements of scratch for any of the three products of a layer.
    pub(crate) fn scratch_len(&self, rows: usize, inputs: usize, outputs: usize) -> usize {
        match self {
            Self::Native(e) => {
                let forward = e.scratch_len(rows, outputs, inputs);
                let input = e.scratch_len(rows, inputs, outputs);
                let weights = e.scratch_len(outputs, inputs, rows);
                forward.max(input).max(weights)
            }
            Self::Foreign(..) => 0,
        }
    }

    /// A ← g(X·Wᵀ + b) for `m` rows; W is n × k.
    ///
    /// # Safety
    /// The operands are valid over these sizes, `bias` has n elements or is null, the output and the state are
    /// writable and overlap nothing else; `scratch` has [`scratch_len`](Self::scratch_len) elements.
    pub(crate) unsafe fn forward(
        &self,
        (m, n, k): (usize, usize, usize),
        x: Operand<T>,
        w: Operand<T>,
        bias: *const T,
        (a, lda): (*mut T, usize),
        state: State<T>,
        act: Activation<T>,
        scratch: *mut T,
    ) {
        match self {
            Self::Native(e) => {
                let p = Product { m, n, k, alpha: T::ONE, a: x, b: w.t(), alpha_on_b: false };
                // SAFETY: the caller's promise.
                unsafe { e.forward(p, bias, (a, lda), state.save(act), act, scratch) }
            }
            Self::Foreign(e, backend) => {
                let block = block_rows::<T>(n);
                let (a, bias) = (Shared(a), Shared(bias.cast_mut()));
                let (x, w) = (Shared2(x), Shared2(w));
                let tasks = tasks_for(2.0 * m as f64 * n as f64 * k as f64, e.threads);
                for_each_item(tasks, m.div_ceil(block), &|_, i| {
                    let (row, rows) = (i * block, block.min(m - i * block));
                    // SAFETY: items are disjoint blocks of rows; the caller vouches for all of them.
                    unsafe {
                        let out = a.add(row * lda);
                        for r in 0..rows {
                            let to = out.wrapping_add(r * lda);
                            if bias.get().is_null() {
                                core::slice::from_raw_parts_mut(to, n).fill(T::ZERO);
                            } else {
                                core::ptr::copy_nonoverlapping(bias.get(), to, n);
                            }
                        }
                        let c = MatMut::from_raw_parts(out, rows, n, lda as isize, 1);
                        let (x, wt) = (view(x.get().at(row, 0), rows, k), view(w.get().t(), k, n));
                        must(backend.gemm(T::ONE, x, wt, T::ONE, c));
                        let z = Rows { ptr: out, ld: lda, rows, cols: n };
                        e.run(ForwardRows::new(act, z, state.at(row, 0).kept_by_forward(act)));
                    }
                });
            }
        }
    }

    /// δ' ← (δ·W) ⊙ g' for `m` rows, its column sums added to `sums`; W is k × n (n_l × n_{l−1}).
    ///
    /// # Safety
    /// As for [`forward`](Self::forward); the state is not the output; `sums` is null or has n elements.
    pub(crate) unsafe fn input_vjp(
        &self,
        (m, n, k): (usize, usize, usize),
        delta: Operand<T>,
        w: Operand<T>,
        state: State<T>,
        act: Activation<T>,
        (out, ld): (*mut T, usize),
        sums: *mut T,
        scratch: *mut T,
    ) {
        match self {
            Self::Native(e) => {
                let p = Product { m, n, k, alpha: T::ONE, a: delta, b: w, alpha_on_b: false };
                // SAFETY: the caller's promise.
                unsafe { e.input_vjp(p, state.derivative(act), (out, ld), core::ptr::null_mut(), scratch) }
            }
            Self::Foreign(e, backend) => {
                let block = block_rows::<T>(n);
                let shared = Shared(out);
                let (delta, w) = (Shared2(delta), Shared2(w));
                let tasks = tasks_for(2.0 * m as f64 * n as f64 * k as f64, e.threads);
                for_each_item(tasks, m.div_ceil(block), &|_, i| {
                    let (row, rows) = (i * block, block.min(m - i * block));
                    // SAFETY: items are disjoint blocks of rows; the caller vouches for all of them.
                    unsafe {
                        let out = shared.add(row * ld);
                        let c = MatMut::from_raw_parts(out, rows, n, ld as isize, 1);
                        let (d, w) = (view(delta.get().at(row, 0), rows, k), view(w.get(), k, n));
                        must(backend.gemm(T::ONE, d, w, T::ZERO, c));
                        let d = Rows { ptr: out, ld, rows, cols: n };
                        let kept = state.at(row, 0).kept(act);
                        e.run(BackwardRows::new(act, d, kept, core::ptr::null_mut()));
                    }
                });
            }
        }
        if !sums.is_null() {
            // SAFETY: the sums are over what was just written.
            unsafe { self.column_sums((m, n), (out.cast_const(), ld), sums) }
        }
    }

    /// dW ← δᵀ·A, or dW + δᵀ·A: n_l × n_{l−1} from `rows` rows of δ and A.
    ///
    /// # Safety
    /// As for [`forward`](Self::forward).
    pub(crate) unsafe fn weight_vjp(
        &self,
        (rows, outputs, inputs): (usize, usize, usize),
        delta: Operand<T>,
        a: Operand<T>,
        (dw, ld): (*mut T, usize),
        accumulate: bool,
        scratch: *mut T,
    ) {
        match self {
            Self::Native(e) => {
                let (m, n, k) = (outputs, inputs, rows);
                let p = Product { m, n, k, alpha: T::ONE, a: delta.t(), b: a, alpha_on_b: false };
                let start = if accumulate { Start::C } else { Start::Zero };
                // SAFETY: the caller's promise.
                unsafe { e.gemm(p, dw, ld, start, scratch) }
            }
            Self::Foreign(e, backend) => {
                // Every task takes rows of dW, and each element sums the whole batch in one product: the bits
                // depend on the backend alone.
                let tasks = tasks_for(2.0 * rows as f64 * outputs as f64 * inputs as f64, e.threads);
                let block = outputs.div_ceil(tasks).max(1).next_multiple_of(8);
                let dw = Shared(dw);
                let (delta, a) = (Shared2(delta), Shared2(a));
                let beta = if accumulate { T::ONE } else { T::ZERO };
                for_each_item(tasks, outputs.div_ceil(block), &|_, i| {
                    let (row, n) = (i * block, block.min(outputs - i * block));
                    // SAFETY: items are disjoint rows of dW; the caller vouches for all of them.
                    unsafe {
                        let c = MatMut::from_raw_parts(dw.add(row * ld), n, inputs, ld as isize, 1);
                        let dt = view(delta.get().at(0, row).t(), n, rows);
                        must(backend.gemm(T::ONE, dt, view(a.get(), rows, inputs), beta, c));
                    }
                });
            }
        }
    }

    /// Adds the column sums of δ, `m` rows of `n`, to `sums`, each over chains of the rows.
    ///
    /// # Safety
    /// δ is readable over these sizes; `sums` has n elements.
    pub(crate) unsafe fn column_sums(
        &self,
        (m, n): (usize, usize),
        (delta, ld): (*const T, usize),
        sums: *mut T,
    ) {
        if m == 0 || n == 0 {
            return;
        }
        let e = self.engine();
        let (delta, sums) = (Shared(delta.cast_mut()), Shared(sums));
        let tasks = tasks_for(16.0 * m as f64 * n as f64, e.threads);
        let block = n.div_ceil(tasks).next_multiple_of(64);
        for_each_item(tasks, n.div_ceil(block), &|_, i| {
            let (col, cols) = (i * block, block.min(n - i * block));
            // SAFETY: items are disjoint columns; the caller vouches for all of them. Nothing is said of what lies between
            // the rows: it may be somebody else's.
            let (x, out) = unsafe {
                let x = View::from_raw_parts(delta.add(col).cast_const(), ld, m, cols);
                (x, core::slice::from_raw_parts_mut(sums.add(col), cols))
            };
            e.run(ColumnSums { x, out });
        });
    }

    /// δ ← δ ⊙ g' in place for `m` rows of `n`, its column sums added to `sums` (null for none), each over
    /// chains of the rows.
    ///
    /// # Safety
    /// δ is readable and writable, the state readable, over these sizes; `sums` is null or has n elements.
    pub(crate) unsafe fn delta_sums(
        &self,
        (m, n): (usize, usize),
        (delta, ld): (*mut T, usize),
        state: State<T>,
        act: Activation<T>,
        sums: *mut T,
    ) {
        let e = self.engine();
        let (delta, sums) = (Shared(delta), Shared(sums));
        let tasks = tasks_for(32.0 * m as f64 * n as f64, e.threads);
        let block = n.div_ceil(tasks).next_multiple_of(64);
        for_each_item(tasks, n.div_ceil(block), &|_, i| {
            let (col, cols) = (i * block, block.min(n - i * block));
            let d = Rows { ptr: delta.add(col), ld, rows: m, cols };
            let sums = if sums.get().is_null() { sums.get() } else { sums.add(col) };
            // SAFETY: items are disjoint columns; the caller vouches for all of them.
            unsafe { e.run(BackwardRows::new(act, d, state.at(0, col).kept(act), sums)) }
        });
    }
}

impl<T: Scalar> State<T> {
    /// As the row kernel of a forward pass writes it: the output is its own state.
    fn kept_by_forward(self, act: Activation<T>) -> Kept<T> {
        match act.saved() {
            Saved::Output | Saved::Pre => Kept::Nothing,
            _ => self.kept(act),
        }
    }
}

/// An operand that tasks share.
#[derive(Clone, Copy)]
struct Shared2<T>(Operand<T>);

impl<T: Copy> Shared2<T> {
    /// Through a method, so that closures capture the whole.
    fn get(self) -> Operand<T> {
        self.0
    }
}

// SAFETY: tasks only read through it.
unsafe impl<T: Send> Send for Shared2<T> {}
// SAFETY: as for Send.
unsafe impl<T: Send> Sync for Shared2<T> {}

/// A backend's answer to operands whose shapes agree by construction, and whose sizes [`Ops::check`] has passed.
fn must(result: Result<()>) {
    debug_assert!(result.is_ok(), "{result:?}");
}
