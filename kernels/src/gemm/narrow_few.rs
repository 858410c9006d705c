//! dW and db of a narrow layer over a few rows that lie row-major, with features in the lanes.
//!
//! The sums are those of [`NarrowWeightVjp`](super::narrow::NarrowWeightVjp) and [`FoldLanes`](super::narrow::FoldLanes),
//! bit by bit: sixteen virtual lanes, lane j the chain of rows j, j + 16, …, added by the fixed tree. There a lane is a lane of a
//! register and an element of dW a register; to fold sixteen lanes takes more than to sum a few rows. Here lanes of registers are
//! elements of dW, and the tree adds whole registers. A virtual lane that no row falls to is +0 there, and so is what was −0 of one with a
//! row less than others: a sum over lanes of unequal lengths is never −0. Here absent rows are left out, and −0 is made +0.

use super::row_major::RowMajor;
use crate::{
    edge::store,
    isa::{Lanes, RawKernel},
    math::Math,
    reduce::VIRTUAL_LANES,
};

/// dW ← δᵀ·A and db ← Σ δ over a batch of a few rows.
#[derive(Debug, Clone, Copy)]
pub struct FewWeightVjp<T> {
    /// Rows: at least one.
    pub rows: usize,
    /// n_l.
    pub m: usize,
    /// n_{l−1}.
    pub n: usize,
    /// δ, rows × m. Rows are readable up to whole vectors, here and in A.
    pub delta: RowMajor<T>,
    /// A_{l−1}, rows × n.
    pub a: RowMajor<T>,
    /// dW, m × n, without gaps.
    pub dw: *mut T,
    /// db, m elements.
    pub db: *mut T,
}

/// Rows of dW that share the loads of A.
const SHARE: usize = 4;

impl<T: Math> RawKernel for FewWeightVjp<T> {
    type Elem = T;
    #[inline(always)]
    unsafe fn run_raw<I: Lanes<T>>(self, isa: I) {
        debug_assert!(self.rows > 0);
        let Self { rows, m, n, delta, a, dw, db } = self;
        // SAFETY: whoever built the operation vouches for its operands; columns are below n or m, rows of dW below m.
        unsafe {
            let dw = RowMajor::new(dw, n);
            for j in (0..n).step_by(I::LANES) {
                let cols = I::LANES.min(n - j);
                let sums = |o: usize| Sums { rows, x: delta.at(0, o), v: a.at(0, j) };
                let mut o = 0;
                while o + SHARE <= m {
                    sums(o).store::<I, SHARE>(isa, dw.at(o, j), cols);
                    o += SHARE;
                }
                while o < m {
                    sums(o).store::<I, 1>(isa, dw.at(o, j), cols);
                    o += 1;
                }
            }
            // db is dW of an input that is 1: a fused multiply-add by 1 is an addition.
            let one = T::ONE;
            for j in (0..m).step_by(I::LANES) {
                let sums = Sums { rows, x: RowMajor::new((&raw const one).cast_mut(), 0), v: delta.at(0, j) };
                sums.store::<I, 1>(isa, RowMajor::new(db.add(j), m), I::LANES.min(m - j));
            }
        }
    }
}

/// MR vectors, sums over rows s of `x[s][r]` times the vector `v[s]`: row-major, though nothing says how wide.
#[derive(Clone, Copy)]
struct Sums<T> {
    rows: usize,
    x: RowMajor<T>,
    v: RowMajor<T>,
}

impl<T: Math> Sums<T> {
    /// The sums, `cols` lanes of each, stored as rows.
    ///
    /// # Safety
    /// There are so many rows, with MR elements of x and a vector of v; `to` is writable over as many times `cols`.
    #[inline(always)]
    unsafe fn store<I: Lanes<T>, const MR: usize>(self, isa: I, to: RowMajor<T>, cols: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = self.all::<I, MR>(isa, 0);
            let even = self.rows.is_multiple_of(VIRTUAL_LANES);
            for r in 0..MR {
                if !even {
                    sums[r] = isa.add(sums[r], isa.zero());
                }
                store(isa, to.at(r, 0).ptr, sums[r], cols);
            }
        }
    }

    /// The chain of virtual lane `j`, which has a row.
    ///
    /// # Safety
    /// As for [`store`](Self::store).
    #[inline(always)]
    unsafe fn lane<I: Lanes<T>, const MR: usize>(self, isa: I, j: usize) -> [I::V; MR] {
        let (mut sums, mut s) = ([isa.zero(); MR], j);
        // SAFETY: the caller's promise.
        unsafe {
            loop {
                let (v, x) = (isa.load(self.v.at(s, 0).ptr), self.x.at(s, 0).ptr);
                for r in 0..MR {
                    sums[r] = isa.fma(isa.splat(*x.add(r)), v, sums[r]);
                }
                s += VIRTUAL_LANES;
                if s >= self.rows {
                    return sums;
                }
            }
        }
    }
}

/// A level of the tree: the lanes from `j` on, `$step` apart, from those twice as far apart.
macro_rules! level {
    ($name:ident, $of:ident, $step:expr) => {
        /// # Safety
        /// As for [`store`](Self::store).
        #[inline(always)]
        unsafe fn $name<I: Lanes<T>, const MR: usize>(self, isa: I, j: usize) -> [I::V; MR] {
            // SAFETY: the caller's promise.
            unsafe {
                let mut sums = self.$of::<I, MR>(isa, j);
                if j + $step < self.rows {
                    let more = self.$of::<I, MR>(isa, j + $step);
                    for r in 0..MR {
                        sums[r] = isa.add(sums[r], more[r]);
                    }
                }
                sums
            }
        }
    };
}

impl<T: Math> Sums<T> {
    level!(eights, lane, 8);
    level!(fours, eights, 4);
    level!(twos, fours, 2);
    level!(all, twos, 1);
}
