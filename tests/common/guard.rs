//! Memory with an inaccessible page on either side: whoever reads or writes past an end is killed by the system.

use core::{
    ops::{Deref, DerefMut},
    ptr::null_mut,
};

/// Which end touches an inaccessible page, without a byte between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    /// The first element.
    Start,
    /// The last element.
    End,
}

/// Elements in pages of their own.
pub(crate) struct Guarded<T> {
    pages: *mut libc::c_void,
    bytes: usize,
    first: *mut T,
    len: usize,
}

impl<T: Copy> Guarded<T> {
    /// A copy of `data`.
    pub(crate) fn new(data: &[T], edge: Edge) -> Self {
        // SAFETY: a query without arguments that could be wrong.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("a page size");
        let inner = size_of_val(data).next_multiple_of(page);
        let bytes = inner + 2 * page;
        let (map, access) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: new pages at an address of the system's choice, of which the inner ones become accessible.
        let pages = unsafe {
            let pages = libc::mmap(null_mut(), bytes, libc::PROT_NONE, map, -1, 0);
            assert_ne!(pages, libc::MAP_FAILED);
            assert!(inner == 0 || libc::mprotect(pages.wrapping_byte_add(page), inner, access) == 0);
            pages
        };
        let at = page + if edge == Edge::End { inner - size_of_val(data) } else { 0 };
        let first = pages.wrapping_byte_add(at).cast::<T>();
        let mut guarded = Self { pages, bytes, first, len: data.len() };
        guarded.copy_from_slice(data);
        guarded
    }
}

impl<T> Deref for Guarded<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the elements lie in accessible pages, and were written by the constructor.
        unsafe { core::slice::from_raw_parts(self.first, self.len) }
    }
}

impl<T> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for Deref; the borrow is exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.first, self.len) }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own.
        unsafe { libc::munmap(self.pages, self.bytes) };
    }
}
