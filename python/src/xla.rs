//! What `nablas.jax` calls: handlers of XLA's custom calls, run by a thread of XLA's without the interpreter. Members
//! of a team may come to help; the pool of XLA is never waited for.
//!
//! Operands may have more axes in front, the same on all or of length 1, as `vmap` makes them: the call is then one for
//! each index of them, or a single larger one where the parameters are shared and no state is kept.

use crate::{
    array::{Matrix, Vector},
    cache::{Cached, Name, Net},
    failure::Failure,
    state::{kept, with_state},
    typed::{Dtype, Elem},
    xla_abi::{Answer, Buffer, F32, F64, Frame},
};
use pyo3::{
    prelude::*,
    types::{PyCapsule, PyDict},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

/// Why a call has not been made, in words.
type Done = Result<(), String>;

/// A buffer as an operand: axes in front, and then its own.
struct Operand<'a, T> {
    what: &'static str,
    at: *mut T,
    front: &'a [i64],
    own: &'a [i64],
}

impl<'a, T: Elem> Operand<'a, T> {
    fn new(what: &'static str, buffer: Option<&'a Buffer>, axes: usize) -> Result<Self, String> {
        let buffer = buffer.ok_or_else(|| format!("{what}: missing"))?;
        let expected = if T::DTYPE == Dtype::F32 { F32 } else { F64 };
        if buffer.dtype != expected {
            return Err(format!("{what}: expected elements of {}", T::DTYPE.name()));
        }
        let dims = buffer.dims();
        let front = dims.len().checked_sub(axes).ok_or_else(|| format!("{what}: expected {axes} axes"))?;
        let at = buffer.data.cast::<T>();
        if !at.is_aligned() || (at.is_null() && !dims.contains(&0)) {
            return Err(format!("{what}: a misaligned address"));
        }
        let (front, own) = dims.split_at(front);
        Ok(Self { what, at, front, own })
    }

    /// Elements behind the axes in front.
    fn size(&self) -> usize {
        self.own.iter().product::<i64>() as usize
    }

    /// Refuses axes in front that do not go with those of a result.
    fn goes_with(&self, all: &[i64]) -> Done {
        let fits =
            self.front.len() == all.len() && self.front.iter().zip(all).all(|(n, m)| *n == 1 || n == m);
        if fits {
            Ok(())
        } else {
            Err(format!("{}: expected {all:?} axes in front, got {:?}", self.what, self.front))
        }
    }

    /// The part of index `n` of the axes in front of a result.
    fn part(&self, all: &[i64], n: usize) -> Vector<T> {
        let (mut at, mut step, mut rest) = (0, 1, n as i64);
        for (own, len) in self.front.iter().zip(all).rev() {
            if *own != 1 {
                at += rest % len * step;
                step *= own;
            }
            rest /= len;
        }
        let (what, len) = (self.what, self.size());
        Vector { what, ptr: self.at.wrapping_add(at as usize * len), len }
    }

    /// That part of it as a matrix, of `times` as many rows.
    fn matrix(&self, all: &[i64], n: usize, times: usize) -> Matrix<T> {
        let (rows, cols) = (self.own[0] as usize * times, self.own[1] as usize);
        let ptr = self.part(all, n).ptr;
        Matrix { what: self.what, ptr, rows, cols, row_stride: cols as isize, col_stride: 1 }
    }
}

/// The network that a call names.
fn network<T: Cached>(frame: &Frame, batch: usize) -> Result<std::sync::Arc<Net<T>>, String> {
    let activations = frame.text("activations").ok_or("the attribute activations is missing")?;
    let widths = frame.integers("sizes").ok_or("the attribute sizes is missing")?;
    let widths: Vec<usize> = widths.iter().map(|n| usize::try_from(*n).unwrap_or(0)).collect();
    Net::of(Name { activations, widths: &widths }, batch).map_err(|failure| failure.words())
}

/// y, and the state if it is a result, of the parameters and x.
fn forward<T: Cached>(frame: &Frame) -> Done {
    let params = Operand::<T>::new("params", frame.argument(0), 1)?;
    let x = Operand::<T>::new("x", frame.argument(1), 2)?;
    let y = Operand::<T>::new("y", frame.result(0), 2)?;
    let state =
        (frame.results() > 1).then(|| Operand::<T>::new("the state", frame.result(1), 1)).transpose()?;
    let (all, rows) = (y.front, x.own[0] as usize);
    params.goes_with(all)?;
    x.goes_with(all)?;
    let count = all.iter().product::<i64>() as usize;
    if count == 0 {
        return Ok(());
    }
    let one = state.is_none() && params.front.iter().all(|n| *n == 1) && x.front == all;
    let (calls, times) = if one { (1, count) } else { (count, 1) };
    let net = network::<T>(frame, rows * times)?;
    if let Some(state) = &state {
        state.goes_with(all)?;
        length(state, net.state_len(rows).map_err(|f| f.words())?)?;
    }
    (0..calls).try_for_each(|n| {
        // SAFETY: XLA keeps the buffers during the call; it gives results memory of their own, and each index its part.
        let (params, from, to) = unsafe {
            (params.part(all, n).slice(), x.matrix(all, n, times).view(), y.matrix(all, n, times).view_mut())
        };
        made(net.planned.with(|plan, ws| {
            let Some(state) = &state else { return plan.forward(params, from, to, None, ws) };
            // SAFETY: as above; the state is as long as it must be.
            unsafe {
                with_state(&net, state.part(all, n), true, |at| {
                    plan.forward(params, from, to, Some(&mut kept(plan, at, rows, false)?), ws)
                })
            }
        }))
    })
}

/// The gradient, and ∂L/∂X if it is a result, of the parameters, x, the state and ∂L/∂Y.
fn backward<T: Cached>(frame: &Frame) -> Done {
    let params = Operand::<T>::new("params", frame.argument(0), 1)?;
    let x = Operand::<T>::new("x", frame.argument(1), 2)?;
    let state = Operand::<T>::new("the state", frame.argument(2), 1)?;
    let dy = Operand::<T>::new("dy", frame.argument(3), 2)?;
    let grads = Operand::<T>::new("the gradient", frame.result(0), 1)?;
    let dx = (frame.results() > 1).then(|| Operand::<T>::new("dx", frame.result(1), 2)).transpose()?;
    let (all, rows) = (grads.front, x.own[0] as usize);
    for operand in [&params, &x, &state, &dy].into_iter().chain(&dx) {
        operand.goes_with(all)?;
    }
    let net = network::<T>(frame, rows)?;
    length(&state, net.state_len(rows).map_err(|f| f.words())?)?;
    (0..all.iter().product::<i64>() as usize).try_for_each(|n| {
        // SAFETY: as in `forward`.
        let (params, x, dy, grads, dx) = unsafe {
            let dx = dx.as_ref().map(|dx| dx.matrix(all, n, 1).view_mut());
            let (x, dy) = (x.matrix(all, n, 1).view(), dy.matrix(all, n, 1).view());
            (params.part(all, n).slice(), x, dy, grads.part(all, n).slice_mut(), dx)
        };
        made(net.planned.with(|plan, ws| {
            // SAFETY: as above; the state is as long as it must be.
            unsafe {
                with_state(&net, state.part(all, n), false, |at| {
                    plan.backward(params, x, dy, grads, dx, &kept(plan, at, rows, true)?, ws)
                })
            }
        }))
    })
}

fn length<T: Elem>(state: &Operand<'_, T>, expected: usize) -> Done {
    if state.size() == expected {
        return Ok(());
    }
    Err(format!("{}: expected {expected} elements, got {}", state.what, state.size()))
}

fn made(done: Result<(), Failure>) -> Done {
    done.map_err(|failure| failure.words())
}

/// A call of XLA's: answered, or made by the function for the type of its first argument.
///
/// # Safety
/// `frame` is a call frame of XLA's.
unsafe fn handle(frame: *mut Frame, [single, double]: [fn(&Frame) -> Done; 2]) -> Answer {
    // SAFETY: the caller's promise.
    if unsafe { Frame::introduce(frame) } {
        return ptr::null_mut();
    }
    // SAFETY: the caller's promise.
    let frame = unsafe { &*frame };
    let call = || match frame.argument(0).map(|params| params.dtype) {
        Some(F32) => single(frame),
        Some(F64) => double(frame),
        _ => Err("params: expected elements of float32 or float64".to_owned()),
    };
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(())) => ptr::null_mut(),
        Ok(Err(words)) => frame.refuse(&format!("nablas: {words}")),
        Err(_) => frame.refuse("a defect of nablas: a panic"),
    }
}

/// # Safety
/// `frame` is a call frame of XLA's.
unsafe extern "C" fn forward_handler(frame: *mut Frame) -> Answer {
    // SAFETY: the caller's promise.
    unsafe { handle(frame, [forward::<f32>, forward::<f64>]) }
}

/// # Safety
/// As for [`forward_handler`].
unsafe extern "C" fn backward_handler(frame: *mut Frame) -> Answer {
    // SAFETY: the caller's promise.
    unsafe { handle(frame, [backward::<f32>, backward::<f64>]) }
}

/// Refuses every call: what other platforms run.
///
/// # Safety
/// As for [`forward_handler`].
unsafe extern "C" fn elsewhere_handler(frame: *mut Frame) -> Answer {
    let refuse: fn(&Frame) -> Done =
        |_| Err("expected operands on a CPU: nablas.jax runs on CPUs alone".to_owned());
    // SAFETY: the caller's promise.
    unsafe { handle(frame, [refuse, refuse]) }
}

type Handler = unsafe extern "C" fn(*mut Frame) -> Answer;

/// The handlers, by name, as capsules that `jax.ffi.register_ffi_target` takes; "elsewhere" is for other platforms.
#[pyfunction]
fn xla_handlers(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let handlers = PyDict::new(py);
    let all: [(&str, Handler); 3] = [
        ("nablas_mlp_forward", forward_handler),
        ("nablas_mlp_backward", backward_handler),
        ("elsewhere", elsewhere_handler),
    ];
    for (name, handler) in all {
        // SAFETY: the address of a function, which stays; XLA looks for a capsule without a name.
        let capsule =
            unsafe { pyo3::ffi::PyCapsule_New(handler as *mut std::ffi::c_void, ptr::null(), None) };
        // SAFETY: a new reference, or null with an exception.
        let capsule = unsafe { Bound::from_owned_ptr_or_err(py, capsule)? }.cast_into::<PyCapsule>()?;
        handlers.set_item(name, capsule)?;
    }
    Ok(handlers)
}

/// Adds what is here to the module.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(xla_handlers, m)?)
}
