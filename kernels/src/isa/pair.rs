//! Two registers as one vector.
//!
//! Long chains of dependent operations leave the units idle, and a processor looks only so far ahead for others:
//! some 160 results on Zen 4, less than two tanh of eight lanes. With every operation done on two registers,
//! independent work stands next to it.

use super::lanes::{Arith, Real};

/// The arithmetic of `I` on pairs of its vectors: twice the lanes, the same bits in each.
#[derive(Debug, Clone, Copy)]
pub struct Pair<I>(
    /// What does the work on each half.
    pub I,
);

/// Operations that do the same to both halves.
macro_rules! on_both {
    ($($f:ident($($a:ident: $t:ident),+) -> $r:ident;)*) => {
        $(
            #[inline(always)]
            fn $f(self, $($a: Self::$t),+) -> Self::$r {
                [self.0.$f($($a[0]),+), self.0.$f($($a[1]),+)]
            }
        )*
    };
}

impl<T: Real, I: Arith<T>> Arith<T> for Pair<I> {
    type V = [I::V; 2];
    type M = [I::M; 2];
    type U = [I::U; 2];
    const LANES: usize = 2 * I::LANES;

    #[inline(always)]
    fn splat(self, x: T) -> Self::V {
        [self.0.splat(x); 2]
    }
    #[inline(always)]
    fn splat_u(self, x: T::Bits) -> Self::U {
        [self.0.splat_u(x); 2]
    }
    #[inline(always)]
    fn mask_bits(self, m: Self::M) -> u32 {
        self.0.mask_bits(m[0]) | self.0.mask_bits(m[1]) << I::LANES
    }
    #[inline(always)]
    fn any(self, m: Self::M) -> bool {
        self.0.any(self.0.or_m(m[0], m[1]))
    }
    #[inline(always)]
    fn mask_from_bits(self, bits: u32) -> Self::M {
        [self.0.mask_from_bits(bits), self.0.mask_from_bits(bits >> I::LANES)]
    }
    #[inline(always)]
    fn shl_u(self, a: Self::U, n: u32) -> Self::U {
        [self.0.shl_u(a[0], n), self.0.shl_u(a[1], n)]
    }
    #[inline(always)]
    fn shr_u(self, a: Self::U, n: u32) -> Self::U {
        [self.0.shr_u(a[0], n), self.0.shr_u(a[1], n)]
    }
    on_both! {
        add(a: V, b: V) -> V;
        sub(a: V, b: V) -> V;
        mul(a: V, b: V) -> V;
        div(a: V, b: V) -> V;
        fma(a: V, b: V, c: V) -> V;
        nfma(a: V, b: V, c: V) -> V;
        sqrt(a: V) -> V;
        abs(a: V) -> V;
        neg(a: V) -> V;
        lt(a: V, b: V) -> M;
        le(a: V, b: V) -> M;
        eq(a: V, b: V) -> M;
        and_m(a: M, b: M) -> M;
        or_m(a: M, b: M) -> M;
        not_m(a: M) -> M;
        select(m: M, a: V, b: V) -> V;
        to_bits(a: V) -> U;
        of_bits(a: U) -> V;
        add_u(a: U, b: U) -> U;
        sub_u(a: U, b: U) -> U;
        and_u(a: U, b: U) -> U;
        or_u(a: U, b: U) -> U;
        xor_u(a: U, b: U) -> U;
        eq_u(a: U, b: U) -> M;
    }
}
