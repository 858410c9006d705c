//! The BLAS names of `nablas-capi` as a library of their own, which exports nothing else: loaded before a program's own
//! BLAS, it must not stand in for a `libnablas.so` that the program uses besides.

#[path = "../../src/blas.rs"]
pub mod blas;
#[path = "../../src/call.rs"]
mod call;
#[path = "../../src/elem.rs"]
mod elem;
#[path = "../../src/fork.rs"]
mod fork;
#[path = "../../src/scratch.rs"]
#[expect(dead_code, reason = "shared with nablas-capi, which uses all of it")]
mod scratch;
#[path = "../../src/status.rs"]
#[expect(dead_code, reason = "shared with nablas-capi, which uses all of it")]
pub mod status;
#[path = "../../src/threads.rs"]
#[expect(dead_code, reason = "shared with nablas-capi, which uses all of it")]
mod threads;
