//! What is answered with NULL, and what NULL is answered with.

use super::{operands::Operands, variants};
use crate::{
    Problem, guard::guarded, peer_create, peer_destroy, peer_gemm_create, peer_gemm_destroy, peer_gemm_run,
    peer_results, peer_step, peer_version,
};
use nablas::IsaToken;
use std::{
    ffi::CStr,
    ptr::{null, null_mut},
};

fn version(variant: *const std::ffi::c_char) -> &'static CStr {
    // SAFETY: the variants end with a NUL or are NULL; what comes back is a line that stays.
    unsafe { CStr::from_ptr(peer_version(variant)) }
}

#[test]
fn unknown_variants_are_refused() {
    let operands = Operands::new(&[3, 4, 2], 5, 0);
    for variant in [c"", c"Default", c"avx", c"default ", c"blas"] {
        assert!(operands.create(variant, 1).is_none(), "{variant:?}");
        assert_eq!(version(variant.as_ptr()), c"");
    }
    // SAFETY: NULL is no variant; the problem's arrays live.
    operands.with(1, |p| assert!(unsafe { peer_create(null(), Some(p)) }.is_none()));
    assert_eq!(version(null()), c"");
    assert_eq!(operands.create(c"avx2", 1).is_some(), IsaToken::pin("avx2").is_ok());
}

#[test]
fn versions_name_the_instruction_set() {
    for variant in variants() {
        let line = version(variant.as_ptr()).to_str().expect("plain words");
        let isa = match variant.to_bytes() {
            b"avx2" => "avx2",
            _ => nablas::isa().expect("NABLAS_ISA names an ISA of this machine").name(),
        };
        assert_eq!(line, format!("nablas {} {isa}", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn problems_that_are_none_are_refused() {
    type Spoil = fn(&mut Problem);
    let spoils: [(&str, Spoil); 12] = [
        ("layers", |p| p.layers = 0),
        ("layers", |p| p.layers = -1),
        ("activation", |p| p.act = 5),
        ("activation", |p| p.act = -1),
        ("threads", |p| p.threads = 0),
        ("threads", |p| p.threads = -2),
        ("batch", |p| p.batch = -1),
        ("batch", |p| p.batch = i64::MAX),
        ("dims", |p| p.dims = null()),
        ("x", |p| p.x = null()),
        ("w", |p| p.w = null()),
        ("dy", |p| p.dy = null()),
    ];
    let operands = Operands::new(&[3, 4, 2], 5, 0);
    for (what, spoil) in spoils {
        let step = operands.with(1, |p| {
            spoil(p);
            // SAFETY: what is still a pointer leads to an array as long as the sizes say; of the others none is read.
            unsafe { peer_create(c"default".as_ptr(), Some(p)) }
        });
        assert!(step.is_none(), "{what}");
    }
    let dims = [3i64, 0, 2];
    operands.with(1, |p| {
        p.dims = dims.as_ptr();
        // SAFETY: a width of 0 is refused before its arrays are read.
        assert!(unsafe { peer_create(c"default".as_ptr(), Some(p)) }.is_none(), "a width of 0");
    });
    // SAFETY: there is no problem.
    assert!(unsafe { peer_create(c"default".as_ptr(), None) }.is_none());
    operands.with(1, |p| {
        // SAFETY: the problem's arrays live.
        assert!(unsafe { peer_create(c"default".as_ptr(), Some(p)) }.is_some(), "unspoilt");
    });
}

/// Each step has a team of its own.
#[test]
fn a_process_may_have_steps_of_several_numbers_of_threads() {
    let operands = Operands::new(&[64, 128, 9], 300, 2);
    let mut steps = [1, 2, 3].map(|n| operands.create(c"default", n).expect("the variant can do it"));
    let [one, two, three] = steps.each_mut().map(|step| operands.run(step));
    for other in [two, three] {
        assert!(one.y == other.y && one.dw == other.dw && one.db == other.db);
    }
    assert!(operands.create(c"default", 1025).is_none());
}

#[test]
fn products_that_are_none_are_refused() {
    let (a, mut c) = ([1.0f32; 4], [0.0f32; 4]);
    let mut create = |variant: &CStr, threads, (m, n, k), a: *const f32| {
        // SAFETY: A, B and C have four elements, for sizes of 2; of other sizes or NULL nothing is read.
        unsafe { peer_gemm_create(variant.as_ptr(), threads, 0, 0, m, n, k, a, a, c.as_mut_ptr()) }.is_some()
    };
    let a = a.as_ptr();
    assert!(create(c"default", 1, (2, 2, 2), a));
    assert!(!create(c"gemm", 1, (2, 2, 2), a));
    assert!(!create(c"default", 0, (2, 2, 2), a));
    assert!(!create(c"default", 1, (-2, 2, 2), a));
    assert!(!create(c"default", 1, (2, i64::MAX, 2), a));
    assert!(!create(c"default", 1, (2, 2, 2), null()));
    assert!(create(c"default", 1, (0, 0, 0), null()));
}

#[test]
fn null_is_nothing_to_do() {
    peer_step(None);
    peer_destroy(None);
    peer_gemm_run(None);
    peer_gemm_destroy(None);
    // SAFETY: without a step nothing is written.
    unsafe { peer_results(None, null_mut(), null(), null()) };
}

#[test]
fn a_failure_or_a_panic_ends_here() {
    assert_eq!(guarded(|| Ok(1)), Some(1));
    assert_eq!(guarded(|| Err::<i32, _>("a failure".into())), None);
    assert_eq!(guarded(|| -> Result<i32, _> { panic!("on purpose") }), None);
}

#[test]
fn a_step_that_fails_leaves_nan() {
    let operands = Operands::new(&[3, 4, 2], 5, 0);
    let mut step = operands.create(c"default", 1).expect("the variant can do it");
    step.batch += 1; // more rows than x has
    let results = operands.run(&mut step);
    for array in [&results.y].into_iter().chain(&results.dw).chain(&results.db) {
        assert!(array.iter().all(|v| v.is_nan()));
    }
}
