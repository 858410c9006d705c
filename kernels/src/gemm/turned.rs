//! Layers of a few outputs, or a few inputs, whose products would leave most lanes empty: turned.
//!
//! Z = X·Wᵀ + b of a few outputs becomes Zᵀ = W·Xᵀ, with samples in the lanes: X is read across, W one scalar at a time.
//! dW = δᵀ·X of a few inputs becomes dWᵀ = Xᵀ·δ, with outputs in the lanes. An element's chain is the same as ever, and so are
//! its bits.

use super::{
    across::Across,
    epilogue::{At, Bias, Epilogue, Plain, Start},
    pack::Operand,
    panel::{Left, Panel},
    row_major::RowMajor,
    shape::{PanelSpan, Panels},
    tile::Acc,
};
use crate::isa::{Lanes, RawKernel, Real};

/// Outputs up to which a forward product is faster turned.
pub const FEW_OUTPUTS: usize = 6;
/// Inputs up to which a weight VJP is.
pub const FEW_INPUTS: usize = 6;
/// Columns of a panel at most.
const PANEL: usize = 64;

/// Z ← X·Wᵀ + b, for at most [`FEW_OUTPUTS`] outputs, say.
#[derive(Debug, Clone, Copy)]
pub struct ForwardTurned<T> {
    /// Rows of X.
    pub m: usize,
    /// n_{l−1}.
    pub k: usize,
    /// n_l.
    pub n: usize,
    /// X, m × k, with contiguous rows that ascend.
    pub x: Operand<T>,
    /// W, n × k, row-major, its rows end to end.
    pub w: *const T,
    /// b, n elements.
    pub bias: *const T,
    /// Z, m × n.
    pub z: RowMajor<T>,
}

impl<T: Real> RawKernel for ForwardTurned<T> {
    type Elem = T;

    #[inline(always)]
    unsafe fn run_raw<I: Lanes<T>>(self, isa: I) {
        let Self { m, k, n, x, w, bias, z } = self;
        debug_assert!(x.cs == 1 && x.rs >= 0);
        let (a, b, cols, epilogue) =
            ((w, k as isize), (x.ptr, x.rs as usize), (0, m), Turned { z, bias: Bias::Rows(bias) });
        let op = Across { m: n, row0: 0, k, a, b, cols, whole: false, first: true, last: true, epilogue };
        // SAFETY: whoever built the operation vouches for its operands.
        unsafe { op.run(isa) }
    }
}

/// Starts from a bias for each row, and stores the transposed tile.
#[derive(Debug, Clone, Copy)]
struct Turned<T> {
    z: RowMajor<T>,
    bias: Bias<T>,
}

impl<T: Real> Epilogue<T> for Turned<T> {
    const ADJACENT_ROWS: bool = false;
    const ACROSS: bool = true;

    #[inline(always)]
    fn output(&self) -> RowMajor<T> {
        self.z
    }

    #[inline(always)]
    unsafe fn start<I: Lanes<T>, const MR: usize, const NV: usize>(
        &self,
        isa: I,
        at: At,
    ) -> Acc<T, I, MR, NV> {
        // SAFETY: the bias has an element for every row of the tile.
        unsafe { self.bias.start(isa, at) }
    }

    #[inline(always)]
    unsafe fn finish<I: Lanes<T>, const MR: usize, const NV: usize>(
        &self,
        _: I,
        acc: Acc<T, I, MR, NV>,
        at: At,
    ) {
        let (width, tile) = (NV * I::LANES, acc);
        let from = tile.as_ptr().cast::<T>();
        for j in 0..at.cols.min(width) {
            let to = self.z.at(at.col + j, at.row).ptr;
            for i in 0..MR {
                // SAFETY: the tile's columns are rows of Z, and its rows columns of it; the tile is MR × width.
                unsafe { *to.add(i) = *from.add(i * width + j) }
            }
        }
    }
}

/// dW ← (dW +) δᵀ·X over a tile of rows, for at most [`FEW_INPUTS`] inputs: what
/// [`WeightVjpTile`](super::dense::WeightVjpTile) does.
#[derive(Debug, Clone, Copy)]
pub struct WeightVjpTurned<T> {
    /// Rows of the tile: the depth of the product.
    pub rows: usize,
    /// n_l.
    pub m: usize,
    /// n_{l−1}.
    pub n: usize,
    /// δ, rows × m, each row readable up to a whole granule.
    pub delta: RowMajor<T>,
    /// X, rows × n, with contiguous rows.
    pub x: Operand<T>,
    /// dW, m × n.
    pub dw: RowMajor<T>,
    /// Start from zero instead of dW.
    pub fresh: bool,
}

impl<T: Real> RawKernel for WeightVjpTurned<T> {
    type Elem = T;

    #[inline(always)]
    unsafe fn run_raw<I: Lanes<T>>(self, isa: I) {
        let Self { rows, m, n, delta, x, dw, fresh } = self;
        debug_assert!(n <= FEW_INPUTS && x.cs == 1);
        let panels = Panels::new::<T, I>(m);
        let mut turned = [T::ZERO; FEW_INPUTS * PANEL];
        let c = turned.as_mut_ptr();
        for p in 0..panels.count() {
            let PanelSpan { col, cols, width } = panels.get(p);
            let at = |i: usize, j: usize| dw.at(col + j, i).ptr;
            // SAFETY: whoever built the operation vouches for its operands; a panel of n rows fits the copy.
            unsafe {
                if !fresh {
                    for j in 0..cols {
                        for i in 0..n {
                            *c.add(i * PANEL + j) = *at(i, j);
                        }
                    }
                }
                let panel = Panel {
                    m: n,
                    row0: 0,
                    k: rows,
                    a: Left::Adjacent(x.ptr, x.rs),
                    b: delta.at(0, col).ptr,
                    ldb: delta.ld,
                    last_cols: width,
                    span: PanelSpan { col: 0, cols: width, width },
                    tile_rows: 0,
                    first: true,
                    last: true,
                    epilogue: Plain {
                        c: RowMajor::new(c, PANEL),
                        start: if fresh { Start::Zero } else { Start::C },
                    },
                };
                panel.run(isa);
                for j in 0..cols {
                    for i in 0..n {
                        *at(i, j) = *c.add(i * PANEL + j);
                    }
                }
            }
        }
    }
}
