//! The caller's memory: workspaces and kept states.
//!
//! Each is a piece of memory of any alignment. Its first cache line is a header, which says for which plan and which address
//! it was made, who is using it, and of which forward pass a kept state is; the plan's own memory follows. So memory of
//! another plan, moved or never initialised, and what two calls cannot do with it at once, are refused. Nobody waits: what a
//! `fork` leaves in use is refused in the child too.

use crate::{
    operand::{Bytes, array},
    status::{Fail, Result, fail, nablas_status as Status},
};
use std::{
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

/// Memory as C hands it over: its address and bytes.
pub(crate) type Memory = (*mut c_void, usize);

/// A kind of memory.
#[derive(Debug)]
pub(crate) struct Kind {
    magic: u64,
    what: &'static str,
    /// What a refusal says.
    status: Status,
    /// The function that makes it.
    made_by: &'static str,
}

/// A plan's scratch.
pub(crate) static WORKSPACE: Kind = Kind {
    magic: u64::from_le_bytes(*b"nablasws"),
    what: "the workspace",
    status: Status::Workspace,
    made_by: "workspace_init",
};

/// The state that a forward pass leaves for its backward pass.
pub(crate) static KEPT: Kind = Kind {
    magic: u64::from_le_bytes(*b"nablaskt"),
    what: "the kept state",
    status: Status::Kept,
    made_by: "kept_init",
};

/// What the memory starts with.
#[repr(C, align(64))]
struct Header {
    magic: u64,
    plan: u64,
    here: u64,
    /// Calls that read it, or [`WRITER`].
    users: AtomicU64,
    /// Rows that there is room for.
    room: u64,
    /// Rows of the forward pass whose state it is, plus one; 0 for none.
    rows: AtomicU64,
}

const LINE: usize = size_of::<Header>();
/// One call that writes.
const WRITER: u64 = u64::MAX;

/// What a call does with the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Any number of calls at once.
    Read,
    /// One call, and no other.
    Write,
}

/// Memory in use by a call.
pub(crate) struct Lease<'a> {
    header: &'a Header,
    memory: *mut u8,
    access: Access,
    bytes: Bytes,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        match self.access {
            Access::Read => _ = self.header.users.fetch_sub(1, Ordering::Release),
            Access::Write => self.header.users.store(0, Ordering::Release),
        }
    }
}

/// Bytes of the memory of a kind of which a plan needs so many itself: these, a header, and what it takes to start on a
/// cache line.
pub(crate) fn size(kind: &Kind, inner: usize) -> Result<usize> {
    let bytes = inner.checked_add(2 * LINE).filter(|b| *b <= isize::MAX as usize);
    let text = || format!("{} exceeds the address space", kind.what);
    bytes.ok_or_else(|| Fail { status: Status::Overflow, text: text() })
}

/// Where the header lies, for memory of at least so many bytes.
fn header(kind: &Kind, (at, bytes): Memory, expected: usize) -> Result<*mut Header> {
    if at.is_null() {
        return fail(Status::Null, format_args!("{}: NULL", kind.what));
    }
    if bytes < expected || at.addr().checked_add(bytes).is_none() {
        let what = kind.what;
        return fail(kind.status, format_args!("{what}: expected at least {expected} bytes, got {bytes}"));
    }
    let skip = at.cast::<u8>().align_offset(LINE);
    Ok(at.wrapping_byte_add(skip).cast())
}

/// Makes memory of a kind: zeros behind a header.
///
/// # Safety
/// The memory is NULL or writable over its bytes, and nothing else accesses it.
pub(crate) unsafe fn init(kind: &Kind, plan: u64, room: usize, inner: usize, memory: Memory) -> Result<()> {
    let at = header(kind, memory, size(kind, inner)?)?;
    let fresh = Header {
        magic: kind.magic,
        plan,
        here: at.addr() as u64,
        users: AtomicU64::new(0),
        room: room as u64,
        rows: AtomicU64::new(0),
    };
    // SAFETY: the memory has room for the header, on a cache line, and for the plan's bytes behind it.
    unsafe {
        at.write(fresh);
        ptr::write_bytes(at.add(1).cast::<u8>(), 0, inner);
    }
    Ok(())
}

impl<'a> Lease<'a> {
    /// Takes memory of a kind for a call of a plan, which says how many bytes it needs for the rows there is room for.
    ///
    /// # Safety
    /// The memory is NULL or readable and writable over its bytes, and nothing but calls of plans accesses it.
    pub(crate) unsafe fn new(
        kind: &Kind,
        plan: u64,
        inner: impl FnOnce(usize) -> Result<usize>,
        memory: Memory,
        access: Access,
    ) -> Result<Self> {
        let at = header(kind, memory, size(kind, 0)?)?;
        // SAFETY: the memory has room for a header on a cache line; what a call changes in it is atomic.
        let found = unsafe { &*at };
        if (found.magic, found.plan, found.here) != (kind.magic, plan, at.addr() as u64) {
            let Kind { what, made_by, .. } = kind;
            return fail(
                kind.status,
                format_args!("{what} was not initialised for this plan at this address: call {made_by}"),
            );
        }
        let needed = size(kind, inner(found.room as usize)?)?;
        header(kind, memory, needed)?;
        // What lies behind is the caller's.
        let bytes = array(kind.what, memory.0.cast::<u8>(), needed)?.bytes();
        if !found.enter(access) {
            return fail(Status::Busy, format_args!("{} is in use by another thread", kind.what));
        }
        Ok(Self { header: found, memory: at.wrapping_add(1).cast(), access, bytes })
    }

    /// The plan's memory, which starts a cache line.
    pub(crate) fn memory(&self) -> *mut u8 {
        self.memory
    }

    /// The bytes that nothing else may write.
    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes
    }

    /// Rows that there is room for.
    pub(crate) fn room(&self) -> usize {
        self.header.room as usize
    }

    /// Rows of the forward pass whose state it is, if it is one's.
    pub(crate) fn rows(&self) -> Option<usize> {
        (self.header.rows.load(Ordering::Relaxed) as usize).checked_sub(1)
    }

    /// Says of which forward pass the state is.
    pub(crate) fn set_rows(&self, rows: Option<usize>) {
        self.header.rows.store(rows.map_or(0, |rows| rows as u64 + 1), Ordering::Relaxed);
    }
}

impl Header {
    /// Counts a call in, if that can be; never waits.
    fn enter(&self, access: Access) -> bool {
        let mut users = self.users.load(Ordering::Relaxed);
        loop {
            let more = match access {
                Access::Read if users < WRITER - 1 => users + 1,
                Access::Write if users == 0 => WRITER,
                _ => return false,
            };
            match self.users.compare_exchange_weak(users, more, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => users = now,
            }
        }
    }
}
