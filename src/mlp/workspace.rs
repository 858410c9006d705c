//! The memory that calls write.

use crate::{
    Scalar,
    error::{Error, Result},
    memory::Buffer,
    parallel::Shared,
};

/// Where a workspace lies.
pub(crate) enum Memory<T> {
    /// In memory of its own.
    Own(Buffer<T>),
    /// In memory that the maker of the workspace vouched for: where, and how many elements.
    Lent(Shared<T>, usize),
}

/// A plan's memory, the caller's to keep between calls: one call at a time uses it. Made by
/// [`Plan::workspace`](super::Plan::workspace), or over memory from elsewhere by
/// [`Plan::workspace_at`](super::Plan::workspace_at).
pub struct Workspace<T> {
    pub(crate) memory: Memory<T>,
    /// Rows of the batch whose forward state is kept.
    pub(crate) kept: Option<usize>,
    /// The plan's mark.
    pub(crate) mark: u64,
}

impl<T: Scalar> Workspace<T> {
    /// Bytes it has.
    pub fn bytes(&self) -> usize {
        self.len() * size_of::<T>()
    }

    /// Rows of the forward pass whose state it keeps, if it keeps one.
    pub fn kept(&self) -> Option<usize> {
        self.kept
    }

    fn len(&self) -> usize {
        match &self.memory {
            Memory::Own(buffer) => buffer.len(),
            Memory::Lent(_, len) => *len,
        }
    }

    /// The memory, if it was made for a plan of `len` elements with this mark.
    pub(crate) fn check(&mut self, len: usize, mark: u64) -> Result<*mut T> {
        if self.len() == len && self.mark == mark {
            return Ok(match &mut self.memory {
                Memory::Own(buffer) => buffer.as_mut_ptr(),
                Memory::Lent(at, _) => at.get(),
            });
        }
        Err(Error::Workspace { expected: len.saturating_mul(size_of::<T>()), got: self.bytes() })
    }
}

impl<T: Scalar> core::fmt::Debug for Workspace<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Workspace").field("bytes", &self.bytes()).field("kept", &self.kept).finish()
    }
}
