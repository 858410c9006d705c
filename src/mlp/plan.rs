//! The plan: everything that shapes decide, decided once.

use super::{
    fused::{FUSED_PARAMS, Fused},
    groups::groups,
    layered::Layered,
    narrow::{self, Narrow},
    path::{Path, PathKind},
    setup::Setup,
    spec::{LayerSpec, Mlp},
    trials::Trials,
    workspace::{Memory, Workspace},
};
use crate::{
    Scalar,
    backend::BackendKind,
    engine::Engine,
    error::{Error, Result},
    isa::{IsaToken, isa},
    memory::{Buffer, Regions},
    product::Ops,
    shared::Shared,
    team::{Team, available_threads},
};
use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::ops::Range;

/// How a [`Plan`] is to be made.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// The largest batch that calls may bring.
    pub max_batch: usize,
    /// Members of the team that a call may bring, the caller among them; all of them by default, or the threads of the
    /// rayon pool that the caller is in.
    pub threads: Option<usize>,
    /// The team; by default one for the whole process.
    pub team: Option<Team>,
    /// The instruction set; [`isa`](crate::isa()) by default.
    pub isa: Option<IsaToken>,
    /// Who multiplies.
    pub backend: BackendKind,
    exactly: Option<usize>,
}

impl PlanOptions {
    /// Batches of at most `max_batch` rows; all else by default.
    pub fn new(max_batch: usize) -> Self {
        let backend = BackendKind::Native;
        Self { max_batch, threads: None, team: None, isa: None, backend, exactly: None }
    }

    /// At most `threads` threads.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// With the members of this team.
    #[must_use]
    pub fn team(mut self, team: &Team) -> Self {
        self.team = Some(team.clone());
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

    /// Every call brings so many members, whether they pay or not: for tests of what several do.
    #[doc(hidden)]
    #[must_use]
    pub fn exactly(mut self, members: usize) -> Self {
        self.exactly = Some(members);
        self
    }
}

/// A network prepared for batches up to a size: paths chosen, memory laid out. Shareable: all that calls change in
/// it is a count of which way was the faster, on members or alone; the [`Workspace`] holds what they write.
pub struct Plan<T: Scalar> {
    pub(crate) setup: Setup<T>,
    pub(crate) path: Box<dyn Path<T>>,
    /// Row losses.
    pub(crate) losses: usize,
    pub(crate) len: usize,
    /// Tells this plan's workspaces and kept states from those of plans with another layout.
    pub(crate) mark: u64,
    /// Tells the panels of its parameters from others.
    pub(crate) panels_mark: u64,
    /// Layers that a training step steps together.
    pub(crate) groups: Vec<Range<usize>>,
    /// Whether members pay.
    pub(crate) trials: Trials,
}

/// A hash (FNV-1a) of the network, and of numbers besides.
fn mark<T: Scalar>(mlp: &Mlp<T>, rest: &[u64]) -> u64 {
    let layers = mlp.layers().iter().flat_map(|l| {
        let parameter = l.activation.parameter().map_or(0, |p| p.to_f64().to_bits());
        let name = l.activation.name().bytes().fold(0u64, |h, b| h.wrapping_mul(257).wrapping_add(b.into()));
        [l.inputs as u64, l.outputs as u64, parameter, name]
    });
    let all = layers.chain(rest.iter().copied());
    all.fold(0xcbf2_9ce4_8422_2325, |h, x| (h ^ x).wrapping_mul(0x0100_0000_01b3))
}

impl<T: Scalar> Plan<T> {
    /// Plans a network.
    ///
    /// # Errors
    /// [`Error::Isa`] if `NABLAS_ISA` pins what is not there; [`Error::Variable`] if `NABLAS_NUM_THREADS` is no number of
    /// threads, and none is named; [`Error::Backend`] if the backend cannot be had;
    /// [`Error::Parameter`] for 0 threads; [`Error::Overflow`] if the workspace exceeds the address space.
    pub fn new(mlp: &Mlp<T>, options: &PlanOptions) -> Result<Self> {
        let token = options.isa.map_or_else(isa, Ok)?;
        let threads = match (options.exactly.or(options.threads), &options.team) {
            (Some(threads), _) => threads,
            (None, Some(team)) => team.threads(),
            (None, None) => available_threads()?,
        };
        if threads == 0 {
            return Err(Error::Parameter { what: "threads", expected: "at least 1", got: 0.0 });
        }
        let mut engine = Engine::new::<T>(token, threads, None);
        if let Some(team) = &options.team {
            engine.join(team);
        }
        engine.exactly = options.exactly.is_some();
        let (threads, max_batch) = (engine.threads, options.max_batch);
        let setup = Setup { mlp: mlp.clone(), max_batch, ops: Ops::new(options.backend, engine) };
        setup.ops.check(max_batch.max(mlp.max_width()))?;
        let native = options.backend == BackendKind::Native;
        let fused = native && mlp.param_len() <= FUSED_PARAMS;
        let mut at = Regions::default();
        let path: Box<dyn Path<T>> = if fused && narrow::pays(mlp) {
            Box::new(Narrow::new(&setup, &mut at))
        } else if fused {
            Box::new(Fused::new(&setup, &mut at))
        } else {
            Box::new(Layered::new(&setup, &mut at))
        };
        let losses = at.take::<T>(max_batch);
        let len = at.len("a workspace")?;
        if len > isize::MAX as usize / size_of::<T>() {
            return Err(Error::Overflow { what: "a workspace" });
        }
        let backend = options.backend as u64;
        let workspace = mark(mlp, &[max_batch as u64, threads as u64, backend]);
        let lanes = token.name().bytes().fold(0, |h: u64, b| h.wrapping_mul(257).wrapping_add(b.into()));
        let panels_mark = mark(mlp, &[lanes, backend]);
        let groups = groups(mlp);
        Ok(Self { setup, path, losses, len, mark: workspace, panels_mark, groups, trials: Trials::new() })
    }

    /// A workspace for this plan. The only allocation: calls make none of their own, but for the first that brings members of
    /// the default team, which makes it. (`matrixmultiply` allocates its packing buffers in every product.)
    ///
    /// # Errors
    /// [`Error::Overflow`] or [`Error::Memory`] if the memory cannot be had.
    pub fn workspace(&self) -> Result<Workspace<T>> {
        let memory = Memory::Own(Buffer::zeroed("a workspace", self.len)?);
        Ok(Workspace { memory, mark: self.mark, seats: 0 })
    }

    /// A workspace for this plan over memory that the caller vouches for: [`workspace_bytes`](Self::workspace_bytes)
    /// bytes from `memory` on, which starts a cache line (64 bytes).
    ///
    /// # Safety
    /// The memory is initialised, readable and writable, and nothing else accesses it, as long as the workspace lives.
    pub unsafe fn workspace_at(&self, memory: *mut T) -> Workspace<T> {
        Workspace { memory: Memory::Lent(Shared(memory), self.len), mark: self.mark, seats: 0 }
    }

    /// Bytes that [`workspace`](Self::workspace) allocates, and that [`workspace_at`](Self::workspace_at) takes.
    pub fn workspace_bytes(&self) -> usize {
        self.len.saturating_mul(size_of::<T>())
    }

    /// The network.
    pub fn mlp(&self) -> &Mlp<T> {
        &self.setup.mlp
    }

    /// Rows that a batch has at most.
    pub fn max_batch(&self) -> usize {
        self.setup.max_batch
    }

    /// The instruction set that calls run on.
    pub fn isa(&self) -> IsaToken {
        self.setup.engine().isa
    }

    /// Members of the team at most, the caller among them.
    pub fn threads(&self) -> usize {
        self.setup.engine().threads
    }

    /// FLOP of the products of a step of `batch` rows: forward, dW of every layer, δ of all but the first.
    pub fn step_flop(&self, batch: usize) -> f64 {
        let layer = |(i, l): (usize, &LayerSpec<T>)| {
            let passes = if i == 0 { 4.0 } else { 6.0 };
            passes * batch as f64 * l.inputs as f64 * l.outputs as f64
        };
        self.setup.mlp.layers().iter().enumerate().map(layer).sum()
    }

    /// Which path the plan chose.
    pub fn path(&self) -> PathKind {
        self.path.kind()
    }

    /// Which path the plan chose, and why, in a sentence.
    pub fn explain(&self) -> String {
        let (isa, threads) = (self.setup.engine().isa.name(), self.setup.engine().threads);
        format!("{}: {} ({isa}, at most {threads} threads)", self.path(), self.path.explain(&self.setup))
    }
}

impl<T: Scalar> core::fmt::Debug for Plan<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Plan")
            .field("max_batch", &self.setup.max_batch)
            .field("path", &self.explain())
            .finish()
    }
}
