//! The register tile: MR × NV vector accumulators and the loop that feeds them.

use crate::isa::{Lanes, Real};

/// The accumulators of a tile: MR rows of NV vectors.
pub type Acc<T, I, const MR: usize, const NV: usize> = [[<I as Lanes<T>>::V; NV]; MR];

/// acc[i] += Σ_k A[i, k] · B[k, :], each element one chain of FMAs, k ascending.
///
/// Per step of k: NV vector loads of B, MR broadcasts of A, MR·NV FMAs. `UNIT`: rows of A are adjacent
/// (`rs` = 1), so that one address register serves them all.
///
/// # Safety
/// For i < MR and p < k, `a + i·rs + p·cs` is readable, and so are NV vectors at `b + p·ldb`.
#[inline(always)]
pub unsafe fn accumulate<T: Real, I: Lanes<T>, const MR: usize, const NV: usize, const UNIT: bool>(
    isa: I,
    mut acc: Acc<T, I, MR, NV>,
    k: usize,
    a: *const T,
    rs: isize,
    cs: isize,
    b: *const T,
    ldb: usize,
) -> Acc<T, I, MR, NV> {
    let rs = if UNIT { 1 } else { rs };
    let (mut a, mut b) = (a, b);
    for _ in 0..k {
        // SAFETY: step p < k of the caller's promise.
        unsafe {
            let mut row = [isa.zero(); NV];
            for v in 0..NV {
                row[v] = isa.load(b.add(v * I::LANES));
            }
            for i in 0..MR {
                let x = isa.splat(*a.offset(i as isize * rs));
                for v in 0..NV {
                    acc[i][v] = isa.fma(x, row[v], acc[i][v]);
                }
            }
        }
        // The last step leaves the pointers one past the operand: compared with nothing, read by nothing.
        a = a.wrapping_offset(cs);
        b = b.wrapping_add(ldb);
    }
    acc
}
