//! Losses over matrices.

use crate::{
    call::call,
    elem::Elem,
    operand::{Bytes, In, Operand, Out, array, disjoint, matrix, optional},
    options::{loss, nablas_options, setup},
    status::{Result, fail, nablas_status as Status},
};
use nablas::{Loss, Targets};

/// A loss as C names it: kind, parameter, reduction.
pub(crate) type Named<T> = (i32, T, i32);

impl<T: Elem> TryFrom<Given<T>> for Loss<T> {
    type Error = crate::status::Fail;
    fn try_from(Given((kind, parameter, reduction)): Given<T>) -> Result<Self> {
        loss(kind, parameter, reduction)
    }
}

/// [`Named`], as a type of its own.
pub(crate) struct Given<T>(pub(crate) Named<T>);

/// Targets: values, or classes.
#[derive(Clone, Copy)]
pub(crate) enum Goal<T> {
    Values(Operand<T>),
    Classes(Operand<u32>),
}

impl<T: Elem> Goal<T> {
    /// One of both, the other NULL.
    pub(crate) fn new(targets: In<T>, classes: *const u32, (rows, cols): (usize, usize)) -> Result<Self> {
        let values = optional("the targets", targets.0, (rows, cols), targets.1)?;
        let classes = optional("the classes", classes, (1, rows), rows)?;
        match (values, classes) {
            (Some(values), None) => Ok(Self::Values(values)),
            (None, Some(classes)) => Ok(Self::Classes(classes)),
            (None, None) if rows == 0 || cols == 0 => {
                Ok(Self::Values(matrix("the targets", targets.0, (rows, cols), cols)?))
            }
            (None, None) => fail(Status::Null, "the targets and the classes: NULL"),
            _ => fail(Status::Targets, "expected targets or classes, got both"),
        }
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> Bytes {
        match self {
            Self::Values(v) => v.bytes(),
            Self::Classes(c) => c.bytes(),
        }
    }

    /// To read.
    ///
    /// # Safety
    /// The elements are readable for `'a`, and nothing writes them in that time.
    pub(crate) unsafe fn get<'a>(self) -> Targets<'a, T> {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Self::Values(v) => Targets::Values(v.view()),
                Self::Classes(c) => Targets::Classes(c.slice()),
            }
        }
    }
}

/// The loss of y, and delta ← ∂L/∂y if asked for.
///
/// # Safety
/// Each pointer is NULL or valid for its operand, as `nablas.h` says.
pub(crate) unsafe fn value_and_delta<T: Elem>(
    shape @ (batch, outputs): (usize, usize),
    loss: Named<T>,
    y: In<T>,
    targets: In<T>,
    classes: *const u32,
    value: *mut T,
    delta: Out<T>,
    options: *const nablas_options,
) -> Status {
    call::<T>("loss", [batch, outputs, 1], |record| {
        // SAFETY: the caller's promise.
        let setup = unsafe { setup(options)? };
        let loss = Loss::try_from(Given(loss))?;
        let y = matrix("the outputs", y.0, shape, y.1)?;
        let goal = Goal::new(targets, classes, shape)?;
        let value = array("the value", value, 1)?;
        let delta = optional("the delta", delta.0, shape, delta.1)?;
        let write = [Some(value.bytes()), delta.map(|d| d.bytes())];
        disjoint(&write, &[Some(y.bytes()), Some(goal.bytes())])?;
        record.on(setup.isa, "rows", || 1);
        // SAFETY: the caller's promise; outputs overlap nothing.
        unsafe {
            let (y, targets) = (y.view(), goal.get());
            let got = match delta {
                Some(delta) => loss.value_and_delta(setup.isa, y, targets, delta.view_mut())?,
                None => loss.value(setup.isa, y, targets)?,
            };
            value.slice_mut()[0] = got;
        }
        Ok(())
    })
}
