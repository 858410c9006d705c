//! The three fused products of a dense layer, on a tile of the minibatch that one thread has in cache.
//!
//! The weights come packed for the direction they are used in ([`PackPanels`](super::pack::PackPanels) over
//! the whole depth); activations and cotangents are read where they lie. The depth of a tile's products is never cut:
//! an element is finished when it is stored.

use super::{
    across::Across,
    blocked::Block,
    epilogue::{
        Apply, Bias, Epilogue, Forward, Hadamard, InRegisters, InputVjp, Mask, Multiply, Outlined, Plain,
        Start, Unit,
    },
    pack::{Operand, Right},
    panel::{Left, Panel},
    row_major::RowMajor,
    shape::Panels,
};
use crate::{
    act::{Activation, Identity, Relu, State},
    isa::{Lanes, RawKernel, Real},
    math::Math,
};

/// Runs `work` with the epilogue of a forward product, as a type.
pub trait WithEpilogue<T: Real> {
    /// The work.
    fn with<E: Epilogue<T>>(self, epilogue: E);
}

/// Chooses the forward epilogue of an activation: once per product, outside of every loop.
#[inline(always)]
pub fn with_forward<T: Math>(
    act: Activation<T>,
    bias: Bias<T>,
    a: RowMajor<T>,
    save: State<T>,
    work: impl WithEpilogue<T>,
) {
    #[inline(always)]
    fn go<T: Math, S: Apply<T>>(f: Forward<T, S>, work: impl WithEpilogue<T>) {
        work.with(f);
    }
    match act {
        Activation::Identity => go(Forward { bias, a, save, apply: InRegisters(Identity) }, work),
        Activation::Relu => go(Forward { bias, a, save, apply: InRegisters(Relu) }, work),
        act => go(Forward { bias, a, save, apply: Outlined(act) }, work),
    }
}

/// Chooses the input-VJP epilogue of a saved state: once per product, outside of every loop.
#[inline(always)]
pub fn with_input_vjp<T: Math>(
    (act, state): (Activation<T>, State<T>),
    to: RowMajor<T>,
    sums: *mut T,
    work: impl WithEpilogue<T>,
) {
    #[inline(always)]
    fn go<T: Real, H: Hadamard<T>>(e: InputVjp<T, H>, work: impl WithEpilogue<T>) {
        work.with(e);
    }
    match state {
        State::Nothing => go(InputVjp { delta: to, sums, hadamard: Unit }, work),
        State::Values { ptr, ld } => {
            go(InputVjp { delta: to, sums, hadamard: Multiply { d: RowMajor { ptr, ld } } }, work)
        }
        State::Mask { ptr, ld: ldm } => {
            let hadamard = Mask { mask: ptr, ld: ldm, alpha: act.slope() };
            go(InputVjp { delta: to, sums, hadamard }, work);
        }
    }
}

/// `m` contiguous rows times weights, k × n.
#[derive(Debug, Clone, Copy)]
struct Product<T> {
    m: usize,
    n: usize,
    k: usize,
    a: Operand<T>,
    b: Right<T>,
    whole: bool,
}

/// A [`Product`] on an ISA, waiting for its epilogue.
struct ProductOn<T, I>(Product<T>, I);

impl<T: Real, I: Lanes<T>> WithEpilogue<T> for ProductOn<T, I> {
    #[inline(always)]
    fn with<E: Epilogue<T>>(self, epilogue: E) {
        let Self(Product { m, n, k, a, b, whole }, isa) = self;
        debug_assert_eq!(a.cs, 1);
        if const { E::ACROSS }
            && let Right::Columns(b, ldb) = b
        {
            let (a, b, cols) = ((a.ptr, a.rs), (b, ldb), (0, n));
            let op = Across { m, row0: 0, k, a, b, cols, whole, first: true, last: true, epilogue };
            // SAFETY: as below.
            return unsafe { op.run(isa) };
        }
        debug_assert!(!matches!(b, Right::Columns(..)), "read across where nothing is compiled for it");
        let panels = Panels::new::<T, I>(n);
        for p in 0..panels.count() {
            let mut span = panels.get(p);
            let last_cols = b.last_cols(span);
            if whole {
                span.cols = span.width;
            }
            let (b, ldb) = b.panel(k, span);
            let panel = Panel {
                m,
                row0: 0,
                k,
                a: Left::Contiguous(a.ptr, a.rs),
                b,
                ldb,
                last_cols,
                span,
                tile_rows: 0,
                first: true,
                last: true,
                epilogue,
            };
            // SAFETY: whoever built the product vouches for its operands over m, n and k.
            unsafe { panel.run(isa) }
        }
    }
}

/// A ← g(X·Wᵀ + b) for a tile of rows, saving what the backward needs.
#[derive(Debug, Clone, Copy)]
pub struct ForwardTile<T> {
    /// Rows of the tile.
    pub m: usize,
    /// n_{l−1}.
    pub k: usize,
    /// n_l.
    pub n: usize,
    /// X, m × k, with contiguous rows.
    pub x: Operand<T>,
    /// Wᵀ, k × n: packed, or W where it lies, by columns.
    pub w: Right<T>,
    /// b.
    pub bias: Bias<T>,
    /// A, m × n, row-major.
    pub a: RowMajor<T>,
    /// Where the saved state goes.
    pub save: State<T>,
    /// g.
    pub act: Activation<T>,
    /// A, the bias and the saved state have room for whole granules ([`padded`](super::shape::padded) columns),
    /// which may be overwritten: no tile is at an edge.
    pub whole: bool,
}

impl<T: Math> RawKernel for ForwardTile<T> {
    type Elem = T;
    #[inline(always)]
    unsafe fn run_raw<I: Lanes<T>>(self, isa: I) {
        let Self { m, n, k, x, w, whole, .. } = self;
        with_forward(
            self.act,
            self.bias,
            self.a,
            self.save,
            ProductOn(Product { m, n, k, a: x, b: w, whole }, isa),
        );
    }
}

/// δ' ← (δ·W) ⊙ g' for a tile of rows, adding its column sums to db'.
#[derive(Debug, Clone, Copy)]
pub struct InputVjpTile<T> {
    /// Rows of the tile.
    pub m: usize,
    /// n_l.
    pub k: usize,
    /// n_{l−1}.
    pub n: usize,
    /// δ, m × k, with contiguous rows.
    pub delta: Operand<T>,
    /// W, k × n.
    pub w: Right<T>,
    /// g of the layer below.
    pub act: Activation<T>,
    /// What it saved. Values may be where δ' goes: each is read for the last time as it is overwritten.
    pub state: State<T>,
    /// δ', m × n, row-major.
    pub out: RowMajor<T>,
    /// db', n elements, accumulated row by row: one chain goes on, and ends elsewhere; null for none.
    pub sums: *mut T,
    /// δ', the derivative and the sums have room for whole granules, which may be overwritten.
    pub whole: bool,
}

impl<T: Math> RawKernel for InputVjpTile<T> {
    type Elem = T;
    #[inline(always)]
    unsafe fn run_raw<I: Lanes<T>>(self, isa: I) {
        let Self { m, n, k, delta, w, whole, .. } = self;
        let product = ProductOn(Product { m, n, k, a: delta, b: w, whole }, isa);
        with_input_vjp((self.act, self.state), self.out, self.sums, product);
    }
}

/// dW ← (dW +) δᵀ·A over a tile of rows: tiles that go on with one chain end, together, where it does.
#[derive(Debug, Clone, Copy)]
pub struct WeightVjpTile<T> {
    /// Rows of the tile: the depth of the product.
    pub rows: usize,
    /// n_l.
    pub m: usize,
    /// n_{l−1}.
    pub n: usize,
    /// δ, rows × m, with contiguous rows.
    pub delta: Operand<T>,
    /// A_{l−1}, rows × n, each row readable up to a whole granule.
    pub a: RowMajor<T>,
    /// dW, m × n.
    pub dw: RowMajor<T>,
    /// Start from zero instead of dW.
    pub fresh: bool,
}

impl<T: Math> RawKernel for WeightVjpTile<T> {
    type Elem = T;
    #[inline(always)]
    unsafe fn run_raw<I: Lanes<T>>(self, isa: I) {
        let panels = Panels::new::<T, I>(self.n);
        debug_assert_eq!(self.delta.cs, 1);
        for p in 0..panels.count() {
            let span = panels.get(p);
            let start = if self.fresh { Start::Zero } else { Start::C };
            let panel = Panel {
                m: self.m,
                row0: 0,
                k: self.rows,
                a: Left::Adjacent(self.delta.ptr, self.delta.rs),
                b: self.a.at(0, span.col).ptr,
                ldb: self.a.ld,
                last_cols: span.width,
                span,
                tile_rows: 0,
                first: true,
                last: true,
                epilogue: Plain { c: self.dw, start },
            };
            // SAFETY: whoever built the operation vouches for its operands.
            unsafe { panel.run(isa) }
        }
    }
}

/// Slot 0 ← the sum of `count` slots of `len` elements by a fixed tree: neighbours first, then pairs of
/// pairs. The other slots are used up.
#[derive(Debug, Clone, Copy)]
pub struct FoldSlots<T> {
    /// Slot 0: the result.
    pub first: *mut T,
    /// Slot 1; slot s at `rest + (s − 1)·stride`.
    pub rest: *mut T,
    /// Elements from a slot to the next.
    pub stride: usize,
    /// Slots.
    pub count: usize,
    /// Elements of a slot to fold.
    pub len: usize,
}

impl<T: Real> RawKernel for FoldSlots<T> {
    type Elem = T;
    #[inline(always)]
    unsafe fn run_raw<I: Lanes<T>>(self, isa: I) {
        // A chunk of every slot stays in L1 or L2 through all levels of the tree.
        const CHUNK: usize = 256;
        let slot = |s: usize| {
            if s == 0 { self.first } else { self.rest.wrapping_add((s - 1) * self.stride) }
        };
        let mut from = 0;
        while from < self.len {
            let to = (from + CHUNK).min(self.len);
            let mut step = 1;
            while step < self.count {
                let mut s = 0;
                while s + step < self.count {
                    let (x, y) = (slot(s), slot(s + step));
                    // SAFETY: j .. j + n is below `len` in both slots, which whoever built this vouches for.
                    unsafe {
                        let mut j = from;
                        while j + I::LANES <= to {
                            isa.store(x.add(j), isa.add(isa.load(x.add(j)), isa.load(y.add(j))));
                            j += I::LANES;
                        }
                        if j < to {
                            let n = to - j;
                            let sum = isa.add(isa.load_partial(x.add(j), n), isa.load_partial(y.add(j), n));
                            isa.store_partial(x.add(j), sum, n);
                        }
                    }
                    s += 2 * step;
                }
                step *= 2;
            }
            from = to;
        }
    }
}

/// A block of a product on an ISA, waiting for its epilogue.
struct BlockOn<T, I>(Block<T, ()>, I);

impl<T: Real, I: Lanes<T>> WithEpilogue<T> for BlockOn<T, I> {
    #[inline(always)]
    fn with<E: Epilogue<T>>(self, epilogue: E) {
        // SAFETY: whoever runs the fused product vouched for its operands.
        unsafe { self.0.with_epilogue(epilogue).run_raw(self.1) }
    }
}

/// A block of A ← g(X·Wᵀ + b), for layers whose weights do not stay in cache.
#[derive(Debug, Clone, Copy)]
pub struct ForwardBlock<T> {
    /// X·Wᵀ.
    pub block: Block<T, ()>,
    /// b, or null.
    pub bias: *const T,
    /// A, row-major.
    pub a: RowMajor<T>,
    /// Where the saved state goes.
    pub save: State<T>,
    /// g.
    pub act: Activation<T>,
}

impl<T: Math> RawKernel for ForwardBlock<T> {
    type Elem = T;
    #[inline(always)]
    unsafe fn run_raw<I: Lanes<T>>(self, isa: I) {
        with_forward(self.act, Bias::Columns(self.bias), self.a, self.save, BlockOn(self.block, isa));
    }
}

/// A block of δ' ← (δ·W) ⊙ g'.
#[derive(Debug, Clone, Copy)]
pub struct InputVjpBlock<T> {
    /// δ·W.
    pub block: Block<T, ()>,
    /// g of the layer below.
    pub act: Activation<T>,
    /// What it saved, apart from δ', which holds partial sums between the blocks of a depth that is cut.
    pub state: State<T>,
    /// δ', row-major.
    pub out: RowMajor<T>,
}

impl<T: Math> RawKernel for InputVjpBlock<T> {
    type Elem = T;
    #[inline(always)]
    unsafe fn run_raw<I: Lanes<T>>(self, isa: I) {
        with_input_vjp((self.act, self.state), self.out, core::ptr::null_mut(), BlockOn(self.block, isa));
    }
}
