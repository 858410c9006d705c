//! What calls run on: an instruction set, block sizes, and a team.

use crate::{
    Scalar,
    error::Result,
    team::{self, Schedule, Team, Work, available_threads},
};
use nablas_kernels::{
    cache,
    entry::Entry,
    gemm::blocked::Blocking,
    isa::{IsaToken, LaneKernel, RawKernel, Vouched},
};

/// What the calls run on.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) isa: IsaToken,
    /// Members of the team that a call may bring, the caller among them.
    pub(crate) threads: usize,
    /// Whether the caller has named a number of them.
    limited: bool,
    pub(crate) blocking: Blocking,
    /// The default team, if none.
    pub(crate) team: Option<Team>,
    /// Whether calls bring all their members, whatever that costs.
    pub(crate) exactly: bool,
}

impl Engine {
    pub(crate) fn new<T: Scalar>(isa: IsaToken, threads: usize, team: Option<Team>) -> Self {
        let blocking = Blocking::new(cache::detect(), size_of::<T>());
        Self { isa, threads: threads.clamp(1, 1024), limited: true, blocking, team, exactly: false }
    }

    /// With all members of the default team, or all threads of the rayon pool that the caller is in.
    pub(crate) fn unlimited<T: Scalar>(isa: IsaToken) -> Result<Self> {
        Ok(Self { limited: false, ..Self::new::<T>(isa, available_threads()?, None) })
    }

    /// Takes the members of this team: all of them, or as many as have been named.
    pub(crate) fn join(&mut self, team: &Team) {
        self.threads = if self.limited { self.threads.min(team.threads()) } else { team.threads() };
        self.team = Some(team.clone());
    }

    /// Takes so many members at most.
    pub(crate) fn limit(&mut self, threads: usize) {
        self.threads = self.threads.min(threads.max(1));
        self.limited = true;
    }

    /// Runs a kernel.
    pub(crate) fn run<T: Entry<K>, K: LaneKernel<Elem = T>>(&self, kernel: K) -> K::Output {
        T::enter(self.isa, kernel)
    }

    /// Runs a raw kernel.
    ///
    /// # Safety
    /// As for [`RawKernel::run_raw`].
    pub(crate) unsafe fn run_raw<T: Entry<Vouched<K>>, K: RawKernel<Elem = T>>(&self, kernel: K) {
        // SAFETY: the caller's promise.
        T::enter(self.isa, unsafe { Vouched::new(kernel) });
    }

    /// Microseconds that one thread takes for so much work, or somewhat less: an estimate, by which calls decide
    /// whether they bring members. `touched` counts elements that are packed, copied or added besides.
    pub(crate) fn micros<T>(&self, flop: f64, touched: f64) -> f64 {
        // FLOP a nanosecond of small products, and of what is not a product.
        let (products, rest) = match self.isa.name() {
            "avx512" => (100.0, 4.0),
            "avx2" => (60.0, 4.0),
            "neon" => (30.0, 2.0),
            _ => (2.0, 0.5),
        };
        let size = size_of::<T>() as f64 / 4.0;
        size * (flop / products + touched / rest) / 1e3
    }

    /// The most seats that a call of so much work takes, if no phase has more than `breadth` items.
    pub(crate) fn seats(&self, micros: f64, phases: usize, breadth: usize) -> usize {
        if self.exactly {
            return self.threads;
        }
        team::seats_for(micros, phases, self.threads.min(breadth)).max(1)
    }

    /// Runs a schedule; how many seats ran an item.
    pub(crate) fn schedule(
        &self,
        micros: f64,
        phases: usize,
        breadth: usize,
        schedule: &impl Schedule,
    ) -> usize {
        let seats = if self.exactly { self.threads } else { self.threads.min(breadth) };
        let work = Work { micros, phases, seats, exactly: self.exactly };
        team::run(self.team.as_ref(), work, schedule)
    }
}
