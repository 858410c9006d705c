//! A product as a call of its own.

use super::{At, Cut, Op, Ops, Sums};
use crate::{
    Scalar,
    error::Result,
    shared::{FirstError, Shared},
    team::Schedule,
};
use nablas_kernels::gemm::pack::Share;

/// Where a call of one product works: two buffers for packed blocks of B, and scratch for every seat.
#[derive(Debug, Clone, Copy)]
struct Scratch {
    block: usize,
    seat: usize,
    len: usize,
}

impl Scratch {
    fn new<T: Scalar>(ops: &Ops<T>, cut: &Cut) -> Self {
        let native = ops.foreign().is_none();
        let (wide, deep) = cut.blocks();
        let block = if native { cut.packed_len().saturating_add(15) & !15 } else { 0 };
        let buffers = block.saturating_mul(wide.saturating_mul(deep).min(2));
        let seat = ops.seat_len(cut.m, cut.k);
        let len = seat.saturating_mul(ops.engine().threads).saturating_add(buffers);
        Self { block, seat, len }
    }
}

/// Elements of scratch that [`run`] needs for a product of these sizes, whoever comes.
pub(crate) fn scratch_len<T: Scalar>(ops: &Ops<T>, sizes: (usize, usize, usize)) -> usize {
    // Blocks don't depend on members; only their items do.
    Scratch::new(ops, &ops.cut(sizes, false, 1)).len
}

/// Members that no product over matrices of these sizes exceeds.
pub(crate) fn members<T: Scalar>(ops: &Ops<T>, (m, n, k): (usize, usize, usize)) -> usize {
    let (m, n, k) = (m as f64, n as f64, k as f64);
    let engine = ops.engine();
    engine.seats(engine.micros::<T>(2.0 * m * n * k, m * n + m * k + n * k), 1, usize::MAX)
}

/// The phases of one product: each block of B is multiplied while the next one is packed. Then db, if it is asked for.
struct Alone<'a, T: Scalar> {
    ops: &'a Ops<T>,
    op: Op<T>,
    cut: Cut,
    sums: Option<Sums<T>>,
    layout: Scratch,
    scratch: Shared<T>,
    failed: FirstError,
}

impl<T: Scalar> Alone<'_, T> {
    /// Block `i`, in the order in which they are multiplied, and how many there are.
    fn block(&self, i: usize) -> Option<(At, *mut T)> {
        self.cut.nth(i).map(|at| (at, self.scratch.add(i % 2 * self.layout.block)))
    }

    fn blocks(&self) -> usize {
        let (wide, deep) = self.cut.blocks();
        wide * deep
    }
}

impl<T: Scalar> Schedule for Alone<'_, T> {
    fn items(&self, phase: usize) -> Option<usize> {
        // Phase p multiplies block p − 1 and packs block p.
        let blocks = self.blocks();
        match phase {
            0 => Some(self.cut.packs()),
            p if p <= blocks => Some(self.cut.items() + if p < blocks { self.cut.packs() } else { 0 }),
            p if p == blocks + 1 => self.sums.map(|s| s.items()),
            _ => None,
        }
    }

    fn run(&self, seat: usize, phase: usize, item: usize) {
        let (Self { ops, op, cut, .. }, items) = (self, if phase == 0 { 0 } else { self.cut.items() });
        let buffers = self.layout.block * self.blocks().min(2);
        let scratch = self.scratch.add(buffers + seat * self.layout.seat);
        // SAFETY: the call vouched for the operands; items write disjoint parts of outputs and buffers, a seat has scratch
        // of its own, and a phase reads what the phases before have written.
        unsafe {
            if let Some(sums) = self.sums
                && phase > self.blocks()
            {
                sums.run(ops.engine(), item);
            } else if item < items {
                if let Some((at, b)) = self.block(phase - 1) {
                    let b = if cut.packs() > 0 { b.cast_const() } else { core::ptr::null() };
                    self.failed.note(ops.multiply(op, cut, (at, item), b, scratch));
                }
            } else if let Some((at, to)) = self.block(phase) {
                ops.pack(op, at, Share { index: item - items, count: cut.packs() }, to);
            }
        }
    }
}

/// Multiplies; then sums columns, if asked to.
///
/// # Safety
/// The operands are readable and outputs writable over the product's sizes, nothing else accesses the outputs, and
/// `scratch` has [`scratch_len`] elements.
///
/// # Errors
/// A foreign backend's first: the output is then unspecified.
pub(crate) unsafe fn run<T: Scalar>(
    ops: &Ops<T>,
    op: Op<T>,
    sums: Option<Sums<T>>,
    scratch: *mut T,
) -> Result<()> {
    if op.m == 0 || op.n == 0 {
        return Ok(());
    }
    let weights = matches!(op.finish, super::Finish::Plain { .. });
    let (engine, n) = (ops.engine(), op.n as f64);
    let touched =
        op.m as f64 * (n + op.k as f64) + if op.in_place(0, 0).is_some() { 0.0 } else { n * op.k as f64 };
    let micros = engine.micros::<T>(op.flop(), touched);
    // Who is left alone has rectangles that are as large as can be.
    let seats = engine.seats(micros, 2, usize::MAX);
    let cut = ops.fit(ops.cut(op.sizes(), weights, seats), &op);
    let layout = Scratch::new(ops, &cut);
    let call = Alone { ops, op, cut, sums, layout, scratch: Shared(scratch), failed: FirstError::default() };
    engine.schedule(micros, call.blocks() + 1, cut.items().min(seats), &call);
    call.failed.result()
}

/// db ← the column sums of δ, as a call of its own.
///
/// # Safety
/// As for [`Sums::run`], of all items.
pub(crate) unsafe fn sum<T: Scalar>(ops: &Ops<T>, sums: Sums<T>) {
    struct Columns<'a, T: Scalar>(&'a Ops<T>, Sums<T>);
    impl<T: Scalar> Schedule for Columns<'_, T> {
        fn items(&self, phase: usize) -> Option<usize> {
            (phase == 0).then(|| self.1.items())
        }
        fn run(&self, _: usize, _: usize, item: usize) {
            // SAFETY: the call vouched for all items, which have disjoint columns.
            unsafe { self.1.run(self.0.engine(), item) }
        }
    }
    let engine = ops.engine();
    let micros = engine.micros::<T>(0.0, sums.m as f64 * sums.n as f64);
    engine.schedule(micros, 1, sums.items(), &Columns(ops, sums));
}
