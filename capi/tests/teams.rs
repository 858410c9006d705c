//! Teams by option: how they are made and refused, and that calls on them give the bits of one thread.

#![expect(clippy::undocumented_unsafe_blocks, reason = "every call here is one of a C program")]

use nablas_capi::{f32::*, nablas_team, options::*, process::*, status::nablas_status as Status};
use std::{
    ffi::CStr,
    ptr::{null, null_mut},
    thread,
};

fn last() -> String {
    unsafe { CStr::from_ptr(nablas_last_error()) }.to_string_lossy().into_owned()
}

/// A team that is destroyed.
struct Team(*mut nablas_team);

// SAFETY: several threads may use one.
unsafe impl Sync for Team {}

impl Drop for Team {
    fn drop(&mut self) {
        unsafe { nablas_team_destroy(self.0) }
    }
}

fn team(threads: usize, linger: i64, affinity: i32) -> Team {
    let mut team = null_mut();
    let made = unsafe { nablas_team_create(threads, null(), 0, linger, affinity, &raw mut team) };
    assert_eq!(made, Status::Ok, "{}", last());
    assert_eq!(unsafe { nablas_team_threads(team) }, threads);
    Team(team)
}

fn options(threads: usize, team: *const nablas_team) -> nablas_options {
    nablas_options { size: size_of::<nablas_options>(), threads, isa: 0, team }
}

fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

const ROWS: usize = 300;
const INPUTS: usize = 130;
const OUTPUTS: usize = 170;

/// A layer forward, its weight VJP with db, and a product.
fn calls(options: *const nablas_options) -> Vec<f32> {
    let (x, w) = (numbers(ROWS * INPUTS, 1), numbers(OUTPUTS * INPUTS, 2));
    let mut all = vec![f32::NAN; ROWS * OUTPUTS + OUTPUTS * INPUTS + OUTPUTS + ROWS * OUTPUTS];
    let (a, rest) = all.split_at_mut(ROWS * OUTPUTS);
    let (dw, rest) = rest.split_at_mut(OUTPUTS * INPUTS);
    let (db, c) = rest.split_at_mut(OUTPUTS);
    let (b, n, m) = (ROWS, INPUTS, OUTPUTS);
    let (x, w, d) = (x.as_ptr(), w.as_ptr(), a.as_mut_ptr());
    let (no, mask, tanh) = (null_mut(), null_mut(), nablas_activation::Tanh as i32);
    unsafe {
        let done = nablas_sdense_forward(b, n, m, x, n, w, n, null(), tanh, 0.0, d, m, no, m, mask, options);
        assert_eq!(done, Status::Ok, "{}", last());
        let (dw, db) = (dw.as_mut_ptr(), db.as_mut_ptr());
        let done = nablas_sdense_vjp_weights(b, n, m, d, m, x, n, 0, dw, n, db, options);
        assert_eq!(done, Status::Ok, "{}", last());
        let done = nablas_sgemm(0, 1, b, m, n, 0.5, x, n, w, n, 0.0, c.as_mut_ptr(), m, options);
        assert_eq!(done, Status::Ok, "{}", last());
    }
    all
}

/// A step of a network.
fn step(options: *const nablas_options, between: impl FnOnce()) -> Vec<f32> {
    let (widths, kinds) = ([INPUTS, 96, 10], [nablas_activation::Gelu as i32, 0]);
    let x = numbers(ROWS * INPUTS, 3);
    let classes: Vec<u32> = (0..ROWS as u32).map(|i| i % 10).collect();
    let (mut mlp, mut plan, mut len, mut bytes) = (null_mut(), null_mut(), 0, 0);
    let ok = |status| assert_eq!(status, Status::Ok, "{}", last());
    unsafe {
        ok(nablas_smlp_create(2, widths.as_ptr(), kinds.as_ptr(), null(), &raw mut mlp));
        ok(nablas_smlp_param_len(mlp, &raw mut len));
        let (mut params, mut grads, mut loss) = (vec![0.0; len], vec![f32::NAN; len], 0.0);
        ok(nablas_smlp_init(mlp, nablas_init::XavierUniform as i32, 0.0, 1, params.as_mut_ptr()));
        ok(nablas_splan_create(mlp, ROWS, options, &raw mut plan));
        between();
        ok(nablas_splan_workspace_size(plan, &raw mut bytes));
        let mut memory = vec![0u8; bytes];
        let (work, p, x, t) = (memory.as_mut_ptr().cast(), params.as_ptr(), x.as_ptr(), null());
        ok(nablas_splan_workspace_init(plan, work, bytes));
        let (softmax, c, v) = (nablas_loss::SoftmaxCrossEntropy as i32, classes.as_ptr(), &raw mut loss);
        let g = grads.as_mut_ptr();
        for _ in 0..20 {
            ok(nablas_splan_value_and_grad(
                plan, ROWS, p, x, INPUTS, softmax, 0.0, 0, t, 0, c, v, g, work, bytes,
            ));
        }
        nablas_splan_destroy(plan);
        nablas_smlp_destroy(mlp);
        grads.push(loss);
        grads
    }
}

#[test]
fn calls_on_teams_have_the_bits_of_one_thread() {
    let alone = options(1, null());
    let (right, right_step) = (calls(&raw const alone), step(&raw const alone, || ()));
    for team in [team(1, -1, 1), team(2, 0, 1), team(3, 200, 0), team(5, -1, 0)] {
        for threads in [0, 1, 2, 7] {
            let options = options(threads, team.0);
            assert!(calls(&raw const options) == right, "{threads} threads");
            assert!(step(&raw const options, || ()) == right_step, "{threads} threads");
        }
    }
    // Of the process' team, and as many as were set for the process.
    assert!(calls(null()) == right && step(null(), || ()) == right_step);
    assert_eq!(nablas_set_num_threads(3), Status::Ok);
    assert_eq!(nablas_get_num_threads(), 3);
    assert!(calls(null()) == right && step(null(), || ()) == right_step);
    assert_eq!(nablas_set_num_threads(0), Status::Ok);
}

#[test]
fn several_threads_call_on_one_team() {
    let team = team(3, -1, 1);
    let (alone, options) = (options(1, null()), options(0, team.0));
    let (right, right_step) = (calls(&raw const alone), step(&raw const alone, || ()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert!(calls(&raw const options) == right);
                    assert!(step(&raw const options, || ()) == right_step);
                }
            });
        }
    });
}

#[test]
fn a_plan_keeps_its_team() {
    let alone = options(1, null());
    let right = step(&raw const alone, || ());
    let team = team(3, -1, 1);
    let options = options(0, team.0);
    assert!(step(&raw const options, move || drop(team)) == right);
}

#[test]
fn teams_that_are_none_are_refused() {
    let marked = std::ptr::dangling_mut();
    let mut team = marked;
    let make = |threads, processors: &[usize], out| unsafe {
        let at = if processors.is_empty() { null() } else { processors.as_ptr() };
        nablas_team_create(threads, at, processors.len(), -1, 1, out)
    };
    assert_eq!(make(1025, &[], &raw mut team), Status::Parameter);
    assert!(last().contains("threads of a team: expected 1 to 1024, got 1025"), "{}", last());
    assert_eq!(make(2, &[], null_mut()), Status::Null);
    let odd = std::ptr::without_provenance(1);
    assert_eq!(unsafe { nablas_team_create(2, odd, 1, -1, 1, &raw mut team) }, Status::Alignment);
    let many = unsafe { nablas_team_create(2, std::ptr::dangling(), usize::MAX, -1, 1, &raw mut team) };
    assert_eq!(many, Status::Overflow);
    if cfg!(target_os = "linux") {
        assert_eq!(make(2, &[usize::MAX], &raw mut team), Status::Parameter);
        assert!(last().contains("the named processors"), "{}", last());
    }
    assert_eq!(team, marked, "a handle was written");
    assert_eq!(unsafe { nablas_team_threads(null()) }, 0);
    unsafe { nablas_team_destroy(null_mut()) };

    // No more threads than processors that were named, and as many as the process has if nothing is said.
    let first = processors();
    if let Some(first) = first {
        assert_eq!(make(0, &[first], &raw mut team), Status::Ok, "{}", last());
        assert_eq!(unsafe { nablas_team_threads(team) }, 1);
        unsafe { nablas_team_destroy(team) };
    }
    assert_eq!(make(0, &[], &raw mut team), Status::Ok, "{}", last());
    assert_eq!(unsafe { nablas_team_threads(team) }, nablas::team::default_threads().unwrap());
    unsafe { nablas_team_destroy(team) };
}

/// A processor that this process may use, on Linux.
fn processors() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    list.trim().split(['-', ',']).next()?.parse().ok()
}
