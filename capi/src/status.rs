//! What a call returns, and the text behind it.

use nablas::Error;
use std::{
    cell::RefCell,
    ffi::{CStr, CString, c_char},
    fmt,
};

/// What a call returns. `nablas_last_error()` has the words.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum nablas_status {
    /// Done.
    Ok = 0,
    /// A pointer is NULL that must not be.
    Null = 1,
    /// A pointer is not aligned to its type.
    Alignment = 2,
    /// A leading dimension is below the length of a row.
    LeadingDimension = 3,
    /// A size that no memory has.
    Overflow = 4,
    /// An output overlaps an input or another output.
    Overlap = 5,
    /// A number that names nothing: an activation, a loss, an instruction set, ….
    Unknown = 6,
    /// A number outside of its domain.
    Parameter = 7,
    /// Operands whose sizes do not fit each other.
    Shape = 8,
    /// A batch larger than the plan was made for.
    Batch = 9,
    /// A workspace that is too small, or was not initialised for this plan at this address.
    Workspace = 10,
    /// Kept state that no forward call of so many rows has left.
    NotKept = 11,
    /// A workspace, kept state or optimizer that another thread is using.
    Busy = 12,
    /// A class that the network has no output for.
    Class = 13,
    /// Targets of a kind that the loss does not take.
    Targets = 14,
    /// Saved state of another kind than the activation needs.
    Saved = 15,
    /// An instruction set that this machine does not have.
    Isa = 16,
    /// More memory than the system has.
    Memory = 17,
    /// Threads that could not be started.
    Threads = 18,
    /// A defect of the library.
    Internal = 19,
    /// Kept state that is too small, or was not initialised for this plan at this address.
    Kept = 20,
}

use nablas_status as Status;

impl Status {
    /// The name of the constant, without its prefix.
    pub(crate) fn name(self) -> &'static CStr {
        match self {
            Self::Ok => c"ok",
            Self::Null => c"null",
            Self::Alignment => c"alignment",
            Self::LeadingDimension => c"leading_dimension",
            Self::Overflow => c"overflow",
            Self::Overlap => c"overlap",
            Self::Unknown => c"unknown",
            Self::Parameter => c"parameter",
            Self::Shape => c"shape",
            Self::Batch => c"batch",
            Self::Workspace => c"workspace",
            Self::NotKept => c"not_kept",
            Self::Busy => c"busy",
            Self::Class => c"class",
            Self::Targets => c"targets",
            Self::Saved => c"saved",
            Self::Isa => c"isa",
            Self::Memory => c"memory",
            Self::Threads => c"threads",
            Self::Internal => c"internal",
            Self::Kept => c"kept",
        }
    }

    /// All of them, by number.
    pub(crate) const ALL: [Self; 21] = [
        Self::Ok,
        Self::Null,
        Self::Alignment,
        Self::LeadingDimension,
        Self::Overflow,
        Self::Overlap,
        Self::Unknown,
        Self::Parameter,
        Self::Shape,
        Self::Batch,
        Self::Workspace,
        Self::NotKept,
        Self::Busy,
        Self::Class,
        Self::Targets,
        Self::Saved,
        Self::Isa,
        Self::Memory,
        Self::Threads,
        Self::Internal,
        Self::Kept,
    ];
}

/// Why a call failed.
#[derive(Debug)]
pub(crate) struct Fail {
    pub(crate) status: Status,
    pub(crate) text: String,
}

pub(crate) type Result<T> = std::result::Result<T, Fail>;

/// A failure with these words.
pub(crate) fn fail<T>(status: Status, text: impl fmt::Display) -> Result<T> {
    Err(Fail { status, text: text.to_string() })
}

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Shape { .. } | Error::Length { .. } | Error::Bounds { .. } | Error::Range { .. } => {
                Status::Shape
            }
            Error::Stride { .. } => Status::LeadingDimension,
            Error::Aliased { .. } => Status::Overlap,
            Error::Overflow { .. } => Status::Overflow,
            Error::Workspace { .. } => Status::Workspace,
            Error::KeptOfAnother => Status::Kept,
            Error::NotKept { .. } => Status::NotKept,
            Error::Batch { .. } => Status::Batch,
            Error::Parameter { .. } | Error::Variable { .. } => Status::Parameter,
            Error::Class { .. } => Status::Class,
            Error::Targets { .. } => Status::Targets,
            Error::Saved { .. } => Status::Saved,
            Error::TooLarge { .. } | Error::Memory { .. } => Status::Memory,
            Error::Isa(_) => Status::Isa,
            Error::Threads { .. } => Status::Threads,
            _ => Status::Internal,
        };
        Self { status, text: error.to_string() }
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Keeps the words of a failure for `nablas_last_error`.
pub(crate) fn remember(text: String) {
    let text = CString::new(text).unwrap_or_default();
    // A thread that is being torn down has nobody left to ask.
    _ = LAST.try_with(|last| *last.borrow_mut() = text);
}

/// The words of this thread's last failure.
pub(crate) fn last() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}
