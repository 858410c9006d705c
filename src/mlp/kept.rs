//! The state that a forward pass leaves for its backward pass.

use super::{plan::Plan, workspace::Memory};
use crate::{
    Scalar,
    error::{Error, Result},
    memory::Buffer,
    shared::Shared,
};

/// What [`Plan::forward`] leaves for [`Plan::backward`]: activations and saved state of every row of a batch. A value:
/// several may be alive, each of a forward pass of its own. Made by [`Plan::kept`], or over memory from elsewhere by
/// [`Plan::kept_at`].
pub struct Kept<T> {
    memory: Memory<T>,
    /// Rows that there is room for.
    room: usize,
    /// Rows of the forward pass whose state it is.
    batch: Option<usize>,
    mark: u64,
}

impl<T: Scalar> Kept<T> {
    /// Rows of the forward pass whose state it is, if it is one's.
    pub fn batch(&self) -> Option<usize> {
        self.batch
    }

    /// Rows that there is room for.
    pub fn room(&self) -> usize {
        self.room
    }

    /// Bytes it has.
    pub fn bytes(&self) -> usize {
        self.memory.len() * size_of::<T>()
    }

    /// The memory for a forward pass of `batch` rows, whose state it is from now on.
    pub(crate) fn take(&mut self, plan: &Plan<T>, batch: usize) -> Result<*mut T> {
        self.check(plan)?;
        if batch > self.room {
            return Err(Error::Batch { max: self.room, got: batch });
        }
        self.batch = None;
        Ok(self.memory.as_mut_ptr())
    }

    /// Says that the state of so many rows is there.
    pub(crate) fn hold(&mut self, batch: usize) {
        self.batch = Some(batch);
    }

    /// The state of a forward pass of `batch` rows: only to be read.
    pub(crate) fn of(&self, plan: &Plan<T>, batch: usize) -> Result<*mut T> {
        self.check(plan)?;
        if self.batch != Some(batch) {
            return Err(Error::NotKept { batch, kept: self.batch });
        }
        Ok(self.memory.as_ptr().cast_mut())
    }

    /// Refuses another plan's. The length as well as the mark: a mark may be made to fit, memory cannot.
    fn check(&self, plan: &Plan<T>) -> Result<()> {
        let fits = self.mark == plan.mark && self.memory.len() >= plan.path.kept_len(self.room);
        if fits { Ok(()) } else { Err(Error::KeptOfAnother) }
    }
}

impl<T: Scalar> Plan<T> {
    /// Room for the state of a forward pass of at most `batch` rows. Allocates.
    ///
    /// # Errors
    /// [`Error::Batch`] above the plan's largest batch; [`Error::Overflow`] or [`Error::Memory`] if it does not fit.
    pub fn kept(&self, batch: usize) -> Result<Kept<T>> {
        let memory = Memory::Own(Buffer::zeroed("a kept state", self.kept_len(batch)?)?);
        Ok(Kept { memory, room: batch, batch: None, mark: self.mark })
    }

    /// Elements of the state of `batch` rows: a formula in `batch` (docs/ARCHITECTURE.md, "What a workspace holds").
    ///
    /// # Errors
    /// [`Error::Batch`] above the plan's largest batch; [`Error::Overflow`] if that exceeds the address space.
    pub fn kept_len(&self, batch: usize) -> Result<usize> {
        if batch > self.setup.max_batch {
            return Err(Error::Batch { max: self.setup.max_batch, got: batch });
        }
        let len = self.path.kept_len(batch);
        let fits = len.checked_mul(size_of::<T>()).is_some_and(|bytes| bytes <= isize::MAX as usize);
        if fits { Ok(len) } else { Err(Error::Overflow { what: "a kept state" }) }
    }

    /// [`kept`](Self::kept) over memory that the caller vouches for: [`kept_len`](Self::kept_len) elements from `memory`
    /// on, which starts a cache line (64 bytes). `state` is `None`, or what [`Kept::batch`] of the last value over the
    /// same memory said after its last call.
    ///
    /// # Errors
    /// As [`kept_len`](Self::kept_len).
    ///
    /// # Safety
    /// The memory is initialised, readable and writable, and nothing else writes it, nor reads it while a forward pass
    /// does, as long as the value lives. A `state` other than `None` is of this very plan and at most `batch`, and the
    /// memory has not been written since.
    pub unsafe fn kept_at(&self, memory: *mut T, batch: usize, state: Option<usize>) -> Result<Kept<T>> {
        let memory = Memory::Lent(Shared(memory), self.kept_len(batch)?);
        Ok(Kept { memory, room: batch, batch: state, mark: self.mark })
    }
}

impl<T: Scalar> core::fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Kept").field("bytes", &self.bytes()).field("batch", &self.batch).finish()
    }
}
