//! Cache sizes, for blocking. They decide where a loop is cut, never the order of a sum.

/// Sizes in bytes, per core for L1 and L2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caches {
    /// First-level data cache.
    pub l1d: usize,
    /// Second level.
    pub l2: usize,
    /// Third level, as far as one core may count on it.
    pub l3: usize,
}

/// What a machine that says nothing is taken to have.
pub const FALLBACK: Caches = Caches { l1d: 32 << 10, l2: 512 << 10, l3: 4 << 20 };

/// The caches of this machine, from CPUID where there is one. Asked once: in a virtual machine each CPUID is a
/// trap of tens of microseconds.
#[cfg(feature = "std")]
pub fn detect() -> Caches {
    static CACHES: std::sync::OnceLock<Caches> = std::sync::OnceLock::new();
    *CACHES.get_or_init(ask)
}

/// The caches of this machine, from CPUID where there is one.
#[cfg(not(feature = "std"))]
pub fn detect() -> Caches {
    ask()
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn ask() -> Caches {
    use raw_cpuid::{CacheType, CpuId};
    let mut found = FALLBACK;
    // AMD reports the same structure at another leaf, and the crate reads whichever there is.
    if let Some(caches) = CpuId::new().get_cache_parameters() {
        for c in caches {
            let size = c.associativity() * c.physical_line_partitions() * c.coherency_line_size() * c.sets();
            let shared = match c.level() {
                // Hyper-threads share L1 and L2; a kernel has them to itself where one thread runs a core.
                1 | 2 => 1,
                _ => c.max_cores_for_cache().max(1),
            };
            match (c.level(), c.cache_type()) {
                (1, CacheType::Data) => found.l1d = size,
                (2, CacheType::Data | CacheType::Unified) => found.l2 = size,
                (3, CacheType::Data | CacheType::Unified) => found.l3 = (size / shared).max(1 << 20),
                _ => {}
            }
        }
    }
    // A virtual machine may report nonsense: keep within what processors have.
    found.l1d = found.l1d.clamp(16 << 10, 256 << 10);
    found.l2 = found.l2.clamp(128 << 10, 16 << 20);
    found.l3 = found.l3.clamp(1 << 20, 64 << 20);
    found
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
fn ask() -> Caches {
    FALLBACK
}
