//! nablas as a contender: behind the C ABI of a harness that loads libraries into processes of their own and times
//! them in turns, on the same training steps and products.
//!
//! ```text
//! cargo build --release -p nablas-contender     # target/release/libnablas_contender.so
//! ```
//!
//! The harness takes the library by its path. One whose driver is `run.py` is asked for steps, then for products, by
//!
//! ```text
//! OURS_CONTENDER=…/libnablas_contender.so python run.py steps --only ours,openblas --threads 2,1 --out steps.json
//! OURS_CONTENDER=…/libnablas_contender.so python run.py gemm  --only ours,openblas --threads 2,1 --out gemm.json
//! ```
//!
//! There are two variants. `default` runs on what [`nablas::isa()`] says, that is the widest instruction set or the one
//! that `NABLAS_ISA` names. `avx2` is pinned; `OURS_VARIANT=avx2` asks for it.
//!
//! **What is measured** is what any user of the public API gets, and no more. A step reads x, w\[i\], b\[i\] and dy where
//! the harness has them ([`ParamsRef::Layers`](nablas::ParamsRef::Layers)), runs [`Plan::vjp`](nablas::Plan::vjp) with y
//! and without dX, and leaves the results in buffers of its own, to be copied out when they are asked for. What is made
//! once, when the problem comes, knows only shapes: the plan, its workspace, buffers. A product is
//! [`Gemm::run`](nablas::Gemm::run) with its scratch made beforehand.
//!
//! **Threads.** Calls come from the harness' own thread, outside of any pool. One thread is that one; for more, a step or
//! product has a [`Team`](nablas::Team) of so many, made with it, of which the calling thread is one.
//!
//! **What it refuses** is answered with NULL, the reason on standard error: unknown variants and activations, sizes
//! and threads that are none. No panic crosses the ABI. A step or a product that fails
//! all the same leaves NaN, which no comparison of results lets through.
//!
//! A handle is what `peer_create` or `peer_gemm_create` gave, used by one thread at a time and not after its
//! destruction; NULL is taken for nothing to do.

mod array;
mod crew;
mod guard;
mod problem;
mod product;
mod step;
#[cfg(test)]
mod tests;
mod variant;

pub use problem::Problem;
pub use product::Product;
pub use step::Step;

use guard::guarded;
use std::ffi::c_char;

/// Prepares a training step; NULL if the variant cannot do it.
///
/// # Safety
/// `variant` is NULL or ends with a NUL. The problem's arrays are as long as its sizes say, stay where they are until
/// the step is destroyed, and nothing writes them while it is prepared or runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_create(variant: *const c_char, problem: Option<&Problem>) -> Option<Box<Step>> {
    guarded(|| {
        // SAFETY: the caller's promise.
        let isa = unsafe { variant::isa(variant)? };
        // SAFETY: the caller's promise.
        unsafe { Step::new(isa, problem.ok_or("no problem")?) }
    })
    .map(Box::new)
}

/// Forward and backward: y, and dW and db of every layer.
#[unsafe(no_mangle)]
pub extern "C" fn peer_step(step: Option<&mut Step>) {
    if let Some(step) = step {
        step.run();
    }
}

/// Copies the last step's results out, row-major: y \[B, n_L\], dW_l \[n_l, n_{l−1}\] and db_l \[n_l\].
///
/// # Safety
/// `y` and the L pointers each of `dw` and `db` are writable over those sizes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_results(
    step: Option<&Step>,
    y: *mut f32,
    dw: *const *mut f32,
    db: *const *mut f32,
) {
    if let Some(step) = step {
        // SAFETY: the caller's promise.
        guarded(|| unsafe { step.results(y, dw, db) });
    }
}

/// Frees a step.
#[unsafe(no_mangle)]
pub extern "C" fn peer_destroy(step: Option<Box<Step>>) {
    guarded(|| {
        drop(step);
        Ok(())
    });
}

/// The library, its version and the instruction set, in one line; an empty line for a variant that is not here.
///
/// # Safety
/// `variant` is NULL or ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_version(variant: *const c_char) -> *const c_char {
    // SAFETY: the caller's promise.
    guarded(|| variant::version(unsafe { variant::isa(variant)? })).unwrap_or(c"").as_ptr()
}

/// Prepares C \[m, n\] ← op(A)·op(B), all row-major: A is stored \[k, m\] if `ta`, B \[n, k\] if `tb`. NULL if the
/// variant cannot do it.
///
/// # Safety
/// `variant` is NULL or ends with a NUL. The matrices are as large as the sizes say and stay where they are until the
/// product is destroyed; while it runs nothing writes A or B, and nothing else accesses C, which overlaps neither.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_gemm_create(
    variant: *const c_char,
    threads: i32,
    ta: i32,
    tb: i32,
    m: i64,
    n: i64,
    k: i64,
    a: *const f32,
    b: *const f32,
    c: *mut f32,
) -> Option<Box<Product>> {
    guarded(|| {
        // SAFETY: the caller's promise.
        let isa = unsafe { variant::isa(variant)? };
        // SAFETY: the caller's promise.
        unsafe { Product::new(isa, threads, (ta != 0, tb != 0), (m, n, k), (a, b, c)) }
    })
    .map(Box::new)
}

/// Multiplies.
#[unsafe(no_mangle)]
pub extern "C" fn peer_gemm_run(product: Option<&mut Product>) {
    if let Some(product) = product {
        product.run();
    }
}

/// Frees a product.
#[unsafe(no_mangle)]
pub extern "C" fn peer_gemm_destroy(product: Option<Box<Product>>) {
    guarded(|| {
        drop(product);
        Ok(())
    });
}
