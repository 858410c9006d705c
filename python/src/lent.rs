//! Tensors in memory that comes back: the state of a large batch, which the system would else map anew for each step, a
//! page at a time.
//!
//! PyTorch takes the memory through DLPack, with a function that it calls when the last tensor on it is gone. That puts it
//! on the shelf of its network, for the next forward pass.

use crate::{
    cache::{Line, Net},
    tensor::{CPU, Dl, FLOAT, MAJOR, Torch},
    typed::Elem,
};
use pyo3::prelude::*;
use std::{ffi::c_void, ptr, sync::Arc};

/// Bytes from which on memory is lent: what is smaller stays with the allocator from one step to the next.
const LARGE: usize = 1 << 16;
/// Bytes up to which memory waits for the next step: a network keeps at most four such pieces.
const MOST: usize = 1 << 28;

/// DLPack's tensor with an owner.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Managed {
    version: [u32; 2],
    owner: *mut c_void,
    delete: Option<unsafe extern "C" fn(*mut Managed)>,
    flags: u64,
    tensor: Dl,
}

/// Memory for a state, by its capacity.
#[derive(Debug, Default)]
pub(crate) struct Room(Vec<Line>);

/// What the owner's address leads to: all that a tensor is made of.
#[derive(Debug)]
struct Lent<T: Elem> {
    managed: Managed,
    shape: [i64; 1],
    strides: [i64; 1],
    room: Box<Room>,
    net: Arc<Net<T>>,
}

/// Takes back what was lent.
///
/// # Safety
/// The tensor is one that [`state`] made of this element type, and nobody uses it again.
unsafe extern "C" fn take_back<T: Elem>(tensor: *mut Managed) {
    // SAFETY: the owner is the address of a box that was let go for this; the caller's promise.
    let lent = unsafe { Box::from_raw((*tensor).owner.cast::<Lent<T>>()) };
    let Lent { room, net, .. } = *lent;
    if room.0.capacity() * size_of::<Line>() <= MOST {
        net.states.put(room);
    }
}

/// A new tensor of `len` elements without values that matter, on a cache line; lent, if it is large.
pub(crate) fn state<'py, T: Elem>(
    torch: &Torch,
    py: Python<'py>,
    net: &Arc<Net<T>>,
    len: usize,
) -> PyResult<Bound<'py, PyAny>> {
    // What is small, and what cannot be had, is PyTorch's: the words of its error, too.
    let own = || torch.empty(py, &[len], T::DTYPE);
    let Some(bytes) = len.checked_mul(size_of::<T>()).filter(|bytes| *bytes >= LARGE) else {
        return own();
    };
    let mut room = net.states.take().unwrap_or_default();
    let wanted = bytes.div_ceil(size_of::<Line>());
    if room.0.capacity() < wanted {
        // What it held goes first. Room alone: the call writes what is read, and its gaps hold what they may.
        *room = Room::default();
        if room.0.try_reserve_exact(wanted).is_err() {
            return own();
        }
    }
    let tensor = Dl {
        data: room.0.as_mut_ptr().cast(),
        device_type: CPU,
        device_id: 0,
        ndim: 1,
        code: FLOAT,
        bits: 8 * size_of::<T>() as u8,
        lanes: 1,
        shape: ptr::null(),
        strides: ptr::null(),
        byte_offset: 0,
    };
    let managed = Managed {
        version: [MAJOR, 0],
        owner: ptr::null_mut(),
        delete: Some(take_back::<T>),
        flags: 0,
        tensor,
    };
    let lent = Lent { managed, shape: [len as i64], strides: [1], room, net: Arc::clone(net) };
    let lent = Box::into_raw(Box::new(lent));
    // SAFETY: it is alive, and this its only address.
    let managed = unsafe {
        (*lent).managed.tensor.shape = (&raw const (*lent).shape).cast();
        (*lent).managed.tensor.strides = (&raw const (*lent).strides).cast();
        (*lent).managed.owner = lent.cast();
        &raw mut (*lent).managed
    };
    // SAFETY: a tensor as DLPack has it, whose memory is its own until it calls `take_back`.
    unsafe { torch.adopt(py, managed) }
}
