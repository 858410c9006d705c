//! What needs a process of its own: this test's program again, with one test alone in it.

use super::{members::Meeting, *};
use crate::Result;
use core::time::Duration;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    env,
    panic::catch_unwind,
    process::Command,
    thread,
};

/// Runs an ignored test of this module in a process of its own.
fn alone_in_a_process(test: &str) {
    let name = std::format!("team::tests::process::{test}");
    let program = env::current_exe().expect("this program");
    let output = Command::new(program)
        .args([&name, "--exact", "--ignored", "--test-threads=1"])
        .output()
        .expect("a process");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn forks() {
    alone_in_a_process("forks_during_calls");
}

#[test]
fn allocations() {
    alone_in_a_process("calls_allocate_nothing");
}

/// Runs `f` in a child, which must end well in time.
fn in_a_child(f: impl Fn() + std::panic::UnwindSafe) {
    // SAFETY: the child calls what may be called in a child: nothing waits for a lock of a thread that is gone.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: it ends this child, which is nobody's to clean up.
        unsafe {
            libc::alarm(60);
            libc::_exit(i32::from(catch_unwind(f).is_err()));
        }
    }
    let mut status = 0;
    // SAFETY: the status is written to a variable.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the child ended with {status:x}");
}

/// Calls on a team and on the default one, with all their members.
fn calls(team: &Team) {
    for _ in 0..2 {
        assert_eq!(run(Some(team), exactly(3), &Meeting::of(3)), 3);
        let threads = default_threads().expect("a number");
        assert_eq!(run(None, exactly(threads), &Meeting::of(threads)), threads);
        let s = Checked::new(&[5, 5, 1], 3);
        run(Some(team), worth(1e3, 3), &s);
        s.all_ran();
    }
}

/// Ends the calls of other threads, also if this one fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
#[ignore = "run by `forks`, in a process of its own"]
fn forks_during_calls() -> Result<()> {
    // While another thread makes the default team: a child finds it half made.
    for round in 0..20 {
        in_a_child(move || {
            let first = || run(None, exactly(2), &Checked::new(&[5, 5], 2));
            let other = thread::spawn(first);
            thread::sleep(Duration::from_micros(20 * round));
            in_a_child(move || {
                first();
            });
            other.join().expect("a caller that ends");
        });
    }
    let team = Team::new(&TeamOptions::new().threads(3))?;
    let unused = Team::new(&TeamOptions::new().threads(2))?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = End(&over);
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    for team in [Some(&team), None] {
                        run(team, worth(1e3, 3), &Checked::new(&[5, 50, 1], 3));
                    }
                }
            });
        }
        for round in 0..15 {
            thread::sleep(Duration::from_micros(100 * round));
            let (team, unused) = (team.clone(), unused.clone());
            in_a_child(move || {
                calls(&team);
                // And its child, after a call of its own and without one.
                in_a_child({
                    let team = team.clone();
                    move || calls(&team)
                });
                drop(unused.clone());
                drop(Team::new(&TeamOptions::new().threads(2)));
            });
        }
    });
    calls(&team);
    Ok(())
}

/// The system's allocator, with a count. For all tests of the library: their calls are none the worse.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is the system allocator's; the count touches no memory of its.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
#[ignore = "run by `allocations`, in a process of its own"]
fn calls_allocate_nothing() -> Result<()> {
    let team = Team::new(&TeamOptions::new().threads(3))?;
    let s = Nothing;
    let calls = |rounds: u64| {
        for round in 0..rounds {
            thread::sleep(Duration::from_micros(10 * (round % 12)));
            for team in [Some(&team), None] {
                run(team, exactly(3), &s);
                (0..20).for_each(|_| _ = run(team, worth(10.0, 3), &s));
                run(team, worth(1e3, 3), &s);
            }
        }
    };
    calls(1);
    let before = ALLOCATIONS.load(SeqCst);
    calls(100);
    assert_eq!(ALLOCATIONS.load(SeqCst) - before, 0);
    drop(std::hint::black_box(std::boxed::Box::new(1)));
    assert_eq!(ALLOCATIONS.load(SeqCst) - before, 1, "the counter counts");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("a pool");
    pool.install(|| {
        run(None, exactly(2), &s);
        let before = ALLOCATIONS.load(SeqCst);
        (0..1000).for_each(|_| _ = run(None, exactly(2), &s));
        assert_eq!(ALLOCATIONS.load(SeqCst) - before, 0, "in a pool");
    });
    Ok(())
}

/// Three phases of nothing.
struct Nothing;

impl Schedule for Nothing {
    fn items(&self, phase: usize) -> Option<usize> {
        (phase < 3).then_some(8)
    }

    fn run(&self, _: usize, _: usize, _: usize) {}
}
