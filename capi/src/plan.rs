//! Plans, and their calls in the caller's memory.

use crate::{
    call::{Record, call},
    elem::Elem,
    lease::{self, Access, KEPT, Lease, Memory, WORKSPACE},
    loss::{Given, Goal, Named},
    operand::{In, Out, array, disjoint, matrix, optional},
    optim::Optimizer,
    options::{nablas_options, nablas_path, path, setup},
    status::{Result, nablas_status as Status},
};
use nablas::{Kept, Loss, Mlp, Plan, PlanOptions, Workspace};
use std::{
    ffi::{CString, c_char},
    sync::atomic::{AtomicU64, Ordering},
};

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
    /// No other plan of this process has it.
    id: u64,
    path: nablas_path,
    explanation: CString,
}

impl<T: Elem> Planned<T> {
    /// Plans a network.
    ///
    /// # Safety
    /// `options` is NULL or points to options.
    pub(crate) unsafe fn new(mlp: &Mlp<T>, max_batch: usize, options: *const nablas_options) -> Result<Self> {
        static PLANS: AtomicU64 = AtomicU64::new(1);
        // SAFETY: the caller's promise.
        let setup = unsafe { setup(options)? };
        let options = PlanOptions::new(max_batch).threads(setup.threads).isa(setup.isa);
        let options = match setup.team {
            Some(team) => options.team(team),
            None => options,
        };
        let plan = Plan::new(mlp, &options)?;
        let (path, explanation) = (path(plan.path())?, CString::new(plan.explain()).unwrap_or_default());
        let planned = Self { plan, id: PLANS.fetch_add(1, Ordering::Relaxed), path, explanation };
        planned.workspace_bytes()?;
        Ok(planned)
    }

    /// Which path the plan chose.
    pub(crate) fn path(&self) -> nablas_path {
        self.path
    }

    /// Which path the plan chose, and why.
    pub(crate) fn explanation(&self) -> *const c_char {
        self.explanation.as_ptr()
    }

    /// Bytes of a workspace.
    pub(crate) fn workspace_bytes(&self) -> Result<usize> {
        lease::size(&WORKSPACE, self.plan.workspace_bytes())
    }

    /// Bytes of the state of a forward pass of `batch` rows.
    pub(crate) fn kept_bytes(&self, batch: usize) -> Result<usize> {
        lease::size(&KEPT, self.kept_inner(batch)?)
    }

    /// The plan's own part of them, which cannot overflow.
    fn kept_inner(&self, batch: usize) -> Result<usize> {
        Ok(self.plan.kept_len(batch)? * size_of::<T>())
    }

    /// Makes a workspace of the caller's memory.
    ///
    /// # Safety
    /// The memory is NULL or writable over its bytes, and nothing else accesses it.
    pub(crate) unsafe fn init(&self, work: Memory) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { lease::init(&WORKSPACE, self.id, 0, self.plan.workspace_bytes(), work) }
    }

    /// Makes room for the state of a forward pass of at most `batch` rows of the caller's memory.
    ///
    /// # Safety
    /// As for [`init`](Self::init).
    pub(crate) unsafe fn init_kept(&self, batch: usize, kept: Memory) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { lease::init(&KEPT, self.id, batch, self.kept_inner(batch)?, kept) }
    }

    /// Takes a workspace for a call.
    ///
    /// # Safety
    /// The memory is NULL or readable and writable over its bytes, and nothing but calls of plans accesses it.
    unsafe fn workspace<'a>(&self, work: Memory) -> Result<(Lease<'a>, Workspace<T>)> {
        let inner = |_| Ok(self.plan.workspace_bytes());
        // SAFETY: the caller's promise.
        let lease = unsafe { Lease::new(&WORKSPACE, self.id, inner, work, Access::Write)? };
        // SAFETY: the plan's bytes start a cache line and are initialised; the lease makes this use the only one.
        let workspace = unsafe { self.plan.workspace_at(lease.memory().cast()) };
        Ok((lease, workspace))
    }

    /// Takes a kept state for a call.
    ///
    /// # Safety
    /// As for [`workspace`](Self::workspace).
    unsafe fn kept<'a>(&self, kept: Memory, access: Access) -> Result<(Lease<'a>, Kept<T>)> {
        let inner = |room| self.kept_inner(room);
        // SAFETY: the caller's promise.
        let lease = unsafe { Lease::new(&KEPT, self.id, inner, kept, access)? };
        // SAFETY: as in `workspace`, but for others that read, in which nothing is written; what the header says of the
        // state is so of this plan and this memory.
        let state = unsafe { self.plan.kept_at(lease.memory().cast(), lease.room(), lease.rows())? };
        Ok((lease, state))
    }

    /// Says what a call runs on.
    fn show(&self, record: &mut Record, batch: usize) {
        record.on(self.plan.isa(), self.plan.path().name(), || self.plan.members(batch));
    }

    fn sizes(&self, batch: usize) -> [usize; 3] {
        [batch, self.plan.mlp().inputs(), self.plan.mlp().outputs()]
    }

    /// Y ← A_L; what [`backward`](Self::backward) needs goes to `kept`, unless that is NULL.
    ///
    /// # Safety
    /// Each pointer is NULL or valid for its operand, as `nablas.h` says.
    pub(crate) unsafe fn forward(
        &self,
        batch: usize,
        params: *const T,
        x: In<T>,
        y: Out<T>,
        kept: Memory,
        work: Memory,
    ) -> Status {
        let sizes @ [_, inputs, outputs] = self.sizes(batch);
        call::<T>("plan_forward", sizes, |record| {
            let params = array("the parameters", params, self.plan.mlp().param_len())?;
            let x = matrix("X", x.0, (batch, inputs), x.1)?;
            let y = matrix("Y", y.0, (batch, outputs), y.1)?;
            // SAFETY: the caller's promise.
            let (lease, mut ws) = unsafe { self.workspace(work)? };
            // SAFETY: the caller's promise.
            let kept = (!kept.0.is_null()).then(|| unsafe { self.kept(kept, Access::Write) }).transpose()?;
            let write = [Some(lease.bytes()), kept.as_ref().map(|(k, _)| k.bytes()), Some(y.bytes())];
            disjoint(&write, &[Some(params.bytes()), Some(x.bytes())])?;
            self.show(record, batch);
            // SAFETY: the caller's promise; outputs overlap nothing.
            let (params, x, y) = unsafe { (params.slice(), x.view(), y.view_mut()) };
            let Some((kept, mut state)) = kept else {
                return Ok(self.plan.forward(params, x, y, None, &mut ws)?);
            };
            // If the call panics, there is no state; if it refuses, the one of before.
            kept.set_rows(None);
            let done = self.plan.forward(params, x, y, Some(&mut state), &mut ws);
            kept.set_rows(state.batch());
            Ok(done?)
        })
    }

    /// The gradient from the state that a [`forward`](Self::forward) left.
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
        kept: Memory,
        work: Memory,
    ) -> Status {
        let sizes @ [_, inputs, outputs] = self.sizes(batch);
        call::<T>("plan_backward", sizes, |record| {
            let len = self.plan.mlp().param_len();
            let (params, grads) = (array("the parameters", params, len)?, array("the gradient", grads, len)?);
            let x = matrix("X", x.0, (batch, inputs), x.1)?;
            let dy = matrix("dY", dy.0, (batch, outputs), dy.1)?;
            let dx = optional("dX", dx.0, (batch, inputs), dx.1)?;
            // SAFETY: the caller's promise.
            let (lease, mut ws) = unsafe { self.workspace(work)? };
            // SAFETY: the caller's promise.
            let (kept, state) = unsafe { self.kept(kept, Access::Read)? };
            let write = [Some(lease.bytes()), Some(grads.bytes()), dx.map(|d| d.bytes())];
            let read = [Some(params.bytes()), Some(x.bytes()), Some(dy.bytes()), Some(kept.bytes())];
            disjoint(&write, &read)?;
            self.show(record, batch);
            // SAFETY: the caller's promise; outputs overlap nothing.
            let (params, x, dy, grads, dx) = unsafe {
                let dx = dx.map(|d| d.view_mut());
                (params.slice(), x.view(), dy.view(), grads.slice_mut(), dx)
            };
            Ok(self.plan.backward(params, x, dy, grads, dx, &state, &mut ws)?)
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
        work: Memory,
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
            let (lease, mut ws) = unsafe { self.workspace(work)? };
            let write =
                [Some(lease.bytes()), Some(grads.bytes()), y.map(|y| y.bytes()), dx.map(|d| d.bytes())];
            disjoint(&write, &[Some(params.bytes()), Some(x.bytes()), Some(dy.bytes())])?;
            self.show(record, batch);
            // SAFETY: the caller's promise; outputs overlap nothing.
            let (params, x, dy, y, grads, dx) = unsafe {
                let (y, dx) = (y.map(|y| y.view_mut()), dx.map(|d| d.view_mut()));
                (params.slice(), x.view(), dy.view(), y, grads.slice_mut(), dx)
            };
            Ok(self.plan.vjp(params, x, dy, y, grads, dx, &mut ws)?)
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
        work: Memory,
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
            let (lease, mut ws) = unsafe { self.workspace(work)? };
            let write = [Some(lease.bytes()), Some(grads.bytes()), Some(value.bytes())];
            disjoint(&write, &[Some(params.bytes()), Some(x.bytes()), Some(goal.bytes())])?;
            self.show(record, batch);
            // SAFETY: the caller's promise; outputs overlap nothing.
            let (params, x, targets, grads, value) = unsafe {
                (params.slice(), x.view(), goal.get(), grads.slice_mut(), &mut value.slice_mut()[0])
            };
            *value = self.plan.value_and_grad(params, x, &loss, targets, grads, &mut ws)?;
            Ok(())
        })
    }

    /// A whole training step: gradient, clipping by (largest norm or 0, where the norm goes), the optimizer's step; value and
    /// gradient go to `out`.
    ///
    /// # Safety
    /// As for [`forward`](Self::forward).
    pub(crate) unsafe fn train_step(
        &self,
        batch: usize,
        params: *mut T,
        x: In<T>,
        loss: Named<T>,
        targets: In<T>,
        classes: *const u32,
        (max_norm, norm): (f64, *mut f64),
        optimizer: &Optimizer<T>,
        out: (*mut T, *mut T),
        work: Memory,
    ) -> Status {
        let sizes @ [_, inputs, outputs] = self.sizes(batch);
        call::<T>("plan_train_step", sizes, |record| {
            let len = self.plan.mlp().param_len();
            let loss = Loss::try_from(Given(loss))?;
            let params = array("the parameters", params, len)?;
            let x = matrix("X", x.0, (batch, inputs), x.1)?;
            let goal = Goal::new(targets, classes, (batch, outputs))?;
            let (value, grads) = (array("the value", out.0, 1)?, array("the gradient", out.1, len)?);
            let norm = optional("the norm", norm, (1, 1), 1)?;
            // SAFETY: the caller's promise.
            let (lease, mut ws) = unsafe { self.workspace(work)? };
            let write = [
                Some(lease.bytes()),
                Some(params.bytes()),
                Some(grads.bytes()),
                Some(value.bytes()),
                norm.map(|n| n.bytes()),
            ];
            disjoint(&write, &[Some(x.bytes()), Some(goal.bytes())])?;
            self.show(record, batch);
            // SAFETY: the caller's promise; outputs overlap nothing.
            let (params, x, targets, grads, value, norm) = unsafe {
                let (value, norm) = (&mut value.slice_mut()[0], norm.map(|n| n.slice_mut()));
                (params.slice_mut(), x.view(), goal.get(), grads.slice_mut(), value, norm)
            };
            let clip = (max_norm != 0.0).then_some(max_norm);
            optimizer.with(|optimizer| {
                let done =
                    self.plan.train_step(params, x, &loss, targets, grads, clip, optimizer, &mut ws)?;
                *value = done.loss;
                if let (Some([to]), Some(norm)) = (norm, done.norm) {
                    *to = norm;
                }
                Ok(())
            })
        })
    }
}
