//! Where a sum starts anew: K₀, the length of a chain, and sums that keep to it.

use crate::isa::{Lanes, Real};

/// K₀: the terms of one chain. Every sum of this crate is the sum, in order, of chains of this many terms (the last
/// may have fewer): the first starts from what is added to (a bias, β·C, db), each later one from zero, and when it
/// ends it is added to what was summed before it.
///
/// The error of one chain grows with its length, that of a sum of chains with 512 and, 512 times more slowly, with
/// the length: docs/NUMERICS.md. A power of two, so that blocks, tiles and virtual lanes can end where chains do.
pub const CHAIN: usize = 512;

/// `N` vectors of running sums side by side, which get their terms together: each lane is a sum of chains.
#[derive(Debug, Clone, Copy)]
pub struct Chains<V, const N: usize> {
    chain: [V; N],
    /// The sum of the chains that have ended, if any has.
    before: [V; N],
    follows: bool,
    /// Terms that the chain still takes.
    left: usize,
}

impl<V: Copy, const N: usize> Chains<V, N> {
    /// Nothing yet: the first chain starts from `start`.
    #[inline(always)]
    pub fn new(start: [V; N]) -> Self {
        Self { chain: start, before: start, follows: false, left: CHAIN }
    }

    /// The next term begins: where the chain has all of its terms, another takes over. Before the term is added and
    /// not after, so that no chain is empty.
    #[inline(always)]
    pub fn begin<T: Real, I: Lanes<T, V = V>>(&mut self, isa: I) {
        if self.left == 0 {
            *self = Self { chain: [isa.zero(); N], before: self.sum(isa), follows: true, left: CHAIN };
        }
        self.left -= 1;
    }

    /// Vector `v` of the term.
    #[inline(always)]
    pub fn add<T: Real, I: Lanes<T, V = V>>(&mut self, isa: I, v: usize, x: V) {
        self.chain[v] = isa.add(self.chain[v], x);
    }

    /// The sums of the terms so far.
    #[inline(always)]
    pub fn sum<T: Real, I: Lanes<T, V = V>>(&self, isa: I) -> [V; N] {
        let mut sums = self.chain;
        if self.follows {
            for v in 0..N {
                sums[v] = isa.add(self.before[v], self.chain[v]);
            }
        }
        sums
    }
}
