//! What goes wrong around a call: panics in a pool that it shares, pools that shut down, memory and threads that cannot be
//! had. A call gives the right bits, an error or the panic that was its caller's; it never hangs, and nobody aborts.
//!
//! Forks in the middle of a call are in `capi/tests/forks.rs` and `src/team/tests/process.rs`.
#![cfg(unix)]

#[path = "common/bits.rs"]
mod bits;
#[path = "common/numbers.rs"]
mod numbers;
#[expect(dead_code, reason = "plans are made otherwise here")]
#[path = "common/task.rs"]
mod task;

use bits::assert_bits;
use nablas::{
    Activation, Backend, Error, IsaToken, MatMut, MatRef, Mlp, Plan, PlanOptions, Result, Team, TeamOptions,
    jacobian,
};
use rayon::ThreadPoolBuilder;
use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
};
use task::Task;

fn task() -> Result<Task<f32>> {
    Task::new(&[32, 64, 64, 10], Activation::Tanh, Activation::Identity, 700)
}

/// The gradient of a step, in memory that held NaN.
fn gradient(task: &Task<f32>, plan: &Plan<f32>) -> Result<Vec<f32>> {
    let mut grads = vec![f32::NAN; task.params.len()];
    let (x, dy) = task.rows(0, task.batch)?;
    plan.vjp(&task.params, x, dy, None, &mut grads, None, &mut plan.workspace()?)?;
    Ok(grads)
}

fn expected(task: &Task<f32>) -> Result<Vec<f32>> {
    gradient(task, &Plan::new(&task.mlp, &PlanOptions::new(task.batch).threads(1))?)
}

/// While calls share a pool's threads, its other jobs panic; so does, at last, the job that calls.
#[test]
fn jobs_that_panic_in_the_pool_of_a_call() -> Result<()> {
    let (task, panics) = (task()?, Arc::new(AtomicUsize::new(0)));
    let right = expected(&task)?;
    let seen = Arc::clone(&panics);
    let handler = move |_| {
        seen.fetch_add(1, SeqCst);
    };
    let pool = ThreadPoolBuilder::new().num_threads(3).panic_handler(handler).build().expect("a pool");
    let plan = Plan::new(&task.mlp, &PlanOptions::new(task.batch).exactly(3))?;
    for round in 0..30 {
        for _ in 0..8 {
            // Past the hook, which would print.
            pool.spawn(|| resume_unwind(Box::new("a job of the pool")));
        }
        let got = pool.install(|| gradient(&task, &plan))?;
        assert_bits(&got, &right, || format!("round {round}"));
    }
    let told = catch_unwind(AssertUnwindSafe(|| {
        pool.install(|| {
            let _ = gradient(&task, &plan);
            resume_unwind(Box::new("the caller"));
        })
    }));
    assert_eq!(told.expect_err("its panic").downcast_ref::<&str>(), Some(&"the caller"));
    assert_bits(&pool.install(|| gradient(&task, &plan))?, &right, || "after it".into());
    assert!(panics.load(SeqCst) > 0, "no job of the pool ran");
    Ok(())
}

/// The pool is told to end while a call is in it. (A call that insists on members waits a second for those that will not come.)
#[test]
fn pools_that_shut_down_during_a_call() -> Result<()> {
    let task = Arc::new(task()?);
    let right = expected(&task)?;
    for round in 0..4 {
        let pool = ThreadPoolBuilder::new().num_threads(3).build().expect("a pool");
        let plan = Plan::new(&task.mlp, &PlanOptions::new(task.batch).exactly(3))?;
        let (begun, begins) = mpsc::channel();
        let (done, ends) = mpsc::channel();
        let task = Arc::clone(&task);
        pool.spawn(move || {
            begun.send(()).expect("somebody waits");
            for _ in 0..2 {
                done.send(gradient(&task, &plan)).expect("somebody waits");
            }
        });
        begins.recv().expect("the job begins");
        drop(pool);
        for got in ends {
            assert_bits(&got?, &right, || format!("round {round}"));
        }
    }
    Ok(())
}

/// A team whose last handle goes while calls are on it: a plan keeps its own.
#[test]
fn teams_that_end_during_calls() -> Result<()> {
    let task = task()?;
    let right = expected(&task)?;
    for _ in 0..4 {
        let team = Team::new(&TeamOptions::new().threads(3))?;
        let plan = Plan::new(&task.mlp, &PlanOptions::new(task.batch).team(&team).exactly(3))?;
        thread::scope(|scope| {
            let calls = scope.spawn(|| (0..2).map(|_| gradient(&task, &plan)).collect::<Result<Vec<_>>>());
            drop(team);
            for got in calls.join().expect("calls that end")? {
                assert_bits(&got, &right, || "while the team ends".into());
            }
            Ok::<_, Error>(())
        })?;
    }
    Ok(())
}

/// A product that panics at its work.
struct Panics {
    left: AtomicUsize,
}

impl Backend<f32> for Panics {
    fn name(&self) -> &'static str {
        "panics"
    }

    fn gemm(
        &self,
        alpha: f32,
        a: MatRef<'_, f32>,
        b: MatRef<'_, f32>,
        beta: f32,
        c: MatMut<'_, f32>,
    ) -> Result<()> {
        if self.left.fetch_sub(1, SeqCst) == 1 {
            resume_unwind(Box::new("a product"));
        }
        nablas::backend::Native::new(IsaToken::detect()).gemm(alpha, a, b, beta, c)
    }
}

#[test]
fn a_backend_that_panics_panics_its_caller() -> Result<()> {
    let task = Task::<f32>::new(&[3, 4, 2], Activation::Tanh, Activation::Identity, 3)?;
    let (x, dy) = task.rows(0, 3)?;
    for products in 1..12 {
        let backend = Panics { left: AtomicUsize::new(products) };
        let call = || jacobian::gradients(&task.mlp, &task.params, x, dy, 1 << 20, &backend);
        let told = catch_unwind(AssertUnwindSafe(call)).expect_err("its panic");
        assert_eq!(told.downcast_ref::<&str>(), Some(&"a product"));
    }
    Ok(())
}

/// Runs a test of this file in a process of its own, where it may set limits; a process that hangs is ended.
fn alone_in_a_process(test: &str) {
    let this = env::current_exe().expect("this program");
    let mut child = Command::new(this)
        .args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env("RUST_BACKTRACE", "0")
        .spawn()
        .expect("this program again");
    let over = Arc::new(AtomicBool::new(false));
    let (watched, id) = (Arc::clone(&over), child.id());
    let watch = thread::spawn(move || {
        for _ in 0..1200 {
            if watched.load(SeqCst) {
                return;
            }
            thread::sleep(std::time::Duration::from_millis(100));
        }
        // SAFETY: a signal to a child that nobody has waited for yet.
        unsafe { libc::kill(id as i32, libc::SIGKILL) };
    });
    let status = child.wait().expect("it ends");
    over.store(true, SeqCst);
    watch.join().expect("it does not panic");
    assert!(status.success(), "{test}: {status}");
}

/// No more than so many bytes of addresses than there are now.
#[cfg(target_os = "linux")]
fn limit_memory(more: u64) {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("a process");
    let pages: u64 = pages.split(' ').next().and_then(|n| n.parse().ok()).expect("its size");
    // SAFETY: a query without arguments that could be wrong.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    limit(libc::RLIMIT_AS, pages * page + more);
}

#[cfg(target_os = "linux")]
fn limit(what: libc::__rlimit_resource_t, most: u64) {
    let most = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the limits are a valid structure.
    assert_eq!(unsafe { libc::setrlimit(what, &raw const most) }, 0);
}

/// Under the sanitizers a process has all addresses reserved.
#[cfg(target_os = "linux")]
#[test]
fn memory_that_cannot_be_had() {
    alone_in_a_process("without_memory");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "sets a limit: `memory_that_cannot_be_had` runs it in a process of its own"]
fn without_memory() -> Result<()> {
    let task = task()?;
    let right = expected(&task)?;
    let wide =
        Mlp::<f32>::builder(4000).layer(4000, Activation::Relu).layer(4000, Activation::Relu).build()?;
    let refused = |made: Result<()>, what: &str| match made {
        Err(Error::Memory { .. }) => {}
        other => panic!("{what}: {other:?}"),
    };
    let params = vec![0.0; wide.param_len()];
    limit_memory(64 << 20);
    let plan = Plan::new(&wide, &PlanOptions::new(20_000).threads(2))?;
    refused(plan.workspace().map(drop), "a workspace");
    refused(plan.kept(20_000).map(drop), "a kept state");
    refused(plan.pack(&params).map(drop), "packed parameters");
    refused(nablas::AdamW::<f32>::new(1 << 28, 0.1).map(drop), "an optimizer");
    let one = MatRef::with_strides(&params[..1], 9000, 9000, 0, 0)?;
    refused(jacobian::input_jacobian(one, u64::MAX).map(drop), "a Jacobian");
    // Threads have stacks: a few may still be had, as many as are asked for here not.
    let made = Team::new(&TeamOptions::new().threads(1000));
    assert!(matches!(made, Err(Error::Threads { threads: 1000 })), "{made:?}");
    // What is small goes on.
    assert_bits(&expected(&task)?, &right, || "with little memory".into());
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn threads_that_cannot_be_started() {
    alone_in_a_process("without_threads");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "sets a limit: `threads_that_cannot_be_started` runs it in a process of its own"]
fn without_threads() -> Result<()> {
    let task = task()?;
    // Root may start any number.
    // SAFETY: calls without arguments that could be wrong; this process is for this test alone.
    unsafe { assert!(libc::geteuid() != 0 || libc::setresuid(65_534, 65_534, 65_534) == 0) };
    limit(libc::RLIMIT_NPROC, 0);
    assert!(thread::Builder::new().spawn(|| ()).is_err(), "a thread was started");
    for threads in [2, 3, 64] {
        let made = Team::new(&TeamOptions::new().threads(threads));
        assert!(matches!(made, Err(Error::Threads { threads: t }) if t == threads), "{made:?}");
    }
    // Of the default team there is the caller alone, who does it all.
    let right = expected(&task)?;
    let plan = Plan::new(&task.mlp, &PlanOptions::new(task.batch).exactly(3))?;
    for _ in 0..3 {
        assert_bits(&gradient(&task, &plan)?, &right, || "alone".into());
    }
    let dense = nablas::Gemm::<f32>::with(IsaToken::detect(), 4);
    let (a, mut c) = (vec![1.0; 400 * 400], vec![0.0; 400 * 400]);
    let (am, mut scratch) = (MatRef::new(&a, 400, 400)?, dense.scratch(400, 400, 400));
    dense.run(1.0, am, am, 0.0, MatMut::new(&mut c, 400, 400)?, &mut scratch)?;
    assert!(c.iter().all(|c| *c == 400.0));
    Ok(())
}
