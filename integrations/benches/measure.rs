//! What `benches/common` measures with, without criterion.

/// Seconds a step.
#[derive(Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) min: f64,
    pub(crate) median: f64,
}

/// Whether steps are only to be shown to run (`cargo bench -- --test`, `cargo test --benches`).
pub(crate) fn quick() -> bool {
    let mut args = std::env::args();
    !args.any(|arg| arg == "--bench") || std::env::args().any(|arg| arg == "--test")
}
