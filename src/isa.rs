//! Which instruction set calls run on.

pub use nablas_kernels::isa::{IsaError, IsaToken};

use crate::error::Result;

/// The instruction set that calls use unless they are told otherwise: what the environment variable
/// `NABLAS_ISA` pinned when it was first asked for, or the widest of this machine.
///
/// # Errors
/// [`Error::Isa`](crate::Error::Isa) if `NABLAS_ISA` names an instruction set that is unknown or not here.
#[cfg(feature = "std")]
pub fn isa() -> Result<IsaToken> {
    static ISA: std::sync::OnceLock<core::result::Result<IsaToken, IsaError>> = std::sync::OnceLock::new();
    Ok((*ISA.get_or_init(IsaToken::from_env))?)
}

/// The instruction set that calls use unless they are told otherwise: the widest of this machine.
///
/// # Errors
/// None without the feature `std`, whose environment variable `NABLAS_ISA` can pin what is not there.
#[cfg(not(feature = "std"))]
pub fn isa() -> Result<IsaToken> {
    Ok(IsaToken::detect())
}
