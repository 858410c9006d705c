//! How a matrix is cut into register tiles: granules, panels, tile heights.
//!
//! A *granule* is the smallest column group a tile handles: one vector, or as many as make eight columns, so
//! that a row of a bit mask is whole bytes. A *panel* is up to [`max_granules`] granules: the width of a
//! register tile. The granules of a matrix are spread evenly over its panels (80 columns on AVX-512: 48 + 32,
//! not 64 + 16), because a narrow tile cannot hide the latency of its FMAs.

use crate::isa::{Lanes, Real, TileFamily};

/// Every leading dimension chosen by the library is a multiple of this many elements, whatever the ISA.
pub const PAD: usize = 16;

/// `n` rounded up to the next multiple of [`PAD`].
#[inline(always)]
pub const fn padded(n: usize) -> usize {
    n.next_multiple_of(PAD)
}

/// Vectors in a granule.
#[inline(always)]
pub const fn granule_vectors<T: Real, I: Lanes<T>>() -> usize {
    if I::LANES >= 8 { 1 } else { 8 / I::LANES }
}

/// Columns in a granule.
#[inline(always)]
pub const fn granule<T: Real, I: Lanes<T>>() -> usize {
    granule_vectors::<T, I>() * I::LANES
}

/// Granules in the widest panel.
#[inline(always)]
pub const fn max_granules<T: Real, I: Lanes<T>>() -> usize {
    let vectors = match I::TILES {
        TileFamily::Regs32 => 4,
        TileFamily::Regs16 => 2,
        TileFamily::Scalar => 8,
    };
    vectors / granule_vectors::<T, I>()
}

/// Rows of the tallest register tile that goes with a panel of `vectors`: all accumulators in use.
///
/// `unit`: the tile's A rows are adjacent in memory (packed, or a transposed operand). Where they are not,
/// each row needs an address register of its own, and eight is what the general registers afford.
#[inline(always)]
pub const fn tile_rows(family: TileFamily, vectors: usize, unit: bool) -> usize {
    match (family, vectors, unit) {
        (TileFamily::Regs32, 4, _) => 6,
        (TileFamily::Regs32, 3, _) => 8,
        (TileFamily::Regs32, 2, true) => 12,
        (TileFamily::Regs32, _, true) => 24,
        (TileFamily::Regs32, _, false) => 8,
        (TileFamily::Regs16, 2, _) => 6,
        // Twelve would fit, but not with the broadcasts that the scheduler hoists: it spills.
        (TileFamily::Regs16, _, _) => 8,
        (TileFamily::Scalar, _, _) => 2,
    }
}

/// One panel: `vectors` wide, from column `col`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PanelSpan {
    /// First column.
    pub col: usize,
    /// Columns of the matrix in it; the last panel may have fewer than it is wide.
    pub cols: usize,
    /// Columns it is wide: whole granules.
    pub width: usize,
}

/// The cut of `n` columns into panels.
#[derive(Debug, Clone, Copy)]
pub struct Panels {
    n: usize,
    granule: usize,
    count: usize,
    /// Granules in each panel, and how many panels have one more.
    base: usize,
    extra: usize,
}

impl Panels {
    /// The panels of `n` columns on this ISA.
    #[inline(always)]
    pub fn new<T: Real, I: Lanes<T>>(n: usize) -> Self {
        let granule = granule::<T, I>();
        let total = n.div_ceil(granule);
        let count = total.div_ceil(max_granules::<T, I>());
        let base = total.checked_div(count).unwrap_or(0);
        let extra = total - base * count;
        Self { n, granule, count, base, extra }
    }

    /// How many.
    #[inline(always)]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Columns of the widest panel.
    #[inline(always)]
    pub fn max_width(&self) -> usize {
        (self.base + usize::from(self.extra > 0)) * self.granule
    }

    /// Panel `p`.
    #[inline(always)]
    pub fn get(&self, p: usize) -> PanelSpan {
        let col = (p * self.base + p.min(self.extra)) * self.granule;
        let width = (self.base + usize::from(p < self.extra)) * self.granule;
        PanelSpan { col, cols: width.min(self.n - col), width }
    }
}
