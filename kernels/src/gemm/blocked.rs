//! One block of a product that is blocked for the caches (Goto and van de Geijn 2008, Van Zee and van de Geijn 2015):
//! some rows of A times some panels of a (kc, nc) block of B, with any epilogue.
//!
//! Which blocks there are, who packs B and who multiplies what is policy, and not decided here. Blocks of k are
//! multiples of [`CHAIN`], so that no cut leaves a trace in the bits.

use super::{
    across::Across,
    epilogue::Epilogue,
    pack::{CopyRows, Operand, PackRows, Right, Share},
    panel::{Left, Panel},
    shape::{Panels, tile_rows},
    tile::CHAIN,
};
use crate::{
    cache::Caches,
    isa::{Lanes, RawKernel, Real, Vouched},
};

/// How large blocks are at most. However a product is cut, the bits are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocking {
    /// Rows of the A block that stays in L2.
    pub mc: usize,
    /// Depth of a block: a multiple of [`CHAIN`].
    pub kc: usize,
    /// Columns of a block of B.
    pub nc: usize,
}

impl Blocking {
    /// For elements of `size` bytes: a block of A takes a third of L2 (a half is slower by some 5 %: panels of B and
    /// the output pass through L2 as well), and a packed block of B a fifth of L3, where two or four of them are. A depth
    /// of two chains gains nothing: docs/PERFORMANCE-HISTORY.md.
    pub fn new(caches: Caches, size: usize) -> Self {
        let kc = CHAIN;
        let mc = (caches.l2 / 3 / (kc * size) / 24 * 24).clamp(24, 480);
        let nc = (caches.l3 / 5 / (kc * size) / 64 * 64).clamp(256, 4096);
        Self { mc, kc, nc }
    }

    /// Elements of scratch that a [`Block`] of a product of at most `m` rows and depth `k` needs.
    pub fn scratch_len(self, m: usize, k: usize) -> usize {
        k.min(self.kc).next_multiple_of(16) * m.min(self.mc).next_multiple_of(24)
    }
}

/// C ← epilogue(α·A·B) over `m` rows and a share of the panels of one block of B.
#[derive(Debug, Clone, Copy)]
pub struct Block<T, E> {
    /// First row of A and C.
    pub row: usize,
    /// How many rows.
    pub m: usize,
    /// First column of B and C.
    pub col: usize,
    /// Columns of the block.
    pub n: usize,
    /// Where on k the block starts: a multiple of [`CHAIN`].
    pub depth: usize,
    /// Its depth.
    pub k: usize,
    /// Whether it is the last block of k.
    pub last: bool,
    /// Scales A (each element rounded once).
    pub alpha: T,
    /// A, whole.
    pub a: Operand<T>,
    /// The block of B, from its first element on.
    pub b: Right<T>,
    /// Which of the block's panels.
    pub share: Share,
    /// Rows of A that are packed, if they are, and run through all panels at a time.
    pub mc: usize,
    /// `mc`·`k` elements, whole tiles and vectors: [`Blocking::scratch_len`].
    pub scratch: *mut T,
    /// The epilogue, which knows C, whole.
    pub epilogue: E,
}

impl<T: Real> Block<T, ()> {
    /// The block with an epilogue.
    #[inline(always)]
    pub fn with_epilogue<E: Epilogue<T>>(self, epilogue: E) -> Block<T, E> {
        let Self { row, m, col, n, depth, k, last, alpha, a, b, share, mc, scratch, epilogue: () } = self;
        Block { row, m, col, n, depth, k, last, alpha, a, b, share, mc, scratch, epilogue }
    }
}

impl<T: Real, E: Epilogue<T>> Block<T, E> {
    /// Rows `row` .. `row + m` of A over the block's depth, packed where they cannot be read in place.
    ///
    /// # Safety
    /// As for [`RawKernel::run_raw`].
    #[inline(always)]
    unsafe fn rows<I: Lanes<T>>(&self, isa: I, row: usize, m: usize, tall: usize, few: bool) -> Left<T> {
        let (a, k, dst) = (self.a.at(row, self.depth), self.k, self.scratch);
        // Rows that are contiguous feed a tile as fast where they lie as packed: packing is lost time.
        if a.cs == 1 && self.alpha == T::ONE {
            return Left::Contiguous(a.ptr, a.rs);
        }
        if E::ADJACENT_ROWS && a.rs == 1 && few {
            return Left::Adjacent(a.ptr, a.cs);
        }
        // SAFETY: the rows are part of the product that was vouched for, and the scratch has room for them.
        unsafe {
            if E::ADJACENT_ROWS {
                vouched(isa, PackRows { a, m, k, tall, alpha: self.alpha, dst });
                Left::Packed(dst.cast_const())
            } else {
                // A fused product has no α, and of rows that are not contiguous it makes rows that are.
                vouched(isa, CopyRows { a, m, k, dst, ld: k });
                Left::Contiguous(dst.cast_const(), k as isize)
            }
        }
    }
}

impl<T: Real, E: Epilogue<T>> RawKernel for Block<T, E> {
    type Elem = T;

    #[inline(always)]
    unsafe fn run_raw<I: Lanes<T>>(self, isa: I) {
        let panels = Panels::new::<T, I>(self.n);
        let (from, to) = self.share.of(panels.count());
        if const { E::ACROSS }
            && let Right::Columns(b, ldb) = self.b
        {
            let (m, row0, k, epilogue) = (self.m, self.row, self.k, self.epilogue);
            debug_assert!(self.a.cs == 1 && self.alpha == T::ONE);
            if from == to {
                return;
            }
            let (a, last) = (self.a.at(row0, self.depth), panels.get(to - 1));
            let (cols, a) = ((panels.get(from).col, last.col + last.cols), (a.ptr, a.rs));
            let cols = (self.col + cols.0, self.col + cols.1);
            // The block's columns are the matrix's own.
            let b = (b.wrapping_sub(self.col * ldb), ldb);
            let (first, last) = (self.depth == 0, self.last);
            let op = Across { m, row0, k, a, b, cols, whole: false, first, last, epilogue };
            // SAFETY: as below.
            return unsafe { op.run(isa) };
        }
        // Few panels do not repay packing a transposed A: each of its scalars is read once a panel.
        let few = self.alpha == T::ONE && (to - from <= 2 || self.m <= 8);
        let tall = tile_rows(I::TILES, panels.max_width() / I::LANES, true);
        debug_assert!(!matches!(self.b, Right::Columns(..)), "read across where nothing is compiled for it");
        let mut i = 0;
        while i < self.m && from < to {
            let (row, m) = (self.row + i, self.mc.min(self.m - i));
            // SAFETY: the rows are among the block's.
            let a = unsafe { self.rows(isa, row, m, tall, few) };
            for p in from..to {
                let mut span = panels.get(p);
                let (b, ldb) = self.b.panel(self.k, span);
                span.col += self.col;
                let panel = Panel {
                    m,
                    row0: row,
                    k: self.k,
                    a,
                    b,
                    ldb,
                    last_cols: if self.last { self.b.last_cols(span) } else { span.width },
                    span,
                    tile_rows: tall,
                    first: self.depth == 0,
                    last: self.last,
                    epilogue: self.epilogue,
                };
                // SAFETY: whoever built the operation vouches for the operands over its sizes.
                unsafe { panel.run(isa) }
            }
            i += m;
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
