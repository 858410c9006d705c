//! What the library is and runs on.

use crate::fork;
use nablas::IsaToken;
use nablas_kernels::cache;
use std::{
    env,
    ffi::{CStr, CString, c_char},
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
    thread,
};

/// What the library is and runs on. Strings and struct live as long as the process.
#[repr(C)]
#[derive(Debug)]
pub struct nablas_config {
    /// The version, as `NABLAS_VERSION`.
    pub version: *const c_char,
    /// The instruction set of calls that name none: `scalar`, `neon`, `avx2` or `avx512`; empty if `NABLAS_ISA` names
    /// one that is not here.
    pub isa: *const c_char,
    /// Why that one, and not a wider.
    pub isa_reason: *const c_char,
    /// The instruction sets of this machine, narrowest first, with spaces between.
    pub isas: *const c_char,
    /// Bytes of the first-level data cache.
    pub l1d_bytes: usize,
    /// Bytes of the second-level cache.
    pub l2_bytes: usize,
    /// Bytes of the third-level cache that one core may count on.
    pub l3_bytes: usize,
    /// Processors that the process may use.
    pub processors: usize,
    /// The optional parts that were built in, with spaces between.
    pub features: *const c_char,
}

struct Holder {
    config: nablas_config,
    _strings: [CString; 4],
}

/// The version, as C reads it.
pub(crate) const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

/// What each instruction set is made of, as far as pulp asks for it.
#[cfg(target_arch = "x86_64")]
fn lacking(isa: &str) -> Vec<&'static str> {
    macro_rules! lacks {
        ($($feature:tt)*) => {
            [$(($feature, std::arch::is_x86_feature_detected!($feature))),*]
                .into_iter()
                .filter_map(|(name, here)| (!here).then_some(name))
                .collect()
        };
    }
    match isa {
        "avx2" => lacks!("sse4.2" "popcnt" "avx" "avx2" "bmi1" "bmi2" "fma" "lzcnt"),
        _ => lacks!("avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl"),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn lacking(_: &str) -> Vec<&'static str> {
    Vec::new()
}

/// Why calls run on this instruction set and on no wider one.
fn reason(isa: IsaToken) -> String {
    if let Ok(pin) = env::var("NABLAS_ISA")
        && !pin.is_empty()
    {
        return format!("NABLAS_ISA={pin} pins it");
    }
    let wider: &[&str] = match isa.name() {
        "scalar" if cfg!(target_arch = "x86_64") => &["avx2", "avx512"],
        "avx2" => &["avx512"],
        _ => &[],
    };
    let Some(next) = wider.first() else {
        return "the widest that nablas has for this processor family".into();
    };
    match lacking(next) {
        missing if missing.is_empty() => format!("the processor does not offer all that {next} needs"),
        missing => format!("{next} needs what this processor lacks: {}", missing.join(", ")),
    }
}

/// What the library is and runs on, made when first asked for. Threads that do so at once make it each, and one is kept:
/// a lock might be left behind by a fork.
pub(crate) fn config() -> &'static nablas_config {
    static CONFIG: AtomicPtr<Holder> = AtomicPtr::new(ptr::null_mut());
    let known = CONFIG.load(Ordering::Acquire);
    // SAFETY: what is kept is never freed.
    if let Some(holder) = unsafe { known.as_ref() } {
        return &holder.config;
    }
    fork::watch();
    let made = Box::into_raw(Box::new(made()));
    let kept = match CONFIG.compare_exchange(known, made, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => made,
        Err(kept) => {
            // SAFETY: nobody else has seen it.
            drop(unsafe { Box::from_raw(made) });
            kept
        }
    };
    // SAFETY: as above.
    unsafe { &(*kept).config }
}

fn made() -> Holder {
    let text = |text: String| CString::new(text).unwrap_or_default();
    let (isa, why) = match nablas::isa() {
        Ok(isa) => (isa.name().to_owned(), reason(isa)),
        Err(error) => (String::new(), error.to_string()),
    };
    let isas: Vec<&str> = IsaToken::available().map(IsaToken::name).collect();
    let features = if cfg!(feature = "blas-symbols") { "threads blas-symbols" } else { "threads" };
    let strings = [text(isa), text(why), text(isas.join(" ")), text(features.into())];
    let caches = cache::detect();
    let config = nablas_config {
        version: VERSION.as_ptr(),
        isa: strings[0].as_ptr(),
        isa_reason: strings[1].as_ptr(),
        isas: strings[2].as_ptr(),
        l1d_bytes: caches.l1d,
        l2_bytes: caches.l2,
        l3_bytes: caches.l3,
        processors: thread::available_parallelism().map_or(1, usize::from),
        features: strings[3].as_ptr(),
    };
    Holder { config, _strings: strings }
}
