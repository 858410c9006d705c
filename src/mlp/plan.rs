//! The plan: everything that shapes decide, decided once.

use super::{
    layout::{PackedWeights, Store},
    narrow::{self, NarrowStore},
    spec::Mlp,
    workspace::{Memory, Workspace},
};
use crate::{
    Scalar,
    backend::BackendKind,
    dense::Ops,
    engine::Engine,
    error::{Error, Result},
    isa::{IsaToken, isa},
    memory::{Buffer, Regions, line},
    parallel::{Shared, available_threads, tasks_for},
};
use alloc::{format, string::String, vec::Vec};
use nablas_kernels::{cache, chain::CHAIN, gemm::narrow::LANES};

/// What `forward` leaves in the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// What `backward` needs, of every row of the batch.
    #[default]
    ForBackward,
    /// Nothing: `forward` is inference, and gradients come from `vjp` and `value_and_grad`, which keep a tile
    /// of the minibatch at a time (but on the layered path, which keeps the whole batch in any case).
    Nothing,
}

/// How a [`Plan`] is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanOptions {
    /// The largest batch that calls may bring.
    pub max_batch: usize,
    /// Threads at most; those of the rayon pool that the caller is in, by default.
    pub threads: Option<usize>,
    /// The instruction set; [`isa`](crate::isa()) by default.
    pub isa: Option<IsaToken>,
    /// Who multiplies.
    pub backend: BackendKind,
    /// What `forward` leaves in the workspace.
    pub keep: Keep,
}

impl PlanOptions {
    /// Batches of at most `max_batch` rows; all else by default.
    pub fn new(max_batch: usize) -> Self {
        Self { max_batch, threads: None, isa: None, backend: BackendKind::Native, keep: Keep::default() }
    }

    /// At most `threads` threads.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// On this instruction set.
    #[must_use]
    pub fn isa(mut self, isa: IsaToken) -> Self {
        self.isa = Some(isa);
        self
    }

    /// With this backend.
    #[must_use]
    pub fn backend(mut self, backend: BackendKind) -> Self {
        self.backend = backend;
        self
    }

    /// Keeping this.
    #[must_use]
    pub fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }
}

/// Networks of at most this many parameters run tile by tile. A constant, not a cache size: the path decides in
/// which order the batch is summed, and that may depend on shapes alone.
const FUSED_PARAMS: usize = 1 << 18;
/// Partial gradients at most.
const MAX_SLOTS: usize = 64;
/// Rows of a tile at most: eight register tiles of every height.
const MAX_TILE_ROWS: usize = 192;

/// The fused path: tiles of the minibatch go forward and backward while they are in cache.
#[derive(Debug)]
pub(crate) struct FusedPlan {
    pub(crate) packed: Vec<PackedWeights>,
    pub(crate) tile_rows: usize,
    /// A task's tile.
    pub(crate) tile: Store,
    pub(crate) arenas: (usize, usize),
    pub(crate) slots: (usize, usize),
    /// A task's gradient of a chain of rows that is not its slot's first, where slots are that long.
    pub(crate) chains: (usize, usize),
    /// The whole batch's state, where it is kept.
    pub(crate) kept: Option<(usize, Store)>,
}

/// The narrow path: the fused one with samples in the lanes.
#[derive(Debug)]
pub(crate) struct NarrowPlan {
    pub(crate) tile_rows: usize,
    pub(crate) store: NarrowStore,
    /// Wᵀ of every layer.
    pub(crate) transposed: Vec<usize>,
    /// A task's tile, and from its start the sums in virtual lanes.
    pub(crate) arenas: (usize, usize),
    pub(crate) sums: usize,
    pub(crate) slots: (usize, usize),
    /// A task's gradient of chains that are not their slot's first, where slots are that long.
    pub(crate) chains: (usize, usize),
    /// The whole batch's tiles, where they are kept.
    pub(crate) kept: Option<(usize, usize)>,
}

/// The layered path: one product at a time over the whole batch.
#[derive(Debug)]
pub(crate) struct LayeredPlan {
    pub(crate) store: Store,
    pub(crate) base: usize,
    /// Two cotangents that take turns.
    pub(crate) delta: [usize; 2],
    pub(crate) scratch: usize,
}

#[derive(Debug)]
pub(crate) enum Path {
    Fused(FusedPlan),
    Narrow(NarrowPlan),
    Layered(LayeredPlan),
}

/// A network prepared for batches up to a size: paths chosen, memory laid out. Immutable and shareable; the
/// [`Workspace`] holds what calls write.
pub struct Plan<T: Scalar> {
    pub(crate) mlp: Mlp<T>,
    pub(crate) engine: Engine,
    pub(crate) ops: Ops<T>,
    pub(crate) path: Path,
    pub(crate) max_batch: usize,
    pub(crate) keep: Keep,
    /// Row losses.
    pub(crate) losses: usize,
    pub(crate) len: usize,
    /// Tells this plan's workspaces from those of plans with another layout.
    pub(crate) mark: u64,
}

/// A hash (FNV-1a) of all that a workspace's layout and its kept state depend on.
fn mark<T: Scalar>(mlp: &Mlp<T>, options: &PlanOptions, threads: usize) -> u64 {
    let layers = mlp.layers().iter().flat_map(|l| {
        let parameter = l.activation.parameter().map_or(0, |p| p.to_f64().to_bits());
        let name = l.activation.name().bytes().fold(0u64, |h, b| h.wrapping_mul(257).wrapping_add(b.into()));
        [l.inputs as u64, l.outputs as u64, parameter, name]
    });
    let rest = [options.max_batch as u64, threads as u64, options.keep as u64, options.backend as u64];
    layers.chain(rest).fold(0xcbf2_9ce4_8422_2325, |h, x| (h ^ x).wrapping_mul(0x0100_0000_01b3))
}

/// Slots that no batch of at most `batch` rows exceeds.
fn max_slots(params: usize, batch: usize) -> usize {
    // A slot's gradient is folded once and its rows are summed `rows` times: the more parameters leave L1 and
    // L2, the more rows a slot must have for the fold to be lost in the noise.
    let least_rows = match params {
        0..=65_536 => 64,
        _ => 192,
    };
    (batch / least_rows).clamp(1, MAX_SLOTS)
}

/// The partial gradients of a batch: how many, and the rows of each. By shape alone.
pub(crate) fn slots(params: usize, batch: usize) -> (usize, usize) {
    let rows = batch.div_ceil(max_slots(params, batch)).next_multiple_of(24);
    (batch.div_ceil(rows.max(1)), rows)
}

impl<T: Scalar> Plan<T> {
    /// Plans a network.
    ///
    /// # Errors
    /// [`Error::Isa`] if `NABLAS_ISA` pins what is not there; [`Error::Backend`] if the backend cannot be had;
    /// [`Error::Parameter`] for 0 threads; [`Error::Overflow`] if the workspace exceeds the address space.
    pub fn new(mlp: &Mlp<T>, options: &PlanOptions) -> Result<Self> {
        let token = options.isa.map_or_else(isa, Ok)?;
        let threads = options.threads.unwrap_or_else(available_threads);
        if threads == 0 {
            return Err(Error::Parameter { what: "threads", expected: "at least 1", got: 0.0 });
        }
        let engine = Engine::new::<T>(token, threads);
        let ops = Ops::new(options.backend, engine);
        ops.check(options.max_batch.max(mlp.max_width()))?;
        let native = options.backend == BackendKind::Native;
        let fused = native && mlp.param_len() <= FUSED_PARAMS;
        let mut at = Regions::default();
        let path = if fused && narrow::pays(mlp) {
            Path::Narrow(Self::narrow(mlp, options, engine, &mut at))
        } else if fused {
            Path::Fused(Self::fused(mlp, options, engine, &mut at))
        } else {
            Path::Layered(Self::layered(mlp, options, &ops, &mut at))
        };
        let losses = at.take::<T>(options.max_batch);
        let len = at.len("a workspace")?;
        if len > isize::MAX as usize / size_of::<T>() {
            return Err(Error::Overflow { what: "a workspace" });
        }
        let (max_batch, keep) = (options.max_batch, options.keep);
        let mark = mark(mlp, options, threads);
        Ok(Self { mlp: mlp.clone(), engine, ops, path, max_batch, keep, losses, len, mark })
    }

    fn fused(mlp: &Mlp<T>, options: &PlanOptions, engine: Engine, at: &mut Regions) -> FusedPlan {
        let packed = PackedWeights::new(mlp, at);
        // A tile's state takes half of L2; how tall it is leaves no trace in the bits.
        let fit = cache::detect().l2 / 2 / Store::row_bytes(mlp).max(1);
        let tile_rows = (fit / 24 * 24).clamp(24, MAX_TILE_ROWS).min(options.max_batch.max(1));
        let tile = Store::new(mlp, tile_rows);
        let arenas = at.take_many::<T>(engine.threads, tile.len);
        let count = max_slots(mlp.param_len(), options.max_batch);
        let partial = at.take_many::<T>(count - 1, mlp.param_len());
        // No smaller batch has longer slots, once slots are as many as there may be.
        let long = slots(mlp.param_len(), options.max_batch).1 > CHAIN;
        let chains = at.take_many::<T>(if long { engine.threads } else { 0 }, mlp.param_len());
        let kept = (options.keep == Keep::ForBackward).then(|| {
            let store = Store::new(mlp, options.max_batch);
            (at.take::<T>(store.len), store)
        });
        FusedPlan { packed, tile_rows, tile, arenas, slots: partial, chains, kept }
    }

    fn narrow(mlp: &Mlp<T>, options: &PlanOptions, engine: Engine, at: &mut Regions) -> NarrowPlan {
        let batch = options.max_batch;
        // A tile's state takes a quarter of L2, the sums about as much; how tall it is leaves no trace in the bits.
        let fit = cache::detect().l2 / 4 / NarrowStore::row_bytes(mlp).max(1);
        let rows = (fit / 64 * 64).clamp(64, narrow::MAX_TILE_ROWS);
        // Where slots have more rows than a chain in every lane, tiles end where chains do: a power of two divides it.
        let long = narrow::slots(batch).1 > narrow::CHAIN_ROWS;
        let rows = if long { 1 << rows.ilog2() } else { rows };
        let tile_rows = rows.min(batch.clamp(1, rows).next_multiple_of(64));
        let store = NarrowStore::new(mlp, tile_rows);
        let transposed = narrow::transposed(mlp, at);
        let sums = store.len.next_multiple_of(line::<T>());
        let arenas = at.take_many::<T>(engine.threads, sums + LANES * mlp.param_len());
        let slots = at.take_many::<T>(narrow::max_slots(batch) - 1, mlp.param_len());
        let chains = at.take_many::<T>(if long { engine.threads } else { 0 }, mlp.param_len());
        let tiles = narrow::max_tiles(batch, tile_rows);
        let kept = (options.keep == Keep::ForBackward).then(|| at.take_many::<T>(tiles, store.len));
        NarrowPlan { tile_rows, store, transposed, arenas, sums, slots, chains, kept }
    }

    fn layered(mlp: &Mlp<T>, options: &PlanOptions, ops: &Ops<T>, at: &mut Regions) -> LayeredPlan {
        let batch = options.max_batch;
        let store = Store::new(mlp, batch);
        let base = at.take::<T>(store.len);
        let width = batch.saturating_mul(nablas_kernels::gemm::shape::padded(mlp.max_width()));
        let delta = [at.take::<T>(width), at.take::<T>(width)];
        let scratch =
            mlp.layers().iter().map(|l| ops.scratch_len(batch, l.inputs, l.outputs)).max().unwrap_or(0);
        LayeredPlan { store, base, delta, scratch: at.take::<T>(scratch) }
    }

    /// A workspace for this plan. The only allocation: calls make none of their own. (`matrixmultiply` allocates its
    /// packing buffers in every product; called from outside any pool, rayon allocates a block every sixty forks or so.)
    ///
    /// # Errors
    /// [`Error::Overflow`] if the memory cannot be had.
    pub fn workspace(&self) -> Result<Workspace<T>> {
        let memory = Memory::Own(Buffer::zeroed("a workspace", self.len)?);
        Ok(Workspace { memory, kept: None, mark: self.mark })
    }

    /// A workspace for this plan over memory that the caller vouches for: [`workspace_bytes`](Self::workspace_bytes)
    /// bytes from `memory` on, which starts a cache line (64 bytes). `kept` is `None`, or what
    /// [`Workspace::kept`] of the last workspace over the same memory said after its last call.
    ///
    /// # Safety
    /// The memory is initialised, readable and writable, and nothing else accesses it, as long as the workspace lives. A
    /// `kept` other than `None` is of this very plan, and the memory has not been written since.
    pub unsafe fn workspace_at(&self, memory: *mut T, kept: Option<usize>) -> Workspace<T> {
        Workspace { memory: Memory::Lent(Shared(memory), self.len), kept, mark: self.mark }
    }

    /// Bytes that [`workspace`](Self::workspace) allocates, and that [`workspace_at`](Self::workspace_at) takes.
    pub fn workspace_bytes(&self) -> usize {
        self.len.saturating_mul(size_of::<T>())
    }

    /// The network.
    pub fn mlp(&self) -> &Mlp<T> {
        &self.mlp
    }

    /// The instruction set that calls run on.
    pub fn isa(&self) -> IsaToken {
        self.engine.isa
    }

    /// Threads at most.
    pub fn threads(&self) -> usize {
        self.engine.threads
    }

    /// Tasks that no call over `batch` rows exceeds: where it is 1, calls stay on the calling thread.
    pub fn tasks(&self, batch: usize) -> usize {
        let params = self.mlp.param_len();
        // What is no product: weights are packed, partial gradients folded, column sums added.
        let rest = match &self.path {
            Path::Fused(_) => params.saturating_mul(slots(params, batch).0.max(1)),
            Path::Narrow(_) => params.saturating_mul(narrow::slots(batch).0),
            Path::Layered(_) => batch.saturating_mul(self.mlp.max_width()),
        };
        tasks_for(self.step_flop(batch).max(32.0 * rest as f64), self.engine.threads)
    }

    /// FLOP of the products of a step of `batch` rows: forward, dW of every layer, δ of all but the first.
    pub fn step_flop(&self, batch: usize) -> f64 {
        let layer = |(i, l): (usize, &super::LayerSpec<T>)| {
            let passes = if i == 0 { 4.0 } else { 6.0 };
            passes * batch as f64 * l.inputs as f64 * l.outputs as f64
        };
        self.mlp.layers().iter().enumerate().map(layer).sum()
    }

    /// Which path the plan chose, and why, in a sentence.
    pub fn explain(&self) -> String {
        let params = self.mlp.param_len();
        let on = format!("{}, at most {} threads", self.engine.isa.name(), self.engine.threads);
        match &self.path {
            Path::Fused(f) => format!(
                "fused: {params} parameters are at most {FUSED_PARAMS}, so tiles of {} rows go forward and \
                 backward through all layers in cache, into {} partial gradients ({on})",
                f.tile_rows,
                slots(params, self.max_batch).0,
            ),
            Path::Narrow(n) => format!(
                "narrow: {params} parameters in widths that would leave lanes empty, so samples lie in the lanes and \
                 tiles of {} rows go forward and backward through all layers in cache, into {} partial gradients \
                 ({on})",
                n.tile_rows,
                narrow::slots(self.max_batch).0,
            ),
            Path::Layered(_) if matches!(self.ops, Ops::Foreign(..)) => {
                format!("layered: the backend {} multiplies layer by layer ({on})", self.ops.name())
            }
            Path::Layered(_) => format!(
                "layered: {params} parameters are more than {FUSED_PARAMS}, so each layer is one blocked product \
                 over the whole batch ({on})"
            ),
        }
    }
}

impl<T: Scalar> core::fmt::Debug for Plan<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Plan").field("max_batch", &self.max_batch).field("path", &self.explain()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_cover_the_batch() {
        for params in [10, 20_000, 200_000] {
            for batch in (1..3000).chain([65_536, 262_144, 1_000_003]) {
                let (count, rows) = slots(params, batch);
                assert!((1..=MAX_SLOTS).contains(&count));
                assert!(
                    count * rows >= batch && (count - 1) * rows < batch,
                    "{params} {batch}: {count} × {rows}"
                );
            }
        }
    }
}
