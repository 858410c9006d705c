//! A few rows of a narrow network: they would not fill the lanes, so features do, as on the fused path. The gradient is summed
//! as where samples are in the lanes, so nothing shows.

use super::{
    call::{Backward, Call},
    ends::{copy_rows, whole_rows},
    fused_tile::{Arena, Net, Tile},
    layout::{Block, PackedWeights, Store, TileEnds},
    pass,
    spec::Mlp,
};
use crate::{Scalar, gemm::operand, memory::Regions, shared::Shared};
use alloc::vec::Vec;
use nablas_kernels::gemm::{
    narrow_few::FewWeightVjp,
    pack::Share,
    row_major::RowMajor,
    shape::{PAD, padded},
};

/// What a plan has for them.
#[derive(Debug)]
pub(super) struct Few {
    rows: usize,
    tile: Store,
    ends: TileEnds,
    at: usize,
    packed: Vec<PackedWeights>,
    panels: usize,
}

impl Few {
    /// For batches of at most so many rows.
    pub(super) fn new<T: Scalar>(mlp: &Mlp<T>, rows: usize, at: &mut Regions) -> Self {
        let tile = Store::new(mlp, true);
        let ends = TileEnds::new(mlp, &tile, rows);
        let mut inside = Regions::default();
        // W is read where it lies, but for the input VJP to less than a vector.
        let packed = mlp.layers().iter().map(|l| PackedWeights {
            forward: 0,
            backward: inside.take::<T>(if l.inputs < PAD { l.outputs * PAD } else { 0 }),
            bias: inside.take::<T>(padded(l.outputs)),
        });
        let packed = packed.collect();
        let panels = at.take::<T>(inside.len("panels").unwrap_or(usize::MAX));
        Self { rows, at: at.take::<T>(ends.len), tile, ends, packed, panels }
    }

    /// Whether it serves a call: no state is kept, since that has samples in the lanes.
    pub(super) fn serves<T: Scalar>(&self, call: &Call<'_, T>) -> bool {
        call.batch() <= self.rows && call.kept.is_none()
    }

    /// All of the call.
    ///
    /// # Safety
    /// As for [`Path::run`](super::path::Path::run), of a call that has no other item.
    pub(super) unsafe fn run<T: Scalar>(&self, call: &Call<'_, T>) {
        let (mlp, engine, batch) = (&call.setup.mlp, call.setup.engine(), call.batch());
        let panels = Shared(call.memory.add(self.panels));
        let net = Net { mlp, engine, params: call.params, layout: &self.packed, panels, few: true };
        let base = call.memory.add(self.at);
        let block = Block { base, store: &self.tile, rows: self.rows, row: 0 };
        let (arena, back) = (Arena { base, block, ends: self.ends }, call.backward.as_ref());
        let mut tile = Tile {
            net,
            acts: block,
            arena,
            shared: true,
            x: call.x,
            input: operand(call.x),
            save: back.is_some(),
            y: call.y.map(|y| y.row(0)),
            grads: None,
            fresh: false,
            dx: back.and_then(|b| b.dx).map(|d| d.row(0)),
            delta: arena.dy(),
        };
        // SAFETY: the caller's promise: the workspace, the outputs and the row losses are this item's alone.
        unsafe {
            for l in 0..mlp.layers().len() {
                net.pack(l, true, Share::ALL);
                if l > 0 && back.is_some() || tile.dx.is_some() {
                    net.pack(l, false, Share::ALL);
                }
            }
            tile.contiguous();
            pass::forward(mlp.layers().len(), &mut tile);
            if let Some(back) = back {
                tile.seed(call, &back.cotangent, 0, batch);
                let seeded = tile.delta;
                pass::backward(mlp.layers().len(), tile.dx.is_some(), &mut tile);
                // By whole vectors, where it lies if its rows have them.
                let x = whole_rows(call.x).unwrap_or_else(|| {
                    let to = arena.x();
                    copy_rows(call.x.shape(), operand(call.x), (to.ptr, to.ld as isize, 1));
                    to
                });
                self.gradient(call, back, arena, (x, seeded));
            }
        }
    }

    /// The gradient, of A and δ of all layers.
    ///
    /// # Safety
    /// The arena has them; nothing else accesses the gradient.
    unsafe fn gradient<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        back: &Backward<'_, T>,
        arena: Arena<'_, T>,
        (x, seeded): (RowMajor<T>, RowMajor<T>),
    ) {
        let layers = call.setup.mlp.layers();
        for (l, layer) in layers.iter().enumerate() {
            let delta = if l + 1 < layers.len() { arena.block.g(l) } else { seeded };
            let a = if l > 0 { arena.block.a(l - 1) } else { x };
            let (m, n, dw, db) = (layer.outputs, layer.inputs, back.grads.w(l), back.grads.b(l));
            // SAFETY: the caller's promise.
            unsafe {
                call.setup.engine().run_raw(FewWeightVjp { rows: call.batch(), m, n, delta, a, dw, db });
            }
        }
    }
}
