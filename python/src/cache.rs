//! Plans for calls that hold none: of frameworks, which hand over a network's sizes and addresses anew each time.
//!
//! A network is named by its activations and widths; what was planned for it is kept with the workspaces of its calls,
//! for the few networks and sizes of batches that were used last. There is no lock that a fork could leave behind: the
//! list is one address, which a call takes out and puts back. Who finds none waits a little, and then begins another.

use crate::{failure::Failure, lent::Room, planned::Planned, shelf::Shelf, threads, typed::Elem};
use nablas::{Activation, Error, Mlp, Plan};
use std::{
    ptr,
    sync::{
        Arc,
        atomic::{AtomicPtr, Ordering},
    },
    thread,
};

/// A network as a call names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name<'a> {
    /// Of each layer, with commas between them.
    pub(crate) activations: &'a str,
    /// n_0 … n_L.
    pub(crate) widths: &'a [usize],
}

/// A network's plan for batches up to a size, and what its calls need besides.
#[derive(Debug)]
pub(crate) struct Net<T: Elem> {
    activations: String,
    widths: Vec<usize>,
    capacity: usize,
    threads: usize,
    /// The plan and its workspaces.
    pub(crate) planned: Planned<T>,
    /// Buffers of calls.
    pub(crate) spare: Shelf<Spare<T>>,
    /// Memory of states that is lent to a framework's tensors, and came back.
    pub(crate) states: Shelf<Room>,
}

/// Buffers that calls use between their ends.
#[derive(Debug)]
pub(crate) struct Spare<T> {
    /// A gradient.
    pub(crate) grads: Vec<T>,
    /// Parameters that do not lie together.
    pub(crate) params: Vec<T>,
    /// Classes.
    pub(crate) classes: Vec<u32>,
    /// A state whose place does not start a cache line.
    pub(crate) state: Vec<Line>,
}

impl<T> Default for Spare<T> {
    fn default() -> Self {
        Self { grads: Vec::new(), params: Vec::new(), classes: Vec::new(), state: Vec::new() }
    }
}

/// A cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u8; 64]);

/// Plans that are kept for an element type.
const ROOM: usize = 16;
/// Turns that a call waits for the list.
const PATIENCE: usize = 1000;
/// Above this number of rows plans are made for multiples of it, and below for powers of two.
const ROWS: usize = 4096;

/// Rows that every plan is good for.
const LEAST: usize = 16;

/// A list of plans: null while a call has it.
#[derive(Debug)]
pub(crate) struct Cache<T: Elem>(AtomicPtr<Vec<Arc<Net<T>>>>);

/// An element type with a list of its own.
pub(crate) trait Cached: Elem {
    /// It.
    fn cache() -> &'static Cache<Self>;
}

macro_rules! cached {
    ($($real:ident),*) => {$(
        impl Cached for $real {
            fn cache() -> &'static Cache<Self> {
                static CACHE: Cache<$real> = Cache(AtomicPtr::new(ptr::null_mut()));
                &CACHE
            }
        }
    )*};
}
cached!(f32, f64);

impl<T: Elem> Cache<T> {
    /// Does something with the list.
    fn with<R>(&self, work: impl FnOnce(&mut Vec<Arc<Net<T>>>) -> R) -> R {
        let mut list = self.0.swap(ptr::null_mut(), Ordering::Acquire);
        let mut turns = if list.is_null() { PATIENCE } else { 0 };
        while list.is_null() && turns > 0 {
            thread::yield_now();
            list = self.0.swap(ptr::null_mut(), Ordering::Acquire);
            turns -= 1;
        }
        // SAFETY: a list came from a box below, and the swap has made this its only address.
        let mut list = if list.is_null() { Box::default() } else { unsafe { Box::from_raw(list) } };
        let done = work(&mut list);
        let other = self.0.swap(Box::into_raw(list), Ordering::AcqRel);
        if !other.is_null() {
            // SAFETY: as above.
            drop(unsafe { Box::from_raw(other) });
        }
        done
    }

    /// The plan of a network for batches of `batch` rows.
    pub(crate) fn net(&self, name: Name<'_>, batch: usize) -> nablas::Result<Arc<Net<T>>> {
        let capacity = if batch <= ROWS {
            batch.max(LEAST).next_power_of_two()
        } else {
            batch.checked_next_multiple_of(ROWS).ok_or(Error::Overflow { what: "a batch" })?
        };
        let threads = threads::threads(None)?;
        let fits = |net: &Net<T>| {
            net.capacity == capacity
                && net.threads == threads
                && net.widths == name.widths
                && net.activations == name.activations
        };
        let found = self.with(|list| {
            let at = list.iter().position(|net| fits(net))?;
            let net = list[at].clone();
            // What is used moves up, and what is not falls out at the end.
            list.swap(at, at.saturating_sub(1));
            Some(net)
        });
        if let Some(net) = found {
            return Ok(net);
        }
        let plan = Plan::new(&mlp(name)?, &threads::options(capacity, Some(threads))?)?;
        let net = Arc::new(Net {
            activations: name.activations.to_owned(),
            widths: name.widths.to_owned(),
            capacity,
            threads,
            planned: Planned::new(plan)?,
            spare: Shelf::new(),
            states: Shelf::new(),
        });
        // Dropped where the list is whole again: to free workspaces takes time.
        let dropped = self.with(|list| {
            list.insert(0, net.clone());
            list.split_off(ROOM.min(list.len()))
        });
        drop(dropped);
        Ok(net)
    }
}

/// The network of a name.
fn mlp<T: Elem>(name: Name<'_>) -> nablas::Result<Mlp<T>> {
    let inputs = name.widths.first().copied().unwrap_or(0);
    let (outputs, given) = (name.widths.get(1..).unwrap_or(&[]), name.activations.split(',').count());
    if given != outputs.len() {
        let what = "the activations, one for each layer";
        return Err(Error::Length { what, expected: outputs.len(), got: given });
    }
    let layers = outputs.iter().zip(name.activations.split(','));
    let add = |mlp: nablas::mlp::MlpBuilder<T>, (width, text): (&usize, &str)| {
        let activation = text.parse::<Activation<T>>().map_err(|_| Error::Variable {
            name: "an activation",
            expected: "the name of one",
            got: text.to_owned(),
        })?;
        Ok::<_, Error>(mlp.layer(*width, activation))
    };
    layers.into_iter().try_fold(Mlp::builder(inputs), add)?.build()
}

impl<T: Cached> Net<T> {
    /// The plan of a network for batches of `batch` rows.
    pub(crate) fn of(name: Name<'_>, batch: usize) -> Result<Arc<Self>, Failure> {
        crate::failure::guard(|| T::cache().net(name, batch))
    }

    /// Makes a call with buffers of its own.
    pub(crate) fn with_spare<R>(&self, call: impl FnOnce(&mut Spare<T>) -> R) -> R {
        let mut spare = self.spare.take().unwrap_or_default();
        let done = call(&mut spare);
        self.spare.put(spare);
        done
    }
}
