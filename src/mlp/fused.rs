//! The fused path: a tile of the minibatch goes forward and backward through all layers while it is in cache.
//!
//! ```text
//! pack        item (layer, direction, share):     Wᵀ in panels, for the forward product; W, for the input VJP
//!
//! slots       item (group of slots), on a seat:
//!   for each slot, for each of its tiles:
//!       for l in 1, …, L:   A_l ← g(A_{l−1}·W_lᵀ + b_l), and what g'(Z_l) needs
//!       δ_L ← ∂L/∂A_L ⊙ g'(Z_L)                   given, or made by the loss of A_L
//!       db_L += column sums of δ_L
//!       for l in L, …, 1:   dW_l += δ_lᵀ·A_{l−1}
//!                           δ_{l−1} ← (δ_l·W_l) ⊙ g'(Z_{l−1}); db_{l−1} += its column sums
//!   as soon as two neighbours in the tree are whole, the right one is added to the left one      fold.rs
//!
//! gradients   items where members share the rows of a slot, and else none                        fused_split.rs
//! fold        item (4,096 parameters):            the sums of all groups, by the rest of the tree
//! ```
//!
//! `fused_tile.rs` has the operations of a tile; the loops over layers are those of `pass.rs`. A forward pass alone has
//! runs of rows instead of slots, and nothing after them. A backward pass alone reads A_l and g' in a kept state. δ_0
//! is dX, which has no derivative, and is made only if it is asked for.
//!
//! **Why tiles.** Layer by layer, A_l, g' and δ_l of the whole batch go to memory and come back between two products.
//! Those of a tile stay in its seat's arena, half of L2 at most where that has room for 24 rows. How many rows a tile
//! has leaves no trace: each row goes through the layers by itself, and dW and db go on with the chains of the tile
//! before. A chain has 512 rows and tiles are cut where it ends; a chain that is not its slot's first is summed in a
//! buffer of the seat's, and added to the slot.
//!
//! **Why slots.** A gradient is a sum over the batch, and one sum in order is one member's work. So the batch is cut
//! into at most 64 slots, which are added by a fixed tree. How many there are depends on the batch and the number of
//! parameters alone (`fused_slots.rs`), since it decides in which order the batch is summed: never on caches or
//! members.
//!
//! **Why δ_l takes the place of g'(Z_l).** The depth of a tile's products is never cut, so each element of g' is read
//! for the last time as it is overwritten. It is done in the arena alone: a kept state serves any number of backward
//! passes.
//!
//! **Where W is read as it lies.** Packing is repaid by the rows that read the panels. Batches of up to 24 rows, or 32
//! of networks that leave L1, read W where it lies, both ways, but for input VJPs to fewer than sixteen inputs; so do
//! forward products of at most six outputs, and input VJPs of widths that are multiples of 16 and at most 128.
//! Parameters that come with their panels have repaid packing.
//!
//! What would be tempting, and is wrong:
//! - *Small slots, for more members to share*: 64→64→64→1 at batch 32 took 19 µs in two slots of 16 rows, and 13.6 in
//!   one of 32. A batch of fewer slots than members is shared by rows, and its gradient by elements, which shows in no
//!   bit.
//! - *To keep all partial gradients for one fold at the end*: 63 of them beside the caller's, where one thread has six
//!   at most, each of them added while it is in cache.
//! - *To pack for any batch*: 256→256→256, ReLU, took 40.2 µs at batch 1, and 23.3 since it reads W where it lies. *To
//!   pack for none*: 64→64→64 at batch 32 takes 14.8 µs for 14.0.
//! - *To let tiles end where the caller's columns do*: a tile at a right edge is loaded and stored out of line. A
//!   seat's arena is padded to whole granules, so that none is at an edge there; column sums go through it for the same
//!   reason.

use super::{
    call::{Backward, Call, Goal},
    ends::slice,
    fold::{Groups, Sums, add},
    fused_slots::{least_rows, max_slots, slots},
    fused_split::{Split, Together},
    fused_tile::{Arena, IN_PLACE, Net, Tile, few},
    layout::{Block, PackedWeights, Store, TileEnds},
    params::Places,
    pass,
    path::{Path, PathKind},
    setup::Setup,
};
use crate::{
    Scalar,
    gemm::operand,
    memory::{Regions, Strided},
    shared::Shared,
};
use alloc::{format, string::String, vec::Vec};
use nablas_kernels::{
    cache,
    gemm::{pack::Share, tile::CHAIN},
};

/// Networks of at most this many parameters run tile by tile. A constant, not a cache size: the path decides in
/// which order the batch is summed, and that may depend on shapes alone.
pub(crate) const FUSED_PARAMS: usize = 1 << 18;
/// Rows of a tile at most: whole register tiles of every height.
const MAX_TILE_ROWS: usize = 192;
/// Rows that a member takes through the layers at least.
const LEAST_ROWS: usize = 4;
/// Parameters from which on two members share even three rows: the gradient is most of what such a call writes.
const SHARED_PARAMS: usize = 1 << 14;
/// Elements that an item packs at least.
const PACKED: usize = 32 << 10;

/// What the fused path has planned.
#[derive(Debug)]
pub(crate) struct Fused {
    packed: Vec<PackedWeights>,
    /// Items that pack W of a layer, one way.
    shares: Vec<usize>,
    panels: usize,
    panels_len: usize,
    tile_rows: usize,
    tile: Store,
    ends: TileEnds,
    /// A seat's tile, and from the start of it the sums of a run that is not its slot's first.
    arenas: Strided,
    run_sums: Option<usize>,
    sums: Sums,
    split: Split,
    kept: Store,
}

impl Fused {
    pub(crate) fn new<T: Scalar>(setup: &Setup<T>, at: &mut Regions) -> Self {
        let (mlp, batch) = (&setup.mlp, setup.max_batch);
        let mut inside = Regions::default();
        let packed = PackedWeights::new(mlp, IN_PLACE, &mut inside);
        let panels_len = inside.len("panels").unwrap_or(usize::MAX);
        let shares = mlp.layers().iter().map(|l| (l.inputs * l.outputs / PACKED).clamp(1, 16));
        let shares = if setup.engine().threads == 1 {
            mlp.layers().iter().map(|_| 1).collect()
        } else {
            shares.collect()
        };
        let panels = at.take::<T>(panels_len);
        // A tile's state takes half of L2; how tall it is leaves no trace in the bits.
        let tile = Store::new(mlp, true);
        let row = tile.row_bytes::<T>() + nablas_kernels::gemm::shape::padded(mlp.inputs()) * size_of::<T>();
        let fit = cache::detect().l2 / 2 / row.max(1);
        let tile_rows = (fit / 24 * 24).clamp(24, MAX_TILE_ROWS).min(batch.max(1));
        let ends = TileEnds::new(mlp, &tile, tile_rows);
        let params = mlp.param_len();
        let long = slots(params, batch).rows > CHAIN;
        let run_sums = long.then_some(ends.len);
        let arenas =
            at.take_many::<T>(setup.engine().threads, ends.len.saturating_add(if long { params } else { 0 }));
        let room = Groups::room(max_slots(params, batch), setup.engine().threads);
        let sums = Sums(at.take_many::<T>(room, params));
        let split = Split::new(mlp, &tile, (batch, least_rows(params), setup.engine().threads), at);
        let kept = Store::new(mlp, false);
        Self {
            packed,
            shares,
            panels,
            panels_len,
            tile_rows,
            tile,
            ends,
            arenas,
            run_sums,
            sums,
            split,
            kept,
        }
    }

    /// What every tile of a call reads.
    fn net<'a, T: Scalar>(&'a self, call: &Call<'a, T>) -> Net<'a, T> {
        let panels = call.panels.map_or(call.memory.add(self.panels), |p| p.0);
        let (mlp, engine) = (&call.setup.mlp, call.setup.engine());
        let few = call.panels.is_none() && call.batch() <= few(mlp.param_len());
        Net { mlp, engine, params: call.params, layout: &self.packed, panels: Shared(panels), few }
    }

    /// A seat's tile.
    fn arena<'a, T: Scalar>(&'a self, call: &Call<'_, T>, seat: usize) -> Arena<'a, T> {
        let base = call.memory.add(self.arenas.nth(seat));
        Arena {
            base,
            block: Block { base, store: &self.tile, rows: self.tile_rows, row: 0 },
            ends: self.ends,
        }
    }

    /// The call as one whose members share the rows, if it is.
    fn together<'a, T: Scalar>(&'a self, call: &'a Call<'a, T>) -> Option<Together<'a, T>> {
        let (rows, members) = (call.batch(), call.seats());
        let count = slots(call.setup.mlp.param_len(), rows).count;
        (call.backward.is_some() && self.split.serves(rows, count, members)).then(|| Together {
            call,
            net: self.net(call),
            split: &self.split,
            tile: &self.tile,
            kept: &self.kept,
            tile_rows: self.tile_rows,
            sums: self.sums,
        })
    }

    /// The slots of a call in groups.
    fn groups<T: Scalar>(&self, call: &Call<'_, T>) -> Groups {
        Groups::new(slots(call.setup.mlp.param_len(), call.batch()).count, call.seats())
    }

    /// Layer, direction (forward first) and share of a packing item.
    fn packing(&self, mut item: usize, directions: usize) -> (usize, usize, Share) {
        let mut l = 0;
        while item >= self.shares[l] * directions {
            item -= self.shares[l] * directions;
            l += 1;
        }
        let count = self.shares[l];
        (l, item / count, Share { index: item % count, count })
    }

    /// Rows of an item of a forward pass.
    fn forward_rows<T: Scalar>(&self, call: &Call<'_, T>) -> usize {
        let each = call.batch().div_ceil(call.seats());
        each.next_multiple_of(if each < 48 { 2 } else { 24 }).clamp(1, self.tile_rows)
    }

    /// A slot of the batch, all of its tiles, into `own`.
    ///
    /// # Safety
    /// As for [`Path::run`].
    unsafe fn slot<'a, T: Scalar>(
        &self,
        call: &'a Call<'a, T>,
        back: &Backward<'_, T>,
        seat: usize,
        s: usize,
        own: Places<'a, T>,
    ) {
        let (net, arena) = (self.net(call), self.arena(call, seat));
        let (mlp, batch) = (&call.setup.mlp, call.batch());
        let run = self.run_sums.map(|at| arena.base.wrapping_add(at));
        for t in slots(mlp.param_len(), batch).tiles(s, batch, self.tile_rows) {
            let x = slice(call.x, t.start, t.end);
            let acts = match call.kept {
                Some(kept) if !call.forward => {
                    Block { base: kept.0, store: &self.kept, rows: batch, row: t.start }
                }
                _ => arena.block,
            };
            let later = run.filter(|_| !t.first);
            let grads = later.map_or(own, |at| Places::flat(mlp, at));
            let mut tile = Tile {
                net,
                acts,
                arena,
                shared: call.forward,
                x,
                input: operand(x),
                save: true,
                y: call.y.map(|y| y.row(t.start)),
                grads: Some(grads),
                fresh: t.starts,
                dx: back.dx.map(|d| d.row(t.start)),
                delta: arena.dy(),
            };
            // SAFETY: a seat's own arena, an item's own slot; rows of Y, dX and losses that are this tile's alone; kept
            // state is only read. Both gradients are as long as the parameters.
            unsafe {
                if call.forward {
                    tile.contiguous();
                    pass::forward(mlp.layers().len(), &mut tile);
                }
                tile.seed(call, &back.cotangent, t.start, t.end);
                pass::backward(mlp.layers().len(), back.dx.is_some(), &mut tile);
                if let Some(rest) = later.filter(|_| t.ends) {
                    add(call, own, rest);
                }
            }
        }
    }
}

impl<T: Scalar> Path<T> for Fused {
    fn kind(&self) -> PathKind {
        PathKind::Fused
    }

    fn explain(&self, setup: &Setup<T>) -> String {
        let params = setup.mlp.param_len();
        format!(
            "{params} parameters are at most {FUSED_PARAMS}, so tiles of {} rows go forward and backward through all \
             layers in cache, into {} partial gradients",
            self.tile_rows,
            slots(params, setup.max_batch).count,
        )
    }

    fn kept_len(&self, batch: usize) -> usize {
        self.kept.len::<T>(batch)
    }

    fn panels_len(&self) -> usize {
        self.panels_len
    }

    fn panel_items_of(&self, _: &Setup<T>, l: usize) -> usize {
        2 * self.shares[l]
    }

    unsafe fn pack_panels(&self, setup: &Setup<T>, params: Places<'_, T>, item: usize, to: *mut T) {
        let (mlp, engine) = (&setup.mlp, setup.engine());
        let net = Net { mlp, engine, params, layout: &self.packed, panels: Shared(to), few: false };
        let (l, direction, share) = self.packing(item, 2);
        // SAFETY: the caller's promise; items pack disjoint panels.
        unsafe { net.pack(l, direction == 0, share) }
    }

    fn touched(&self, setup: &Setup<T>, batch: usize, goal: Goal) -> f64 {
        let params = setup.mlp.param_len();
        let folded = if goal == Goal::Forward { 0 } else { slots(params, batch).count };
        params as f64 * (2 + folded) as f64
    }

    fn breadth(&self, setup: &Setup<T>, batch: usize, goal: Goal) -> usize {
        match goal {
            Goal::Forward => batch.div_ceil(LEAST_ROWS),
            _ => {
                let params = setup.mlp.param_len();
                let (count, rows) = (slots(params, batch).count, batch.div_ceil(LEAST_ROWS));
                let rows = if params >= SHARED_PARAMS && batch > 2 { rows.max(2) } else { rows };
                if self.split.serves(batch, count, rows) { rows } else { count }
            }
        }
    }

    fn phases(&self, _: &Setup<T>, _: usize, _: Goal) -> usize {
        4
    }

    fn items(&self, call: &Call<'_, T>, phase: usize) -> Option<usize> {
        let batch = call.batch();
        match (phase, &call.backward) {
            (0, _) if call.panels.is_some() => Some(0),
            (0, back) => Some(self.shares.iter().sum::<usize>() * if back.is_some() { 2 } else { 1 }),
            (1, None) => Some(batch.div_ceil(self.forward_rows(call))),
            (1, Some(_)) => Some(self.together(call).map_or(self.groups(call).count(), |t| t.row_items())),
            (2, Some(_)) => Some(self.together(call).map_or(0, |t| t.gradient_items())),
            (3, Some(_)) => Some(Sums::items(call, self.groups(call))),
            _ => None,
        }
    }

    unsafe fn run(&self, call: &Call<'_, T>, seat: usize, phase: usize, item: usize) {
        let (net, batch) = (self.net(call), call.batch());
        match (phase, &call.backward) {
            (0, back) => {
                let (l, direction, share) = self.packing(item, if back.is_some() { 2 } else { 1 });
                // Without dX, the deltas end above the first layer; a backward pass alone multiplies no Wᵀ.
                let down = back.as_ref().is_some_and(|b| l > 0 || b.dx.is_some());
                if if direction == 0 { call.forward } else { down } {
                    // SAFETY: items pack disjoint regions of the workspace.
                    unsafe { net.pack(l, direction == 0, share) }
                }
            }
            (1, None) => {
                let rows = self.forward_rows(call);
                let (start, end) = (item * rows, batch.min((item + 1) * rows));
                let arena = self.arena(call, seat);
                let kept = call.kept.map(|k| Block { base: k.0, store: &self.kept, rows: batch, row: start });
                let (acts, x) = (kept.unwrap_or(arena.block), slice(call.x, start, end));
                let mut tile = Tile {
                    net,
                    acts,
                    arena,
                    shared: false,
                    x,
                    input: operand(x),
                    save: kept.is_some(),
                    y: call.y.map(|y| y.row(start)),
                    grads: None,
                    fresh: false,
                    dx: None,
                    delta: arena.dy(),
                };
                // SAFETY: items write disjoint rows, or a seat's own arena; no gradient is written.
                unsafe { tile.contiguous() };
                pass::forward(net.mlp.layers().len(), &mut tile);
            }
            // SAFETY: the caller's promise.
            (1, Some(back)) => unsafe {
                match self.together(call) {
                    Some(together) => together.rows(back, item),
                    None => self.sums.make(call, back.grads, self.groups(call), (seat, item), |s, own| {
                        self.slot(call, back, seat, s, own);
                    }),
                }
            },
            (2, Some(back)) => {
                if let Some(together) = self.together(call) {
                    // SAFETY: the caller's promise.
                    unsafe { together.gradients(back, item) }
                }
            }
            // SAFETY: the groups are done.
            (_, Some(back)) => unsafe { self.sums.fold(call, back.grads, self.groups(call), item) },
            _ => {}
        }
    }
}
