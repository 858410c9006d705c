//! The variants: one library, by the instruction set it runs on.

use crate::guard::Failure;
use nablas::IsaToken;
use std::{
    ffi::{CStr, CString, c_char},
    sync::OnceLock,
};

/// The instruction set of a variant.
///
/// # Safety
/// `variant` is NULL or ends with a NUL.
pub(crate) unsafe fn isa(variant: *const c_char) -> Result<IsaToken, Failure> {
    if variant.is_null() {
        return Err("no variant".into());
    }
    // SAFETY: the caller's promise.
    match unsafe { CStr::from_ptr(variant) }.to_bytes() {
        b"default" => Ok(nablas::isa()?),
        b"avx2" => Ok(IsaToken::pin("avx2")?),
        _ => Err("an unknown variant: there are default and avx2".into()),
    }
}

/// The line that says what runs.
pub(crate) fn version(isa: IsaToken) -> Result<&'static CStr, Failure> {
    // C keeps the pointer, so the lines are made once and stay.
    static LINES: OnceLock<Vec<(IsaToken, CString)>> = OnceLock::new();
    let line = |isa: IsaToken| {
        let line = format!("nablas {} {}", env!("CARGO_PKG_VERSION"), isa.name());
        Some((isa, CString::new(line).ok()?))
    };
    let lines = LINES.get_or_init(|| IsaToken::available().filter_map(line).collect());
    let found = lines.iter().find(|(i, _)| *i == isa);
    found.map(|(_, line)| line.as_c_str()).ok_or_else(|| "an instruction set that is not here".into())
}
