//! The public dense-layer calls.

use crate::{
    Activation, BackendKind, MatMut, MatRef, Scalar,
    engine::Engine,
    error::{Error, Result, check_len, check_shape},
    gemm::operand,
    isa::{IsaToken, isa},
    memory::{aligned, line},
    product::{self, Op, Ops, Sums},
    team::Team,
};
use alloc::{vec, vec::Vec};
use nablas_kernels::{
    act::{Saved, State},
    gemm::row_major::RowMajor,
};

/// What a forward call saves for the backward, in the kind that the activation's
/// [`saved`](Activation::saved) asks for.
#[derive(Debug)]
pub enum SavedMut<'a, T> {
    /// Nothing: inference, or an activation that needs nothing or only its output.
    Nothing,
    /// One bit an element, [`Dense::mask_len`] bytes.
    Mask(&'a mut [u8]),
    /// The derivative g'(Z), B×n_l with contiguous rows.
    Derivative(MatMut<'a, T>),
}

/// What an input VJP reads of the layer below.
#[derive(Debug, Clone, Copy)]
pub enum SavedRef<'a, T> {
    /// Nothing: the layer below is linear.
    Nothing,
    /// One bit an element, [`Dense::mask_len`] bytes.
    Mask(&'a [u8]),
    /// The derivative g'(Z), or for [`Activation::Exp`] the output itself; contiguous rows.
    Values(MatRef<'a, T>),
}

/// The dense-layer calls: the three fused products of a layer, with the caller's scratch.
pub struct Dense<T: Scalar> {
    ops: Ops<T>,
}

/// Refuses an output whose rows are not contiguous: the epilogues store whole vectors.
fn contiguous(what: &'static str, strides: (isize, isize)) -> Result<()> {
    match strides {
        (0.., 1) => Ok(()),
        (rs, 1) => Err(Error::Stride { what, expected: "rows in ascending order", got: rs }),
        (_, cs) => Err(Error::Stride { what, expected: "a column stride of 1 (contiguous rows)", got: cs }),
    }
}

impl<T: Scalar> Dense<T> {
    /// Native, on the default ISA and the default team, or the rayon pool that the caller is in.
    ///
    /// # Errors
    /// [`Error::Isa`] if `NABLAS_ISA` pins what is not there, [`Error::Variable`] if `NABLAS_NUM_THREADS` is no number of
    /// threads.
    pub fn new() -> Result<Self> {
        Ok(Self { ops: Ops::new(BackendKind::Native, Engine::unlimited::<T>(isa()?)?) })
    }

    /// On an ISA, with at most `threads` members of the default team, the caller among them, and a backend.
    ///
    /// # Errors
    /// None today; a backend that cannot be had would be one.
    pub fn with(isa: IsaToken, threads: usize, backend: BackendKind) -> Result<Self> {
        let engine = Engine::new::<T>(isa, threads, None);
        let ops = Ops::new(backend, engine);
        Ok(Self { ops })
    }

    /// With the members of this team: all of them, or as many as [`with`](Self::with) was told.
    #[must_use]
    pub fn team(mut self, team: &Team) -> Self {
        self.ops.engine_mut().join(team);
        self
    }

    /// Members that no call of these sizes exceeds: where it is 1, calls stay on the calling thread.
    pub fn members(&self, rows: usize, inputs: usize, outputs: usize) -> usize {
        product::members(&self.ops, (rows, outputs, inputs))
    }

    /// Bytes of the bit mask of `rows` × `cols` elements: each row starts at a whole byte.
    pub fn mask_len(rows: usize, cols: usize) -> usize {
        rows.saturating_mul(cols.div_ceil(8))
    }

    /// Elements of scratch for any of the three calls.
    pub fn scratch_len(&self, rows: usize, inputs: usize, outputs: usize) -> usize {
        let len = |sizes| product::scratch_len(&self.ops, sizes);
        let forward = len((rows, outputs, inputs)).max(len((rows, inputs, outputs)));
        forward.max(len((outputs, inputs, rows))).saturating_add(line::<T>())
    }

    /// Scratch for any of the three calls.
    pub fn scratch(&self, rows: usize, inputs: usize, outputs: usize) -> Vec<T> {
        vec![T::ZERO; self.scratch_len(rows, inputs, outputs)]
    }

    fn check_scratch(
        &self,
        (rows, inputs, outputs): (usize, usize, usize),
        scratch: &mut [T],
    ) -> Result<*mut T> {
        self.ops.check(rows.max(inputs).max(outputs))?;
        let expected = self.scratch_len(rows, inputs, outputs);
        if scratch.len() < expected {
            return Err(Error::Length { what: "the scratch of a dense layer", expected, got: scratch.len() });
        }
        Ok(aligned(scratch).as_mut_ptr())
    }

    /// A ← g(X·Wᵀ + b): X B×n_{l−1} and W n_l×n_{l−1} of any strides, b n_l, A B×n_l with contiguous rows.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Length`] or [`Error::Stride`] for operands that don't fit; [`Error::Parameter`]
    /// for a bad activation, [`Error::Saved`] for a `saved` of another kind than it asks for; [`Error::Backend`] from a
    /// foreign backend, and then outputs are unspecified.
    pub fn forward(
        &self,
        x: MatRef<'_, T>,
        w: MatRef<'_, T>,
        bias: Option<&[T]>,
        act: Activation<T>,
        mut a: MatMut<'_, T>,
        saved: SavedMut<'_, T>,
        scratch: &mut [T],
    ) -> Result<()> {
        let ((rows, inputs), outputs) = (x.shape(), w.nrows());
        crate::activation::check_parameter(&act)?;
        check_shape("W of X·Wᵀ + b", (outputs, inputs), w.shape())?;
        check_shape("A of X·Wᵀ + b", (rows, outputs), a.shape())?;
        bias.map_or(Ok(()), |b| check_len("b of X·Wᵀ + b", outputs, b.len()))?;
        contiguous("A's strides", (a.row_stride(), a.col_stride()))?;
        let state = match (saved, act.saved()) {
            (SavedMut::Nothing, _) => State::Nothing,
            (SavedMut::Mask(m), Saved::Mask) => {
                check_len("the mask", Self::mask_len(rows, outputs), m.len())?;
                State::Mask { ptr: m.as_mut_ptr(), ld: outputs.div_ceil(8) }
            }
            (SavedMut::Derivative(mut d), Saved::Derivative) => {
                check_shape("the derivative", (rows, outputs), d.shape())?;
                contiguous("the derivative's strides", (d.row_stride(), d.col_stride()))?;
                State::Values { ptr: d.as_mut_ptr(), ld: d.row_stride() as usize }
            }
            _ => return Err(kind_of_state(act)),
        };
        let scratch = self.check_scratch((rows, inputs, outputs), scratch)?;
        let bias = bias.map_or(core::ptr::null(), <[T]>::as_ptr);
        let out = RowMajor::new(a.as_mut_ptr(), a.row_stride() as usize);
        let sizes = (rows, outputs, inputs);
        // SAFETY: the views are valid over their shapes, outputs are borrowed exclusively, sizes were checked.
        unsafe {
            let op = Op::forward(sizes, operand(x), operand(w), bias, out, state, act);
            product::run(&self.ops, op, None, scratch)
        }
    }

    /// δ' ← (δ·W) ⊙ g'(Z') and, if asked for, db' ← the column sums of δ': δ B×n_l and W n_l×n_{l−1} of any
    /// strides; `act` and `saved` are the layer below's, [`Activation::Identity`] for dX; δ' B×n_{l−1} with
    /// contiguous rows.
    ///
    /// # Errors
    /// As for [`forward`](Self::forward).
    pub fn vjp_input(
        &self,
        delta: MatRef<'_, T>,
        w: MatRef<'_, T>,
        act: Activation<T>,
        saved: SavedRef<'_, T>,
        mut out: MatMut<'_, T>,
        db: Option<&mut [T]>,
        scratch: &mut [T],
    ) -> Result<()> {
        let ((rows, outputs), inputs) = (delta.shape(), w.ncols());
        crate::activation::check_parameter(&act)?;
        check_shape("W of δ·W", (outputs, inputs), w.shape())?;
        check_shape("the result of δ·W", (rows, inputs), out.shape())?;
        contiguous("the result's strides", (out.row_stride(), out.col_stride()))?;
        if let Some(db) = &db {
            check_len("db", inputs, db.len())?;
        }
        let state = match (saved, act.saved()) {
            (SavedRef::Nothing, Saved::Nothing) => State::Nothing,
            (SavedRef::Mask(m), Saved::Mask) => {
                check_len("the mask", Self::mask_len(rows, inputs), m.len())?;
                State::Mask { ptr: m.as_ptr().cast_mut(), ld: inputs.div_ceil(8) }
            }
            (SavedRef::Values(v), Saved::Derivative | Saved::Output) => {
                check_shape("the saved state", (rows, inputs), v.shape())?;
                contiguous("the saved state's strides", (v.row_stride(), v.col_stride()))?;
                State::Values { ptr: v.as_ptr().cast_mut(), ld: v.row_stride() as usize }
            }
            _ => return Err(kind_of_state(act)),
        };
        let scratch = self.check_scratch((rows, inputs, outputs), scratch)?;
        let to = RowMajor::new(out.as_mut_ptr(), out.row_stride() as usize);
        let sums = db.map(|db| {
            db.fill(T::ZERO);
            Sums { m: rows, n: inputs, delta: to, out: db.as_mut_ptr() }
        });
        let sizes = (rows, inputs, outputs);
        // SAFETY: as in `forward`; the state is borrowed and so cannot be the output.
        unsafe {
            let op = Op::input_vjp(sizes, operand(delta), operand(w), state, act, to);
            product::run(&self.ops, op, sums, scratch)
        }
    }

    /// dW ← δᵀ·A (added to dW if `accumulate`): δ B×n_l and A B×n_{l−1} of any strides, dW n_l×n_{l−1} with
    /// contiguous rows. Sums over the batch.
    ///
    /// # Errors
    /// As for [`forward`](Self::forward).
    pub fn vjp_weights(
        &self,
        delta: MatRef<'_, T>,
        a: MatRef<'_, T>,
        mut dw: MatMut<'_, T>,
        accumulate: bool,
        scratch: &mut [T],
    ) -> Result<()> {
        let ((rows, outputs), inputs) = (delta.shape(), a.ncols());
        check_shape("A of δᵀ·A", (rows, inputs), a.shape())?;
        check_shape("dW", (outputs, inputs), dw.shape())?;
        contiguous("dW's strides", (dw.row_stride(), dw.col_stride()))?;
        let scratch = self.check_scratch((rows, inputs, outputs), scratch)?;
        let to = RowMajor::new(dw.as_mut_ptr(), dw.row_stride() as usize);
        let sizes = (rows, outputs, inputs);
        // SAFETY: as in `forward`.
        unsafe {
            let op = Op::weight_vjp(sizes, operand(delta), operand(a), to, accumulate);
            product::run(&self.ops, op, None, scratch)
        }
    }

    /// db ← the column sums of δ, each the sum of chains of 512 rows. δ B×n_l with contiguous rows.
    ///
    /// # Errors
    /// As for [`forward`](Self::forward).
    pub fn vjp_bias(&self, delta: MatRef<'_, T>, db: &mut [T]) -> Result<()> {
        check_len("db", delta.ncols(), db.len())?;
        contiguous("δ's strides", (delta.row_stride(), delta.col_stride()))?;
        let (m, n) = delta.shape();
        let from = RowMajor::new(delta.as_ptr().cast_mut(), delta.row_stride() as usize);
        // SAFETY: δ is readable over its shape and db has an element for each of its columns.
        unsafe { product::sum(&self.ops, Sums { m, n, delta: from, out: db.as_mut_ptr() }) }
        Ok(())
    }
}

/// Saved state of another kind than the activation asks for.
fn kind_of_state<T: Scalar>(act: Activation<T>) -> Error {
    let expected = match act.saved() {
        Saved::Nothing => "nothing",
        Saved::Mask => "a mask",
        Saved::Output => "its output",
        Saved::Derivative => "its derivative",
    };
    Error::Saved { activation: act.name(), expected }
}
