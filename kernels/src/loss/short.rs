//! Rows of up to sixteen outputs, a row a lane.
//!
//! A row that is shorter than a vector leaves lanes idle: ten outputs of sixteen rows are sixteen vectors along the rows,
//! and ten across them, and maxima and sums of rows are then lane by lane, without a fold of each. Every number is made
//! by the operations, and every sum by the tree, of rows taken one by one: each virtual lane holds one term.

use crate::{
    edge::{load, store},
    isa::{COLUMNS, Lanes, Real},
    math::Math,
    reduce::{Add, GROUP, Larger, VIRTUAL_LANES, halve},
};

/// Outputs of a row at most: one a virtual lane.
pub(super) const SHORT: usize = VIRTUAL_LANES;

/// A vector of rows for each column, on whole cache lines: vectors alone ask for the alignment of an element.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Columns<V>(pub(super) [V; SHORT]);

/// Whether rows of `n` outputs are `times` fewer vectors across than along.
#[inline(always)]
pub(super) fn pays<T: Real, I: Lanes<T>>(times: usize, rows: usize, n: usize) -> bool {
    n <= SHORT && times * rows.div_ceil(I::LANES) * n <= rows * n.div_ceil(I::LANES)
}

/// Memory that rows are turned in: whole vectors, where rows may end within one.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Turn<T>([T; GROUP * SHORT]);

impl<T: Real> Turn<T> {
    /// Zeros.
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self([T::ZERO; GROUP * SHORT])
    }

    /// The columns of up to `LANES` rows of `n` elements, from `x` on; the other columns stay, other lanes are anything.
    ///
    /// # Safety
    /// `rows <= LANES`, `n <= SHORT`; the rows, `ld` elements apart, are readable.
    #[inline(always)]
    pub(super) unsafe fn gather<I: Lanes<T>>(
        &mut self,
        isa: I,
        x: *const T,
        ld: usize,
        (rows, n): (usize, usize),
        columns: &mut Columns<I::V>,
    ) {
        let at = self.0.as_mut_ptr();
        // SAFETY: rows of SHORT elements, of which there is room for GROUP ≥ LANES; the columns that are read are among them.
        unsafe {
            for r in 0..rows {
                let x = x.wrapping_add(r.wrapping_mul(ld));
                if I::LANES == SHORT {
                    isa.store(at.add(r * SHORT), isa.load_partial(x, n));
                    continue;
                }
                for v in (0..n).step_by(I::LANES) {
                    let m = I::LANES.min(n - v);
                    isa.store(at.add(r * SHORT + v), load(isa, x.wrapping_add(v), m));
                }
            }
            for c in (0..n).step_by(COLUMNS) {
                let eight = isa.columns(at.add(c), SHORT as isize, I::LANES);
                for (to, column) in columns.0[c..n].iter_mut().zip(eight) {
                    *to = column;
                }
            }
        }
    }

    /// Stores columns back to rows.
    ///
    /// # Safety
    /// As [`gather`](Self::gather); the rows are writable.
    #[inline(always)]
    pub(super) unsafe fn scatter<I: Lanes<T>>(
        &mut self,
        isa: I,
        columns: &Columns<I::V>,
        x: *mut T,
        ld: usize,
        (rows, n): (usize, usize),
    ) {
        let at = self.0.as_mut_ptr();
        // SAFETY: SHORT columns of LANES elements fit the memory, and so do COLUMNS rows more than LANES less one, of each
        // LANES columns; elements of a row from `v` on go to where there are as many.
        unsafe {
            for (j, column) in columns.0[..n].iter().enumerate() {
                isa.store(at.add(j * I::LANES), *column);
            }
            for v in (0..n).step_by(I::LANES) {
                let m = I::LANES.min(n - v);
                for c in (0..rows).step_by(COLUMNS) {
                    let eight = isa.columns(at.add(v * I::LANES + c), I::LANES as isize, I::LANES);
                    for r in 0..COLUMNS.min(rows - c) {
                        let x = x.wrapping_add((c + r).wrapping_mul(ld) + v);
                        if I::LANES == SHORT {
                            isa.store_partial(x, eight[r], m);
                        } else {
                            store(isa, x, eight[r], m);
                        }
                    }
                }
            }
        }
    }
}

/// What the softmax of rows in lanes is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Softmax<V> {
    /// m, the largest entry that is not NaN.
    pub(super) max: V,
    /// Σ e^(x_j − m) − 1, one of the largest entries left out.
    pub(super) rest: V,
}

/// That of `n` columns; e^(x_j − m), 1 where x_j is m itself, goes to `e`.
#[inline(always)]
pub(super) fn softmax<T: Math, I: Lanes<T>>(
    isa: I,
    x: &Columns<I::V>,
    n: usize,
    e: &mut Columns<I::V>,
) -> Softmax<I::V> {
    let (lowest, one) = (isa.splat(T::from_f64(f64::NEG_INFINITY)), isa.splat(T::ONE));
    let mut lanes = Columns([lowest; SHORT]);
    for j in 0..n {
        lanes.0[j] = isa.select(isa.lt(lowest, x.0[j]), x.0[j], lowest);
    }
    let max = halve::<T, I, Larger>(isa, &mut lanes.0, SHORT);
    let (mut below, mut tops) = (Columns([isa.zero(); SHORT]), isa.zero());
    for j in 0..n {
        let (is_top, y) = (isa.eq(x.0[j], max), T::exp_below(isa, isa.sub(x.0[j], max)));
        e.0[j] = isa.select(is_top, one, y);
        below.0[j] = isa.select(is_top, isa.zero(), y);
        tops = isa.add(tops, isa.select(is_top, one, isa.zero()));
    }
    let rest = isa.add(isa.sub(tops, one), tree(isa, &mut below));
    Softmax { max, rest }
}

/// The sum of a term in each virtual lane.
#[inline(always)]
pub(super) fn tree<T: Real, I: Lanes<T>>(isa: I, x: &mut Columns<I::V>) -> I::V {
    halve::<T, I, Add>(isa, &mut x.0, SHORT)
}

/// x where it is not −0, which a sum that starts from zero makes 0.
#[inline(always)]
pub(super) fn term<T: Real, I: Lanes<T>>(isa: I, x: I::V) -> I::V {
    isa.add(isa.zero(), x)
}

/// The first lanes, as many as there are values.
#[inline(always)]
pub(super) fn keep<T: Real, I: Lanes<T>>(isa: I, x: I::V, values: &mut [T]) {
    debug_assert!(values.len() <= I::LANES);
    // SAFETY: that many elements are written.
    unsafe { store(isa, values.as_mut_ptr(), x, values.len().min(I::LANES)) }
}
