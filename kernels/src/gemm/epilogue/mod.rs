//! Epilogues: where a tile's accumulators come from and what becomes of them.
//!
//! An epilogue is a type, so the tile is compiled once for each, and it takes the accumulators by value: they
//! stay in registers until the epilogue's only store.

mod forward;
mod plain;
mod vjp;

pub use forward::{Apply, Bias, Forward, InRegisters, Outlined};
pub use plain::{Plain, Start};
pub use vjp::{Hadamard, InputVjp, Mask, Multiply, Unit};

use super::{row_major::RowMajor, tile::Acc};
use crate::isa::{LaneKernel, Lanes, Real, outline};

/// Where in the output a tile stands.
#[derive(Debug, Clone, Copy)]
pub struct At {
    /// Row of its first row.
    pub row: usize,
    /// Column of its first column.
    pub col: usize,
    /// Columns in use; the tile may be wider.
    pub cols: usize,
}

/// A tile's beginning and end. The output is row-major with unit column stride.
pub trait Epilogue<T: Real>: Copy {
    /// Whether tiles are compiled for A operands whose rows are adjacent (packed, transposed), besides those of
    /// any stride. The fused epilogues read activations where they lie, so only the plain product wants both.
    const ADJACENT_ROWS: bool;

    /// Whether tiles are compiled for a B that is read across, where it lies transposed: an input VJP reads W along its rows.
    const ACROSS: bool;

    /// The output.
    fn output(&self) -> RowMajor<T>;

    /// The accumulators before the first step of k.
    ///
    /// # Safety
    /// The tile lies in the output, and in every operand of the epilogue.
    unsafe fn start<I: Lanes<T>, const MR: usize, const NV: usize>(
        &self,
        isa: I,
        at: At,
    ) -> Acc<T, I, MR, NV>;

    /// Consumes the accumulators after the last step of k.
    ///
    /// # Safety
    /// As for [`start`](Self::start), and the tile is not accessed from elsewhere.
    unsafe fn finish<I: Lanes<T>, const MR: usize, const NV: usize>(
        &self,
        isa: I,
        acc: Acc<T, I, MR, NV>,
        at: At,
    );
}

/// Loads a tile from a row-major matrix; lanes beyond its columns are zero.
///
/// # Safety
/// `MR` rows of `at.cols` elements are readable at (`at.row`, `at.col`).
#[inline(always)]
pub unsafe fn load_tile<T: Real, I: Lanes<T>, const MR: usize, const NV: usize>(
    isa: I,
    from: RowMajor<T>,
    at: At,
) -> Acc<T, I, MR, NV> {
    let RowMajor { ptr: base, ld } = from.at(at.row, at.col);
    if at.cols >= NV * I::LANES {
        let mut acc = [[isa.zero(); NV]; MR];
        for i in 0..MR {
            for v in 0..NV {
                // SAFETY: the tile's rows and columns are readable.
                acc[i][v] = unsafe { isa.load(base.add(i * ld + v * I::LANES)) };
            }
        }
        return acc;
    }
    // A variable of its own: one that has an address is kept in memory wherever it is used.
    let mut edge = [[isa.zero(); NV]; MR];
    let (from, to) = (RowMajor { ptr: base, ld }, edge.as_mut_ptr().cast::<T>());
    outline(isa, LoadEdge { from, to, rows: MR, cols: at.cols, width: NV * I::LANES });
    edge
}

/// Adds the accumulators to a tile of a row-major matrix, from which they come back; lanes beyond its columns are
/// anything.
///
/// # Safety
/// `MR` rows of `at.cols` elements are readable at (`at.row`, `at.col`).
#[inline(always)]
pub unsafe fn add_tile<T: Real, I: Lanes<T>, const MR: usize, const NV: usize>(
    isa: I,
    mut acc: Acc<T, I, MR, NV>,
    from: RowMajor<T>,
    at: At,
) -> Acc<T, I, MR, NV> {
    let RowMajor { ptr: base, ld } = from.at(at.row, at.col);
    if at.cols >= NV * I::LANES {
        for i in 0..MR {
            for v in 0..NV {
                // SAFETY: the tile's rows and columns are readable.
                acc[i][v] = isa.add(unsafe { isa.load(base.add(i * ld + v * I::LANES)) }, acc[i][v]);
            }
        }
        return acc;
    }
    // A copy: as in `load_tile`.
    let mut edge = acc;
    let (from, to) = (RowMajor { ptr: base, ld }, edge.as_mut_ptr().cast::<T>());
    outline(isa, AddEdge { from, to, rows: MR, cols: at.cols, width: NV * I::LANES });
    edge
}

/// Stores a tile to a row-major matrix; nothing beyond its columns is written.
///
/// # Safety
/// `MR` rows of `at.cols` elements are writable at (`at.row`, `at.col`).
#[inline(always)]
pub unsafe fn store_tile<T: Real, I: Lanes<T>, const MR: usize, const NV: usize>(
    isa: I,
    acc: Acc<T, I, MR, NV>,
    to: RowMajor<T>,
    at: At,
) {
    let RowMajor { ptr: base, ld } = to.at(at.row, at.col);
    if at.cols >= NV * I::LANES {
        for i in 0..MR {
            for v in 0..NV {
                // SAFETY: the tile's rows and columns are writable.
                unsafe { isa.store(base.add(i * ld + v * I::LANES), acc[i][v]) };
            }
        }
        return;
    }
    // A copy: as in `load_tile`.
    let edge = acc;
    let from = edge.as_ptr().cast::<T>();
    outline(
        isa,
        StoreEdge { from, to: RowMajor { ptr: base, ld }, rows: MR, cols: at.cols, width: NV * I::LANES },
    );
}

/// Loads the columns in use of a tile at the right edge. One function for tiles of all shapes, out of line: a
/// tile at the edge is rare, and inlined it would double every tile's code.
struct LoadEdge<T> {
    from: RowMajor<T>,
    to: *mut T,
    rows: usize,
    cols: usize,
    width: usize,
}

impl<T: Real> LaneKernel for LoadEdge<T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        for i in 0..self.rows {
            let (from, to) =
                (self.from.ptr.wrapping_add(i * self.from.ld), self.to.wrapping_add(i * self.width));
            let mut j = 0;
            while j < self.cols {
                // SAFETY: columns below `cols` are read; the tile is `width` wide, whole vectors.
                unsafe { isa.store(to.add(j), isa.load_partial(from.add(j), (self.cols - j).min(I::LANES))) }
                j += I::LANES;
            }
        }
    }
}

/// Adds a tile at the right edge to the columns in use.
struct AddEdge<T> {
    from: RowMajor<T>,
    to: *mut T,
    rows: usize,
    cols: usize,
    width: usize,
}

impl<T: Real> LaneKernel for AddEdge<T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        for i in 0..self.rows {
            let (from, to) =
                (self.from.ptr.wrapping_add(i * self.from.ld), self.to.wrapping_add(i * self.width));
            let mut j = 0;
            while j < self.cols {
                // SAFETY: columns below `cols` are read; the tile is `width` wide, whole vectors.
                unsafe {
                    let before = isa.load_partial(from.add(j), (self.cols - j).min(I::LANES));
                    isa.store(to.add(j), isa.add(before, isa.load(to.add(j))));
                }
                j += I::LANES;
            }
        }
    }
}

/// Stores the columns in use of a tile at the right edge.
struct StoreEdge<T> {
    from: *const T,
    to: RowMajor<T>,
    rows: usize,
    cols: usize,
    width: usize,
}

impl<T: Real> LaneKernel for StoreEdge<T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        for i in 0..self.rows {
            let (from, to) =
                (self.from.wrapping_add(i * self.width), self.to.ptr.wrapping_add(i * self.to.ld));
            let mut j = 0;
            while j < self.cols {
                // SAFETY: the tile is `width` wide, whole vectors; columns below `cols` are written.
                unsafe { isa.store_partial(to.add(j), isa.load(from.add(j)), (self.cols - j).min(I::LANES)) }
                j += I::LANES;
            }
        }
    }
}
