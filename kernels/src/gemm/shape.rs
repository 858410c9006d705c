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

/// Vectors in the widest panel.
const fn widest(family: TileFamily) -> usize {
    match family {
        TileFamily::Regs32 => 4,
        TileFamily::Regs16 => 2,
        TileFamily::Scalar => 8,
    }
}

/// Granules in the widest panel.
#[inline(always)]
pub const fn max_granules<T: Real, I: Lanes<T>>() -> usize {
    widest(I::TILES) / granule_vectors::<T, I>()
}

/// Rows of the tallest register tile that goes with a panel of `vectors`: all accumulators in use.
///
/// `adjacent`: the tile's A rows are, in memory (packed, or a transposed operand). Where they are not,
/// each row needs an address register of its own, and eight is what the general registers afford.
#[inline(always)]
pub const fn tile_rows(family: TileFamily, vectors: usize, adjacent: bool) -> usize {
    match (family, vectors, adjacent) {
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

/// The heights of the tiles that rows are cut into where the tallest has `tall`, as bits of a set: the tallest that fits goes
/// first. The tile loop, the packing and what is compiled all follow this table.
#[inline(always)]
pub const fn heights(tall: usize) -> u32 {
    match tall {
        24 => 1 << 24 | 1 << 8 | 1 << 4 | 1 << 2 | 1 << 1,
        12 => 1 << 12 | 1 << 4 | 1 << 2 | 1 << 1,
        8 => 1 << 8 | 1 << 4 | 1 << 2 | 1 << 1,
        6 => 1 << 6 | 1 << 2 | 1 << 1,
        _ => 1 << 2 | 1 << 1,
    }
}

/// Whether tiles of `rows` × `vectors` ever run. Packed rows have the heights that go with the widest panel of their matrix,
/// which others of it may fall short of; rows that lie elsewhere those of their own panel.
#[inline(always)]
pub const fn runs(family: TileFamily, vectors: usize, adjacent: bool, rows: usize) -> bool {
    let mut widest_of_matrix = vectors;
    while widest_of_matrix <= widest(family) {
        if heights(tile_rows(family, widest_of_matrix, adjacent)) >> rows & 1 == 1 {
            return true;
        }
        if !adjacent {
            return false;
        }
        widest_of_matrix += 1;
    }
    false
}

/// The tiles that `m` rows are cut into where the tallest has `tall`, as (first row, height).
#[derive(Debug, Clone, Copy)]
pub struct Heights {
    row: usize,
    m: usize,
    tall: usize,
}

impl Heights {
    /// The tiles of `m` rows.
    #[inline(always)]
    pub fn new(m: usize, tall: usize) -> Self {
        Self { row: 0, m, tall }
    }
}

// An iterator and not a visitor: a closure would be a function of its own, without the ISA's target features.
impl Iterator for Heights {
    type Item = (usize, usize);

    #[inline(always)]
    fn next(&mut self) -> Option<(usize, usize)> {
        let (row, left) = (self.row, self.m - self.row);
        if left == 0 {
            return None;
        }
        let mut set = heights(self.tall);
        while set.ilog2() as usize > left {
            set ^= 1 << set.ilog2();
        }
        let height = set.ilog2() as usize;
        self.row += height;
        Some((row, height))
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
