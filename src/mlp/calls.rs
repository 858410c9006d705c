//! The calls of a plan. Everything is checked first: an error leaves every output as it was.

use super::{
    fused::{Block, Net, copy_rows},
    layered::Layered,
    plan::{FusedPlan, Keep, LayeredPlan, Path, Plan, slots},
    workspace::Workspace,
};
use crate::{
    MatMut, MatRef, Scalar,
    error::{Error, Result, check_len, check_shape},
    gemm::operand,
    loss::{Fold, Loss, Targets},
    parallel::{Shared, for_each_item, tasks_for},
};
use nablas_kernels::{chain::CHAIN, gemm::dense::FoldSlots};

/// Where ∂L/∂A_L comes from.
#[derive(Clone, Copy)]
pub(crate) enum Cotangent<'a, T> {
    Given(MatRef<'a, T>),
    Loss(&'a Loss<T>, Targets<'a, T>, T),
}

/// An output matrix as address and strides, to be written by tasks, each its own rows.
#[derive(Clone, Copy)]
pub(crate) struct Out<T>(Shared<T>, isize, isize);

impl<T: Scalar> Out<T> {
    fn new(m: Option<MatMut<'_, T>>) -> Option<Self> {
        m.map(|mut m| Self(Shared(m.as_mut_ptr()), m.row_stride(), m.col_stride()))
    }

    pub(crate) fn row(self, i: usize) -> (*mut T, isize, isize) {
        (self.0.get().wrapping_offset(i as isize * self.1), self.1, self.2)
    }
}

/// A result that the checks before it leave only one value for.
pub(crate) fn checked<R>(result: Result<R>) -> R
where
    R: Default,
{
    debug_assert!(result.is_ok());
    result.unwrap_or_default()
}

impl<T: Scalar> Plan<T> {
    /// Y ← A_L, and keeps what [`backward`](Self::backward) needs, if the plan was made to
    /// ([`Keep::ForBackward`]).
    ///
    /// X is B×n_0 and Y B×n_L, of any strides; `params` as [`Mlp`](super::Mlp) lays them out.
    ///
    /// # Errors
    /// For shapes and lengths that don't fit, a batch above the plan's largest, a workspace of another plan.
    pub fn forward(
        &self,
        params: &[T],
        x: MatRef<'_, T>,
        y: MatMut<'_, T>,
        ws: &mut Workspace<T>,
    ) -> Result<()> {
        let batch = self.check_input(params, x)?;
        check_shape("the output", (batch, self.mlp.outputs()), y.shape())?;
        let base = ws.check(self.len, self.mark)?;
        let save = self.keep == Keep::ForBackward;
        ws.kept = save.then_some(batch);
        if batch == 0 {
            return Ok(());
        }
        let y = Out::new(Some(y));
        match &self.path {
            Path::Fused(f) => {
                let (net, tasks) = self.prepare(f, params, base, batch, None);
                let rows = batch.div_ceil(tasks).next_multiple_of(24).clamp(1, f.tile_rows);
                let memory = Shared(base);
                for_each_item(tasks, batch.div_ceil(rows), &|task, i| {
                    let (row, end) = (i * rows, batch.min((i + 1) * rows));
                    let block = match &f.kept {
                        Some((at, store)) => Block { base: memory.add(*at), store, row },
                        None => arena(f, memory, task),
                    };
                    let x = slice(x, row, end);
                    // SAFETY: items write disjoint rows, or a task's own arena.
                    unsafe { net.forward(block, x, save, y.map(|y| y.row(row))) }
                });
            }
            Path::Narrow(n) => self.narrow_forward(n, params, base, x, y),
            Path::Layered(l) => {
                let pass = self.layered_pass(l, params, base);
                // SAFETY: the workspace is borrowed exclusively, and laid out for the largest batch.
                unsafe {
                    pass.forward(x, save);
                    self.copy_output(&pass, batch, y);
                }
            }
        }
        Ok(())
    }

    /// From ∂L/∂A_L: `grads` ← dW and db of every layer (sums over the batch), laid out as the parameters;
    /// dX ← ∂L/∂X, if asked for. `params` and X are those of the [`forward`](Self::forward) before, whose kept
    /// state stays, so that it serves any number of calls.
    ///
    /// # Errors
    /// For shapes and lengths that don't fit, a workspace of another plan, or one that keeps no forward pass of
    /// this batch.
    pub fn backward(
        &self,
        params: &[T],
        x: MatRef<'_, T>,
        dy: MatRef<'_, T>,
        grads: &mut [T],
        dx: Option<MatMut<'_, T>>,
        ws: &mut Workspace<T>,
    ) -> Result<()> {
        let batch = self.check_step(params, x, Some(dy), None, grads, dx.as_ref())?;
        let base = ws.check(self.len, self.mark)?;
        if ws.kept != Some(batch) {
            return Err(Error::NotKept { batch, kept: ws.kept });
        }
        let dx = Out::new(dx);
        match &self.path {
            Path::Fused(f) => {
                let Some((at, store)) = &f.kept else {
                    return Err(Error::NotKept { batch, kept: None });
                };
                let memory = Shared(base);
                // Without dX, the deltas end above the first layer.
                let first = usize::from(dx.is_none());
                self.fused_gradient(
                    f,
                    params,
                    base,
                    batch,
                    grads,
                    first,
                    &|net, task, start, end, grads, fresh| {
                        let acts = Block { base: memory.add(*at), store, row: start };
                        let work = arena(f, memory, task);
                        let x = slice(x, start, end);
                        // SAFETY: a task's own arena and slot; the kept state is only read.
                        unsafe {
                            self.seed(Cotangent::Given(dy), work, start, end, memory);
                            net.backward(acts, work, x, grads, fresh, dx.map(|d| d.row(start)));
                        }
                    },
                );
            }
            Path::Narrow(n) => {
                if !clear_if_empty(batch, grads) {
                    let cotangent = Cotangent::Given(dy);
                    self.narrow_gradient(n, params, base, x, cotangent, (None, dx), grads, true);
                }
            }
            Path::Layered(l) => {
                let pass = self.layered_pass(l, params, base);
                if !clear_if_empty(batch, grads) {
                    // SAFETY: the workspace is borrowed exclusively, and laid out for the largest batch.
                    unsafe {
                        self.seed(Cotangent::Given(dy), pass.block, 0, batch, Shared(base));
                        pass.backward(x, grads.as_mut_ptr(), dx.map(|d| d.row(0)));
                    }
                }
            }
        }
        Ok(())
    }

    /// Forward and backward in one pass, from a given ∂L/∂A_L: Y ← A_L, if asked for; `grads` ← dW and db of
    /// every layer (sums over the batch), laid out as the parameters; dX ← ∂L/∂X, if asked for.
    ///
    /// # Errors
    /// For shapes and lengths that don't fit, a batch above the plan's largest, a workspace of another plan.
    pub fn vjp(
        &self,
        params: &[T],
        x: MatRef<'_, T>,
        dy: MatRef<'_, T>,
        y: Option<MatMut<'_, T>>,
        grads: &mut [T],
        dx: Option<MatMut<'_, T>>,
        ws: &mut Workspace<T>,
    ) -> Result<()> {
        self.check_step(params, x, Some(dy), y.as_ref(), grads, dx.as_ref())?;
        self.step(params, x, Cotangent::Given(dy), y, grads, dx, ws).map(|_| ())
    }

    /// The loss and its gradient in one pass: `grads` ← dW and db of every layer, laid out as the parameters.
    ///
    /// # Errors
    /// As for [`vjp`](Self::vjp), and for targets that don't fit the loss.
    pub fn value_and_grad(
        &self,
        params: &[T],
        x: MatRef<'_, T>,
        loss: &Loss<T>,
        targets: Targets<'_, T>,
        grads: &mut [T],
        ws: &mut Workspace<T>,
    ) -> Result<T> {
        let batch = self.check_step(params, x, None, None, grads, None)?;
        let outputs = self.mlp.outputs();
        loss.check(batch, outputs, &targets)?;
        let scale = loss.scale(batch, outputs);
        let fold = self.step(params, x, Cotangent::Loss(loss, targets, scale), None, grads, None, ws)?;
        Ok(loss.value_of(fold, batch, outputs))
    }

    /// [`vjp`](Self::vjp) or [`value_and_grad`](Self::value_and_grad), all checked but the workspace; the sum of
    /// the row losses.
    fn step(
        &self,
        params: &[T],
        x: MatRef<'_, T>,
        cotangent: Cotangent<'_, T>,
        y: Option<MatMut<'_, T>>,
        grads: &mut [T],
        dx: Option<MatMut<'_, T>>,
        ws: &mut Workspace<T>,
    ) -> Result<Fold> {
        let base = ws.check(self.len, self.mark)?;
        let batch = x.nrows();
        // The layered path's state is the kept state's memory.
        if matches!(self.path, Path::Layered(_)) {
            ws.kept = None;
        }
        let (y, dx, memory) = (Out::new(y), Out::new(dx), Shared(base));
        match &self.path {
            Path::Fused(f) => {
                // Without dX, the deltas end above the first layer.
                let first = usize::from(dx.is_none());
                self.fused_gradient(
                    f,
                    params,
                    base,
                    batch,
                    grads,
                    first,
                    &|net, task, start, end, grads, fresh| {
                        let block = arena(f, memory, task);
                        let x = slice(x, start, end);
                        // SAFETY: a task's own arena and slot; rows of Y and dX that are this item's alone.
                        unsafe {
                            net.forward(block, x, true, y.map(|y| y.row(start)));
                            self.seed(cotangent, block, start, end, memory);
                            net.backward(block, block, x, grads, fresh, dx.map(|d| d.row(start)));
                        }
                    },
                );
            }
            Path::Narrow(n) => {
                if !clear_if_empty(batch, grads) {
                    self.narrow_gradient(n, params, base, x, cotangent, (y, dx), grads, false);
                }
            }
            Path::Layered(l) => {
                let pass = self.layered_pass(l, params, base);
                if !clear_if_empty(batch, grads) {
                    // SAFETY: the workspace is borrowed exclusively, and laid out for the largest batch.
                    unsafe {
                        pass.forward(x, true);
                        self.copy_output(&pass, batch, y);
                        self.seed(cotangent, pass.block, 0, batch, memory);
                        pass.backward(x, grads.as_mut_ptr(), dx.map(|d| d.row(0)));
                    }
                }
            }
        }
        let mut fold = Fold::default();
        if let Cotangent::Loss(..) = cotangent {
            // SAFETY: every row's loss was written; no task is left.
            let losses = unsafe { core::slice::from_raw_parts(memory.add(self.losses), batch) };
            losses.iter().for_each(|l| fold.add(*l));
        }
        Ok(fold)
    }

    /// Runs `tile(net, task, start, end, grads, fresh)` over the tiles of every slot, tasks taking slots as they
    /// come, and folds the slots into `grads`. `first`: the first layer whose input VJP is wanted.
    fn fused_gradient(
        &self,
        f: &FusedPlan,
        params: &[T],
        base: *mut T,
        batch: usize,
        grads: &mut [T],
        first: usize,
        tile: &(impl Fn(Net<'_, T>, usize, usize, usize, *mut T, bool) + Sync),
    ) {
        if clear_if_empty(batch, grads) {
            return;
        }
        let len = grads.len();
        let (count, rows) = slots(len, batch);
        let (net, tasks) = self.prepare(f, params, base, batch, Some(first));
        let slot = slots_of(grads.as_mut_ptr(), base, f.slots);
        let memory = Shared(base);
        for_each_item(tasks, count, &|task, s| {
            let (from, to) = (s * rows, batch.min((s + 1) * rows));
            for chain in (from..to).step_by(CHAIN) {
                // The slot's first chain is its gradient so far; each later one is a gradient of its own, then added.
                let own = if chain == from { slot(s) } else { memory.add(f.chains.0 + task * f.chains.1) };
                let (mut start, to) = (chain, to.min(chain + CHAIN));
                while start < to {
                    let end = to.min(start + f.tile_rows);
                    tile(net, task, start, end, own, start == chain);
                    start = end;
                }
                if chain > from {
                    self.add_chain(slot(s), own, len);
                }
            }
        });
        self.fold_slots(count, grads, base, f.slots);
    }

    /// Adds the gradient of a later chain to its slot's: two buffers of `len` elements that are the calling task's.
    pub(crate) fn add_chain(&self, slot: *mut T, chain: *mut T, len: usize) {
        let sum = FoldSlots { first: slot, rest: chain, stride: 0, count: 2, len };
        // SAFETY: the task owns both, and the plan gives a task room for a chain wherever a slot has several.
        unsafe { self.engine.run_raw(sum) };
    }

    /// Adds the slots into the first, `grads`: a chunk of every slot at a time.
    pub(crate) fn fold_slots(&self, count: usize, grads: &mut [T], base: *mut T, slots: (usize, usize)) {
        if count <= 1 {
            return;
        }
        let (chunk, len, stride) = (4096, grads.len(), slots.1);
        let (first, rest) = (Shared(grads.as_mut_ptr()), Shared(base.wrapping_add(slots.0)));
        let tasks = tasks_for(32.0 * count as f64 * len as f64, self.engine.threads);
        for_each_item(tasks, len.div_ceil(chunk), &|_, i| {
            let at = i * chunk;
            let (first, rest, len) = (first.add(at), rest.add(at), chunk.min(len - at));
            // SAFETY: items fold disjoint chunks of the slots, which no task writes any more.
            unsafe { self.engine.run_raw(FoldSlots { first, rest, stride, count, len }) };
        });
    }

    /// Packs the weights of a fused pass, for a backward pass down to layer index `down_to`, if any; how many tasks
    /// the pass is worth.
    fn prepare<'a>(
        &'a self,
        f: &'a FusedPlan,
        params: &'a [T],
        base: *mut T,
        batch: usize,
        down_to: Option<usize>,
    ) -> (Net<'a, T>, usize) {
        let net = Net { mlp: &self.mlp, engine: &self.engine, params, layout: &f.packed, base };
        let tasks = tasks_for(32.0 * params.len() as f64, self.engine.threads);
        for_each_item(tasks, self.mlp.layers().len(), &|_, l| {
            // SAFETY: items pack disjoint regions of the workspace, which is borrowed exclusively.
            unsafe {
                net.pack_forward(l);
                if down_to.is_some_and(|first| l >= first) {
                    net.pack_backward(l);
                }
            }
        });
        (net, tasks_for(self.step_flop(batch), self.engine.threads))
    }

    fn layered_pass<'a>(&'a self, l: &'a LayeredPlan, params: &'a [T], base: *mut T) -> Layered<'a, T> {
        let net = Net { mlp: &self.mlp, engine: &self.engine, params, layout: &[], base };
        let block = Block { base: base.wrapping_add(l.base), store: &l.store, row: 0 };
        let delta = l.delta.map(|at| base.wrapping_add(at));
        Layered { net, ops: &self.ops, block, delta, scratch: base.wrapping_add(l.scratch) }
    }

    /// Y ← A_L of a layered pass.
    ///
    /// # Safety
    /// The pass has run forward over `batch` rows; `y` is writable over them.
    unsafe fn copy_output(&self, pass: &Layered<'_, T>, batch: usize, y: Option<Out<T>>) {
        if let Some(y) = y {
            let (a, ld) = pass.block.a(self.mlp.layers().len() - 1);
            let from = nablas_kernels::gemm::pack::Operand { ptr: a.cast_const(), rs: ld as isize, cs: 1 };
            // SAFETY: the caller's promise.
            unsafe { copy_rows((batch, self.mlp.outputs()), from, y.row(0)) }
        }
    }

    /// Puts ∂L/∂A_L of rows `start..end` where the backward pass of `block` starts from.
    ///
    /// # Safety
    /// The block is valid over the rows, and for a loss its A_L has been computed; nothing else accesses either.
    unsafe fn seed(
        &self,
        cotangent: Cotangent<'_, T>,
        block: Block<'_, T>,
        start: usize,
        end: usize,
        memory: Shared<T>,
    ) {
        let (rows, n) = (end - start, self.mlp.outputs());
        let (to, ld) = block.dy(n);
        // SAFETY: the caller's promise; the row losses of start..end are this call's alone.
        unsafe {
            match cotangent {
                Cotangent::Given(dy) => {
                    copy_rows((rows, n), operand(slice(dy, start, end)), (to, ld as isize, 1));
                }
                Cotangent::Loss(loss, targets, scale) => {
                    let (a, lda) = block.a(self.mlp.layers().len() - 1);
                    let y = MatRef::from_raw_parts(a.cast_const(), rows, n, lda as isize, 1);
                    let delta = MatMut::from_raw_parts(to, rows, n, ld as isize, 1);
                    let losses = core::slice::from_raw_parts_mut(memory.add(self.losses + start), rows);
                    let targets = targets.rows(start..end);
                    checked(targets.and_then(|t| loss.rows(self.engine.isa, y, t, scale, delta, losses)));
                }
            }
        }
    }

    /// Refuses parameters and inputs that don't fit; else the batch.
    fn check_input(&self, params: &[T], x: MatRef<'_, T>) -> Result<usize> {
        self.mlp.check(params.len())?;
        let batch = x.nrows();
        check_shape("the input", (batch, self.mlp.inputs()), x.shape())?;
        if batch > self.max_batch {
            return Err(Error::Batch { max: self.max_batch, got: batch });
        }
        Ok(batch)
    }

    /// Refuses operands of a step that don't fit; else the batch.
    fn check_step(
        &self,
        params: &[T],
        x: MatRef<'_, T>,
        dy: Option<MatRef<'_, T>>,
        y: Option<&MatMut<'_, T>>,
        grads: &[T],
        dx: Option<&MatMut<'_, T>>,
    ) -> Result<usize> {
        let batch = self.check_input(params, x)?;
        let output = (batch, self.mlp.outputs());
        check_len("the gradient", self.mlp.param_len(), grads.len())?;
        dy.map_or(Ok(()), |dy| check_shape("the gradient of the output", output, dy.shape()))?;
        y.map_or(Ok(()), |y| check_shape("the output", output, y.shape()))?;
        dx.map_or(Ok(()), |dx| check_shape("the gradient of the input", x.shape(), dx.shape()))?;
        Ok(batch)
    }
}

/// The partial gradients: slot 0 is `grads`, the others lie in the workspace.
pub(crate) fn slots_of<T: Scalar>(
    grads: *mut T,
    base: *mut T,
    (at, stride): (usize, usize),
) -> impl Fn(usize) -> *mut T + Sync {
    let (first, rest) = (Shared(grads), Shared(base.wrapping_add(at)));
    move |s| if s == 0 { first.get() } else { rest.add((s - 1) * stride) }
}

/// A task's tile.
fn arena<T: Scalar>(f: &FusedPlan, memory: Shared<T>, task: usize) -> Block<'_, T> {
    Block { base: memory.add(f.arenas.0 + task * f.arenas.1), store: &f.tile, row: 0 }
}

/// Rows `start..end`, which are inside.
pub(crate) fn slice<T: Scalar>(m: MatRef<'_, T>, start: usize, end: usize) -> MatRef<'_, T> {
    let at = m.as_ptr().wrapping_offset(start as isize * m.row_stride());
    // SAFETY: the rows are the matrix's own.
    unsafe { MatRef::from_raw_parts(at, end - start, m.ncols(), m.row_stride(), m.col_stride()) }
}

/// The gradient of an empty batch is zero.
fn clear_if_empty<T: Scalar>(batch: usize, grads: &mut [T]) -> bool {
    if batch == 0 {
        grads.fill(T::ZERO);
    }
    batch == 0
}
