//! The plain product, with the caller's scratch: C ← α·A·B + β·C for any strides.

use crate::{
    Scalar,
    backend::{BackendKind, check_gemm, scale},
    engine::Engine,
    error::{Error, Result},
    isa::{IsaToken, isa},
    memory::{aligned, line},
    product::{Op, Ops, members, run, scratch_len},
    team::Team,
    view::{MatMut, MatRef},
};
use alloc::{vec, vec::Vec};
use nablas_kernels::gemm::{epilogue::Start, pack::Operand, row_major::RowMajor};

/// The native GEMM: an ISA, a number of threads, a team.
///
/// Each element of C is the sum, in order, of chains of 512 fused multiply-adds, k ascending, of fma(α·A\[i,k\],
/// B\[k,j\], acc) with α·A\[i,k\] rounded once: the first chain from β·C (0 for β = 0, C not read), the others from 0.
/// So the error stays at about (512 + k/512) roundings, however long the sum. The bits of the result depend on nothing else: not on
/// threads, strides, blocking or ISA.
pub struct Gemm<T: Scalar> {
    ops: Ops<T>,
}

/// Rows and columns of the block that a C without a unit stride passes through.
const BLOCK: usize = 192;

pub(crate) fn operand<T>(m: MatRef<'_, T>) -> Operand<T> {
    Operand { ptr: m.as_ptr(), rs: m.row_stride(), cs: m.col_stride() }
}

impl<T: Scalar> Gemm<T> {
    /// On the default ISA and the default team, or the rayon pool that the caller is in.
    ///
    /// # Errors
    /// [`Error::Isa`] if `NABLAS_ISA` pins what is not there, [`Error::Variable`] if `NABLAS_NUM_THREADS` is no number of
    /// threads.
    pub fn new() -> Result<Self> {
        Ok(Self { ops: Ops::new(BackendKind::Native, Engine::unlimited::<T>(isa()?)?) })
    }

    /// On an ISA, with at most `threads` members of the default team, the caller among them.
    pub fn with(isa: IsaToken, threads: usize) -> Self {
        Self { ops: Ops::new(BackendKind::Native, Engine::new::<T>(isa, threads, None)) }
    }

    /// With the members of this team: all of them, or as many as [`with`](Self::with) was told.
    #[must_use]
    pub fn team(mut self, team: &Team) -> Self {
        self.ops.engine_mut().join(team);
        self
    }

    /// Members that no product of A m×k and B k×n exceeds: where it is 1, it stays on the calling thread.
    pub fn members(&self, m: usize, n: usize, k: usize) -> usize {
        members(&self.ops, (m, n, k))
    }

    /// Elements of scratch for a product of A m×k and B k×n.
    pub fn scratch_len(&self, m: usize, n: usize, k: usize) -> usize {
        // Either orientation may be computed, and a C without unit strides takes a block for itself.
        let (a, b) = (scratch_len(&self.ops, (m, n, k)), scratch_len(&self.ops, (n, m, k)));
        let block = scratch_len(&self.ops, (m.min(BLOCK), n.min(BLOCK), k));
        a.max(b).max(block).saturating_add(BLOCK * BLOCK + line::<T>())
    }

    /// Scratch for a product of A m×k and B k×n.
    pub fn scratch(&self, m: usize, n: usize, k: usize) -> Vec<T> {
        vec![T::ZERO; self.scratch_len(m, n, k)]
    }

    /// C ← α·A·B + β·C, for A m×k, B k×n, C m×n. A C whose rows and columns are both strided passes through a
    /// block of scratch, which costs time.
    ///
    /// # Errors
    /// [`Error::Shape`] if the shapes don't agree, [`Error::Length`] if the scratch is too small. C is then
    /// as it was.
    pub fn run(
        &self,
        alpha: T,
        a: MatRef<'_, T>,
        b: MatRef<'_, T>,
        beta: T,
        mut c: MatMut<'_, T>,
        scratch: &mut [T],
    ) -> Result<()> {
        let (m, k, n) = check_gemm(&a, &b, &c)?;
        let needed = self.scratch_len(m, n, k);
        if scratch.len() < needed {
            return Err(Error::Length {
                what: "the scratch of a product",
                expected: needed,
                got: scratch.len(),
            });
        }
        let scratch = aligned(scratch);
        if m == 0 || n == 0 {
            return Ok(());
        }
        if k == 0 || alpha == T::ZERO {
            scale(beta, c);
            return Ok(());
        }
        let start = Start::of_beta(beta);
        let (rs, cs) = (c.row_stride(), c.col_stride());
        let (a, b) = (operand(a), operand(b));
        // Where C runs backwards, it passes through blocks too.
        if rs >= 0 && (cs == 1 || n == 1 && rs != 1) {
            // A single column needs no unit stride between columns.
            let to = RowMajor::new(c.as_mut_ptr(), rs as usize);
            let op = Op::plain((m, n, k), alpha, a, b, to, start);
            // SAFETY: the views are valid over their shapes, C is borrowed exclusively, scratch is long enough.
            unsafe { run(&self.ops, op, None, scratch.as_mut_ptr()) }
        } else if cs >= 0 && (rs == 1 || m == 1) {
            // Cᵀ = Bᵀ·Aᵀ, with α still on A.
            let to = RowMajor::new(c.as_mut_ptr(), cs as usize);
            let op = Op::plain((n, m, k), alpha, b.t(), a.t(), to, start);
            let op = Op { alpha_on_b: true, ..op };
            // SAFETY: as above.
            unsafe { run(&self.ops, op, None, scratch.as_mut_ptr()) }
        } else {
            self.through_blocks((m, n, k), alpha, (a, b), start, c, scratch)
        }
    }

    /// The product for a C with two strides: block by block in row-major scratch.
    fn through_blocks(
        &self,
        (m, n, k): (usize, usize, usize),
        alpha: T,
        (a, b): (Operand<T>, Operand<T>),
        start: Start<T>,
        mut c: MatMut<'_, T>,
        scratch: &mut [T],
    ) -> Result<()> {
        let (block, scratch) = scratch.split_at_mut(BLOCK * BLOCK);
        let (rs, cs) = (c.row_stride(), c.col_stride());
        for i0 in (0..m).step_by(BLOCK) {
            for j0 in (0..n).step_by(BLOCK) {
                let (rows, cols) = (BLOCK.min(m - i0), BLOCK.min(n - j0));
                let at = |i: usize, j: usize| (i0 + i) as isize * rs + (j0 + j) as isize * cs;
                let c = c.as_mut_ptr();
                if start != Start::Zero {
                    for i in 0..rows {
                        for j in 0..cols {
                            // SAFETY: (i0 + i, j0 + j) is an element of C.
                            block[i * BLOCK + j] = unsafe { *c.wrapping_offset(at(i, j)) };
                        }
                    }
                }
                let (a, b) = (a.at(i0, 0), b.at(0, j0));
                let to = RowMajor::new(block.as_mut_ptr(), BLOCK);
                let op = Op::plain((rows, cols, k), alpha, a, b, to, start);
                // SAFETY: the operands are valid over their shapes; the block and the scratch are our own.
                unsafe { run(&self.ops, op, None, scratch.as_mut_ptr())? };
                for i in 0..rows {
                    for j in 0..cols {
                        // SAFETY: as above.
                        unsafe { *c.wrapping_offset(at(i, j)) = block[i * BLOCK + j] };
                    }
                }
            }
        }
        Ok(())
    }
}

impl<T: Scalar> core::fmt::Debug for Gemm<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Gemm").field("engine", self.ops.engine()).finish()
    }
}
