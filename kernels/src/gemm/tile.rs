//! The register tile: MR × NV vector accumulators and the loop that feeds them. This is all of it:
//!
//! ```text
//! accumulate(acc, k):                                    acc: MR rows of NV vectors, in registers throughout
//!   for p in 0 .. k:                                     four steps a turn of the loop, the last ones singly
//!       row[v] ← load B[p, v]                            NV loads of whole vectors
//!       for i in 0 .. MR:
//!           x ← broadcast A[i, p]                        MR broadcasts of one element each
//!           acc[i][v] ← fma(x, row[v], acc[i][v])        MR·NV FMAs, each rounded once
//!
//! A[i, p] lies at   a + i + p·stride    if ADJACENT: packed, or a transposed operand
//!              or   a + i·stride + p    if not: rows as they lie
//! ```
//!
//! The last step may be told to read B elsewhere, for a B whose last row ends within a vector.
//!
//! **Why it can reach the peak.** The accumulators are independent chains of FMAs: while one waits for its last result,
//! the others are at work. There are at most 24 of them with 32 registers and 12 with 16 (`TileFamily`), so that NV
//! vectors of B and a broadcast have room beside them. A tile of 6 × 4 loads four vectors and broadcasts six elements
//! for 24 FMAs.
//!
//! **Why it is unrolled, and one stride is 1.** The margin is not in the FMA units but in the instructions that can be
//! issued: a core that another hardware thread uses too issues half as many. Four steps share one update of each
//! address, and with one stride at 1 there are few addresses. So a turn of 6 × 4 takes 147 instructions instead of 168,
//! for 96 FMAs, and the median of a forward product 192 × 256 × 256 went from 0.68 to 0.87 of the peak
//! (docs/PERFORMANCE.md).
//!
//! **Why the bits are those of any other tile.** An element has one accumulator and takes its terms with k ascending, a
//! fused multiply-add each. MR and NV say which elements are computed together, and nothing of how. So the heights and
//! widths of tiles may go by the registers of an instruction set. A chain has at most [`CHAIN`] steps: whoever calls
//! ends it (`panel.rs`).
//!
//! **Why accumulators go by value.** What has an address is kept in memory. What needs one at the right edge
//! (`load_tile`, `add_tile`, `store_tile`) takes that of another variable, so that the tile itself stays in registers:
//! a step of 2→20×9→1 went from 2.10 to 1.47 ms when it first did.
//!
//! What would be tempting, and is wrong:
//! - *Two accumulators an element*, for even and for odd steps, so that a low tile hides its latency: that is another
//!   order of the sum, and the bits would tell which tile an element was in. Instead few tiles are low or narrow: the
//!   granules of a matrix are spread evenly over its panels.
//! - *To end chains in this loop*: the loop over chains took general registers, and in the `f64` tiles of 8 × 2 and
//!   8 × 3 the broadcasts that the compiler hoists were spilled. The panel walks the chains.
//! - *Operands of any two strides*: 42 instructions for 24 FMAs instead of 37.
//! - *Taller tiles wherever the accumulators fit*: 12 × 1 fits AVX2, and has ten spills a turn; 8 × 1 has none. Where
//!   rows lie apart, each has an address of its own, and eight are what the general registers afford.
//! - *Another shape for packed products*: 8 × 3 and 12 × 2 are as fast as 6 × 4, and 24 × 1 is slower (0.55 for 0.70).
//! - *To choose the epilogue in the tile*: accumulators are spilled. An epilogue is a type.
//!
//! `tools/tile_loops.py` prints what the compiler made of the loop, and docs/PROFILING.md says what must not be in it.

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
