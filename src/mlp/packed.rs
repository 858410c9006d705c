//! Parameters that are kept with their panels.

use crate::{
    Scalar,
    error::{Error, Result},
    memory::Buffer,
};

/// Parameters, and what a plan's calls would pack of them: made once by [`Plan::pack`](super::Plan::pack), read by any
/// number of calls ([`ParamsRef::Packed`](super::ParamsRef::Packed)), and packed anew only when
/// [`update`](Self::update) has changed them.
pub struct PackedParams<T> {
    pub(crate) params: Buffer<T>,
    pub(crate) panels: Buffer<T>,
    /// The mark of the plans that they serve.
    pub(crate) mark: u64,
}

impl<T: Scalar> PackedParams<T> {
    /// The parameters, laid out as [`Mlp`](super::Mlp) says.
    pub fn get(&self) -> &[T] {
        self.params.as_slice()
    }

    /// Bytes of parameters and panels.
    pub fn bytes(&self) -> usize {
        (self.params.len() + self.panels.len()) * size_of::<T>()
    }

    /// Refuses plans with another mark, or with panels of another length.
    pub(crate) fn check(&self, mark: u64, len: usize) -> Result<()> {
        if self.mark == mark && self.panels.len() == len { Ok(()) } else { Err(Error::Packed) }
    }

    /// The panels, for a plan of this mark and so many elements of panels: read by calls. The length as well as the mark: a
    /// mark may be made to fit, memory cannot.
    pub(crate) fn panels(&self, mark: u64, len: usize) -> Result<*mut T> {
        self.check(mark, len).map(|()| self.panels.as_ptr().cast_mut())
    }
}

impl<T: Scalar> core::fmt::Debug for PackedParams<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PackedParams").field("bytes", &self.bytes()).finish()
    }
}
