//! Networks, plans, and their calls in the caller's memory.
//!
//! A workspace is a piece of the caller's memory, of any alignment. Its first cache line is a header, which says for
//! which plan and which address it was made, whether a call is using it, and which forward pass it keeps; the plan's own
//! memory follows. So a workspace of another plan, one that was moved or never initialised, and two calls at once in
//! the same are refused.

use crate::{
    call::call,
    dense::{In, Out},
    elem::Elem,
    loss::{Given, Goal, Named},
    operand::{Bytes, array, disjoint, matrix, optional},
    options::{Setup, activation, init, keep, nablas_options, setup, usual_parameter},
    status::{Fail, Result, fail, nablas_status as Status, remember},
    threads,
};
use nablas::{Loss, Mlp, Plan, PlanOptions, Workspace};
use std::{
    ffi::{CString, c_void},
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

/// A network of `float`: its widths and activations. The parameters are the caller's.
#[derive(Debug)]
pub struct nablas_smlp(pub(crate) Mlp<f32>);

/// A network of `double`: its widths and activations. The parameters are the caller's.
#[derive(Debug)]
pub struct nablas_dmlp(pub(crate) Mlp<f64>);

/// How the calls of a network of `float` are done. Any number of threads may use one at a time, each with a workspace
/// of its own.
#[derive(Debug)]
pub struct nablas_splan(pub(crate) Planned<f32>);

/// How the calls of a network of `double` are done. Any number of threads may use one at a time, each with a workspace
/// of its own.
#[derive(Debug)]
pub struct nablas_dplan(pub(crate) Planned<f64>);

/// A plan, and what the calls of C need besides.
#[derive(Debug)]
pub(crate) struct Planned<T: Elem> {
    plan: Plan<T>,
    setup: Setup,
    /// No other plan of this process has it.
    id: u64,
    path: &'static str,
    explanation: CString,
}

/// What a workspace starts with.
#[repr(C, align(64))]
struct Header {
    magic: u64,
    plan: u64,
    here: u64,
    /// 1 while a call uses the workspace.
    busy: AtomicU64,
    /// Rows of the forward pass that is kept, plus one; 0 for none.
    kept: AtomicU64,
}

const LINE: usize = size_of::<Header>();
const MAGIC: u64 = u64::from_le_bytes(*b"nablasws");

/// A workspace in use.
struct Lease<'a, T> {
    header: &'a Header,
    workspace: Workspace<T>,
    bytes: Bytes,
}

impl<T> Drop for Lease<'_, T> {
    fn drop(&mut self) {
        self.header.busy.store(0, Ordering::Release);
    }
}

impl<T: Elem> Lease<'_, T> {
    /// Runs `work` in the workspace. If it panics, the workspace keeps no forward pass.
    fn run(
        mut self,
        record: &mut crate::call::Record,
        planned: &Planned<T>,
        batch: usize,
        work: impl FnOnce(&Plan<T>, &mut Workspace<T>) -> nablas::Result<()> + Send,
    ) -> Result<()> {
        let tasks = planned.plan.tasks(batch);
        record.on(planned.setup.isa, planned.path, tasks);
        self.header.kept.store(0, Ordering::Relaxed);
        let workspace = &mut self.workspace;
        let done = threads::run(planned.setup.threads, tasks, || work(&planned.plan, workspace));
        let kept = self.workspace.kept().map_or(0, |rows| rows as u64 + 1);
        self.header.kept.store(kept, Ordering::Relaxed);
        Ok(done??)
    }
}

/// A network of `layers` layers.
///
/// # Safety
/// `widths` has `layers` + 1 elements, `activations` has `layers`, `parameters` has as many or is NULL.
pub(crate) unsafe fn mlp<T: Elem>(
    layers: usize,
    widths: *const usize,
    activations: *const i32,
    parameters: *const T,
) -> Result<Mlp<T>> {
    let widths = array("the widths", widths, layers.saturating_add(1))?;
    let activations = array("the activations", activations, layers)?;
    let parameters = optional("the activations' parameters", parameters, (1, layers), layers)?;
    // SAFETY: the caller's promise.
    let (widths, activations, parameters) =
        unsafe { (widths.slice(), activations.slice(), parameters.map(|p| p.slice())) };
    let mut builder = Mlp::builder(widths[0]);
    for (l, (width, kind)) in widths[1..].iter().zip(activations).enumerate() {
        let parameter = parameters.map_or_else(|| T::from_f64(usual_parameter(*kind)), |p| p[l]);
        builder = builder.layer(*width, activation(*kind, parameter)?);
    }
    Ok(builder.build()?)
}

/// `weights` and `bias` ← where W and b of a layer start.
///
/// # Safety
/// Both are NULL or writable.
pub(crate) unsafe fn offsets<T: Elem>(
    mlp: &Mlp<T>,
    layer: usize,
    weights: *mut usize,
    bias: *mut usize,
) -> Result<()> {
    let (w, b) = (mlp.weights_range(layer)?.start, mlp.bias_range(layer)?.start);
    let (weights, bias) = (array("the weights' offset", weights, 1)?, array("the bias' offset", bias, 1)?);
    disjoint(&[Some(weights.bytes()), Some(bias.bytes())], &[])?;
    // SAFETY: the caller's promise; not NULL, aligned, apart.
    unsafe { (weights.slice_mut()[0], bias.slice_mut()[0]) = (w, b) };
    Ok(())
}

/// Fills the parameters of a network.
///
/// # Safety
/// `params` is NULL or has the network's parameters.
pub(crate) unsafe fn initialise<T: Elem>(
    mlp: &Mlp<T>,
    (kind, omega): (i32, f64),
    seed: u64,
    params: *mut T,
) -> Result<()> {
    let init = init(kind, omega)?;
    let params = array("the parameters", params, mlp.param_len())?;
    // SAFETY: the caller's promise.
    Ok(init.fill(mlp, unsafe { params.slice_mut() }, seed)?)
}

impl<T: Elem> Planned<T> {
    /// Plans a network.
    ///
    /// # Safety
    /// `options` is NULL or points to options.
    pub(crate) unsafe fn new(
        mlp: &Mlp<T>,
        max_batch: usize,
        what: i32,
        options: *const nablas_options,
    ) -> Result<Self> {
        static PLANS: AtomicU64 = AtomicU64::new(1);
        // SAFETY: the caller's promise.
        let setup = unsafe { setup(options)? };
        let options = PlanOptions::new(max_batch).threads(setup.threads).isa(setup.isa).keep(keep(what)?);
        let plan = Plan::new(mlp, &options)?;
        let explanation = plan.explain();
        let path = ["fused", "narrow"].into_iter().find(|p| explanation.starts_with(p)).unwrap_or("layered");
        let explanation = CString::new(explanation).unwrap_or_default();
        let planned = Self { plan, setup, id: PLANS.fetch_add(1, Ordering::Relaxed), path, explanation };
        planned.workspace_bytes()?;
        Ok(planned)
    }

    /// Which path the plan chose, and why.
    pub(crate) fn explanation(&self) -> *const std::ffi::c_char {
        self.explanation.as_ptr()
    }

    /// Bytes of a workspace: the plan's, a header, and what it takes to start on a cache line.
    pub(crate) fn workspace_bytes(&self) -> Result<usize> {
        let bytes = self.plan.workspace_bytes().checked_add(2 * LINE).filter(|b| *b <= isize::MAX as usize);
        bytes.ok_or(Fail { status: Status::Overflow, text: "a workspace exceeds the address space".into() })
    }

    /// The header of a workspace, whatever it holds.
    fn header(&self, work: *mut c_void, bytes: usize) -> Result<*mut Header> {
        if work.is_null() {
            return fail(Status::Null, "the workspace: NULL");
        }
        let expected = self.workspace_bytes()?;
        if bytes < expected || work.addr().checked_add(bytes).is_none() {
            return fail(
                Status::Workspace,
                format_args!("the workspace: expected at least {expected} bytes, got {bytes}"),
            );
        }
        let skip = work.cast::<u8>().align_offset(LINE);
        Ok(work.wrapping_byte_add(skip).cast())
    }

    /// Makes a workspace of the caller's memory: zeros behind a header.
    ///
    /// # Safety
    /// `work` is NULL or has `bytes` writable bytes that nothing else accesses.
    pub(crate) unsafe fn init(&self, work: *mut c_void, bytes: usize) -> Result<()> {
        let header = self.header(work, bytes)?;
        let fresh = Header {
            magic: MAGIC,
            plan: self.id,
            here: header.addr() as u64,
            busy: AtomicU64::new(0),
            kept: AtomicU64::new(0),
        };
        // SAFETY: the memory has room for the header, on a cache line, and for the plan's bytes behind it.
        unsafe {
            header.write(fresh);
            ptr::write_bytes(header.add(1).cast::<u8>(), 0, self.plan.workspace_bytes());
        }
        Ok(())
    }

    /// Takes a workspace for a call.
    ///
    /// # Safety
    /// `work` is NULL or has `bytes` readable and writable bytes, which nothing but calls of plans accesses.
    unsafe fn lease<'a>(&self, work: *mut c_void, bytes: usize) -> Result<Lease<'a, T>> {
        let at = self.header(work, bytes)?;
        // SAFETY: the memory has room for a header on a cache line; what a call changes in it is atomic.
        let header = unsafe { &*at };
        if (header.magic, header.plan, header.here) != (MAGIC, self.id, at.addr() as u64) {
            return fail(
                Status::Workspace,
                "the workspace was not initialised for this plan at this address: call workspace_init",
            );
        }
        // What lies behind is the caller's.
        let needed = array("the workspace", work.cast::<u8>(), self.workspace_bytes()?)?.bytes();
        if header.busy.swap(1, Ordering::Acquire) != 0 {
            return fail(Status::Busy, "the workspace is in use by another thread");
        }
        let kept = (header.kept.load(Ordering::Relaxed) as usize).checked_sub(1);
        // SAFETY: the plan's bytes follow the header on a cache line, initialised; `busy` makes this use the only one. What
        // is kept is of this plan and this memory.
        let workspace = unsafe { self.plan.workspace_at(at.wrapping_add(1).cast(), kept) };
        Ok(Lease { header, workspace, bytes: needed })
    }

    fn sizes(&self, batch: usize) -> [usize; 3] {
        [batch, self.plan.mlp().inputs(), self.plan.mlp().outputs()]
    }

    /// Y ← A_L.
    ///
    /// # Safety
    /// Each pointer is NULL or valid for its operand, as `nablas.h` says.
    pub(crate) unsafe fn forward(
        &self,
        batch: usize,
        params: *const T,
        x: In<T>,
        y: Out<T>,
        work: (*mut c_void, usize),
    ) -> Status {
        let sizes @ [_, inputs, outputs] = self.sizes(batch);
        call::<T>("plan_forward", sizes, |record| {
            let params = array("the parameters", params, self.plan.mlp().param_len())?;
            let x = matrix("X", x.0, (batch, inputs), x.1)?;
            let y = matrix("Y", y.0, (batch, outputs), y.1)?;
            // SAFETY: the caller's promise.
            let lease = unsafe { self.lease(work.0, work.1)? };
            disjoint(&[Some(lease.bytes), Some(y.bytes())], &[Some(params.bytes()), Some(x.bytes())])?;
            // SAFETY: the caller's promise; outputs overlap nothing.
            let (params, x, y) = unsafe { (params.slice(), x.view(), y.view_mut()) };
            lease.run(record, self, batch, |plan, ws| plan.forward(params, x, y, ws))
        })
    }

    /// The gradient after [`forward`](Self::forward).
    ///
    /// # Safety
    /// As for [`forward`](Self::forward).
    pub(crate) unsafe fn backward(
        &self,
        batch: usize,
        params: *const T,
        x: In<T>,
        dy: In<T>,
        grads: *mut T,
        dx: Out<T>,
        work: (*mut c_void, usize),
    ) -> Status {
        let sizes @ [_, inputs, outputs] = self.sizes(batch);
        call::<T>("plan_backward", sizes, |record| {
            let len = self.plan.mlp().param_len();
            let (params, grads) = (array("the parameters", params, len)?, array("the gradient", grads, len)?);
            let x = matrix("X", x.0, (batch, inputs), x.1)?;
            let dy = matrix("dY", dy.0, (batch, outputs), dy.1)?;
            let dx = optional("dX", dx.0, (batch, inputs), dx.1)?;
            // SAFETY: the caller's promise.
            let lease = unsafe { self.lease(work.0, work.1)? };
            let write = [Some(lease.bytes), Some(grads.bytes()), dx.map(|d| d.bytes())];
            disjoint(&write, &[Some(params.bytes()), Some(x.bytes()), Some(dy.bytes())])?;
            // SAFETY: the caller's promise; outputs overlap nothing.
            let (params, x, dy, grads, dx) = unsafe {
                let dx = dx.map(|d| d.view_mut());
                (params.slice(), x.view(), dy.view(), grads.slice_mut(), dx)
            };
            lease.run(record, self, batch, |plan, ws| plan.backward(params, x, dy, grads, dx, ws))
        })
    }

    /// Forward and backward in one pass.
    ///
    /// # Safety
    /// As for [`forward`](Self::forward).
    pub(crate) unsafe fn vjp(
        &self,
        batch: usize,
        params: *const T,
        x: In<T>,
        dy: In<T>,
        y: Out<T>,
        grads: *mut T,
        dx: Out<T>,
        work: (*mut c_void, usize),
    ) -> Status {
        let sizes @ [_, inputs, outputs] = self.sizes(batch);
        call::<T>("plan_vjp", sizes, |record| {
            let len = self.plan.mlp().param_len();
            let (params, grads) = (array("the parameters", params, len)?, array("the gradient", grads, len)?);
            let x = matrix("X", x.0, (batch, inputs), x.1)?;
            let dy = matrix("dY", dy.0, (batch, outputs), dy.1)?;
            let y = optional("Y", y.0, (batch, outputs), y.1)?;
            let dx = optional("dX", dx.0, (batch, inputs), dx.1)?;
            // SAFETY: the caller's promise.
            let lease = unsafe { self.lease(work.0, work.1)? };
            let write = [Some(lease.bytes), Some(grads.bytes()), y.map(|y| y.bytes()), dx.map(|d| d.bytes())];
            disjoint(&write, &[Some(params.bytes()), Some(x.bytes()), Some(dy.bytes())])?;
            // SAFETY: the caller's promise; outputs overlap nothing.
            let (params, x, dy, y, grads, dx) = unsafe {
                let (y, dx) = (y.map(|y| y.view_mut()), dx.map(|d| d.view_mut()));
                (params.slice(), x.view(), dy.view(), y, grads.slice_mut(), dx)
            };
            lease.run(record, self, batch, |plan, ws| plan.vjp(params, x, dy, y, grads, dx, ws))
        })
    }

    /// The loss and its gradient.
    ///
    /// # Safety
    /// As for [`forward`](Self::forward).
    pub(crate) unsafe fn value_and_grad(
        &self,
        batch: usize,
        params: *const T,
        x: In<T>,
        loss: Named<T>,
        targets: In<T>,
        classes: *const u32,
        value: *mut T,
        grads: *mut T,
        work: (*mut c_void, usize),
    ) -> Status {
        let sizes @ [_, inputs, outputs] = self.sizes(batch);
        call::<T>("plan_value_and_grad", sizes, |record| {
            let len = self.plan.mlp().param_len();
            let loss = Loss::try_from(Given(loss))?;
            let (params, grads) = (array("the parameters", params, len)?, array("the gradient", grads, len)?);
            let x = matrix("X", x.0, (batch, inputs), x.1)?;
            let goal = Goal::new(targets, classes, (batch, outputs))?;
            let value = array("the value", value, 1)?;
            // SAFETY: the caller's promise.
            let lease = unsafe { self.lease(work.0, work.1)? };
            let write = [Some(lease.bytes), Some(grads.bytes()), Some(value.bytes())];
            disjoint(&write, &[Some(params.bytes()), Some(x.bytes()), Some(goal.bytes())])?;
            // SAFETY: the caller's promise; outputs overlap nothing.
            let (params, x, targets, grads, value) = unsafe {
                (params.slice(), x.view(), goal.get(), grads.slice_mut(), &mut value.slice_mut()[0])
            };
            lease.run(record, self, batch, |plan, ws| {
                *value = plan.value_and_grad(params, x, &loss, targets, grads, ws)?;
                Ok(())
            })
        })
    }
}

/// `out` ← a handle of a new object.
///
/// # Safety
/// `out` is NULL or writable.
pub(crate) unsafe fn create<O>(out: *mut *mut O, make: impl FnOnce() -> Result<O>) -> Status {
    crate::call::guard(|| {
        let out = array("the handle's address", out, 1)?;
        let object = Box::new(make()?);
        // SAFETY: the caller's promise; not NULL, aligned.
        unsafe { out.slice_mut()[0] = Box::into_raw(object) };
        Ok(())
    })
}

/// Frees what [`create`] made; NULL is nothing.
///
/// # Safety
/// `object` is NULL or a handle that was not destroyed before, and nothing uses it.
pub(crate) unsafe fn destroy<O>(object: *mut O) {
    if !object.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(object) });
    }
}

/// What a handle stands for.
///
/// # Safety
/// `object` is NULL or a handle that is not destroyed during `'a`.
pub(crate) unsafe fn object<'a, O>(what: &str, object: *const O) -> Result<&'a O> {
    // SAFETY: the caller's promise.
    unsafe { object.as_ref() }.ok_or_else(|| Fail { status: Status::Null, text: format!("{what}: NULL") })
}

/// `out` ← a number.
///
/// # Safety
/// `out` is NULL or writable.
pub(crate) unsafe fn put<V>(what: &'static str, out: *mut V, value: V) -> Result<()> {
    let out = array(what, out, 1)?;
    // SAFETY: the caller's promise; not NULL, aligned.
    unsafe { out.slice_mut()[0] = value };
    Ok(())
}

/// What a handle stands for, or the status to return at once.
///
/// # Safety
/// As for [`object`].
pub(crate) unsafe fn handle<'a, O>(what: &str, handle: *const O) -> std::result::Result<&'a O, Status> {
    // SAFETY: the caller's promise.
    unsafe { object(what, handle) }.map_err(|fail| {
        remember(fail.text);
        fail.status
    })
}
