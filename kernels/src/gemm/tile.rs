//! The register tile: MR × NV vector accumulators and the loop that feeds them.

pub use crate::chain::CHAIN;
use crate::isa::{Arith, Lanes, Real};

/// The accumulators of a tile: MR rows of NV vectors.
pub type Acc<T, I, const MR: usize, const NV: usize> = [[<I as Arith<T>>::V; NV]; MR];

/// Steps of k in a turn of the loop: one update of each address serves them all.
const UNROLL: usize = 4;

/// `acc[i] += Σ_k A[i, k] · B[k, :]`, each element one chain of FMAs, k ascending: of at most [`CHAIN`] steps, which
/// is the caller's to see to.
///
/// Per step of k: NV vector loads of B, MR broadcasts of A, MR·NV FMAs. One stride of A is 1, so that addresses
/// are few: between rows if `ADJACENT` (packed, or transposed), else between steps of k; `stride` is the other. The last
/// step reads B at `last` instead, unless that is null.
///
/// # Safety
/// For i < MR and p < k, `a + i + p·stride` (or `a + i·stride + p`) is readable, and so are NV vectors at
/// `b + p·ldb`, or at `last`.
#[inline(always)]
pub unsafe fn accumulate<T: Real, I: Lanes<T>, const MR: usize, const NV: usize, const ADJACENT: bool>(
    isa: I,
    mut acc: Acc<T, I, MR, NV>,
    k: usize,
    (a, stride): (*const T, isize),
    (b, ldb): (*const T, usize),
    last: *const T,
) -> Acc<T, I, MR, NV> {
    let (mut a, mut at) = (a, b);
    let along = |steps: isize| if ADJACENT { steps * stride } else { steps };
    // The last turn leaves the pointers past the operands: read by nothing.
    let rest = if last.is_null() || k == 0 { k % UNROLL } else { (k - 1) % UNROLL + 1 };
    for _ in 0..(k - rest) / UNROLL {
        for p in 0..UNROLL {
            // SAFETY: a step below k of the caller's promise.
            acc = unsafe {
                let a = a.offset(along(p as isize));
                step::<T, I, MR, NV, ADJACENT>(isa, acc, a, stride, at.add(p * ldb))
            };
        }
        a = a.wrapping_offset(along(UNROLL as isize));
        at = at.wrapping_add(UNROLL * ldb);
    }
    for p in 0..rest {
        let b = if p + 1 == rest && !last.is_null() { last } else { at };
        // SAFETY: as above.
        acc = unsafe { step::<T, I, MR, NV, ADJACENT>(isa, acc, a, stride, b) };
        a = a.wrapping_offset(along(1));
        at = at.wrapping_add(ldb);
    }
    acc
}

/// One step of k.
///
/// # Safety
/// As for [`accumulate`], with k = 1.
#[inline(always)]
unsafe fn step<T: Real, I: Lanes<T>, const MR: usize, const NV: usize, const ADJACENT: bool>(
    isa: I,
    mut acc: Acc<T, I, MR, NV>,
    a: *const T,
    stride: isize,
    b: *const T,
) -> Acc<T, I, MR, NV> {
    // SAFETY: the caller's promise.
    unsafe {
        let mut row = [isa.zero(); NV];
        for v in 0..NV {
            row[v] = isa.load(b.add(v * I::LANES));
        }
        for i in 0..MR {
            let x = isa.splat(*a.offset(if ADJACENT { i as isize } else { i as isize * stride }));
            for v in 0..NV {
                acc[i][v] = isa.fma(x, row[v], acc[i][v]);
            }
        }
    }
    acc
}
