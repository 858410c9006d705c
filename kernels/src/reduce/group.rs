//! Sums and maxima across lanes, of sixteen rows at once.
//!
//! To fold one row's virtual lanes takes steps that wait for each other, with a few lanes at work. Of rows whose lanes
//! are transposed, each has a lane of its own, and one fold serves a vector of them. Whatever is then computed from a row's sum, a
//! logarithm or a quotient, is computed a vector of rows at a time too. The tree is that of [`Sixteen`](super::Sixteen), and all is lane
//! by lane: which rows go together leaves no trace.

use super::sixteen::VIRTUAL_LANES;
use crate::isa::{COLUMNS, Lanes, Real};

/// Rows of a group: whole vectors of them on every ISA.
pub(crate) const GROUP: usize = VIRTUAL_LANES;

/// One number for each row of a group.
pub(crate) type PerRow<T> = [T; GROUP];

/// The virtual lanes of a group's rows, as far as whole vectors could not fold them: `LANES` a row.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Group<T>([T; GROUP * VIRTUAL_LANES]);

/// How two lanes become one.
pub(crate) trait Join<T: Real> {
    /// Of lane i and lane i + half.
    fn join<I: Lanes<T>>(isa: I, a: I::V, b: I::V) -> I::V;
}

/// Their sum.
pub(crate) struct Add;

impl<T: Real> Join<T> for Add {
    #[inline(always)]
    fn join<I: Lanes<T>>(isa: I, a: I::V, b: I::V) -> I::V {
        isa.add(a, b)
    }
}

/// The larger of two that are not NaN.
pub(crate) struct Larger;

impl<T: Real> Join<T> for Larger {
    #[inline(always)]
    fn join<I: Lanes<T>>(isa: I, a: I::V, b: I::V) -> I::V {
        isa.select(isa.lt(a, b), b, a)
    }
}

/// Folds `n` vectors, a power of two, by the tree.
#[inline(always)]
pub(crate) fn halve<T: Real, I: Lanes<T>, J: Join<T>>(
    isa: I,
    x: &mut [I::V; VIRTUAL_LANES],
    n: usize,
) -> I::V {
    let mut half = n / 2;
    while half > 0 {
        for i in 0..half {
            x[i] = J::join(isa, x[i], x[i + half]);
        }
        half /= 2;
    }
    x[0]
}

impl<T: Real> Group<T> {
    /// Zeros.
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self([T::ZERO; GROUP * VIRTUAL_LANES])
    }

    /// Takes the virtual lanes of row `r` of the group.
    #[inline(always)]
    pub(crate) fn take<I: Lanes<T>, J: Join<T>>(
        &mut self,
        isa: I,
        r: usize,
        mut lanes: [I::V; VIRTUAL_LANES],
    ) {
        let row = halve::<T, I, J>(isa, &mut lanes, VIRTUAL_LANES / I::LANES);
        let to = &mut self.0[r * I::LANES..][..I::LANES];
        // SAFETY: a vector is stored to LANES elements.
        unsafe { isa.store(to.as_mut_ptr(), row) }
    }

    /// What the lanes of each of the first `rows` rows come to. The others' are unspecified.
    #[inline(always)]
    pub(crate) fn fold<I: Lanes<T>, J: Join<T>>(&self, isa: I, rows: usize) -> PerRow<T> {
        const { assert!(GROUP.is_multiple_of(I::LANES)) };
        let mut out = [T::ZERO; GROUP];
        for first in (0..rows.min(GROUP)).step_by(I::LANES) {
            let mut x = [isa.zero(); VIRTUAL_LANES];
            // SAFETY: LANES rows of LANES elements each, from row `first` of the group's on. Where those are fewer than
            // COLUMNS, columns beyond them are the next rows' elements, and the group has room for sixteen times as many.
            unsafe {
                let from = self.0.as_ptr().add(first * I::LANES);
                for c in (0..I::LANES).step_by(COLUMNS) {
                    let columns = isa.columns(from.add(c), I::LANES as isize, I::LANES);
                    for (to, column) in x[c..I::LANES].iter_mut().zip(columns) {
                        *to = column;
                    }
                }
                isa.store(out.as_mut_ptr().add(first), halve::<T, I, J>(isa, &mut x, I::LANES));
            }
        }
        out
    }
}
