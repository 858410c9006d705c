//! The memory that calls write.

use crate::{
    Scalar,
    error::{Error, Result},
    memory::Buffer,
    shared::Shared,
};

/// Where a workspace or a kept state lies.
pub(crate) enum Memory<T> {
    /// In memory of its own.
    Own(Buffer<T>),
    /// In memory that its maker vouched for: where, and how many elements.
    Lent(Shared<T>, usize),
}

impl<T: Scalar> Memory<T> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Own(buffer) => buffer.len(),
            Self::Lent(_, len) => *len,
        }
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut T {
        match self {
            Self::Own(buffer) => buffer.as_mut_ptr(),
            Self::Lent(at, _) => at.0,
        }
    }

    /// Only to be read.
    pub(crate) fn as_ptr(&self) -> *const T {
        match self {
            Self::Own(buffer) => buffer.as_ptr(),
            Self::Lent(at, _) => at.0,
        }
    }
}

/// A plan's scratch, the caller's to keep between calls: one call at a time uses it, and nothing in it outlives the
/// call. Made by [`Plan::workspace`](super::Plan::workspace), or over memory from elsewhere by
/// [`Plan::workspace_at`](super::Plan::workspace_at).
pub struct Workspace<T> {
    pub(crate) memory: Memory<T>,
    /// The plan's mark.
    pub(crate) mark: u64,
    pub(crate) seats: usize,
}

impl<T: Scalar> Workspace<T> {
    /// Bytes it has.
    pub fn bytes(&self) -> usize {
        self.memory.len() * size_of::<T>()
    }

    /// How many members of the team did some of the work of the last call. For tests.
    #[doc(hidden)]
    pub fn seats(&self) -> usize {
        self.seats
    }

    /// The memory, if it was made for a plan of `len` elements with this mark.
    pub(crate) fn check(&mut self, len: usize, mark: u64) -> Result<*mut T> {
        if self.memory.len() == len && self.mark == mark {
            return Ok(self.memory.as_mut_ptr());
        }
        Err(Error::Workspace { expected: len.saturating_mul(size_of::<T>()), got: self.bytes() })
    }
}

impl<T: Scalar> core::fmt::Debug for Workspace<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Workspace").field("bytes", &self.bytes()).finish()
    }
}
