//! Who multiplies: the fused kernels, or a backend that only multiplies.

use super::{
    cut::{At, Cut},
    op::{Finish, Op},
};
use crate::{
    MatMut, MatRef, Scalar,
    backend::{Backend, BackendKind, MatrixMultiply},
    engine::Engine,
    error::{Error, Result},
};
use alloc::boxed::Box;
use nablas_kernels::{
    act::{BackwardRows, ForwardRows, Rows},
    gemm::{
        blocked::Block,
        dense::{ForwardBlock, InputVjpBlock},
        epilogue::{Plain, Start},
        pack::{Operand, PackPanels, Right, Share},
        row_major::RowMajor,
        shape::PAD,
    },
};

/// Who runs the products of a layer.
pub(crate) enum Ops<T: Scalar> {
    /// Fused kernels.
    Native(Engine),
    /// A plain GEMM on blocks of rows, and the epilogue on each block while it is hot.
    Foreign(Engine, Box<dyn Backend<T> + Send>),
}

/// Bytes of a foreign product's row block: what stays in L2 between the product and its epilogue.
const BLOCK_BYTES: usize = 256 << 10;

/// Rows of such a block.
fn block_rows<T>(n: usize) -> usize {
    (BLOCK_BYTES / (n.max(1) * size_of::<T>())).clamp(16, 512)
}

/// A view of raw memory.
///
/// # Safety
/// `rows` × `cols` elements are readable through the operand for the life of the view.
unsafe fn view<'a, T: Scalar>(x: Operand<T>, rows: usize, cols: usize) -> MatRef<'a, T> {
    // SAFETY: the caller's promise.
    unsafe { MatRef::from_raw_parts(x.ptr, rows, cols, x.rs, x.cs) }
}

impl<T: Scalar> Ops<T> {
    /// The products of a backend.
    pub(crate) fn new(backend: BackendKind, engine: Engine) -> Self {
        match backend {
            BackendKind::Native => Self::Native(engine),
            BackendKind::MatrixMultiply => Self::Foreign(engine, Box::new(MatrixMultiply)),
            #[cfg(feature = "cblas")]
            BackendKind::Cblas => Self::Foreign(engine, Box::new(crate::backend::Cblas)),
        }
    }

    /// The backend's name, if it is another's.
    pub(crate) fn foreign(&self) -> Option<&'static str> {
        match self {
            Self::Native(_) => None,
            Self::Foreign(_, b) => Some(b.name()),
        }
    }

    /// Refuses sizes that a foreign backend may not take: CBLAS has integers of 31 bits.
    pub(crate) fn check(&self, largest: usize) -> Result<()> {
        match self {
            Self::Foreign(_, b) if largest > i32::MAX as usize - PAD => {
                Err(Error::Backend { name: b.name(), why: "a size beyond 31 bits" })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        match self {
            Self::Native(e) | Self::Foreign(e, _) => e,
        }
    }

    pub(crate) fn engine_mut(&mut self) -> &mut Engine {
        match self {
            Self::Native(e) | Self::Foreign(e, _) => e,
        }
    }

    /// The cut of a product m × n × k for so many members; `weights`: whether it is a weight VJP, of which a foreign backend has all of the
    /// depth and rows that go by the members.
    pub(crate) fn cut(&self, sizes: (usize, usize, usize), weights: bool, members: usize) -> Cut {
        match self {
            Self::Native(e) => Cut::new(e.blocking, members, sizes),
            Self::Foreign(..) if weights => {
                let rows = sizes.0.div_ceil(members.max(1)).checked_next_multiple_of(8);
                Cut::by_rows(sizes, rows.unwrap_or(usize::MAX))
            }
            Self::Foreign(..) => Cut::by_rows(sizes, block_rows::<T>(sizes.1)),
        }
    }

    /// The cut as this very product wants it: B is not packed for few rows.
    pub(crate) fn fit(&self, cut: Cut, op: &Op<T>) -> Cut {
        if op.in_place(0, 0).is_some() { cut.in_place() } else { cut }
    }

    /// Elements of scratch that a seat needs for a product of these sizes.
    pub(crate) fn seat_len(&self, m: usize, k: usize) -> usize {
        match self {
            Self::Native(e) => e.blocking.scratch_len(m, k).next_multiple_of(16),
            Self::Foreign(..) => 0,
        }
    }

    /// Packs an item's share of a block of B to `to`, where the whole block goes.
    ///
    /// # Safety
    /// B is readable over the product's sizes, `to` writable over the block; nothing else accesses the share.
    pub(crate) unsafe fn pack(&self, op: &Op<T>, at: At, share: Share, to: *mut T) {
        let alpha = if op.alpha_on_b { op.alpha } else { T::ONE };
        let b = op.b.at(at.depth, at.col);
        // SAFETY: the caller's promise.
        unsafe { self.engine().run_raw(PackPanels { b, k: at.k, n: at.n, share, alpha, dst: to }) }
    }

    /// Multiplies an item of a block of B, packed at `packed` unless it is read in place.
    ///
    /// # Safety
    /// The operands are readable, outputs writable and not accessed from elsewhere over the item; blocks of k come in
    /// order; `scratch` is the seat's own, of [`seat_len`](Self::seat_len) elements.
    ///
    /// # Errors
    /// A foreign backend's.
    pub(crate) unsafe fn multiply(
        &self,
        op: &Op<T>,
        cut: &Cut,
        (at, item): (At, usize),
        packed: *const T,
        scratch: *mut T,
    ) -> Result<()> {
        let (row, m, share) = cut.item(item);
        let engine = match self {
            Self::Native(engine) => engine,
            // SAFETY: the caller's promise.
            Self::Foreign(engine, backend) => unsafe { return foreign(engine, &**backend, op, (row, m)) },
        };
        let own = if cut.packs() > 0 || !packed.is_null() { None } else { op.in_place(at.depth, at.col) };
        let right = own.unwrap_or(Right::Packed(packed));
        let block = Block {
            row,
            m,
            col: at.col,
            n: at.n,
            depth: at.depth,
            k: at.k,
            last: at.depth + at.k == op.k,
            alpha: if op.alpha_on_b { T::ONE } else { op.alpha },
            a: op.a,
            b: right,
            share,
            // Passes of equal height: 132 rows are 72 and 60, not 120 and 12.
            mc: m.div_ceil(m.div_ceil(engine.blocking.mc)).next_multiple_of(12),
            scratch,
            epilogue: (),
        };
        // SAFETY: the caller's promise.
        unsafe {
            match op.finish {
                Finish::Plain { c, start } => {
                    engine.run_raw(block.with_epilogue(Plain { c, start }));
                }
                Finish::Forward { bias, a, state, act } => {
                    engine.run_raw(ForwardBlock { block, bias, a, save: state.written(act), act });
                }
                Finish::InputVjp { state, act, out } => {
                    engine.run_raw(InputVjpBlock { block, act, state, out });
                }
            }
        }
        Ok(())
    }
}

/// Rows `row .. row + m` of a product by a backend that only multiplies.
///
/// # Safety
/// As for [`Ops::multiply`].
unsafe fn foreign<T: Scalar>(
    engine: &Engine,
    backend: &dyn Backend<T>,
    op: &Op<T>,
    (row, m): (usize, usize),
) -> Result<()> {
    let (n, k) = (op.n, op.k);
    // SAFETY: the caller's promise; the rows are the item's own.
    unsafe {
        let (a, b) = (view(op.a.at(row, 0), m, k), view(op.b, k, n));
        let rows = |RowMajor { ptr: c, ld }: RowMajor<T>| {
            let c = c.wrapping_add(row * ld);
            (MatMut::from_raw_parts(c, m, n, ld as isize, 1), Rows { ptr: c, ld, rows: m, cols: n })
        };
        match op.finish {
            Finish::Plain { c, start } => {
                let beta = match start {
                    Start::Zero => T::ZERO,
                    Start::C => T::ONE,
                    Start::Scaled(beta) => beta,
                };
                backend.gemm(op.alpha, a, b, beta, rows(c).0)
            }
            Finish::Forward { bias, a: out, state, act } => {
                let (mut c, z) = rows(out);
                for i in 0..m {
                    let to = c.as_mut_ptr().wrapping_add(i * out.ld);
                    if bias.is_null() {
                        core::slice::from_raw_parts_mut(to, n).fill(T::ZERO);
                    } else {
                        core::ptr::copy_nonoverlapping(bias, to, n);
                    }
                }
                backend.gemm(T::ONE, a, b, T::ONE, c)?;
                engine.run(ForwardRows::new(act, z, state.at(row).written(act)));
                Ok(())
            }
            Finish::InputVjp { state, act, out } => {
                let (c, d) = rows(out);
                backend.gemm(T::ONE, a, b, T::ZERO, c)?;
                engine.run(BackwardRows::new(act, d, state.at(row), core::ptr::null_mut()));
                Ok(())
            }
        }
    }
}
