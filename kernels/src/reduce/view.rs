//! Row-major views with a leading dimension, checked once.

use core::marker::PhantomData;

/// Whether a `rows` × `cols` block with leading dimension `ld` lies within `len` elements, its rows apart.
fn fits(len: usize, ld: usize, rows: usize, cols: usize) -> bool {
    if rows == 0 || cols == 0 {
        return true;
    }
    let end = (rows - 1).checked_mul(ld).and_then(|last| last.checked_add(cols));
    end.is_some_and(|end| end <= len) && (rows == 1 || ld >= cols)
}

/// `rows` × `cols` elements, row `i` starting at `i·ld`. What lies between the rows is not the view's.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, T> {
    data: *const T,
    ld: usize,
    rows: usize,
    cols: usize,
    life: PhantomData<&'a [T]>,
}

// SAFETY: a view is a shared borrow of its elements.
unsafe impl<T: Sync> Send for View<'_, T> {}
// SAFETY: as for Send.
unsafe impl<T: Sync> Sync for View<'_, T> {}

impl<'a, T> View<'a, T> {
    /// A view of `data`; `None` if a row would reach past its end or into the next row.
    pub fn new(data: &'a [T], ld: usize, rows: usize, cols: usize) -> Option<Self> {
        // SAFETY: the rows lie in the slice.
        fits(data.len(), ld, rows, cols)
            .then(|| unsafe { Self::from_raw_parts(data.as_ptr(), ld, rows, cols) })
    }
    /// A view of memory that the caller vouches for.
    ///
    /// # Safety
    /// For all i < `rows`, the `cols` elements from `data + i·ld` are readable for `'a`, lie in one allocation with the
    /// others, and nothing writes there in that time.
    pub unsafe fn from_raw_parts(data: *const T, ld: usize, rows: usize, cols: usize) -> Self {
        Self { data, ld, rows, cols, life: PhantomData }
    }
    /// Rows.
    #[inline(always)]
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Columns.
    #[inline(always)]
    pub fn cols(&self) -> usize {
        self.cols
    }
    /// Elements from a row to the next.
    #[inline(always)]
    pub(crate) fn ld(&self) -> usize {
        self.ld
    }
    /// The start of row `i`: readable for `cols` elements if `i < rows`.
    #[inline(always)]
    pub(crate) fn row(&self, i: usize) -> *const T {
        self.data.wrapping_add(i.wrapping_mul(self.ld))
    }
}

/// `rows` × `cols` elements to be written, row `i` starting at `i·ld`.
#[derive(Debug)]
pub struct ViewMut<'a, T> {
    data: *mut T,
    ld: usize,
    rows: usize,
    cols: usize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: a view is an exclusive borrow of its elements.
unsafe impl<T: Send> Send for ViewMut<'_, T> {}
// SAFETY: as for Send; a shared one gives access to none of them.
unsafe impl<T: Sync> Sync for ViewMut<'_, T> {}

impl<'a, T> ViewMut<'a, T> {
    /// A view of `data`; `None` if a row would reach past its end or into the next row.
    pub fn new(data: &'a mut [T], ld: usize, rows: usize, cols: usize) -> Option<Self> {
        // SAFETY: the rows lie in the slice, apart.
        fits(data.len(), ld, rows, cols)
            .then(|| unsafe { Self::from_raw_parts(data.as_mut_ptr(), ld, rows, cols) })
    }
    /// A view of memory that the caller vouches for.
    ///
    /// # Safety
    /// For all i < `rows`, the `cols` elements from `data + i·ld` are readable and writable for `'a`, lie in one allocation
    /// with the others and apart from them, and nothing else accesses them in that time.
    pub unsafe fn from_raw_parts(data: *mut T, ld: usize, rows: usize, cols: usize) -> Self {
        Self { data, ld, rows, cols, life: PhantomData }
    }
    /// Rows.
    #[inline(always)]
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Columns.
    #[inline(always)]
    pub fn cols(&self) -> usize {
        self.cols
    }
    /// Elements from a row to the next.
    #[inline(always)]
    pub(crate) fn ld(&self) -> usize {
        self.ld
    }
    /// The start of row `i`: readable and writable for `cols` elements if `i < rows`.
    #[inline(always)]
    pub(crate) fn row(&mut self, i: usize) -> *mut T {
        self.data.wrapping_add(i.wrapping_mul(self.ld))
    }
}
