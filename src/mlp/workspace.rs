//! The memory that calls write.

use crate::{
    Scalar,
    error::{Error, Result},
    memory::Buffer,
};

/// A plan's memory, the caller's to keep between calls: one call at a time uses it. Made by
/// [`Plan::workspace`](super::Plan::workspace).
pub struct Workspace<T> {
    pub(crate) buffer: Buffer<T>,
    /// Rows of the batch whose forward state is kept.
    pub(crate) kept: Option<usize>,
    /// The plan's mark.
    pub(crate) mark: u64,
}

impl<T: Scalar> Workspace<T> {
    /// Bytes it has.
    pub fn bytes(&self) -> usize {
        self.buffer.len() * size_of::<T>()
    }

    /// The memory, if it was made for a plan of `len` elements with this mark.
    pub(crate) fn check(&mut self, len: usize, mark: u64) -> Result<*mut T> {
        if self.buffer.len() == len && self.mark == mark {
            return Ok(self.buffer.as_mut_ptr());
        }
        Err(Error::Workspace { expected: len.saturating_mul(size_of::<T>()), got: self.bytes() })
    }
}

impl<T: Scalar> core::fmt::Debug for Workspace<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Workspace").field("bytes", &self.bytes()).field("kept", &self.kept).finish()
    }
}
