//! What can go wrong, said with what was expected and what came.

use alloc::string::String;
use core::fmt;
use nablas_kernels::isa::IsaError;

/// The result of every fallible call.
pub type Result<T> = core::result::Result<T, Error>;

/// The shape of a matrix, shown as `rows×cols`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
}

impl Shape {
    /// A shape of `rows` rows and `cols` columns.
    pub const fn new(rows: usize, cols: usize) -> Self {
        Self { rows, cols }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}", self.rows, self.cols)
    }
}

/// Shows what a state is of.
struct Kept(Option<usize>);

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(rows) => write!(f, "a forward pass of {rows} rows"),
            None => write!(f, "no forward pass"),
        }
    }
}

/// Why a call was refused. Nothing has been written to any output.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A matrix of another shape than the call needs.
    #[error("{what}: expected a {expected} matrix, got {got}")]
    Shape {
        /// Which operand.
        what: &'static str,
        /// The shape that fits the other operands.
        expected: Shape,
        /// The operand's shape.
        got: Shape,
    },
    /// A slice of another length than the call needs.
    #[error("{what}: expected {expected} elements, got {got}")]
    Length {
        /// Which operand.
        what: &'static str,
        /// The length that fits.
        expected: usize,
        /// The operand's length.
        got: usize,
    },
    /// A stride that no view can have.
    #[error("{what}: expected {expected}, got {got}")]
    Stride {
        /// Which stride.
        what: &'static str,
        /// What it must be.
        expected: &'static str,
        /// The stride, in elements.
        got: isize,
    },
    /// A view that reaches past the end of its slice.
    #[error("a {shape} view needs a slice of {needed} elements, got {got}")]
    Bounds {
        /// The view's shape.
        shape: Shape,
        /// The elements from the first to the last of the view.
        needed: usize,
        /// The slice's length.
        got: usize,
    },
    /// An index or range outside of its axis.
    #[error("{what}: expected {start}..{end} within 0..{len}")]
    Range {
        /// Which axis.
        what: &'static str,
        /// The range's start.
        start: usize,
        /// The range's end.
        end: usize,
        /// The axis' length.
        len: usize,
    },
    /// Strides that map two elements of a mutable view onto one address.
    #[error(
        "a mutable {shape} view with strides ({row_stride}, {col_stride}) has two elements at one address"
    )]
    Aliased {
        /// The view's shape.
        shape: Shape,
        /// Elements from a row to the next.
        row_stride: isize,
        /// Elements from a column to the next.
        col_stride: isize,
    },
    /// A size that overflows the address space.
    #[error("{what}: the size overflows the address space")]
    Overflow {
        /// What has that size.
        what: &'static str,
    },
    /// A workspace that was not made for this plan.
    #[error(
        "a workspace of another plan ({got} bytes, this plan needs {expected}): make it with `Plan::workspace`"
    )]
    Workspace {
        /// The bytes that the plan needs.
        expected: usize,
        /// The bytes that the workspace has.
        got: usize,
    },
    /// A backward pass from the state of another forward pass.
    #[error("the kept state is of {}, the backward pass of {batch} rows: give it to `Plan::forward` first", Kept(*.kept))]
    NotKept {
        /// Rows of the backward pass.
        batch: usize,
        /// Rows of the forward pass that is kept, if any.
        kept: Option<usize>,
    },
    /// A kept state of another plan.
    #[error("a kept state of another plan: make it with `Plan::kept`")]
    KeptOfAnother,
    /// Packed parameters of another plan.
    #[error("parameters packed for another network, instruction set or backend: make them with `Plan::pack`")]
    Packed,
    /// A batch larger than the plan was made for.
    #[error("expected a batch of at most {max} rows, got {got}")]
    Batch {
        /// The plan's largest batch.
        max: usize,
        /// The rows that came.
        got: usize,
    },
    /// A parameter outside of its domain.
    #[error("{what}: expected {expected}, got {got}")]
    Parameter {
        /// Which parameter.
        what: &'static str,
        /// Its domain.
        expected: &'static str,
        /// Its value.
        got: f64,
    },
    /// A class index that the network has no output for.
    #[error("row {row}: expected a class below {classes}, got {class}")]
    Class {
        /// The sample.
        row: usize,
        /// Its class.
        class: u32,
        /// The number of classes.
        classes: usize,
    },
    /// Targets of a kind that the loss does not take.
    #[error("{loss}: expected targets as {expected}")]
    Targets {
        /// The loss.
        loss: &'static str,
        /// The kind of targets it takes.
        expected: &'static str,
    },
    /// Saved state of another kind than an activation's backward needs.
    #[error("the saved state of {activation}: expected {expected}")]
    Saved {
        /// The activation.
        activation: &'static str,
        /// What it saves.
        expected: &'static str,
    },
    /// More memory than the caller allows.
    #[error("{what}: needs {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// What needs the memory.
        what: &'static str,
        /// Its bytes.
        bytes: u128,
        /// The limit.
        limit: u128,
    },
    /// More memory than the system has.
    #[error("{what}: could not allocate {bytes} bytes")]
    Memory {
        /// What needs the memory.
        what: &'static str,
        /// Its bytes.
        bytes: u128,
    },
    /// An instruction set that could not be pinned.
    #[error(transparent)]
    Isa(#[from] IsaError),
    /// A BLAS backend that cannot do what was asked.
    #[error("backend {name}: {why}")]
    Backend {
        /// The backend's name.
        name: &'static str,
        /// What it cannot do.
        why: &'static str,
    },
    /// An environment variable whose value cannot be used.
    #[error("{name}: expected {expected}, got {got}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// Its domain.
        expected: &'static str,
        /// Its value.
        got: String,
    },
    /// Threads that could not be started.
    #[error("could not start {threads} threads")]
    Threads {
        /// The threads that were asked for.
        threads: usize,
    },
}

/// Refuses a slice whose length is not `expected`.
pub(crate) fn check_len(what: &'static str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::Length { what, expected, got }) }
}

/// Refuses a matrix whose shape is not `expected`.
pub(crate) fn check_shape(what: &'static str, expected: (usize, usize), got: (usize, usize)) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(Error::Shape { what, expected: Shape::new(expected.0, expected.1), got: Shape::new(got.0, got.1) })
}
