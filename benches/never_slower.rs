//! Are all threads ever slower than one? Steps of networks from tiny to wide, with one thread and with all in turns, from
//! outside of any pool and inside of a rayon pool, in a loop and after pauses.
//!
//! It judges: where all threads take more than 3 % longer than one, the cell is measured again, longer and with operands
//! elsewhere in memory, and if that confirms it, the process ends with status 1. An argument picks the networks whose
//! names contain it. With `--test` each step runs once, and time is not judged.

mod common {
    #[expect(dead_code, reason = "criterion's part of it is not for here")]
    pub(crate) mod measure;
    pub(crate) mod numbers;
    pub(crate) mod operands;
    #[expect(dead_code, reason = "times are not held against the peak here")]
    pub(crate) mod step;
    pub(crate) mod threads;
}

use common::{measure::quick, step::Step, threads};
use nablas::{Activation, PlanOptions};
use std::{
    fmt::Write as _,
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant},
};

/// What all threads may take of one thread's time.
const MARK: f64 = 1.03;
/// Measurements that have to agree before a cell counts as slower.
const CONFIRMED: usize = 3;
/// Long enough for members and caches to have gone to sleep.
const PAUSE: Duration = Duration::from_millis(30);

const RELU: Activation<f32> = Activation::Relu;
const TANH: Activation<f32> = Activation::Tanh;

/// Widths, activation and batches.
const NETWORKS: [(&[usize], Activation<f32>, &[usize]); 11] = [
    (&[3, 2, 1], TANH, &[1, 1000]),
    (&[4, 32, 16, 4], TANH, &[16, 256, 1000, 10_000]),
    (&[2, 20, 20, 20, 20, 20, 20, 20, 20, 20, 1], TANH, &[1, 64, 256, 1000]),
    (&[17, 64, 64, 6], TANH, &[4, 64]),
    (&[64, 64, 64, 1], TANH, &[1, 32, 256]),
    (&[32, 64, 64, 64, 16], RELU, &[16, 1000]),
    (&[128, 256, 256, 1], Activation::Silu, &[4, 32]),
    (&[256, 256, 256], RELU, &[1, 16, 256]),
    (&[784, 512, 512, 10], RELU, &[1, 16, 64, 256]),
    (&[1024, 1024], RELU, &[4, 32]),
    (&[1000, 3, 1000], RELU, &[64]),
];

/// How steps follow each other.
#[derive(Clone, Copy)]
enum Pace {
    /// Bursts in a loop; the smallest mean.
    Loop,
    /// One at a time, each after a pause; the median.
    Paused,
}

/// One step to be judged.
struct Cell<'a> {
    widths: &'a [usize],
    activation: Activation<f32>,
    batch: usize,
    pace: Pace,
}

fn main() -> ExitCode {
    let all = threads::all();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(all).build().expect("a pool can be made");
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    println!("one thread and {all}: microseconds a step, and how many times as long all take");
    println!(
        "{:<34} {:>6} {:>7}  {:^24}  {:^24}  {:^24}  {:^24}",
        "", "", "", "outside, in a loop", "outside, paused", "in a pool, in a loop", "in a pool, paused"
    );
    let mut slower = Vec::new();
    for (widths, activation, batches) in NETWORKS {
        let name = widths.iter().map(usize::to_string).collect::<Vec<_>>().join("→");
        if !name.contains(&filter) {
            continue;
        }
        for &batch in batches {
            let (mut line, mut members) = (String::new(), 1);
            for (place, inside) in [("outside", false), ("in a pool", true)] {
                for (how, pace) in [("in a loop", Pace::Loop), ("paused", Pace::Paused)] {
                    let cell = Cell { widths, activation, batch, pace };
                    let judged = if inside { pool.install(|| cell.judge(all)) } else { cell.judge(all) };
                    let Judged { one, many, slow, .. } = judged;
                    members = members.max(judged.members);
                    let (mark, ratio) = (if slow { '!' } else { ' ' }, many / one);
                    write!(line, "  {:>8.1} {:>8.1} {ratio:>5.2}{mark}", 1e6 * one, 1e6 * many)
                        .expect("a string takes what is written to it");
                    if slow {
                        slower.push(format!("{name}, batch {batch}, {place}, {how}: {ratio:.2}"));
                    }
                }
            }
            println!("{name:<34} {batch:>6} {members:>7}{line}");
        }
    }
    if quick() {
        println!("each has run; times mean nothing here");
        return ExitCode::SUCCESS;
    }
    if slower.is_empty() {
        println!("nowhere are all threads slower than one");
        return ExitCode::SUCCESS;
    }
    println!("slower on all threads than on one by more than {:.0} %:", 100.0 * (MARK - 1.0));
    slower.iter().for_each(|cell| println!("  {cell}"));
    ExitCode::FAILURE
}

/// Seconds a step: what is printed and judged, and the lower quartile, which has to agree: on a machine that others use,
/// one order statistic alone may go astray.
struct Times {
    figure: f64,
    quartile: f64,
}

/// What came of a cell: seconds a step on one thread and on all, of the last measurement.
struct Judged {
    one: f64,
    many: f64,
    members: usize,
    slow: bool,
}

impl Cell<'_> {
    /// Measures until a measurement is within the mark, or enough are not.
    fn judge(&self, all: usize) -> Judged {
        let mut judged = self.measure(all, 1);
        for effort in 2..=CONFIRMED {
            if !judged.slow {
                break;
            }
            judged = self.measure(all, effort);
        }
        judged
    }

    /// One thread and all in turns. Operands are made anew each time, those of all threads first or last: where memory
    /// lies shows in short steps.
    fn measure(&self, all: usize, effort: usize) -> Judged {
        let step =
            |threads| Step::new(self.widths, self.activation, &PlanOptions::new(self.batch).threads(threads));
        let (mut one, mut many) = if effort % 2 == 1 {
            let one = step(1);
            (one, step(all))
        } else {
            let many = step(all);
            (step(1), many)
        };
        let [t_one, t_many] = self.times([&mut one, &mut many], effort);
        let slow = t_many.figure > MARK * t_one.figure && t_many.quartile > MARK * t_one.quartile;
        let members = many.plan.members(self.batch);
        assert!(one.grads == many.grads, "other bits on {members} members");
        Judged { one: t_one.figure, many: t_many.figure, members, slow: slow && !quick() }
    }

    /// Seconds a step of each.
    fn times(&self, steps: [&mut Step; 2], effort: usize) -> [Times; 2] {
        let (rounds, burst, pause) = match self.pace {
            _ if quick() => (1, 1, Duration::ZERO),
            Pace::Loop => {
                steps[0].run(1);
                let once = timed(steps[0], 1);
                let burst = (2e-4 / once).ceil() as usize;
                let span = 0.25 * effort as f64;
                (((span / (3.0 * burst as f64 * once)) as usize).clamp(10, 1000), burst, Duration::ZERO)
            }
            Pace::Paused => (12 * effort, 1, PAUSE),
        };
        let mut samples = [const { Vec::new() }; 2];
        for round in 0..rounds {
            for i in [round % 2, 1 - round % 2] {
                match self.pace {
                    // What the other's turn has left behind is gone before the clock starts.
                    Pace::Loop if !quick() => steps[i].run(burst.div_ceil(2)),
                    _ => sleep(pause),
                }
                samples[i].push(timed(steps[i], burst));
            }
        }
        samples.map(|mut s| {
            s.sort_by(f64::total_cmp);
            let quartile = s[s.len() / 4];
            Times { figure: if matches!(self.pace, Pace::Loop) { s[0] } else { s[s.len() / 2] }, quartile }
        })
    }
}

/// Seconds a step, of this many.
fn timed(step: &mut Step, steps: usize) -> f64 {
    let start = Instant::now();
    step.run(steps);
    start.elapsed().as_secs_f64() / steps as f64
}
