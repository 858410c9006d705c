//! A product and what becomes of it.

use crate::Scalar;
use nablas_kernels::{
    act::{Activation, State},
    gemm::{
        epilogue::Start,
        pack::{Operand, Right},
        row_major::RowMajor,
        shape::PAD,
    },
};

/// Rows up to which B is read where it lies.
const FEW: usize = 32;

/// What becomes of a product. Outputs are row-major, an address and a leading dimension.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Finish<T> {
    /// C ← start + α·A·B.
    Plain { c: RowMajor<T>, start: Start<T> },
    /// A_l ← g(A·B + b), and the saved state; b is null for none.
    Forward { bias: *const T, a: RowMajor<T>, state: State<T>, act: Activation<T> },
    /// δ' ← (A·B) ⊙ g' of the layer below, whose state lies apart from δ'.
    InputVjp { state: State<T>, act: Activation<T>, out: RowMajor<T> },
}

/// C (m × n) ← finish(α·A·B).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Op<T> {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    /// Scales A, or B in a product that was transposed as a whole; 1 but for `Plain`.
    pub(crate) alpha: T,
    pub(crate) alpha_on_b: bool,
    pub(crate) a: Operand<T>,
    pub(crate) b: Operand<T>,
    /// Whether each row of B is readable up to a multiple of [`PAD`] elements.
    pub(crate) padded: bool,
    pub(crate) finish: Finish<T>,
}

// SAFETY: addresses, strides and sizes; items read the operands and write disjoint parts of the outputs.
unsafe impl<T: Send> Send for Op<T> {}
// SAFETY: as for Send.
unsafe impl<T: Send> Sync for Op<T> {}

impl<T: Scalar> Op<T> {
    fn new((m, n, k): (usize, usize, usize), a: Operand<T>, b: Operand<T>, finish: Finish<T>) -> Self {
        let padded = n.is_multiple_of(PAD);
        Self { m, n, k, alpha: T::ONE, alpha_on_b: false, a, b, padded, finish }
    }

    /// C ← start + α·A·B.
    pub(crate) fn plain(
        sizes: (usize, usize, usize),
        alpha: T,
        a: Operand<T>,
        b: Operand<T>,
        c: RowMajor<T>,
        start: Start<T>,
    ) -> Self {
        Self { alpha, ..Self::new(sizes, a, b, Finish::Plain { c, start }) }
    }

    /// A_l ← g(X·Wᵀ + b) of `m` rows, from W n × k.
    pub(crate) fn forward(
        sizes: (usize, usize, usize),
        x: Operand<T>,
        w: Operand<T>,
        bias: *const T,
        a: RowMajor<T>,
        state: State<T>,
        act: Activation<T>,
    ) -> Self {
        Self::new(sizes, x, w.t(), Finish::Forward { bias, a, state, act })
    }

    /// δ' ← (δ·W) ⊙ g' of `m` rows, from W k × n.
    pub(crate) fn input_vjp(
        sizes: (usize, usize, usize),
        delta: Operand<T>,
        w: Operand<T>,
        state: State<T>,
        act: Activation<T>,
        out: RowMajor<T>,
    ) -> Self {
        Self::new(sizes, delta, w, Finish::InputVjp { state, act, out })
    }

    /// dW ← (dW +) δᵀ·A of `rows` rows, n_l × n_{l−1}.
    pub(crate) fn weight_vjp(
        (rows, outputs, inputs): (usize, usize, usize),
        delta: Operand<T>,
        a: Operand<T>,
        dw: RowMajor<T>,
        accumulate: bool,
    ) -> Self {
        let start = if accumulate { Start::C } else { Start::Zero };
        Self::new((outputs, inputs, rows), delta.t(), a, Finish::Plain { c: dw, start })
    }

    /// m, n and k.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        (self.m, self.n, self.k)
    }

    /// FLOP of the product.
    pub(crate) fn flop(&self) -> f64 {
        2.0 * self.m as f64 * self.n as f64 * self.k as f64
    }

    /// B where it lies, if few rows use it: packing it would not be repaid. From its element (`depth`, `col`) on, for a block.
    pub(super) fn in_place(&self, depth: usize, col: usize) -> Option<Right<T>> {
        let (b, scaled) = (self.b.at(depth, col).ptr, self.alpha != T::ONE);
        let (rs, cs) = (self.b.rs, self.b.cs);
        if self.m > FEW || (scaled && self.alpha_on_b) {
            return None;
        }
        if cs == 1 && rs >= 0 && self.padded {
            return Some(Right::Rows(b, rs as usize));
        }
        if cs == 1 && rs as usize == self.n && self.n > PAD {
            return Some(Right::Ragged(b, self.n));
        }
        let across = !matches!(self.finish, Finish::InputVjp { .. }) && !scaled && self.a.cs == 1;
        (across && rs == 1 && cs >= 0).then_some(Right::Columns(b, cs as usize))
    }
}
