//! A batch that has fewer slots than there are members: they share the rows, and then the gradient.
//!
//! A slot's gradient is one sum over its rows, in order, and so is one item's work. What leads to it is not: rows go forward
//! and backward by themselves. So the rows are items of one phase, which leaves A_l and δ_l of the whole batch, and dW and
//! db of each slot are items of the next, cut by elements of the gradient. Every sum is what a slot's own item would have
//! made of it.

use super::{
    call::{Backward, Call},
    ends::slice,
    fold::Sums as Partials,
    fused_slots::slots,
    fused_tile::{Arena, Net, Tile, weight_vjp},
    layout::{Block, Store, TileEnds},
    pass,
    spec::{LayerSpec, Mlp},
};
use crate::{Scalar, gemm::operand, memory::Regions, product::Sums};
use nablas_kernels::gemm::turned::FEW_INPUTS;

/// Rows of dW that an item has at least.
const LEAST: usize = 8;

/// Where the state of a whole batch lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Split {
    /// Rows that there is room for.
    rows: usize,
    at: usize,
    ends: TileEnds,
}

impl Split {
    /// For batches of at most `batch` rows, of which `least` make a slot, and so many members.
    pub(super) fn new<T: Scalar>(
        mlp: &Mlp<T>,
        store: &Store,
        (batch, least, members): (usize, usize, usize),
        at: &mut Regions,
    ) -> Self {
        let rows = if members > 1 { batch.min(members.saturating_mul(least) - 1) } else { 0 };
        let ends = TileEnds::new(mlp, store, rows);
        Self { rows, at: at.take::<T>(if rows > 0 { ends.len } else { 0 }), ends }
    }

    /// Whether a call of so many rows in so many slots is run this way by so many members.
    pub(super) fn serves(&self, rows: usize, slots: usize, members: usize) -> bool {
        slots < members && rows <= self.rows
    }
}

/// Rows of a layer's dW that an item has: all where inputs are few, since a turned product reads δ by whole vectors.
fn part<T>(layer: &LayerSpec<T>, members: usize) -> usize {
    let rows = layer.outputs.div_ceil(members).next_multiple_of(2).max(LEAST);
    if layer.inputs <= FEW_INPUTS { layer.outputs.max(1) } else { rows }
}

/// A call of the fused path whose members share its rows.
pub(super) struct Together<'a, T: Scalar> {
    pub(super) call: &'a Call<'a, T>,
    pub(super) net: Net<'a, T>,
    pub(super) split: &'a Split,
    /// The layouts of a batch's state, and of one that is kept.
    pub(super) tile: &'a Store,
    pub(super) kept: &'a Store,
    /// Rows of an item at most.
    pub(super) tile_rows: usize,
    /// Where the gradients of the slots lie: each is a group, since there are fewer of them than members.
    pub(super) sums: Partials,
}

impl<T: Scalar> Together<'_, T> {
    /// Rows of an item.
    fn rows_each(&self) -> usize {
        self.call.batch().div_ceil(self.call.seats()).next_multiple_of(2).min(self.tile_rows)
    }

    /// Items that take rows through the layers.
    pub(super) fn row_items(&self) -> usize {
        self.call.batch().div_ceil(self.rows_each())
    }

    /// Items that make the gradients of the slots: of each layer some parts of dW, and db.
    pub(super) fn gradient_items(&self) -> usize {
        let layer = |l: &LayerSpec<T>| l.outputs.div_ceil(part(l, self.call.seats())) + 1;
        let count = slots(self.call.setup.mlp.param_len(), self.call.batch()).count;
        count * self.call.setup.mlp.layers().iter().map(layer).sum::<usize>()
    }

    /// The state of the batch from a row on.
    fn whole(&self, row: usize) -> Arena<'_, T> {
        let base = self.call.memory.add(self.split.at);
        let block = Block { base, store: self.tile, rows: self.split.rows, row };
        Arena { base, block, ends: self.split.ends }
    }

    /// A_l and the saved state of the batch from a row on.
    fn state(&self, row: usize) -> Block<'_, T> {
        match self.call.kept {
            Some(kept) if !self.call.forward => {
                Block { base: kept.0, store: self.kept, rows: self.call.batch(), row }
            }
            _ => self.whole(row).block,
        }
    }

    /// An item's rows, forward and backward.
    ///
    /// # Safety
    /// As for [`Path::run`](super::path::Path::run), of an item of this phase.
    pub(super) unsafe fn rows(&self, back: &Backward<'_, T>, item: usize) {
        let (net, rows) = (self.net, self.rows_each());
        let (start, end) = (item * rows, self.call.batch().min((item + 1) * rows));
        let (arena, x) = (self.whole(start), slice(self.call.x, start, end));
        let mut tile = Tile {
            net,
            acts: self.state(start),
            arena,
            shared: self.call.forward,
            x,
            input: operand(x),
            save: true,
            y: self.call.y.map(|y| y.row(start)),
            grads: None,
            fresh: false,
            dx: back.dx.map(|d| d.row(start)),
            delta: arena.dy(),
        };
        // SAFETY: the item's own rows of the batch's state, of Y, dX and losses; kept state is only read.
        unsafe {
            if self.call.forward {
                tile.contiguous();
                pass::forward(net.mlp.layers().len(), &mut tile);
            }
            tile.seed(self.call, &back.cotangent, start, end);
            pass::backward(net.mlp.layers().len(), back.dx.is_some(), &mut tile);
            tile.leave_input();
        }
    }

    /// A part of dW or db of a layer, of a slot.
    ///
    /// # Safety
    /// As for [`Path::run`](super::path::Path::run), of an item of the phase after the rows.
    pub(super) unsafe fn gradients(&self, back: &Backward<'_, T>, mut item: usize) {
        let (mlp, batch, engine) = (&self.call.setup.mlp, self.call.batch(), self.call.setup.engine());
        let (slots, layers) = (slots(mlp.param_len(), batch), mlp.layers());
        let each = self.gradient_items() / slots.count;
        let (s, last) = (item / each, layers.len() - 1);
        item %= each;
        let (mut l, mut rows) = (last, part(&layers[last], self.call.seats()));
        while item > layers[l].outputs.div_ceil(rows) {
            item -= layers[l].outputs.div_ceil(rows) + 1;
            l -= 1;
            rows = part(&layers[l], self.call.seats());
        }
        let (n, outputs, first) = (layers[l].inputs, layers[l].outputs, item * rows);
        let (start, end) = (s * slots.rows, batch.min((s + 1) * slots.rows));
        let (arena, grads) = (self.whole(start), self.sums.group(self.call, back.grads, s));
        let delta = match l {
            _ if l < last => arena.block.g(l),
            _ => back.cotangent.in_place(&layers[last], start).unwrap_or(arena.dy()),
        };
        // SAFETY: the phase before has left A and δ of all rows; parts of a gradient are disjoint.
        unsafe {
            if first >= outputs {
                let sums = Sums { m: end - start, n: outputs, delta, out: grads.b(l) };
                return (0..sums.items()).for_each(|i| sums.run(engine, i));
            }
            let a = match l {
                0 => arena.input(slice(self.call.x, start, end)),
                _ => self.state(start).a(l - 1).operand(),
            };
            let delta = delta.at(0, first).operand();
            let sizes = (end - start, rows.min(outputs - first), n);
            weight_vjp(engine, sizes, delta, a, grads.w(l).wrapping_add(first * n), true);
        }
    }
}
