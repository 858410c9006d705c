//! The layered path: one layer at a time over the whole batch, each of its products shared out among the team.
//!
//! ```text
//! plan:   the layer loop of `pass.rs` dictates stages      script.rs
//!             start;  A_1;  …;  A_L;  copy Y;  δ_L;  dW_L and δ_{L−1};  …;  dW_1 and dX;  copy X
//!         a product is cut into blocks of B, of (kc, nc), and each block into rectangles of C      product/cut.rs
//!
//! call:   for each stage of the call, for i in 0 .. the most blocks that one of its products has:      a phase
//!             multiply block i of each of its products     item: a rectangle of C
//!             if i is 0: db_l, beside dW_l                 item: 64 columns, all rows
//!             pack block i + 1 of each, or block 0 of each of the next stage's, into the other buffer
//! ```
//!
//! What is no product is a phase of its own, in items of 48 rows: δ_L, and the copies of Y and dX where those could not
//! be written in place (no items, where they could). A product of few rows packs nothing, if its B can be read where it
//! lies.
//!
//! **Why B can be packed a phase ahead.** B of a forward product and of an input VJP is W; that of a weight VJP is
//! A_{l−1}, which the forward pass has left long before. What the phase before makes is the left operand: A_{l−1} or
//! δ_l. So the members that find no rectangle left pack for the next phase, and nobody waits for packing but at the
//! start of a call.
//!
//! **Why two buffers, twice.** A phase reads one block while the next is packed. dW_l and δ_{l−1} are multiplied in the
//! same phases, both being products of δ_l, and their blocks have different sizes: so each has two buffers of its own.
//!
//! **Why bits do not show the cut.** An element of C is the sum of its chains, whoever computes it, and blocks begin
//! where chains do. So rectangles may go by the number of members, for balance: about equal, and as many as that takes.
//!
//! **Foreign backends** only multiply. Their products are cut into blocks of rows small enough to be still in cache
//! when the row kernels make of them what an epilogue would have made; those of weight VJPs into about as many as
//! members.
//!
//! What would be tempting, and is wrong:
//! - *A fork for each product*, with B packed by each member for itself: 784→512→512→10 on two threads took 1.19 times
//!   as long at best, and 1.88 times by the medians (docs/PERFORMANCE.md, "One team, one schedule a step").
//! - *Two regions of C for two members*: they are never done at once. With these, 784→512→512→10 was faster on more
//!   threads than processors.
//! - *db in the epilogue of the input VJP*, as a tile has it: its sums go on over rows in their order, through chains
//!   of 512, and here the rows before are in other members' rectangles. Columns do not wait for one another: hence
//!   items of columns.
//! - *δ_l in the place of g'(Z_l)*, as in a tile: between blocks of k the output has partial sums. Two matrices of
//!   cotangents take turns instead.

use super::{
    call::{Call, Goal},
    ends::{Cotangent, copy_rows, slice},
    layout::{Block, Store},
    params::Places,
    path::{Path, PathKind},
    script::{Cuts, Job, Jobs, Kind, Part, Script},
    setup::Setup,
};
use crate::{
    Activation, MatMut, MatRef, Scalar,
    gemm::operand,
    memory::{Regions, Strided},
    product::{Cut, Op, Sums},
};
use alloc::{format, string::String, vec::Vec};
use nablas_kernels::{
    act::{BackwardRows, Rows, Saved, State},
    gemm::{
        pack::{Operand, Share},
        row_major::RowMajor,
        shape::padded,
    },
};

/// Rows of an item that makes δ_L or copies Y or dX.
const ROWS: usize = 48;

/// What the layered path has planned.
#[derive(Debug)]
pub(crate) struct Layered {
    script: Script,
    cuts: Vec<Cuts>,
    /// A_l and the saved state of the batch, where no kept state takes them; and what a kept state has.
    store: Store,
    base: usize,
    /// ∂L/∂A_L, then δ_L.
    dy: usize,
    /// Two cotangents that take turns.
    delta: [usize; 2],
    /// Two buffers for packed blocks, of weights and of what dW reads.
    buffers: [[usize; 2]; 2],
    seats: Strided,
    /// Where a layer's panels start in [`PackedParams`](super::PackedParams): Wᵀ and W.
    panels: Vec<[usize; 2]>,
    panels_len: usize,
}

impl Layered {
    pub(crate) fn new<T: Scalar>(setup: &Setup<T>, at: &mut Regions) -> Self {
        let (mlp, batch, ops) = (&setup.mlp, setup.max_batch, &setup.ops);
        let layers = mlp.layers();
        let cuts: Vec<_> = layers.iter().map(|l| Cuts::new(ops, batch, (l.inputs, l.outputs))).collect();
        let store = Store::new(mlp, false);
        let base = at.take::<T>(store.len::<T>(batch));
        let dy = at.take::<T>(batch.saturating_mul(padded(mlp.outputs())));
        let width = batch.saturating_mul(padded(mlp.max_width()));
        let delta = [at.take::<T>(width), at.take::<T>(width)];
        let native = ops.foreign().is_none();
        let largest =
            |of: &dyn Fn(&Cuts) -> usize| if native { cuts.iter().map(of).max().unwrap_or(0) } else { 0 };
        let weights = largest(&|c| c.forward.packed_len().max(c.input.packed_len()));
        let other = largest(&|c| c.weights.packed_len());
        let buffers = [weights, other].map(|len| [at.take::<T>(len), at.take::<T>(len)]);
        let seat = layers.iter().map(|l| {
            let (n, k) = (l.outputs, l.inputs);
            ops.seat_len(batch, k).max(ops.seat_len(batch, n)).max(ops.seat_len(n, batch))
        });
        let seats = at.take_many::<T>(setup.engine().threads, seat.max().unwrap_or(0));
        let mut inside = Regions::default();
        let panels = layers.iter().map(|l| {
            let whole = |n: usize, k: usize| if native { k.saturating_mul(padded(n)) } else { 0 };
            [inside.take::<T>(whole(l.outputs, l.inputs)), inside.take::<T>(whole(l.inputs, l.outputs))]
        });
        let panels = panels.collect();
        let panels_len = inside.len("panels").unwrap_or(usize::MAX);
        let script = Script::new(layers.len());
        Self { script, cuts, store, base, dy, delta, buffers, seats, panels, panels_len }
    }

    /// A_l and the saved state of a call.
    fn acts<'a, T: Scalar>(&'a self, call: &Call<'_, T>) -> Block<'a, T> {
        let base = call.kept.map_or(call.memory.add(self.base), |k| k.0);
        Block { base, store: &self.store, rows: call.batch(), row: 0 }
    }

    /// δ of layer index `l`.
    fn delta<T: Scalar>(&self, call: &Call<'_, T>, l: usize) -> RowMajor<T> {
        let (layers, ld) = (call.setup.mlp.layers(), padded(call.setup.mlp.layers()[l].outputs));
        if l + 1 == layers.len() {
            let there = call.backward.as_ref().and_then(|b| b.cotangent.in_place(&layers[l], 0));
            return there.unwrap_or(RowMajor::new(call.memory.add(self.dy), ld));
        }
        RowMajor::new(call.memory.add(self.delta[l % 2]), ld)
    }

    /// Where dX goes, if the caller's matrix cannot take it.
    fn spare<T: Scalar>(&self, call: &Call<'_, T>) -> RowMajor<T> {
        // Layer index 0 is the last to be pulled back: the other cotangent is free.
        RowMajor::new(call.memory.add(self.delta[1]), padded(call.setup.mlp.inputs()))
    }

    /// Where A_L goes: to the caller, unless something else reads it.
    fn output<T: Scalar>(&self, call: &Call<'_, T>) -> RowMajor<T> {
        let last = call.setup.mlp.layers().len() - 1;
        let saved = call.setup.mlp.layers()[last].activation.saved();
        let wanted = saved == Saved::Output && self.saves(call);
        let direct = call.y.filter(|_| !wanted).and_then(|y| y.direct());
        direct.unwrap_or(self.acts(call).a(last))
    }

    /// Whether the forward pass saves state.
    fn saves<T: Scalar>(&self, call: &Call<'_, T>) -> bool {
        call.kept.is_some() || call.backward.is_some()
    }

    /// A product of the call.
    fn op<T: Scalar>(&self, call: &Call<'_, T>, l: usize, kind: Kind) -> Op<T> {
        let (mlp, batch, acts) = (&call.setup.mlp, call.batch(), self.acts(call));
        let spec = &mlp.layers()[l];
        let (inputs, outputs) = (spec.inputs, spec.outputs);
        let below = if l > 0 { acts.a(l - 1).operand() } else { operand(call.x) };
        let w = RowMajor::new(call.params.w(l), inputs).operand();
        let delta = || self.delta(call, l).operand();
        match kind {
            Kind::Forward => {
                let last = l + 1 == mlp.layers().len();
                let a = if last { self.output(call) } else { acts.a(l) };
                let state = if self.saves(call) { acts.state(mlp, l) } else { State::Nothing };
                let bias = call.params.b(l).cast_const();
                Op::forward((batch, outputs, inputs), below, w, bias, a, state, spec.activation)
            }
            Kind::WeightVjp => {
                let dw = call.backward.as_ref().map_or(core::ptr::null_mut(), |b| b.grads.w(l));
                let op = Op::weight_vjp(
                    (batch, outputs, inputs),
                    delta(),
                    below,
                    RowMajor::new(dw, inputs),
                    false,
                );
                Op { padded: op.padded || l > 0, ..op }
            }
            Kind::InputVjp => {
                let (act, state, out) = if l > 0 {
                    (mlp.layers()[l - 1].activation, acts.state(mlp, l - 1), self.delta(call, l - 1))
                } else {
                    let dx = call.backward.as_ref().and_then(|b| b.dx);
                    let out = dx.and_then(|dx| dx.direct()).unwrap_or(self.spare(call));
                    (Activation::Identity, State::Nothing, out)
                };
                Op::input_vjp((batch, inputs, outputs), delta(), w, state, act, out)
            }
        }
    }

    /// A product's cut in a call.
    fn cut<T: Scalar>(&self, call: &Call<'_, T>, op: &Op<T>, l: usize, kind: Kind) -> Cut {
        let ops = &call.setup.ops;
        let cut = match ops.foreign() {
            None => self.cuts[l].get(kind).resized(op.m, op.k),
            Some(_) => ops.cut(op.sizes(), kind == Kind::WeightVjp, ops.engine().threads),
        };
        ops.fit(cut, op)
    }

    /// The panels of a layer that came with the parameters.
    fn panels<T: Scalar>(&self, call: &Call<'_, T>, l: usize, kind: Kind) -> Option<*mut T> {
        let way = match kind {
            Kind::Forward => 0,
            Kind::InputVjp => 1,
            Kind::WeightVjp => return None,
        };
        (call.setup.ops.foreign().is_none()).then(|| call.panels.map(|p| p.add(self.panels[l][way])))?
    }

    fn buffer<T: Scalar>(&self, call: &Call<'_, T>, part: Part) -> *mut T {
        let of = usize::from(part.kind == Kind::WeightVjp);
        call.memory.add(self.buffers[of][part.buffer])
    }

    /// Whether a call wants a product: without dX, the deltas end above the first layer.
    fn wants<T: Scalar>(call: &Call<'_, T>, l: usize, kind: Kind) -> bool {
        kind != Kind::InputVjp || l > 0 || call.backward.as_ref().is_some_and(|b| b.dx.is_some())
    }

    fn sums<T: Scalar>(&self, call: &Call<'_, T>, l: usize) -> Option<Sums<T>> {
        let out = call.backward.as_ref()?.grads.b(l);
        let delta = self.delta(call, l);
        Some(Sums { m: call.batch(), n: call.setup.mlp.layers()[l].outputs, delta, out })
    }

    /// The jobs of a phase.
    fn jobs<T: Scalar>(&self, call: &Call<'_, T>, phase: usize) -> Option<Jobs> {
        let deep = Cuts::deep(&call.setup.ops, call.batch());
        let call = (call.forward, call.backward.is_some());
        self.script.jobs(call, phase, &|l, kind| self.cuts[l].blocks(kind, deep))
    }

    /// Items of a job.
    fn job_items<T: Scalar>(&self, call: &Call<'_, T>, job: Job) -> usize {
        let rows = call.batch().div_ceil(ROWS);
        match job {
            Job::Pack(Part { layer, kind, block, .. }) | Job::Multiply(Part { layer, kind, block, .. }) => {
                let op = self.op(call, layer, kind);
                let cut = self.cut(call, &op, layer, kind);
                match (Self::wants(call, layer, kind) && cut.nth(block).is_some(), job) {
                    (false, _) => 0,
                    (true, Job::Pack(_)) if self.panels(call, layer, kind).is_some() => 0,
                    (true, Job::Pack(_)) => cut.packs(),
                    (true, _) => cut.items(),
                }
            }
            Job::OutputDelta => {
                let last = &call.setup.mlp.layers()[call.setup.mlp.layers().len() - 1];
                let there = call.backward.as_ref().and_then(|b| b.cotangent.in_place(last, 0));
                if there.is_some() { 0 } else { rows }
            }
            Job::Sums(l) => self.sums(call, l).map_or(0, |s| s.items()),
            Job::CopyY => {
                let last = call.setup.mlp.layers().len() - 1;
                let elsewhere = self.output(call).ptr == self.acts(call).a(last).ptr;
                if call.y.is_some() && elsewhere { rows } else { 0 }
            }
            Job::CopyX => match call.backward.as_ref().and_then(|b| b.dx) {
                Some(dx) if dx.direct().is_none() => rows,
                _ => 0,
            },
        }
    }

    /// Runs an item of a job.
    ///
    /// # Safety
    /// As for [`Path::run`].
    unsafe fn job<T: Scalar>(&self, call: &Call<'_, T>, seat: usize, job: Job, item: usize) {
        let ops = &call.setup.ops;
        let (row, rows) = (item * ROWS, ROWS.min(call.batch().saturating_sub(item * ROWS)));
        // SAFETY: the caller's promise; items have disjoint blocks, columns or rows, and a seat its scratch.
        unsafe {
            match job {
                Job::Pack(part) | Job::Multiply(part) => {
                    let Part { layer, kind, block, .. } = part;
                    let op = self.op(call, layer, kind);
                    let cut = self.cut(call, &op, layer, kind);
                    let Some(at) = cut.nth(block) else { return };
                    if let Job::Pack(_) = job {
                        let share = Share { index: item, count: cut.packs() };
                        return ops.pack(&op, at, share, self.buffer(call, part));
                    }
                    let panels = self.panels(call, layer, kind).map(|p| p.wrapping_add(cut.offset(at)));
                    let own =
                        || if cut.packs() > 0 { self.buffer(call, part) } else { core::ptr::null_mut() };
                    let b = panels.unwrap_or_else(own).cast_const();
                    let scratch = call.memory.add(self.seats.nth(seat));
                    call.failed.note(ops.multiply(&op, &cut, (at, item), b, scratch));
                }
                Job::OutputDelta => self.output_delta(call, row, rows),
                Job::Sums(l) => {
                    if let Some(sums) = self.sums(call, l) {
                        sums.run(ops.engine(), item);
                    }
                }
                Job::CopyY => {
                    let from = self.output(call).operand();
                    if let Some(y) = call.y {
                        copy_rows((rows, call.setup.mlp.outputs()), from.at(row, 0), y.row(row));
                    }
                }
                Job::CopyX => {
                    let from = self.spare(call).operand();
                    if let Some(dx) = call.backward.as_ref().and_then(|b| b.dx) {
                        copy_rows((rows, call.setup.mlp.inputs()), from.at(row, 0), dx.row(row));
                    }
                }
            }
        }
    }

    /// δ_L of some rows, from the cotangent.
    ///
    /// # Safety
    /// As for [`Path::run`]; the rows are the item's.
    unsafe fn output_delta<T: Scalar>(&self, call: &Call<'_, T>, row: usize, rows: usize) {
        let Some(back) = &call.backward else { return };
        let (mlp, last) = (&call.setup.mlp, call.setup.mlp.layers().len() - 1);
        let (n, RowMajor { ptr: dy, ld }) = (mlp.outputs(), self.delta(call, last));
        let (ptr, acts) = (dy.wrapping_add(row * ld), Block { row, ..self.acts(call) });
        // SAFETY: the caller's promise.
        unsafe {
            match back.cotangent {
                Cotangent::Given(dy) => {
                    copy_rows((rows, n), operand(slice(dy, row, row + rows)), (ptr, ld as isize, 1));
                }
                Cotangent::Loss(..) => {
                    let RowMajor { ptr: a, ld: lda } = acts.a(last);
                    let y = MatRef::from_raw_parts(a.cast_const(), rows, n, lda as isize, 1);
                    let delta = MatMut::from_raw_parts(ptr, rows, n, ld as isize, 1);
                    call.row_losses(&back.cotangent, row, y, delta);
                }
            }
            let act = mlp.layers()[last].activation;
            let (d, kept) = (Rows { ptr, ld, rows, cols: n }, acts.state(mlp, last));
            if act != Activation::Identity {
                call.setup.engine().run(BackwardRows::new(act, d, kept, core::ptr::null_mut()));
            }
        }
    }
}

impl<T: Scalar> Path<T> for Layered {
    fn kind(&self) -> PathKind {
        PathKind::Layered
    }

    fn explain(&self, setup: &Setup<T>) -> String {
        match setup.ops.foreign() {
            Some(name) => format!("the backend {name} multiplies layer by layer"),
            None => format!(
                "{} parameters are more than {}, so each layer is one blocked product over the whole batch",
                setup.mlp.param_len(),
                super::fused::FUSED_PARAMS,
            ),
        }
    }

    fn kept_len(&self, batch: usize) -> usize {
        self.store.len::<T>(batch)
    }

    fn panels_len(&self) -> usize {
        self.panels_len
    }

    fn panel_items_of(&self, setup: &Setup<T>, _: usize) -> usize {
        if setup.ops.foreign().is_some() { 0 } else { 2 }
    }

    unsafe fn pack_panels(&self, setup: &Setup<T>, params: Places<'_, T>, item: usize, to: *mut T) {
        let (l, kind) = (item / 2, if item.is_multiple_of(2) { Kind::Forward } else { Kind::InputVjp });
        let (spec, cut) = (&setup.mlp.layers()[l], self.cuts[l].get(kind));
        let w = Operand { ptr: params.w(l).cast_const(), rs: spec.inputs as isize, cs: 1 };
        let null = RowMajor::new(core::ptr::null_mut(), 0);
        let sizes = |n, k| (0, n, k);
        let op = match kind {
            Kind::Forward => {
                let (bias, act) = (core::ptr::null(), Activation::Identity);
                Op::forward(sizes(spec.outputs, spec.inputs), w, w, bias, null, State::Nothing, act)
            }
            _ => Op::input_vjp(
                sizes(spec.inputs, spec.outputs),
                w,
                w,
                State::Nothing,
                Activation::Identity,
                null,
            ),
        };
        let (wide, deep) = cut.blocks();
        for block in 0..wide * deep {
            if let Some(at) = cut.nth(block) {
                let to = to.wrapping_add(self.panels[l][item % 2] + cut.offset(at));
                // SAFETY: the caller's promise; W is valid over its shape.
                unsafe { setup.ops.pack(&op, at, Share::ALL, to) }
            }
        }
    }

    fn touched(&self, setup: &Setup<T>, batch: usize, goal: Goal) -> f64 {
        let packed = if goal == Goal::Both { 2.0 } else { 1.0 } * setup.mlp.param_len() as f64;
        let rows: usize = setup.mlp.layers().iter().map(|l| l.inputs + l.outputs).sum();
        packed + batch as f64 * rows as f64
    }

    fn breadth(&self, _: &Setup<T>, _: usize, _: Goal) -> usize {
        usize::MAX
    }

    fn phases(&self, setup: &Setup<T>, batch: usize, goal: Goal) -> usize {
        let (forward, backward) = (goal != Goal::Backward, goal != Goal::Forward);
        let deep = Cuts::deep(&setup.ops, batch);
        self.script.phases(forward, backward, &|l, kind| self.cuts[l].blocks(kind, deep))
    }

    fn items(&self, call: &Call<'_, T>, phase: usize) -> Option<usize> {
        let jobs = self.jobs(call, phase)?;
        Some(jobs.into_iter().flatten().map(|job| self.job_items(call, job)).sum())
    }

    unsafe fn run(&self, call: &Call<'_, T>, seat: usize, phase: usize, mut item: usize) {
        for job in self.jobs(call, phase).into_iter().flatten().flatten() {
            let items = self.job_items(call, job);
            if item < items {
                // SAFETY: the caller's promise.
                return unsafe { self.job(call, seat, job, item) };
            }
            item -= items;
        }
    }
}
