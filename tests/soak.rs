//! Small steps from eight threads at once, on plans, workspaces and teams that are made and dropped all the time: every
//! gradient has the same bits, and the process does not grow.
//!
//! `cargo test --release --test soak -- --ignored` makes a million.
#![cfg(target_os = "linux")]

#[path = "common/bits.rs"]
mod bits;
#[path = "common/numbers.rs"]
mod numbers;
#[expect(dead_code, reason = "plans are made otherwise here")]
#[path = "common/task.rs"]
mod task;

use bits::assert_bits;
use nablas::{Activation, Plan, PlanOptions, Result, Team, TeamOptions, Workspace};
use std::{fs, thread};
use task::Task;

const CALLERS: usize = 8;
/// Steps of a plan before it is dropped.
const STEPS: usize = 50;
/// What a process may grow by that does not leak: the allocator's arenas, stacks of threads that are about to end.
const GROWTH: usize = 24 << 20;

/// Bytes of the process that are in memory.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").expect("a process");
    let pages: usize = pages.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("its size");
    // SAFETY: a query without arguments that could be wrong.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize
}

fn step(task: &Task<f32>, plan: &Plan<f32>, ws: &mut Workspace<f32>, grads: &mut [f32]) -> Result<()> {
    let (x, dy) = task.rows(0, task.batch)?;
    grads.fill(f32::NAN);
    plan.vjp(&task.params, x, dy, None, grads, None, ws)
}

/// So many steps of one thread.
fn caller(number: usize, steps: usize, tasks: &[(Task<f32>, Vec<f32>)]) -> Result<()> {
    for plan in 0..steps.div_ceil(STEPS) {
        let (task, right) = &tasks[(number + plan) % tasks.len()];
        let options = PlanOptions::new(task.batch);
        // The default team; one thread; a team of the plan's own, for steps that two seats share.
        let (options, exactly) = match plan % 40 {
            0 => (options.team(&Team::new(&TeamOptions::new().threads(3))?), true),
            k if k % 2 == 0 => (options.threads(1), false),
            _ => (options, false),
        };
        let plan = Plan::new(&task.mlp, &if exactly { options.exactly(2) } else { options })?;
        let (mut ws, mut grads) = (plan.workspace()?, vec![0.0; right.len()]);
        for _ in 0..STEPS {
            step(task, &plan, &mut ws, &mut grads)?;
            assert_bits(&grads, right, || format!("{plan:?}"));
        }
    }
    Ok(())
}

/// So many steps in all; the growth after a tenth of them.
fn soak(steps: usize) -> Result<()> {
    let mut tasks = Vec::new();
    for (widths, batch) in [(&[17, 32, 6][..], 4), (&[4, 8, 3, 1], 9), (&[3, 5, 2], 1)] {
        let task = Task::<f32>::new(widths, Activation::Tanh, Activation::Identity, batch)?;
        let plan = Plan::new(&task.mlp, &PlanOptions::new(batch).threads(1))?;
        let mut right = vec![0.0; task.params.len()];
        step(&task, &plan, &mut plan.workspace()?, &mut right)?;
        tasks.push((task, right));
    }
    let mut sizes = Vec::new();
    for part in 0..10 {
        thread::scope(|scope| {
            let tasks = &tasks;
            let run = |number| scope.spawn(move || caller(number, steps / 10 / CALLERS, tasks));
            let callers: Vec<_> = (0..CALLERS).map(run).collect();
            callers.into_iter().try_for_each(|caller| caller.join().expect("no panic"))
        })?;
        sizes.push(resident());
        println!("{} of {steps} steps: {} KiB", (part + 1) * steps / 10, sizes[part] >> 10);
    }
    assert!(sizes[9] <= sizes[0] + GROWTH, "the process has grown: {sizes:?} bytes");
    Ok(())
}

#[test]
fn small_steps_from_eight_threads() -> Result<()> {
    soak(40_000)
}

#[test]
#[ignore = "a million steps: a minute or two, optimised"]
fn a_million_small_steps_from_eight_threads() -> Result<()> {
    soak(1_000_000)
}
