//! Forks: while threads call, and after. A child calls what it likes, and gets the same bits.

#![cfg(unix)]
#![expect(clippy::undocumented_unsafe_blocks, reason = "every call here is one of a C program")]

use nablas_capi::{f32::*, nablas_team, options::*, process::*, status::nablas_status as Status};
use std::{
    panic::catch_unwind,
    ptr::{null, null_mut},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

const ROWS: usize = 256;
const WIDTH: usize = 128;

/// Runs `f` in a child, which must end well in time.
fn in_a_child(f: impl Fn() + std::panic::UnwindSafe) {
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        unsafe {
            libc::alarm(60);
            libc::_exit(i32::from(catch_unwind(f).is_err()));
        }
    }
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the child ended with {status:x}");
}

/// Products with these options.
fn calls(options: *const nablas_options) -> Vec<f32> {
    let x: Vec<f32> = (0..ROWS * WIDTH).map(|i| ((i * 7919) % 1009) as f32 / 1009.0 - 0.5).collect();
    let mut c = vec![f32::NAN; ROWS * WIDTH];
    for _ in 0..3 {
        let (x, to) = (x.as_ptr(), c.as_mut_ptr());
        let (m, n, k) = (ROWS, WIDTH, WIDTH);
        let done = unsafe { nablas_sgemm(0, 0, m, n, k, 1.0, x, k, x, n, 0.0, to, n, options) };
        assert!(done == Status::Ok);
    }
    c
}

fn options(threads: usize, team: *const nablas_team) -> nablas_options {
    nablas_options { size: size_of::<nablas_options>(), threads, isa: 0, team }
}

#[test]
fn children_call() {
    let (alone, default) = (options(1, null()), options(0, null()));
    // In the middle of first calls.
    for round in 0..20 {
        in_a_child(move || {
            let other = thread::spawn(move || calls(&raw const default));
            thread::sleep(std::time::Duration::from_micros(20 * round));
            in_a_child(move || {
                let (alone, default) = (options(1, null()), options(0, null()));
                assert!(!nablas_get_config().is_null() && nablas_get_num_threads() > 0);
                assert!(calls(&raw const default) == calls(&raw const alone));
            });
            other.join().expect("a caller that ends");
        });
    }
    let right = calls(&raw const alone);
    let mut team = null_mut();
    assert_eq!(unsafe { nablas_team_create(3, null(), 0, 100, 1, &raw mut team) }, Status::Ok);
    let named = options(0, team);
    // While others call, on the process' team and on one by option.
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for options in [default, named] {
            let (over, right) = (&over, &right);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    assert!(calls(&raw const options) == *right);
                }
            });
        }
        for round in 0..20 {
            let right = &right;
            in_a_child(move || {
                for options in [default, named] {
                    assert!(calls(&raw const options) == *right);
                }
                if round % 5 == 0 {
                    // A child's child, and threads of the child's.
                    in_a_child(move || assert!(calls(&raw const named) == *right));
                    thread::scope(|scope| {
                        for options in [default, named] {
                            scope.spawn(move || assert!(calls(&raw const options) == *right));
                        }
                    });
                    // A team of the child's own; and the parent's may be given up in both.
                    let mut own = null_mut();
                    let made = unsafe { nablas_team_create(2, null(), 0, -1, 1, &raw mut own) };
                    assert!(made == Status::Ok);
                    let options = options(0, own);
                    assert!(calls(&raw const options) == *right);
                    unsafe {
                        nablas_team_destroy(own);
                        nablas_team_destroy(team);
                    }
                    assert!(calls(&raw const default) == *right);
                }
            });
        }
        over.store(true, Ordering::Relaxed);
    });
    // After: the parent's go on.
    assert!(calls(&raw const named) == right && calls(&raw const default) == right);
    unsafe { nablas_team_destroy(team) };
}
