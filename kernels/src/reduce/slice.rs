//! Sum and maximum of a slice.

use super::{
    VIRTUAL_LANES,
    sixteen::{Sixteen, count, first},
};
use crate::{
    chain::Chains,
    edge::load,
    isa::{LaneKernel, Lanes, Real},
};

/// Σ x over sixteen virtual lanes, each a sum of chains; 0 of an empty slice.
#[derive(Debug)]
pub struct Sum<'a, T> {
    /// The summands.
    pub x: &'a [T],
}

impl<T: Real> LaneKernel for Sum<'_, T> {
    type Elem = T;
    type Output = T;
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) -> T {
        let (x, n) = (self.x.as_ptr(), self.x.len());
        let mut sums = Chains::new([isa.zero(); VIRTUAL_LANES]);
        let mut j = 0;
        while j < n {
            sums.begin(isa);
            for v in 0..VIRTUAL_LANES / I::LANES {
                let at = j + v * I::LANES;
                // SAFETY: the counted elements from `at` are within the slice; where there are none, none is read.
                let x = unsafe { load(isa, x.wrapping_add(at), count::<T, I>(at, n)) };
                sums.add(isa, v, x);
            }
            j += VIRTUAL_LANES;
        }
        Sixteen::from(sums.sum(isa)).sum(isa)
    }
}

/// The largest element: NaN if any is, −∞ of an empty slice.
#[derive(Debug)]
pub struct Max<'a, T> {
    /// The elements.
    pub x: &'a [T],
}

impl<T: Real> LaneKernel for Max<'_, T> {
    type Elem = T;
    type Output = T;
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) -> T {
        let (x, n) = (self.x.as_ptr(), self.x.len());
        let mut max = Sixteen::new(isa.splat(lowest::<T>()));
        let mut j = 0;
        while j < n {
            for v in 0..VIRTUAL_LANES / I::LANES {
                let at = j + v * I::LANES;
                let m = count::<T, I>(at, n);
                // SAFETY: m elements from `at` are within the slice; where there are none, none is read.
                let x = unsafe { load(isa, x.wrapping_add(at), m) };
                let old = max.get(v);
                let newer = isa.or_m(isa.lt(old, x), isa.not_m(isa.eq(x, x)));
                max.set(v, isa.select(isa.and_m(newer, first(isa, m)), x, old));
            }
            j += VIRTUAL_LANES;
        }
        max.max(isa)
    }
}

/// −∞.
#[inline(always)]
pub(crate) fn lowest<T: Real>() -> T {
    T::from_f64(f64::NEG_INFINITY)
}
