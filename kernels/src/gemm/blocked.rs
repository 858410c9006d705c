//! The loops around the register tiles: one thread's GEMM, blocked for the caches (Goto and van de Geijn 2008,
//! Van Zee and van de Geijn 2015), with any epilogue.

use super::{
    epilogue::Epilogue,
    pack::{CopyRows, Operand, PackPanels, PackRows},
    panel::{Panel, Rows},
    shape::{Panels, granule, tile_rows},
    tile::CHAIN,
};
use crate::{
    cache::Caches,
    isa::{Lanes, RawKernel, Real, Vouched},
};

/// Where the loops are cut. Whatever the cut, each element's chains are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocking {
    /// Rows of the A block that stays in L2.
    pub mc: usize,
    /// Depth of a block: a multiple of [`CHAIN`], so that blocks begin where chains do.
    pub kc: usize,
    /// Columns of the packed B block.
    pub nc: usize,
}

impl Blocking {
    /// For elements of `size` bytes: a panel of B and a tile of A pass through L1, a block of A takes a quarter of L2
    /// (a half is slower by some 5 %: panels of B and the output pass through L2 as well), and the packed B fits in
    /// half of L3.
    pub fn new(caches: Caches, size: usize) -> Self {
        let kc = CHAIN;
        let mc = (caches.l2 / 4 / (kc * size) / 24 * 24).clamp(24, 480);
        let nc = (caches.l3 / 2 / (kc * size) / 64 * 64).clamp(256, 4096);
        Self { mc, kc, nc }
    }

    /// The blocking of a product m × n × k: no larger than the product.
    fn for_product(self, m: usize, n: usize, k: usize) -> Self {
        // Blocks of equal size: 600 rows = 312 + 288, not 480 + 120.
        let even = |n: usize, most: usize, unit: usize| {
            let parts = n.div_ceil(most).max(1);
            n.div_ceil(parts).next_multiple_of(unit).min(most).max(1)
        };
        // The only block of a product, or its last, may be shorter.
        let kc = even(k, self.kc, CHAIN).min(k.next_multiple_of(16)).max(1);
        Self { mc: even(m, self.mc, 24), kc, nc: even(n, self.nc, 64) }
    }

    /// Elements of scratch that [`Gemm`] needs for a product m × n × k, or one that is no larger in any size.
    pub fn scratch_len(self, m: usize, n: usize, k: usize) -> usize {
        // Not the depth that `for_product` chooses: that one need not be monotone in k.
        let kc = k.min(self.kc).next_multiple_of(16);
        let mc = m.min(self.mc).next_multiple_of(24);
        let nc = n.min(self.nc).next_multiple_of(64);
        kc * (mc + nc)
    }
}

/// C ← epilogue(α·A·B) on the calling thread.
#[derive(Debug, Clone, Copy)]
pub struct Gemm<T, E> {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Scales A (each element rounded once).
    pub alpha: T,
    /// A.
    pub a: Operand<T>,
    /// B.
    pub b: Operand<T>,
    /// α scales B instead of A: for a product that was transposed as a whole.
    pub alpha_on_b: bool,
    /// Blocking.
    pub blocking: Blocking,
    /// [`Blocking::scratch_len`] elements.
    pub scratch: *mut T,
    /// The epilogue, which knows C.
    pub epilogue: E,
}

impl<T: Real> Gemm<T, ()> {
    /// The product with an epilogue.
    #[inline(always)]
    pub fn with_epilogue<E: Epilogue<T>>(self, epilogue: E) -> Gemm<T, E> {
        let Self { m, n, k, alpha, a, b, alpha_on_b, blocking, scratch, epilogue: () } = self;
        Gemm { m, n, k, alpha, a, b, alpha_on_b, blocking, scratch, epilogue }
    }
}

impl<T: Real, E: Epilogue<T>> RawKernel for Gemm<T, E> {
    type Elem = T;

    #[inline(always)]
    unsafe fn run_raw<I: Lanes<T>>(self, isa: I) {
        let Self { m, n, k, .. } = self;
        if m == 0 || n == 0 {
            return;
        }
        let cut = self.blocking.for_product(m, n, k);
        let (a_scratch, b_scratch) = (self.scratch, self.scratch.wrapping_add(cut.kc * cut.mc));
        let (alpha_a, alpha_b) = if self.alpha_on_b { (T::ONE, self.alpha) } else { (self.alpha, T::ONE) };
        let mut jc = 0;
        while jc < n {
            let nc = cut.nc.min(n - jc);
            let panels = Panels::new::<T, I>(nc);
            // Few panels do not repay packing a transposed A: each of its scalars is read once a panel.
            let few = alpha_a == T::ONE && (panels.count() <= 2 || m <= 8);
            let tall = tile_rows(I::TILES, panels.max_width() / I::LANES, true);
            // Few rows do not repay packing B, where its rows can be read in place by whole vectors.
            let pack_b =
                alpha_b != T::ONE || self.b.cs != 1 || self.b.rs < 0 || nc % granule::<T, I>() != 0 || m > 24;
            let mut pc = 0;
            loop {
                let kc = cut.kc.min(k - pc);
                let b = self.b.at(pc, jc);
                if pack_b {
                    let to = panels.count();
                    // SAFETY: the block is part of the product that was vouched for.
                    unsafe {
                        vouched(
                            isa,
                            PackPanels { b, k: kc, n: nc, from: 0, to, alpha: alpha_b, dst: b_scratch },
                        )
                    };
                }
                let mut ic = 0;
                while ic < m {
                    let mc = cut.mc.min(m - ic);
                    let a = self.a.at(ic, pc);
                    // Rows that are contiguous feed a tile as fast where they lie as packed: packing is lost time.
                    let rows = if a.cs == 1 && alpha_a == T::ONE {
                        Rows::Contiguous(a.ptr, a.rs)
                    } else if E::ADJACENT_ROWS && a.rs == 1 && few {
                        Rows::Adjacent(a.ptr, a.cs)
                    } else if E::ADJACENT_ROWS {
                        // SAFETY: the block is part of the product that was vouched for.
                        unsafe {
                            vouched(isa, PackRows { a, m: mc, k: kc, tall, alpha: alpha_a, dst: a_scratch })
                        };
                        Rows::Packed(a_scratch.cast_const())
                    } else {
                        // A fused product has no α, and of rows that are not contiguous it makes rows that are.
                        // SAFETY: the block is part of the product that was vouched for.
                        unsafe { vouched(isa, CopyRows { a, m: mc, k: kc, dst: a_scratch, ld: kc }) };
                        Rows::Contiguous(a_scratch.cast_const(), kc as isize)
                    };
                    for p in 0..panels.count() {
                        let mut span = panels.get(p);
                        let (b, ldb) = if pack_b {
                            (b_scratch.wrapping_add(kc * span.col).cast_const(), span.width)
                        } else {
                            (b.ptr.wrapping_add(span.col), b.rs as usize)
                        };
                        span.col += jc;
                        let (first, last) = (pc == 0, pc + kc == k);
                        let panel = Panel {
                            m: mc,
                            row0: ic,
                            k: kc,
                            a: rows,
                            b,
                            ldb,
                            span,
                            tile_rows: tall,
                            first,
                            last,
                            epilogue: self.epilogue,
                        };
                        // SAFETY: whoever built the operation vouches for the operands over m, n and k.
                        unsafe { panel.run(isa) }
                    }
                    ic += mc;
                }
                pc += kc;
                if pc >= k {
                    break;
                }
            }
            jc += nc;
        }
    }
}

/// Runs a part of a product.
///
/// # Safety
/// As for [`RawKernel::run_raw`].
#[inline(always)]
unsafe fn vouched<I: Lanes<K::Elem>, K: RawKernel>(isa: I, kernel: K) {
    // SAFETY: the caller's promise.
    isa.run(unsafe { Vouched::new(kernel) });
}
