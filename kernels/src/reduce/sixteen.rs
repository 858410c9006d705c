//! Sixteen virtual lanes: the order in which every sum across lanes is taken. Where such a sum is long, each lane is a
//! sum of chains ([`Chains`](crate::chain::Chains)), which start anew every 8,192 elements.

use crate::isa::{Lanes, Real};

/// Lanes that a sum across lanes is spread over, on every ISA and for both element types.
pub const VIRTUAL_LANES: usize = 16;

/// Sixteen running values, as `16 / LANES` vectors: vector `v` holds the lanes from `v·LANES`.
#[derive(Debug, Clone, Copy)]
pub struct Sixteen<V>([V; VIRTUAL_LANES]);

impl<V> From<[V; VIRTUAL_LANES]> for Sixteen<V> {
    #[inline(always)]
    fn from(vectors: [V; VIRTUAL_LANES]) -> Self {
        Self(vectors)
    }
}

impl<V: Copy> Sixteen<V> {
    /// `v` in every lane.
    #[inline(always)]
    pub fn new(v: V) -> Self {
        Self([v; VIRTUAL_LANES])
    }
    /// Vector `i`.
    #[inline(always)]
    pub fn get(&self, i: usize) -> V {
        self.0[i]
    }
    /// Replaces vector `i`.
    #[inline(always)]
    pub fn set(&mut self, i: usize, v: V) {
        self.0[i] = v;
    }

    /// The sixteen lanes in order.
    #[inline(always)]
    pub fn lanes<T: Real, I: Lanes<T, V = V>>(&self, isa: I) -> [T; VIRTUAL_LANES] {
        let mut out = [T::ZERO; VIRTUAL_LANES];
        for v in 0..VIRTUAL_LANES / I::LANES {
            // SAFETY: 16 / LANES vectors of LANES elements fill the sixteen.
            unsafe { isa.store(out.as_mut_ptr().add(v * I::LANES), self.0[v]) }
        }
        out
    }

    /// The sum by the fixed tree: lanes i and i + 8, then i and i + 4, then + 2, then + 1.
    #[inline(always)]
    pub fn sum<T: Real, I: Lanes<T, V = V>>(&self, isa: I) -> T {
        let mut lanes = self.lanes(isa);
        let mut half = VIRTUAL_LANES / 2;
        while half > 0 {
            for i in 0..half {
                lanes[i] += lanes[i + half];
            }
            half /= 2;
        }
        lanes[0]
    }

    /// The largest; NaN if any lane is.
    #[inline(always)]
    pub fn max<T: Real, I: Lanes<T, V = V>>(&self, isa: I) -> T {
        let lanes = self.lanes(isa);
        let mut max = lanes[0];
        for x in lanes {
            if max < x || x.partial_cmp(&x).is_none() {
                max = x;
            }
        }
        max
    }
}

/// How many of `LANES` elements from `j` there are among `n`.
#[inline(always)]
pub(crate) fn count<T: Real, I: Lanes<T>>(j: usize, n: usize) -> usize {
    if j + I::LANES <= n { I::LANES } else { n.saturating_sub(j) }
}

/// The mask of the first `n` lanes.
#[inline(always)]
pub(crate) fn first<T: Real, I: Lanes<T>>(isa: I, n: usize) -> I::M {
    isa.mask_from_bits((1 << n) - 1)
}
