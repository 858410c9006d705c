//! Packing: operands copied into the order in which the register tiles read them.

use super::shape::{Heights, PanelSpan, Panels};
use crate::isa::{COLUMNS, Lanes, RawKernel, Real};

/// A matrix operand of any strides: element (i, j) at `ptr + i·rs + j·cs`.
#[derive(Debug, Clone, Copy)]
pub struct Operand<T> {
    /// Element (0, 0).
    pub ptr: *const T,
    /// From a row to the next.
    pub rs: isize,
    /// From a column to the next.
    pub cs: isize,
}

impl<T> Operand<T> {
    /// The operand from element (i, j) on.
    #[inline(always)]
    pub fn at(self, i: usize, j: usize) -> Self {
        Self { ptr: self.ptr.wrapping_offset(i as isize * self.rs + j as isize * self.cs), ..self }
    }

    /// The transposed operand.
    #[inline(always)]
    pub fn t(self) -> Self {
        Self { ptr: self.ptr, rs: self.cs, cs: self.rs }
    }
}

/// B of a product, k × n, as the panels read it.
#[derive(Debug, Clone, Copy)]
pub enum Right<T> {
    /// Packed by [`PackPanels`].
    Packed(*const T),
    /// Row-major where it lies, with this leading dimension; each row is readable up to a whole granule.
    Rows(*const T, usize),
    /// The same, but the last row is readable for its own columns alone: a matrix whose rows are end to end, of at least a
    /// granule each.
    Ragged(*const T, usize),
    /// Column-major where it lies, with this leading dimension: W as it is stored, of a forward product of few rows.
    Columns(*const T, usize),
}

impl<T> Right<T> {
    /// The columns of a panel that are readable at the last row.
    #[inline(always)]
    pub(crate) fn last_cols(self, span: PanelSpan) -> usize {
        if matches!(self, Self::Ragged(..)) { span.cols } else { span.width }
    }

    /// The vectors of a panel over the depth `k`, and from a k to the next.
    #[inline(always)]
    pub(crate) fn panel(self, k: usize, span: PanelSpan) -> (*const T, usize) {
        match self {
            Self::Packed(b) => (b.wrapping_add(k * span.col), span.width),
            Self::Rows(b, ld) | Self::Ragged(b, ld) => (b.wrapping_add(span.col), ld),
            // No panel: `Across` reads it.
            Self::Columns(b, ld) => (b.wrapping_add(span.col * ld), ld),
        }
    }
}

/// A share of the panels of a matrix: how many there are depends on the ISA, into how many shares they go does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which.
    pub index: usize,
    /// Of how many; at least one. Shares beyond the panels are empty.
    pub count: usize,
}

impl Share {
    /// All panels.
    pub const ALL: Self = Self { index: 0, count: 1 };

    /// The panels, from the first to one past the last, of `panels`.
    #[inline(always)]
    pub fn of(self, panels: usize) -> (usize, usize) {
        (panels * self.index / self.count, panels * (self.index + 1) / self.count)
    }
}

/// Packs α·B, k × n, into panels: panel after tile-wide panel, each k rows of the panel's width, columns
/// beyond n zero. Panel `p` starts at element k · `Panels::get(p).col` of `dst`.
#[derive(Debug, Clone, Copy)]
pub struct PackPanels<T> {
    /// B's block.
    pub b: Operand<T>,
    /// Its rows.
    pub k: usize,
    /// Its columns.
    pub n: usize,
    /// Which panels.
    pub share: Share,
    /// Scales every element; 1 leaves the bits alone.
    pub alpha: T,
    /// Element 0 of panel 0: k · (n rounded up to whole granules) elements.
    pub dst: *mut T,
}

impl<T: Real> RawKernel for PackPanels<T> {
    type Elem = T;

    #[inline(always)]
    unsafe fn run_raw<I: Lanes<T>>(self, isa: I) {
        let panels = Panels::new::<T, I>(self.n);
        let Self { k, alpha, .. } = self;
        let (from, to) = self.share.of(panels.count());
        for p in from..to {
            let span = panels.get(p);
            let dst = self.dst.wrapping_add(k * span.col);
            let src = self.b.at(0, span.col);
            // SAFETY: whoever built the operation vouches that the block is readable and `dst` writable over
            // the panels; each branch reads columns below `span.cols` and writes below `span.width`.
            unsafe {
                if src.cs == 1 {
                    for r in 0..k {
                        copy_row(isa, src.at(r, 0).ptr, span.cols, dst.add(r * span.width), span.width);
                    }
                } else {
                    let edge = span.cols - span.cols % I::LANES;
                    if span.cols < span.width {
                        for r in 0..k {
                            for j in (edge..span.width).step_by(I::LANES) {
                                isa.store(dst.add(r * span.width + j), isa.zero());
                            }
                        }
                    }
                    transpose(isa, src.t(), span.cols, k, dst, span.width);
                }
                if alpha != T::ONE {
                    scale(isa, dst, k * span.width, alpha);
                }
            }
        }
    }
}

/// Steps of k that all tiles of a block take in turn: the lines that neighbours share are still in L1, even where so many
/// rows of A fall into one of its sets.
const STEPS: usize = 8;

/// Packs α·A, m × k, into tiles of at most `tall` rows: tile after tile, each with its rows adjacent for
/// every k. The tile whose first row is i starts at element i · k of `dst`.
#[derive(Debug, Clone, Copy)]
pub struct PackRows<T> {
    /// A's block.
    pub a: Operand<T>,
    /// Its rows.
    pub m: usize,
    /// Its columns.
    pub k: usize,
    /// Rows of the tallest tile.
    pub tall: usize,
    /// Scales every element; 1 leaves the bits alone.
    pub alpha: T,
    /// m · k elements.
    pub dst: *mut T,
}

impl<T: Real> RawKernel for PackRows<T> {
    type Elem = T;

    #[inline(always)]
    unsafe fn run_raw<I: Lanes<T>>(self, isa: I) {
        let Self { a, m, k, tall, alpha, dst } = self;
        // SAFETY: whoever built the operation vouches that the block is readable and `dst` writable.
        unsafe {
            if a.rs == 1 {
                for from in (0..k).step_by(STEPS) {
                    let steps = (from, k.min(from + STEPS));
                    for (i, h) in Heights::new(m, tall) {
                        copy_tile(isa, (a.at(i, 0), m - i), (k, steps), (dst.wrapping_add(i * k), h));
                    }
                }
            } else {
                for (i, h) in Heights::new(m, tall) {
                    transpose(isa, a.at(i, 0), h, k, dst.wrapping_add(i * k), h);
                }
            }
        }
        if alpha != T::ONE {
            // SAFETY: all m·k elements were just written.
            unsafe { scale(isa, dst, m * k, alpha) }
        }
    }
}

/// Copies a block into rows of adjacent elements.
#[derive(Debug, Clone, Copy)]
pub struct CopyRows<T> {
    /// The block.
    pub a: Operand<T>,
    /// Its rows.
    pub m: usize,
    /// Its columns.
    pub k: usize,
    /// Where its rows go.
    pub dst: *mut T,
    /// From one of them to the next.
    pub ld: usize,
}

impl<T: Real> RawKernel for CopyRows<T> {
    type Elem = T;

    #[inline(always)]
    unsafe fn run_raw<I: Lanes<T>>(self, isa: I) {
        // SAFETY: whoever built the operation vouches that the block is readable and `dst` writable.
        unsafe { transpose(isa, self.a.t(), self.k, self.m, self.dst, self.ld) }
    }
}

/// Copies `cols` adjacent elements, zero-filled to `width`.
///
/// # Safety
/// `src` is readable for `cols` elements, and `dst` is writable for `width`.
#[inline(always)]
unsafe fn copy_row<T: Real, I: Lanes<T>>(isa: I, src: *const T, cols: usize, dst: *mut T, width: usize) {
    let whole = cols - cols % I::LANES;
    // SAFETY: columns below `cols` are read; columns below `width` are written.
    unsafe {
        let mut j = 0;
        while j < whole {
            isa.store(dst.add(j), isa.load(src.add(j)));
            j += I::LANES;
        }
        if j < cols {
            let v = isa.load_partial(src.add(j), cols - j);
            isa.store_partial(dst.add(j), v, (width - j).min(I::LANES));
            j += I::LANES;
        }
        while j < width {
            isa.store_partial(dst.add(j), isa.zero(), (width - j).min(I::LANES));
            j += I::LANES;
        }
    }
}

/// Copies steps `from` .. `to` of a tile of `h` rows, which are adjacent in A. Vectors are wider than the tile: what a store
/// leaves beyond its step, those of the next steps overwrite.
///
/// # Safety
/// `a` is readable for `cols` ≥ h adjacent rows over `k` steps; `dst` is writable for k · h, and steps ascend.
#[inline(always)]
unsafe fn copy_tile<T: Real, I: Lanes<T>>(
    isa: I,
    (a, cols): (Operand<T>, usize),
    (k, (from, to)): (usize, (usize, usize)),
    (dst, h): (*mut T, usize),
) {
    for p in from..to {
        for j in (0..h).step_by(I::LANES) {
            let (src, at, whole) = (a.at(j, p).ptr, p * h + j, j + I::LANES <= cols);
            // SAFETY: rows below `cols` are read, and elements below k · h are written.
            unsafe {
                let v = if whole { isa.load(src) } else { isa.load_partial(src, h - j) };
                if at + I::LANES <= k * h {
                    isa.store(dst.add(at), v);
                } else {
                    isa.store_partial(dst.add(at), v, (h - j).min(I::LANES));
                }
            }
        }
    }
}

/// dst[c · width + r] = src(r, c): `rows` columns of the destination from as many rows of the source.
///
/// # Safety
/// The source is readable over `rows` × `cols`; `dst` is writable at the elements named.
#[inline(always)]
pub(super) unsafe fn transpose<T: Real, I: Lanes<T>>(
    isa: I,
    src: Operand<T>,
    rows: usize,
    cols: usize,
    dst: *mut T,
    width: usize,
) {
    // So many columns at a time that the source's rows, few of them, are read as streams of whole lines, and those of the
    // destination that two vectors share are still in L1 for the second.
    const RUN: usize = 16 * COLUMNS;
    let mut c0 = 0;
    while c0 < cols {
        let end = cols.min(c0 + RUN);
        let mut r = 0;
        while r < rows {
            let h = (rows - r).min(I::LANES);
            let mut c = c0;
            while c < end {
                let n = (end - c).min(COLUMNS);
                let (from, to) = (src.at(r, c), dst.wrapping_add(c * width + r));
                // SAFETY: the block lies in the source and its image in the destination.
                unsafe {
                    if I::LANES > 1 && src.cs == 1 && n == COLUMNS {
                        if h == I::LANES {
                            let block = isa.columns(from.ptr, src.rs, I::LANES);
                            for j in 0..COLUMNS {
                                isa.store(to.add(j * width), block[j]);
                            }
                        } else {
                            let block = isa.columns(from.ptr, src.rs, h);
                            for j in 0..COLUMNS {
                                isa.store_partial(to.add(j * width), block[j], h);
                            }
                        }
                    } else {
                        for i in 0..h {
                            for j in 0..n {
                                *to.add(j * width + i) = *from.at(i, j).ptr;
                            }
                        }
                    }
                }
                c += n;
            }
            r += h;
        }
        c0 = end;
    }
}

/// x ← α·x.
///
/// # Safety
/// `x` is readable and writable for `n` elements.
#[inline(always)]
unsafe fn scale<T: Real, I: Lanes<T>>(isa: I, x: *mut T, n: usize, alpha: T) {
    let a = isa.splat(alpha);
    let mut i = 0;
    while i < n {
        let len = (n - i).min(I::LANES);
        // SAFETY: elements i .. i + len are below n.
        unsafe { isa.store_partial(x.add(i), isa.mul(a, isa.load_partial(x.add(i), len)), len) }
        i += len;
    }
}
