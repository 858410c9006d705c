//! More threads than cores: what do teams of 4, 8 and 16 cost beside one with a thread for each core?
//!
//! Each workload of `mlp` that a step of is short, on teams that take turns. A plan of t threads cuts its work for t
//! threads; the system gives them the cores there are.
//!
//! No criterion: it times one thing after the other, and a shared machine changes meanwhile.

mod common {
    #[expect(dead_code, reason = "criterion's part of it is not for here")]
    pub(crate) mod measure;
    pub(crate) mod numbers;
    pub(crate) mod operands;
    pub(crate) mod peak;
    pub(crate) mod step;
    pub(crate) mod threads;
    pub(crate) mod turns;
    #[expect(dead_code, reason = "plans count their FLOP themselves")]
    pub(crate) mod workloads;
}

use common::{
    measure::{Timing, quick},
    peak::peak,
    step::Step,
    threads,
    turns::turns,
    workloads::{self, Workload},
};
use nablas::{PlanOptions, Team, TeamOptions};
use std::{array, time::Duration};

/// More than that, and oversubscription is a problem.
const MARK: f64 = 1.10;
/// Those whose steps take too long for turns.
const LONG: [&str; 2] = ["ffn", "big"];

fn main() {
    let isa = nablas::isa().expect("NABLAS_ISA names an ISA of this machine");
    let cores = threads::all();
    let peak = peak::<f32>(isa, cores);
    println!("FMA peak, {}, f32, {cores} thread(s): {:.1} GFLOP/s", isa.name(), peak / 1e9);
    println!("{cores} cores; times in ms, the cost beside {cores} threads");
    println!("  workload     path     threads members  smallest    cost  of peak    median    cost");
    let counts = [cores, 4, 8, 16];
    let teams = counts.map(|t| Team::new(&TeamOptions::new().threads(t)).expect("a team can be made"));
    let mut worst: Option<(f64, &str, usize)> = None;
    for workload in workloads::ALL.iter().filter(|w| !LONG.contains(&w.name)) {
        let batch = if quick() { workload.batch.min(64) } else { workload.batch };
        let options = teams.each_ref().map(|team| PlanOptions::new(batch).team(team));
        let mut steps = options.map(|o| Step::new(workload.widths, workload.activation, &o));
        let timings = in_turns(&mut steps);
        let base = timings[0];
        for ((threads, step), Timing { min, median }) in counts.iter().zip(&steps).zip(timings) {
            let Workload { name, .. } = workload;
            let (cost, median_cost) = (min / base.min, median / base.median);
            println!(
                "  {name:12} {:8} {threads:7} {:7} {:9.4}  {cost:6.2} {:6.1} % {:9.4}  {median_cost:6.2}",
                step.path(),
                step.plan.members(batch),
                1e3 * min,
                100.0 * step.flop() / min / peak,
                1e3 * median,
            );
            assert!(step.grads == steps[0].grads, "{name}: other bits on {threads} threads");
            if worst.is_none_or(|(w, ..)| cost > w) {
                worst = Some((cost, name, *threads));
            }
        }
    }
    if let Some((cost, name, threads)) = worst {
        let verdict = if cost > MARK { "above" } else { "within" };
        println!("largest cost: {cost:.2}, {name} on {threads} threads: {verdict} the mark of {MARK:.2}");
    }
}

/// The steps in turns, each on its team.
fn in_turns<const N: usize>(steps: &mut [Step; N]) -> [Timing; N] {
    let mut runs = steps.each_mut().map(|step| move |steps: usize| step.run(steps));
    let mut runs = runs.iter_mut();
    let runs: [&mut dyn FnMut(usize); N] = array::from_fn(|_| runs.next().expect("one a team") as _);
    // Bursts of many steps: what another team's threads do before they sleep is lost in them.
    turns(runs, Duration::from_millis(20), Duration::from_secs(2), 15)
}
