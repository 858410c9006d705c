//! Run-time detection and pinning.

use super::{Isa, Kernel};
use core::fmt;
use pulp::Scalar;

/// An instruction set that this machine has: only detection makes one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IsaToken(Inner);

#[derive(Clone, Copy)]
enum Inner {
    Scalar(Scalar),
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
}

impl PartialEq for Inner {
    fn eq(&self, other: &Self) -> bool {
        core::mem::discriminant(self) == core::mem::discriminant(other)
    }
}
impl Eq for Inner {}

/// Why an ISA could not be pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsaError {
    /// The name is none of `scalar`, `avx2`, `avx512`, `neon`.
    Unknown,
    /// This machine (or this build) does not have it.
    Unavailable(&'static str),
}

impl fmt::Display for IsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(f, "unknown ISA: expected scalar, avx2, avx512 or neon"),
            Self::Unavailable(name) => {
                write!(f, "ISA {name} is not available here; available:")?;
                IsaToken::available().try_for_each(|t| write!(f, " {}", t.name()))
            }
        }
    }
}

impl core::error::Error for IsaError {}

/// The names, narrowest first.
const NAMES: [&str; 4] = ["scalar", "neon", "avx2", "avx512"];

impl IsaToken {
    /// The ISA of this name, if the machine has it. Never a fallback.
    ///
    /// # Errors
    /// [`IsaError`] for a name that is unknown or that this machine lacks.
    pub fn pin(name: &str) -> Result<Self, IsaError> {
        let name = NAMES.into_iter().find(|n| *n == name).ok_or(IsaError::Unknown)?;
        let inner = match name {
            "scalar" => Some(Inner::Scalar(Scalar::new())),
            #[cfg(target_arch = "x86_64")]
            "avx2" => pulp::x86::V3::try_new().map(Inner::Avx2),
            #[cfg(target_arch = "x86_64")]
            "avx512" => pulp::x86::V4::try_new().map(Inner::Avx512),
            #[cfg(target_arch = "aarch64")]
            "neon" => pulp::aarch64::Neon::try_new().map(Inner::Neon),
            _ => None,
        };
        inner.map(Self).ok_or(IsaError::Unavailable(name))
    }

    /// Every ISA of this machine, narrowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        NAMES.into_iter().filter_map(|n| Self::pin(n).ok())
    }

    /// The widest ISA of this machine.
    pub fn detect() -> Self {
        Self::available().last().unwrap_or(Self(Inner::Scalar(Scalar::new())))
    }

    /// What `NABLAS_ISA` pins, or the widest where it is unset or empty. Read anew at each call.
    ///
    /// # Errors
    /// [`IsaError`] if it names an ISA that is unknown or that this machine lacks.
    #[cfg(feature = "std")]
    pub fn from_env() -> Result<Self, IsaError> {
        match std::env::var("NABLAS_ISA") {
            Ok(name) if !name.is_empty() => Self::pin(&name),
            Ok(_) | Err(std::env::VarError::NotPresent) => Ok(Self::detect()),
            Err(std::env::VarError::NotUnicode(_)) => Err(IsaError::Unknown),
        }
    }

    /// The name that pins it.
    pub fn name(self) -> &'static str {
        match self.0 {
            Inner::Scalar(_) => <Scalar as Isa>::NAME,
            #[cfg(target_arch = "x86_64")]
            Inner::Avx2(_) => <pulp::x86::V3 as Isa>::NAME,
            #[cfg(target_arch = "x86_64")]
            Inner::Avx512(_) => <pulp::x86::V4 as Isa>::NAME,
            #[cfg(target_arch = "aarch64")]
            Inner::Neon(_) => <pulp::aarch64::Neon as Isa>::NAME,
        }
    }

    /// Runs a kernel on this ISA: one indirect-free call into a function with the ISA's target features.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Inner::Scalar(isa) => Isa::run(isa, kernel),
            #[cfg(target_arch = "x86_64")]
            Inner::Avx2(isa) => Isa::run(isa, kernel),
            #[cfg(target_arch = "x86_64")]
            Inner::Avx512(isa) => Isa::run(isa, kernel),
            #[cfg(target_arch = "aarch64")]
            Inner::Neon(isa) => Isa::run(isa, kernel),
        }
    }
}

impl fmt::Debug for IsaToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IsaToken({})", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_pin_what_is_there_and_nothing_else() {
        for t in IsaToken::available() {
            assert_eq!(IsaToken::pin(t.name()), Ok(t));
        }
        assert_eq!(IsaToken::pin("sse9"), Err(IsaError::Unknown));
        assert!(IsaToken::available().count() >= 1);
        #[cfg(target_arch = "x86_64")]
        assert_eq!(IsaToken::pin("neon"), Err(IsaError::Unavailable("neon")));
    }
}
