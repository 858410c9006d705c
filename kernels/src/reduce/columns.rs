//! Column sums: db from δ.

use super::{View, count};
use crate::{
    chain::Chains,
    edge::{load, store},
    isa::{LaneKernel, Lanes, Real},
};

/// out_j ← out_j + Σ_i x_ij: the sum, in order, of chains of [`CHAIN`](crate::chain::CHAIN) rows, the rows in ascending order, one plain
/// addition each; the first chain starts from out_j.
///
/// Works on as many columns as both sides have; that they have equally many is the caller's to check.
#[derive(Debug)]
pub struct ColumnSums<'a, T> {
    /// The summands, rows × cols.
    pub x: View<'a, T>,
    /// The sums, one a column: added to.
    pub out: &'a mut [T],
}

/// Vectors side by side: as many independent sums.
const STRIP: usize = 4;

impl<T: Real> LaneKernel for ColumnSums<'_, T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        let Self { x, out } = self;
        debug_assert_eq!(x.cols(), out.len());
        let cols = x.cols().min(out.len());
        let out = out.as_mut_ptr();
        let mut j = 0;
        while j < cols {
            let mut sums = [isa.zero(); STRIP];
            let mut n = [0; STRIP];
            // SAFETY: n[v] counts the columns from j + v·LANES that exist in every row and in out.
            unsafe {
                for v in 0..STRIP {
                    n[v] = count::<T, I>(j + v * I::LANES, cols);
                    sums[v] = load(isa, out.wrapping_add(j + v * I::LANES), n[v]);
                }
                let mut chains = Chains::new(sums);
                for i in 0..x.rows() {
                    let row = x.row(i);
                    chains.begin(isa);
                    for v in 0..STRIP {
                        chains.add(isa, v, load(isa, row.wrapping_add(j + v * I::LANES), n[v]));
                    }
                }
                sums = chains.sum(isa);
                for v in 0..STRIP {
                    store(isa, out.wrapping_add(j + v * I::LANES), sums[v], n[v]);
                }
            }
            j += STRIP * I::LANES;
        }
    }
}
