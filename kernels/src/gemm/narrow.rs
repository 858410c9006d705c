//! The products of narrow layers, with samples in the lanes.
//!
//! A width that does not fill whole vectors wastes lanes and multiply-adds when features lie along them. Here
//! matrices are *feature-major*: row f of Aᵀ has feature f of every sample of a tile, so that lanes hold samples
//! and no width wastes any. Zᵀ = W·A_{l−1}ᵀ and δ'ᵀ = Wᵀ·δᵀ are the products of [`dense`](super::dense) with W as the operand
//! that is read one scalar at a time, and features where those have rows.
//!
//! Each element of Zᵀ and δᵀ has the chains that it has in the row-major products: same bits. dW sums over samples,
//! hence over lanes: [`VIRTUAL_LANES`] *virtual lanes* on every ISA and for both types, lane j summing the samples
//! j, j + 16, j + 32, … of a slot in ascending order; [`FoldLanes`] adds the lanes by a fixed tree. A lane's chain ends
//! where whoever runs the tiles folds the lanes and begins anew: between tiles, never within one.

use crate::{
    isa::{COLUMNS, LaneKernel, Lanes, RawKernel, Real, TileFamily, outline},
    math::Math,
    reduce::{Add, VIRTUAL_LANES, halve},
};

/// Samples rounded up to whole virtual lanes.
#[inline(always)]
pub const fn whole_lanes(samples: usize) -> usize {
    samples.next_multiple_of(VIRTUAL_LANES)
}

/// A feature-major matrix: feature f of sample s at `ptr + f·ld + s`. Rows have room for
/// [`whole_lanes`] samples; what the lanes beyond the samples hold is kept at 0, so that sums may take them.
#[derive(Debug, Clone, Copy)]
pub struct Features<T> {
    /// Feature 0 of sample 0.
    pub ptr: *mut T,
    /// From a feature to the next.
    pub ld: usize,
}

/// Clears the lanes beyond the samples of `m` features.
///
/// # Safety
/// Each feature's row is writable up to whole lanes.
#[inline(always)]
pub unsafe fn clear_tail<T: Real>(x: Features<T>, m: usize, samples: usize) {
    for f in 0..m {
        for s in samples..whole_lanes(samples) {
            // SAFETY: the caller's promise.
            unsafe { *x.ptr.add(f * x.ld + s) = T::ZERO }
        }
    }
}

/// dW ← (dW +) δᵀ·A and db ← (db +) Σ δ over a tile, in virtual lanes.
#[derive(Debug, Clone, Copy)]
pub struct NarrowWeightVjp<T> {
    /// n_l.
    pub m: usize,
    /// n_{l−1}.
    pub n: usize,
    /// Samples of the tile.
    pub samples: usize,
    /// δ.
    pub delta: Features<T>,
    /// A_{l−1}.
    pub a: Features<T>,
    /// dW, m × n, [`VIRTUAL_LANES`] elements each.
    pub dw: *mut T,
    /// db, m times [`VIRTUAL_LANES`] elements.
    pub db: *mut T,
    /// Start from zero instead of dW and db.
    pub fresh: bool,
    /// The tile is all of a run: dW, m × n, and db take the folded lanes right away, and the virtual lanes of a few rows at a
    /// time are in `dw` and `db`, from their start on.
    pub whole: Option<(*mut T, *mut T)>,
}

impl<T: Math> RawKernel for NarrowWeightVjp<T> {
    type Elem = T;
    #[inline(always)]
    unsafe fn run_raw<I: Lanes<T>>(self, isa: I) {
        let mut o = 0;
        // SAFETY: whoever built the operation vouches for its operands; features o .. o + MR are below m.
        unsafe {
            if const { matches!(I::TILES, TileFamily::Regs32) } {
                while o + 4 <= self.m {
                    self.features::<I, 4>(isa, o);
                    o += 4;
                }
            }
            while o + 2 <= self.m {
                self.features::<I, 2>(isa, o);
                o += 2;
            }
            while o < self.m {
                self.features::<I, 1>(isa, o);
                o += 1;
            }
        }
    }
}

impl<T: Math> NarrowWeightVjp<T> {
    /// Rows o .. o + MR of dW and db.
    ///
    /// # Safety
    /// As for [`NarrowWeightVjp`]; the rows are below m.
    #[inline(always)]
    unsafe fn features<I: Lanes<T>, const MR: usize>(self, isa: I, o: usize) {
        let (mut op, n) = (self, self.n);
        if op.whole.is_some() {
            op.dw = op.dw.wrapping_sub(o * n * VIRTUAL_LANES);
            op.db = op.db.wrapping_sub(o * VIRTUAL_LANES);
        }
        // SAFETY: the caller's promise; a few rows' lanes have room where all rows' have.
        unsafe {
            // A vector at a time of the virtual lanes: one with 16 lanes, two with eight.
            for lane in (0..VIRTUAL_LANES).step_by(I::LANES) {
                Pass { op, lane }.features::<I, MR>(isa, o);
            }
            if let Some((dw, db)) = op.whole {
                let (lanes, out) = (self.dw.cast_const(), dw.wrapping_add(o * n));
                FoldLanes { lanes, out, count: MR * n }.run_raw(isa);
                let (lanes, out) = (self.db.cast_const(), db.wrapping_add(o));
                FoldLanes { lanes, out, count: MR }.run_raw(isa);
            }
        }
    }
}

/// The part of a [`NarrowWeightVjp`] that one vector of the virtual lanes has.
#[derive(Clone, Copy)]
struct Pass<T> {
    op: NarrowWeightVjp<T>,
    lane: usize,
}

impl<T: Math> Pass<T> {
    /// Rows o .. o + MR of dW and db.
    ///
    /// # Safety
    /// As for [`NarrowWeightVjp`]; the rows are below m.
    #[inline(always)]
    unsafe fn features<I: Lanes<T>, const MR: usize>(self, isa: I, o: usize) {
        let (n, mut i) = (self.op.n, 0);
        // SAFETY: the caller's promise; columns i .. i + NR are below n.
        unsafe {
            while i + 4 <= n {
                outline(isa, WeightTile::<T, MR, 4> { pass: self, o, i });
                i += 4;
            }
            while i + 2 <= n {
                outline(isa, WeightTile::<T, MR, 2> { pass: self, o, i });
                i += 2;
            }
            while i < n {
                outline(isa, WeightTile::<T, MR, 1> { pass: self, o, i });
                i += 1;
            }
            self.sums::<I, MR>(isa, o);
        }
    }

    /// db of features o .. o + MR.
    ///
    /// # Safety
    /// As for [`features`](Self::features).
    #[inline(always)]
    unsafe fn sums<I: Lanes<T>, const MR: usize>(self, isa: I, o: usize) {
        let Self { op, lane } = self;
        let db = op.db.wrapping_add(o * VIRTUAL_LANES + lane);
        let delta = op.delta.ptr.wrapping_add(o * op.delta.ld + lane);
        let mut acc = [isa.zero(); MR];
        // SAFETY: the caller's promise: features o .. o + MR, samples in whole lanes.
        unsafe {
            if !op.fresh {
                for r in 0..MR {
                    acc[r] = isa.load(db.add(r * VIRTUAL_LANES));
                }
            }
            let mut s = 0;
            while s < op.samples {
                for r in 0..MR {
                    acc[r] = isa.add(acc[r], isa.load(delta.add(r * op.delta.ld + s)));
                }
                s += VIRTUAL_LANES;
            }
            for r in 0..MR {
                isa.store(db.add(r * VIRTUAL_LANES), acc[r]);
            }
        }
    }
}

/// MR × NR elements of dW, a vector of virtual lanes each: the register tile of [`NarrowWeightVjp`].
struct WeightTile<T, const MR: usize, const NR: usize> {
    pass: Pass<T>,
    o: usize,
    i: usize,
}

impl<T: Math, const MR: usize, const NR: usize> LaneKernel for WeightTile<T, MR, NR> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        let Self { pass: Pass { op, lane }, o, i } = self;
        let dw = op.dw.wrapping_add((o * op.n + i) * VIRTUAL_LANES + lane);
        let mut d = op.delta.ptr.wrapping_add(o * op.delta.ld + lane).cast_const();
        let mut a = op.a.ptr.wrapping_add(i * op.a.ld + lane).cast_const();
        let mut acc = [[isa.zero(); NR]; MR];
        // SAFETY: whoever built the operation vouches for its operands; rows o .. o + MR are below m, columns
        // i .. i + NR below n, and both matrices have whole lanes.
        unsafe {
            if !op.fresh {
                for r in 0..MR {
                    for c in 0..NR {
                        acc[r][c] = isa.load(dw.add((r * op.n + c) * VIRTUAL_LANES));
                    }
                }
            }
            for _ in 0..op.samples.div_ceil(VIRTUAL_LANES) {
                let mut row = [isa.zero(); NR];
                for c in 0..NR {
                    row[c] = isa.load(a.add(c * op.a.ld));
                }
                for r in 0..MR {
                    let x = isa.load(d.add(r * op.delta.ld));
                    for c in 0..NR {
                        acc[r][c] = isa.fma(x, row[c], acc[r][c]);
                    }
                }
                (a, d) = (a.wrapping_add(VIRTUAL_LANES), d.wrapping_add(VIRTUAL_LANES));
            }
            for r in 0..MR {
                for c in 0..NR {
                    isa.store(dw.add((r * op.n + c) * VIRTUAL_LANES), acc[r][c]);
                }
            }
        }
    }
}

/// out_p ← the sum of the virtual lanes of element p: lanes j and j + 8 first, then j and j + 4, 2, 1.
#[derive(Debug, Clone, Copy)]
pub struct FoldLanes<T> {
    /// `count` times [`VIRTUAL_LANES`] elements.
    pub lanes: *const T,
    /// `count` elements.
    pub out: *mut T,
    /// How many.
    pub count: usize,
}

impl<T: Real> RawKernel for FoldLanes<T> {
    type Elem = T;
    #[inline(always)]
    unsafe fn run_raw<I: Lanes<T>>(self, isa: I) {
        let mut p = 0;
        while p < self.count {
            let n = (self.count - p).min(I::LANES);
            // SAFETY: whoever built the operation vouches for `count` elements.
            unsafe {
                // Read across, a virtual lane of n elements is a vector.
                let mut x = [isa.zero(); VIRTUAL_LANES];
                for c in (0..VIRTUAL_LANES).step_by(COLUMNS) {
                    let columns =
                        isa.columns(self.lanes.add(p * VIRTUAL_LANES + c), VIRTUAL_LANES as isize, n);
                    x[c..c + COLUMNS].copy_from_slice(&columns);
                }
                isa.store_partial(self.out.add(p), halve::<T, I, Add>(isa, &mut x, VIRTUAL_LANES), n);
            }
            p += n;
        }
    }
}
