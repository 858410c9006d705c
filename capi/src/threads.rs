//! The library's own threads.
//!
//! One pool for each number of threads, made when first needed and kept: a program uses a few numbers at most. Threads
//! do not survive a `fork`, so a pool belongs to the process that made it, and a child makes its own (`fork.rs`). The
//! list of pools has no lock, since a lock that another thread held in the moment of the `fork` would stay locked in the
//! child.

use crate::{
    fork,
    status::{Result, fail, nablas_status as Status},
};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::{
    env, ptr,
    sync::{
        OnceLock,
        atomic::{AtomicPtr, AtomicUsize, Ordering},
    },
    thread,
};

/// Threads at most.
const MAX_THREADS: usize = 1024;

/// What `nablas_set_num_threads` said; 0 for nothing.
static SET: AtomicUsize = AtomicUsize::new(0);

struct Pool {
    process: (u32, u64),
    threads: usize,
    pool: ThreadPool,
    next: *mut Pool,
}

/// The pools, newest first. None is ever freed.
static POOLS: AtomicPtr<Pool> = AtomicPtr::new(ptr::null_mut());

/// A number of threads, if it is one.
pub(crate) fn check(threads: usize) -> Result<usize> {
    if (1..=MAX_THREADS).contains(&threads) {
        return Ok(threads);
    }
    fail(Status::Parameter, format_args!("threads: expected 1 to {MAX_THREADS}, got {threads}"))
}

/// The processors that this process may use.
pub(crate) fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS))
}

/// What `NABLAS_NUM_THREADS` says, or the processors; the text if it is no number of threads. Read once.
fn variable() -> &'static std::result::Result<usize, String> {
    static VARIABLE: OnceLock<std::result::Result<usize, String>> = OnceLock::new();
    VARIABLE.get_or_init(|| match env::var("NABLAS_NUM_THREADS") {
        Ok(text) if !text.is_empty() => {
            text.parse().ok().filter(|n| (1..=MAX_THREADS).contains(n)).ok_or(text)
        }
        _ => Ok(processors()),
    })
}

/// Computes what is computed once.
pub(crate) fn settle() {
    processors();
    _ = variable();
}

/// The threads of a call that names none: what was set, `NABLAS_NUM_THREADS`, or the processors.
pub(crate) fn default() -> Result<usize> {
    match SET.load(Ordering::Relaxed) {
        0 => {}
        set => return Ok(set),
    }
    match variable() {
        Ok(threads) => Ok(*threads),
        Err(text) => fail(
            Status::Parameter,
            format_args!("NABLAS_NUM_THREADS: expected 1 to {MAX_THREADS}, got {text}"),
        ),
    }
}

/// Sets the threads of calls that name none; 0 for the default.
pub(crate) fn set(threads: usize) -> Result<()> {
    let threads = if threads == 0 { 0 } else { check(threads)? };
    SET.store(threads, Ordering::Relaxed);
    Ok(())
}

/// The pool of this process with so many threads.
pub(crate) fn pool(threads: usize) -> Result<&'static ThreadPool> {
    let process = fork::this_process();
    let find = |mut node: *mut Pool| {
        // SAFETY: nodes are never freed, and not changed once they are in the list.
        while let Some(p) = unsafe { node.as_ref() } {
            if p.process == process && p.threads == threads {
                return Some(&p.pool);
            }
            node = p.next;
        }
        None
    };
    let mut head = POOLS.load(Ordering::Acquire);
    if let Some(pool) = find(head) {
        return Ok(pool);
    }
    let built = ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("nablas-{i}")).build();
    let Ok(pool) = built else {
        return fail(Status::Threads, format_args!("could not start {threads} threads"));
    };
    let node = Box::into_raw(Box::new(Pool { process, threads, pool, next: head }));
    loop {
        match POOLS.compare_exchange(head, node, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: the node is in the list now, and never freed.
            Ok(_) => return Ok(unsafe { &(*node).pool }),
            Err(now) => head = now,
        }
        if let Some(pool) = find(head) {
            // Another thread was faster.
            // SAFETY: the node never got into the list.
            drop(unsafe { Box::from_raw(node) });
            return Ok(pool);
        }
        // SAFETY: the node is this thread's alone until it is in the list.
        unsafe { (*node).next = head };
    }
}

/// Runs `work` in a pool of so many threads; on the calling thread if that is 1, or if the work is worth but `tasks` = 1.
pub(crate) fn run<R: Send>(threads: usize, tasks: usize, work: impl FnOnce() -> R + Send) -> Result<R> {
    if threads <= 1 || tasks <= 1 {
        return Ok(work());
    }
    Ok(pool(threads)?.install(work))
}
