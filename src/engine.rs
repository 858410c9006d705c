//! The native engine: a fused product cut into regions, a thread each.

use crate::{
    Scalar,
    parallel::{Shared, fork, tasks_for},
};
use nablas_kernels::{
    act::Activation,
    cache,
    entry::Entry,
    gemm::{
        blocked::{Blocking, Gemm},
        dense::{Derivative, ForwardGemm, InputVjpGemm},
        epilogue::{Plain, Save, Start},
        pack::Operand,
    },
    isa::{IsaToken, LaneKernel, RawKernel, Vouched},
};

/// What the native calls run on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Engine {
    pub(crate) isa: IsaToken,
    pub(crate) threads: usize,
    pub(crate) blocking: Blocking,
}

/// A rectangle of a product's output.
#[derive(Debug, Clone, Copy)]
struct Region {
    row: usize,
    rows: usize,
    col: usize,
    cols: usize,
}

/// The grid of regions, tall × wide: as many as there are tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grid {
    tall: usize,
    wide: usize,
    rows: usize,
    cols: usize,
}

impl Grid {
    /// Cuts m × n into at most `tasks` regions so that least is packed twice: each column of regions packs
    /// A anew, each row of regions packs B anew.
    fn new(tasks: usize, m: usize, n: usize, k: usize, whole_columns: bool) -> Self {
        let mut best = Self { tall: 1, wide: 1, rows: m, cols: n };
        let mut best_cost = f64::INFINITY;
        for tall in 1..=tasks {
            if whole_columns && tall > 1 {
                break;
            }
            // Rows in whole register tiles of every height, columns in whole panels or, where there are few,
            // in whole granules of every ISA.
            let unit = if n >= 64 * tasks { 64 } else { 16 };
            let rows = m.div_ceil(tall).next_multiple_of(24);
            let cols = n.div_ceil(tasks / tall).next_multiple_of(unit);
            let (tall, wide) = (m.div_ceil(rows), n.div_ceil(cols));
            // The slowest region's multiply-adds, and the elements it packs at some sixteen times the cost.
            let (r, c, d) = (rows.min(m) as f64, cols.min(n) as f64, k as f64);
            let cost = r * c * d + 16.0 * (r * d + d * c);
            if cost < best_cost {
                best_cost = cost;
                best = Self { tall, wide, rows, cols };
            }
        }
        best
    }

    fn region(self, i: usize, m: usize, n: usize) -> Region {
        let (row, col) = (i / self.wide * self.rows, i % self.wide * self.cols);
        Region { row, rows: self.rows.min(m - row), col, cols: self.cols.min(n - col) }
    }
}

/// The operands of a product C (m × n) ← A·B, before its epilogue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product<T> {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) alpha: T,
    pub(crate) a: Operand<T>,
    pub(crate) b: Operand<T>,
    pub(crate) alpha_on_b: bool,
}

// SAFETY: an operand is an address and strides; tasks only read through it.
unsafe impl<T: Send> Send for Product<T> {}
// SAFETY: as for Send.
unsafe impl<T: Send> Sync for Product<T> {}

impl Engine {
    pub(crate) fn new<T: Scalar>(isa: IsaToken, threads: usize) -> Self {
        Self {
            isa,
            threads: threads.clamp(1, 1024),
            blocking: Blocking::new(cache::detect(), size_of::<T>()),
        }
    }

    /// Elements of scratch for one product of at most these sizes, all tasks together.
    pub(crate) fn scratch_len(&self, m: usize, n: usize, k: usize) -> usize {
        self.task_scratch(m, n, k).saturating_mul(self.threads)
    }

    fn task_scratch(&self, m: usize, n: usize, k: usize) -> usize {
        self.blocking.scratch_len(m, n, k).next_multiple_of(16)
    }

    /// Runs `work` on every region of a product, with the region's operands and scratch of its own.
    fn regions<T: Scalar>(
        &self,
        p: Product<T>,
        whole_columns: bool,
        scratch: *mut T,
        work: impl Fn(Region, Gemm<T, ()>) + Sync,
    ) {
        if p.m == 0 || p.n == 0 {
            return;
        }
        let tasks = tasks_for(2.0 * p.m as f64 * p.n as f64 * p.k as f64, self.threads);
        let grid = Grid::new(tasks, p.m, p.n, p.k, whole_columns);
        let stride = self.task_scratch(p.m, p.n, p.k);
        let scratch = Shared(scratch);
        fork(grid.tall * grid.wide, &|i| {
            let r = grid.region(i, p.m, p.n);
            let p = &p;
            work(
                r,
                Gemm {
                    m: r.rows,
                    n: r.cols,
                    k: p.k,
                    alpha: p.alpha,
                    a: p.a.at(r.row, 0),
                    b: p.b.at(0, r.col),
                    alpha_on_b: p.alpha_on_b,
                    blocking: self.blocking,
                    scratch: scratch.add(i * stride),
                    epilogue: (),
                },
            );
        });
    }

    /// Runs a kernel.
    pub(crate) fn run<T: Entry<K>, K: LaneKernel<Elem = T>>(&self, kernel: K) -> K::Output {
        T::enter(self.isa, kernel)
    }

    /// Runs a raw kernel.
    ///
    /// # Safety
    /// As for [`RawKernel::run_raw`].
    pub(crate) unsafe fn run_raw<T: Entry<Vouched<K>>, K: RawKernel<Elem = T>>(&self, kernel: K) {
        // SAFETY: the caller's promise.
        T::enter(self.isa, unsafe { Vouched::new(kernel) });
    }

    /// C ← start + α·A·B, C row-major.
    ///
    /// # Safety
    /// The operands are readable over the product's sizes; C is writable, and read where `start` says so, at
    /// m rows of n elements; nothing else accesses C; `scratch` has [`scratch_len`](Self::scratch_len) elements.
    pub(crate) unsafe fn gemm<T: Scalar>(
        &self,
        p: Product<T>,
        c: *mut T,
        ldc: usize,
        start: Start<T>,
        scratch: *mut T,
    ) {
        let c = Shared(c);
        self.regions(p, false, scratch, |r, gemm| {
            let c = c.add(r.row * ldc + r.col);
            // SAFETY: a region of the product that the caller vouches for, with scratch of its own.
            unsafe { self.run_raw(gemm.with_epilogue(Plain { c, ldc, start })) };
        });
    }

    /// A ← g(X·Wᵀ + b), saving what the backward needs.
    ///
    /// # Safety
    /// As for [`gemm`](Self::gemm), with A for C; the bias is null or has n elements; `save` is m × n.
    pub(crate) unsafe fn forward<T: Scalar>(
        &self,
        p: Product<T>,
        bias: *const T,
        (a, lda): (*mut T, usize),
        save: Save<T>,
        act: Activation<T>,
        scratch: *mut T,
    ) {
        let (a, bias) = (Shared(a), Shared(bias.cast_mut()));
        let (values, mask) = (Shared(save.values), Shared(save.mask));
        let (ld, mask_ld) = (save.ld, save.mask_ld);
        self.regions(p, false, scratch, |r, gemm| {
            let offset = |ptr: *mut T, n: usize| if ptr.is_null() { ptr } else { ptr.wrapping_add(n) };
            let save = Save {
                values: offset(values.get(), r.row * ld + r.col),
                ld,
                mask: if mask.get().is_null() { mask.get() } else { mask.add(r.row * mask_ld + r.col / 8) },
                mask_ld,
            };
            let bias = offset(bias.get(), r.col).cast_const();
            // SAFETY: a region of the product that the caller vouches for, with scratch of its own.
            unsafe {
                self.run_raw(ForwardGemm { gemm, bias, a: (a.add(r.row * lda + r.col), lda), save, act })
            };
        });
    }

    /// δ' ← (δ·W) ⊙ g', adding its column sums to `sums`, if not null: each one chain, so of at most 512 rows.
    ///
    /// # Safety
    /// As for [`gemm`](Self::gemm), with δ' for C; the derivative is m × n; `sums` is null or has n elements.
    pub(crate) unsafe fn input_vjp<T: Scalar>(
        &self,
        p: Product<T>,
        derivative: Derivative<T>,
        (out, ld): (*mut T, usize),
        sums: *mut T,
        scratch: *mut T,
    ) {
        let (out, sums) = (Shared(out), Shared(sums));
        let null = core::ptr::null_mut();
        let (values, mask, step, alpha) = match derivative {
            Derivative::One => (null, core::ptr::null_mut(), 0, T::ZERO),
            Derivative::Values(d, ld) => (d.cast_mut(), core::ptr::null_mut(), ld, T::ZERO),
            Derivative::Mask(m, ld, alpha) => (null, m.cast_mut(), ld, alpha),
        };
        let (values, mask) = (Shared(values), Shared(mask));
        // Whole columns: a region that has all rows of its columns sums them in order, without partial sums.
        self.regions(p, !sums.get().is_null(), scratch, |r, gemm| {
            let derivative = match (values.get().is_null(), mask.get().is_null()) {
                (false, _) => Derivative::Values(values.add(r.row * step + r.col).cast_const(), step),
                (_, false) => Derivative::Mask(mask.add(r.row * step + r.col / 8).cast_const(), step, alpha),
                _ => Derivative::One,
            };
            let sums = if sums.get().is_null() { sums.get() } else { sums.add(r.col) };
            // SAFETY: a region of the product that the caller vouches for, with scratch of its own.
            unsafe {
                self.run_raw(InputVjpGemm { gemm, derivative, out: (out.add(r.row * ld + r.col), ld), sums })
            };
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_tile_the_output() {
        for tasks in [1, 2, 3, 8, 64] {
            for (m, n, k) in
                [(1, 1, 1), (24, 16, 5), (25, 17, 5), (4096, 4096, 64), (10, 5000, 3), (5000, 10, 3)]
            {
                for whole in [false, true] {
                    let g = Grid::new(tasks, m, n, k, whole);
                    assert!(g.tall * g.wide <= tasks.max(1), "{g:?} {tasks} {m} {n}");
                    assert!(!whole || g.tall == 1);
                    let area: usize = (0..g.tall * g.wide)
                        .map(|i| g.region(i, m, n))
                        .inspect(|r| assert!(r.col % 16 == 0 && r.row + r.rows <= m && r.col + r.cols <= n))
                        .map(|r| r.rows * r.cols)
                        .sum();
                    assert_eq!(area, m * n);
                }
            }
        }
    }
}
