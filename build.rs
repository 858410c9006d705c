//! Links the system's CBLAS, for the feature `cblas` alone.
//!
//! `NABLAS_CBLAS_LIB` names the library (`openblas` unless set; `blis`, `mkl_rt`, `cblas`, …), `NABLAS_CBLAS_DIR` a
//! directory to find it in beside the linker's own.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CBLAS").is_none() {
        return;
    }
    for name in ["NABLAS_CBLAS_LIB", "NABLAS_CBLAS_DIR"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    if let Ok(dir) = env::var("NABLAS_CBLAS_DIR") {
        println!("cargo:rustc-link-search=native={dir}");
    }
    let lib = env::var("NABLAS_CBLAS_LIB").unwrap_or_else(|_| "openblas".into());
    println!("cargo:rustc-link-lib={lib}");
}
