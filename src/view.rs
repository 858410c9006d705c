//! Strided matrix views over slices, validated once.
//!
//! A view is a pointer, a shape and two strides in elements: element (i, j) lies at `i·row_stride + j·col_stride`.
//! Constructors over slices check the bounds, the overflow of every product and, for [`MatMut`], that no two
//! elements share an address; what is made from a valid view is valid. Raw constructors are `unsafe`.

use crate::error::{Error, Result, Shape, check_shape};
use core::{fmt, marker::PhantomData, ops::Range};

/// Shape and strides, and the arithmetic on them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Layout {
    rows: usize,
    cols: usize,
    row_stride: isize,
    col_stride: isize,
}

impl Layout {
    /// A layout that a slice of `len` elements of `size` bytes holds.
    fn checked(rows: usize, cols: usize, (rs, cs): (isize, isize), len: usize, size: usize) -> Result<Self> {
        let expected = "a stride of 0 or more elements (reverse a view with `from_raw_parts`)";
        for (what, got) in [("row stride", rs), ("column stride", cs)] {
            if got < 0 {
                return Err(Error::Stride { what, expected, got });
            }
        }
        let overflow = Error::Overflow { what: "a matrix view" };
        let bytes = rows.max(1).checked_mul(cols.max(1)).and_then(|n| n.checked_mul(size.max(1)));
        if bytes.is_none_or(|b| isize::try_from(b).is_err()) {
            return Err(overflow);
        }
        let layout = Self { rows, cols, row_stride: rs, col_stride: cs };
        let needed = layout.span().ok_or(overflow)?;
        if needed > len {
            return Err(Error::Bounds { shape: Shape::new(rows, cols), needed, got: len });
        }
        Ok(layout)
    }

    /// Elements from the first to the last, for strides of 0 or more. `None` where that overflows.
    fn span(&self) -> Option<usize> {
        if self.is_empty() {
            return Some(0);
        }
        let down = (self.rows - 1).checked_mul(self.row_stride.unsigned_abs())?;
        let right = (self.cols - 1).checked_mul(self.col_stride.unsigned_abs())?;
        down.checked_add(right)?.checked_add(1)
    }

    fn is_empty(&self) -> bool {
        self.rows == 0 || self.cols == 0
    }

    /// Whether two elements share an address: i·rs + j·cs = i'·rs + j'·cs has its smallest solution at
    /// |i − i'| = cs/g, |j − j'| = rs/g with g the greatest common divisor of the strides.
    fn aliases_itself(&self) -> bool {
        let (rs, cs) = (self.row_stride.unsigned_abs(), self.col_stride.unsigned_abs());
        if self.is_empty() {
            return false;
        }
        // Strides of opposite signs meet like strides of the same sign, mirrored.
        match gcd(rs, cs) {
            0 => self.rows > 1 || self.cols > 1,
            g => cs / g < self.rows && rs / g < self.cols,
        }
    }

    fn transposed(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride }
    }

    fn shape(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// The offset of element (i, j), which the matrix has.
    fn offset(&self, i: usize, j: usize) -> isize {
        // An element that exists lies inside of one allocation, so neither the casts nor the products overflow.
        i as isize * self.row_stride + j as isize * self.col_stride
    }

    /// The layout of a block and the offset of its first element.
    fn block(self, rows: Range<usize>, cols: Range<usize>) -> Result<(Self, isize)> {
        check_range("rows", &rows, self.rows)?;
        check_range("columns", &cols, self.cols)?;
        let block = Self { rows: rows.len(), cols: cols.len(), ..self };
        // An empty block has no first element: it keeps the base pointer.
        let offset = if block.is_empty() { 0 } else { self.offset(rows.start, cols.start) };
        Ok((block, offset))
    }

    /// Whether each row is contiguous.
    fn rows_contiguous(&self) -> bool {
        self.col_stride == 1 || self.cols <= 1
    }

    /// The number of elements if all are adjacent, row by row. `None` for a matrix of none: its pointer may be any.
    fn contiguous(&self) -> Option<usize> {
        let rows_adjacent = self.rows <= 1 || isize::try_from(self.cols) == Ok(self.row_stride);
        (!self.is_empty() && self.rows_contiguous() && rows_adjacent).then(|| self.rows * self.cols)
    }
}

/// Refuses strides that map two elements onto one address.
#[cfg(any(feature = "ndarray", feature = "faer"))]
pub(crate) fn check_distinct(rows: usize, cols: usize, row_stride: isize, col_stride: isize) -> Result<()> {
    let layout = Layout { rows, cols, row_stride, col_stride };
    let aliased = Error::Aliased { shape: Shape::new(rows, cols), row_stride, col_stride };
    if layout.aliases_itself() { Err(aliased) } else { Ok(()) }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn check_range(what: &'static str, range: &Range<usize>, len: usize) -> Result<()> {
    if range.start <= range.end && range.end <= len {
        return Ok(());
    }
    Err(Error::Range { what, start: range.start, end: range.end, len })
}

/// The strides of a row-major matrix with `ld` elements from a row to the next.
fn row_major(cols: usize, ld: usize) -> Result<(isize, isize)> {
    let got = isize::try_from(ld).map_err(|_| Error::Overflow { what: "the leading dimension" })?;
    if ld < cols {
        let expected = "at least the number of columns";
        return Err(Error::Stride { what: "leading dimension", expected, got });
    }
    Ok((got, 1))
}

/// A matrix to read.
pub struct MatRef<'a, T> {
    ptr: *const T,
    layout: Layout,
    life: PhantomData<&'a [T]>,
}

/// A matrix to write; no two of its elements share an address.
pub struct MatMut<'a, T> {
    ptr: *mut T,
    layout: Layout,
    life: PhantomData<&'a mut [T]>,
}

impl<T> Clone for MatRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for MatRef<'_, T> {}

// SAFETY: a MatRef is a shared borrow of T's.
unsafe impl<T: Sync> Send for MatRef<'_, T> {}
// SAFETY: a MatRef is a shared borrow of T's.
unsafe impl<T: Sync> Sync for MatRef<'_, T> {}
// SAFETY: a MatMut is an exclusive borrow of T's.
unsafe impl<T: Send> Send for MatMut<'_, T> {}
// SAFETY: through &MatMut elements are only read.
unsafe impl<T: Sync> Sync for MatMut<'_, T> {}

impl<'a, T> MatRef<'a, T> {
    /// A contiguous row-major `rows`×`cols` matrix: the first `rows·cols` elements of `data`.
    ///
    /// # Errors
    /// [`Error::Bounds`] if the slice is too short, [`Error::Overflow`] if the size is no size.
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Result<Self> {
        Self::with_leading_dim(data, rows, cols, cols)
    }

    /// A row-major matrix with `ld >= cols` elements from a row to the next.
    ///
    /// # Errors
    /// [`Error::Stride`] if `ld < cols`; else as [`new`](Self::new).
    pub fn with_leading_dim(data: &'a [T], rows: usize, cols: usize, ld: usize) -> Result<Self> {
        let (rs, cs) = row_major(cols, ld)?;
        Self::with_strides(data, rows, cols, rs, cs)
    }

    /// A matrix with any strides of 0 or more elements; 0 repeats a row or a column.
    ///
    /// # Errors
    /// [`Error::Stride`] if a stride is negative; else as [`new`](Self::new).
    pub fn with_strides(data: &'a [T], rows: usize, cols: usize, rs: isize, cs: isize) -> Result<Self> {
        let layout = Layout::checked(rows, cols, (rs, cs), data.len(), size_of::<T>())?;
        Ok(Self { ptr: data.as_ptr(), layout, life: PhantomData })
    }

    /// A matrix over memory that the caller vouches for. Strides may be negative: `ptr` is element (0, 0).
    ///
    /// # Safety
    /// For all i < `rows`, j < `cols`, `ptr + i·rs + j·cs` is readable for `'a`, lies in one allocation with the
    /// others, and nothing writes there in that time. `rows·cols` elements are at most `isize::MAX` bytes.
    pub unsafe fn from_raw_parts(ptr: *const T, rows: usize, cols: usize, rs: isize, cs: isize) -> Self {
        Self { ptr, layout: Layout { rows, cols, row_stride: rs, col_stride: cs }, life: PhantomData }
    }

    /// The transpose: the same elements, shape and strides swapped.
    #[must_use]
    pub fn t(self) -> Self {
        Self { layout: self.layout.transposed(), ..self }
    }

    /// A block of rows.
    ///
    /// # Errors
    /// [`Error::Range`] if the range is not within the rows.
    pub fn rows(self, range: Range<usize>) -> Result<Self> {
        let cols = 0..self.layout.cols;
        self.submatrix(range, cols)
    }

    /// The block of these rows and columns.
    ///
    /// # Errors
    /// [`Error::Range`] if a range is not within its axis.
    pub fn submatrix(self, rows: Range<usize>, cols: Range<usize>) -> Result<Self> {
        let (layout, offset) = self.layout.block(rows, cols)?;
        // `wrapping_offset` because a raw view of no elements may have any pointer.
        Ok(Self { ptr: self.ptr.wrapping_offset(offset), layout, ..self })
    }

    /// Row `i` as a slice, where the matrix has it and its columns are adjacent.
    pub fn row(self, i: usize) -> Option<&'a [T]> {
        if i >= self.layout.rows || !self.layout.rows_contiguous() {
            return None;
        }
        if self.layout.cols == 0 {
            return Some(&[]);
        }
        // SAFETY: row i is in the view, and its `cols` elements are adjacent and readable for 'a.
        Some(unsafe {
            core::slice::from_raw_parts(self.ptr.offset(self.layout.offset(i, 0)), self.layout.cols)
        })
    }

    /// All elements, row by row, where they are adjacent.
    pub fn as_slice(self) -> Option<&'a [T]> {
        // SAFETY: the rows are adjacent, each contiguous, and readable for 'a; their lengths' sum is a size.
        self.layout.contiguous().map(|len| unsafe { core::slice::from_raw_parts(self.ptr, len) })
    }

    /// Element (i, j), where the matrix has it.
    pub fn get(self, i: usize, j: usize) -> Option<&'a T> {
        if i >= self.layout.rows || j >= self.layout.cols {
            return None;
        }
        // SAFETY: (i, j) is in the view.
        Some(unsafe { &*self.ptr.offset(self.layout.offset(i, j)) })
    }

    /// The address of element (0, 0).
    pub fn as_ptr(self) -> *const T {
        self.ptr
    }
}

impl<'a, T> MatMut<'a, T> {
    /// A contiguous row-major `rows`×`cols` matrix: the first `rows·cols` elements of `data`.
    ///
    /// # Errors
    /// [`Error::Bounds`] if the slice is too short, [`Error::Overflow`] if the size is no size.
    pub fn new(data: &'a mut [T], rows: usize, cols: usize) -> Result<Self> {
        Self::with_leading_dim(data, rows, cols, cols)
    }

    /// A row-major matrix with `ld >= cols` elements from a row to the next.
    ///
    /// # Errors
    /// [`Error::Stride`] if `ld < cols`; else as [`new`](Self::new).
    pub fn with_leading_dim(data: &'a mut [T], rows: usize, cols: usize, ld: usize) -> Result<Self> {
        let (rs, cs) = row_major(cols, ld)?;
        Self::with_strides(data, rows, cols, rs, cs)
    }

    /// A matrix with any positive strides that give each element an address of its own.
    ///
    /// # Errors
    /// [`Error::Stride`] if a stride is negative, [`Error::Aliased`] if two elements share an address; else as
    /// [`new`](Self::new).
    pub fn with_strides(data: &'a mut [T], rows: usize, cols: usize, rs: isize, cs: isize) -> Result<Self> {
        let layout = Layout::checked(rows, cols, (rs, cs), data.len(), size_of::<T>())?;
        if layout.aliases_itself() {
            return Err(Error::Aliased { shape: Shape::new(rows, cols), row_stride: rs, col_stride: cs });
        }
        Ok(Self { ptr: data.as_mut_ptr(), layout, life: PhantomData })
    }

    /// A matrix over memory that the caller vouches for. Strides may be negative: `ptr` is element (0, 0).
    ///
    /// # Safety
    /// For all i < `rows`, j < `cols`, `ptr + i·rs + j·cs` is readable and writable for `'a`, lies in one
    /// allocation with the others, no two of them are equal, and nothing else reads or writes there in that time.
    /// `rows·cols` elements are at most `isize::MAX` bytes.
    pub unsafe fn from_raw_parts(ptr: *mut T, rows: usize, cols: usize, rs: isize, cs: isize) -> Self {
        Self { ptr, layout: Layout { rows, cols, row_stride: rs, col_stride: cs }, life: PhantomData }
    }

    /// The same matrix to read.
    pub fn as_ref(&self) -> MatRef<'_, T> {
        MatRef { ptr: self.ptr, layout: self.layout, life: PhantomData }
    }

    /// The same matrix, lent for a shorter time.
    pub fn reborrow(&mut self) -> MatMut<'_, T> {
        MatMut { ptr: self.ptr, layout: self.layout, life: PhantomData }
    }

    /// The transpose: the same elements, shape and strides swapped.
    #[must_use]
    pub fn t(self) -> Self {
        Self { layout: self.layout.transposed(), ..self }
    }

    /// A block of rows.
    ///
    /// # Errors
    /// [`Error::Range`] if the range is not within the rows.
    pub fn rows(self, range: Range<usize>) -> Result<Self> {
        let cols = 0..self.layout.cols;
        self.submatrix(range, cols)
    }

    /// The block of these rows and columns.
    ///
    /// # Errors
    /// [`Error::Range`] if a range is not within its axis.
    pub fn submatrix(self, rows: Range<usize>, cols: Range<usize>) -> Result<Self> {
        let (layout, offset) = self.layout.block(rows, cols)?;
        // `wrapping_offset` because a raw view of no elements may have any pointer.
        Ok(Self { ptr: self.ptr.wrapping_offset(offset), layout, ..self })
    }

    /// The rows before `i` and the rows from `i` on.
    ///
    /// # Errors
    /// [`Error::Range`] if there are fewer than `i` rows.
    pub fn split_at_row(self, i: usize) -> Result<(Self, Self)> {
        let (rows, cols) = self.layout.shape();
        let (top, _) = self.layout.block(0..i, 0..cols)?;
        let (bottom, offset) = self.layout.block(i..rows, 0..cols)?;
        let bottom = Self { ptr: self.ptr.wrapping_offset(offset), layout: bottom, life: PhantomData };
        Ok((Self { layout: top, ..self }, bottom))
    }

    /// Row `i` as a slice, where the matrix has it and its columns are adjacent.
    pub fn row_mut(&mut self, i: usize) -> Option<&mut [T]> {
        if i >= self.layout.rows || !self.layout.rows_contiguous() {
            return None;
        }
        if self.layout.cols == 0 {
            return Some(&mut []);
        }
        // SAFETY: row i is in the view, its `cols` elements are adjacent and this borrow of them is the only one.
        Some(unsafe {
            core::slice::from_raw_parts_mut(self.ptr.offset(self.layout.offset(i, 0)), self.layout.cols)
        })
    }

    /// All elements, row by row, where they are adjacent.
    pub fn as_slice_mut(&mut self) -> Option<&mut [T]> {
        // SAFETY: the rows are adjacent, each contiguous, and this borrow of them is the only one; their lengths' sum
        // is a size.
        self.layout.contiguous().map(|len| unsafe { core::slice::from_raw_parts_mut(self.ptr, len) })
    }

    /// Element (i, j), where the matrix has it.
    pub fn get_mut(&mut self, i: usize, j: usize) -> Option<&mut T> {
        if i >= self.layout.rows || j >= self.layout.cols {
            return None;
        }
        // SAFETY: (i, j) is in the view, and this borrow of it is the only one.
        Some(unsafe { &mut *self.ptr.offset(self.layout.offset(i, j)) })
    }

    /// The address of element (0, 0).
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.ptr
    }

    /// Writes `value` to each element.
    pub fn fill(&mut self, value: T)
    where
        T: Copy,
    {
        self.write(|_, _| value);
    }

    /// Copies the elements of a matrix of the same shape.
    ///
    /// # Errors
    /// [`Error::Shape`] if the shapes differ.
    pub fn copy_from(&mut self, source: MatRef<'_, T>) -> Result<()>
    where
        T: Copy,
    {
        check_shape("the source of a copy", self.layout.shape(), source.layout.shape())?;
        // SAFETY: `write` calls with (i, j) in the matrix, and the source has the same shape.
        self.write(|i, j| unsafe { *source.ptr.offset(source.layout.offset(i, j)) });
        Ok(())
    }

    /// Writes f(i, j) to each element, row by row.
    fn write(&mut self, mut f: impl FnMut(usize, usize) -> T)
    where
        T: Copy,
    {
        if self.layout.is_empty() {
            return;
        }
        for i in 0..self.layout.rows {
            for j in 0..self.layout.cols {
                // SAFETY: (i, j) is in the view.
                unsafe { self.ptr.offset(self.layout.offset(i, j)).write(f(i, j)) };
            }
        }
    }
}

macro_rules! shared_methods {
    ($view:ident) => {
        impl<T> $view<'_, T> {
            /// Rows.
            pub fn nrows(&self) -> usize {
                self.layout.rows
            }
            /// Columns.
            pub fn ncols(&self) -> usize {
                self.layout.cols
            }
            /// (rows, columns).
            pub fn shape(&self) -> (usize, usize) {
                self.layout.shape()
            }
            /// Whether it has no element.
            pub fn is_empty(&self) -> bool {
                self.layout.is_empty()
            }
            /// Elements from a row to the next.
            pub fn row_stride(&self) -> isize {
                self.layout.row_stride
            }
            /// Elements from a column to the next.
            pub fn col_stride(&self) -> isize {
                self.layout.col_stride
            }
            /// Whether the elements of each row are adjacent.
            pub fn rows_contiguous(&self) -> bool {
                self.layout.rows_contiguous()
            }
        }

        impl<T: fmt::Debug> fmt::Debug for $view<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Layout { rows, cols, row_stride, col_stride } = self.layout;
                write!(f, "{}({rows}×{cols}, strides ({row_stride}, {col_stride}))", stringify!($view))
            }
        }
    };
}
shared_methods!(MatRef);
shared_methods!(MatMut);
