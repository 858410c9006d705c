//! How the shared library is linked, by cargo and by cargo-c alike.

use std::env;

fn main() {
    let target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    // Where libraries are ELF: dlclose must not unmap it. Threads of a pool run its code until the process ends, and a
    // fork calls into it.
    if target("FAMILY").split(',').any(|family| family == "unix") && target("VENDOR") != "apple" {
        // Not `rustc-cdylib-link-arg`, which is for packages that say themselves what they are built as.
        println!("cargo:rustc-link-arg=-Wl,-z,nodelete");
    }
}
