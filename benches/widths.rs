//! Odd widths: does time grow smoothly from one width to the next, or are there cliffs?
//!
//! A step of 32→w→w→32, batch 1024, over widths of 1 … 512, and 10→w→w→10 at batch 128 for w = 30 … 60, where a
//! well-known library turns its threads on and becomes nine times slower. Neighbours are measured in turns.
//!
//! The *step* between neighbours is the ratio of their times, the smallest or the medians, whichever is less. *Allowing
//! for the tile* it is divided by the ratio of their multiply-adds with the columns of each product rounded up to whole
//! granules (vectors) of the instruction set: that much work the lanes cannot but do. On the narrow path, whose lanes
//! hold samples, no width is rounded.
//!
//! No criterion: it times one thing after the other, for seconds.

mod common {
    #[expect(dead_code, reason = "criterion's part of it is not for here")]
    pub(crate) mod measure;
    pub(crate) mod numbers;
    pub(crate) mod operands;
    pub(crate) mod peak;
    pub(crate) mod step;
    pub(crate) mod threads;
    pub(crate) mod turns;
}

use common::{
    measure::{Timing, quick},
    peak::peak,
    step::Step,
    threads,
    turns::turns,
};
use nablas::{Activation, PlanOptions};
use nablas_kernels::{
    gemm::shape,
    isa::{IsaToken, LaneKernel, Lanes},
};
use std::time::Duration;

/// A step above this, allowing for the tile, is a cliff.
const CLIFF: f64 = 1.15;
/// No timing yet.
const NONE: Timing = Timing { min: f64::INFINITY, median: f64::INFINITY };

/// A network of one width.
struct Family {
    name: &'static str,
    /// n_0 and n_L.
    ends: usize,
    batch: usize,
}

impl Family {
    fn step(&self, width: usize, threads: usize) -> Step {
        let options = PlanOptions::new(self.batch).threads(threads);
        Step::new(&[self.ends, width, width, self.ends], Activation::Relu, &options)
    }
}

fn main() {
    let isa = nablas::isa().expect("NABLAS_ISA names an ISA of this machine");
    let mut threads = vec![1, threads::all()];
    threads.dedup();
    let sweep = Family { name: "32→w→w→32", ends: 32, batch: if quick() { 32 } else { 1024 } };
    // Every width up to 128; then each side of multiples of 16, and a few that people have.
    let more = (144..=512).step_by(16).flat_map(|w| [w, w + 1]);
    let mut widths: Vec<usize> =
        (1..=128).chain(more).chain([129, 200, 255, 300, 332, 333, 334, 500, 511]).collect();
    widths.sort_unstable();
    widths.retain(|&w| w <= 512);
    let replay = Family { name: "10→w→w→10", ends: 10, batch: 128 };
    for t in threads {
        let peak = peak::<f32>(isa, t);
        println!("FMA peak, {}, f32, {t} thread(s): {:.1} GFLOP/s", isa.name(), peak / 1e9);
        measure(&sweep, &widths, t, isa, peak);
        measure(&replay, &(30..=60).collect::<Vec<_>>(), t, isa, peak);
    }
}

/// A width's time, and how it was reached from the width before.
struct Line {
    width: usize,
    path: &'static str,
    flop: f64,
    /// The smaller of the turns with either neighbour.
    time: Timing,
    /// The ratio of times, and the same allowing for the tile; both of the turns with the width before alone.
    step: Option<(f64, f64)>,
}

impl Line {
    fn new(width: usize, step: &Step, time: Timing) -> Self {
        Self { width, path: step.path(), flop: step.flop(), time, step: None }
    }
}

fn measure(family: &Family, widths: &[usize], threads: usize, isa: IsaToken, peak: f64) {
    println!("\n{}, batch {}, {threads} thread(s)", family.name, family.batch);
    let granule = isa.run(Granule);
    let mut step = family.step(widths[0], threads);
    let mut lines = vec![Line::new(widths[0], &step, NONE)];
    for &width in &widths[1..] {
        let mut next = family.step(width, threads);
        let [mut one, mut other] = in_turns(&mut step, &mut next, 60);
        let last = lines.len() - 1;
        let work = |s: &Step, width| multiply_adds(family, width, s.path(), granule);
        let allowed = work(&next, width) / work(&step, lines[last].width);
        // What looks like a cliff may have been a neighbour on the machine.
        for _ in 0..3 {
            if ratio(one, other) / allowed > CLIFF && !quick() {
                let [a, b] = in_turns(&mut step, &mut next, 250);
                one = Timing { min: one.min.min(a.min), ..a };
                other = Timing { min: other.min.min(b.min), ..b };
            }
        }
        let before = &mut lines[last].time;
        *before = Timing { min: before.min.min(one.min), median: before.median.min(one.median) };
        let times = ratio(one, other);
        let step_to = Some((times, times / allowed));
        lines.push(Line { step: step_to, ..Line::new(width, &next, other) });
        step = next;
    }
    println!("  width  path       time µs     median  ns/kFLOP  of peak    step  allowing for the tile");
    for Line { width, path, flop, time, step } in &lines {
        let (per_flop, share) = (1e12 * time.min / flop, 100.0 * flop / time.min / peak);
        print!(
            "  {width:5}  {path:8} {:9.2}  {:9.2}  {per_flop:8.2}  {share:5.1} %",
            1e6 * time.min,
            1e6 * time.median
        );
        match step {
            Some((step, allowing)) => println!("  {step:6.2}  {allowing:6.2}"),
            None => println!(),
        }
    }
    summary(&lines);
}

/// The ratio of two times: of the smallest or of the medians, whichever is less. A cliff shows in both, a busy machine
/// in one.
fn ratio(one: Timing, other: Timing) -> f64 {
    (other.min / one.min).min(other.median / one.median)
}

fn in_turns(one: &mut Step, other: &mut Step, milliseconds: u64) -> [Timing; 2] {
    let span = Duration::from_millis(milliseconds);
    turns([&mut |n| one.run(n), &mut |n| other.run(n)], Duration::from_micros(200), span, 7)
}

fn summary(lines: &[Line]) {
    let steps: Vec<_> = lines.windows(2).filter_map(|w| w[1].step.map(|s| (&w[0], &w[1], s))).collect();
    let say = |what: &str, (from, to, (step, allowing)): (&Line, &Line, (f64, f64))| {
        let paths =
            if from.path == to.path { String::new() } else { format!(" ({}→{})", from.path, to.path) };
        println!(
            "{what}: {}→{}{paths}: {step:.2}, allowing for the tile {allowing:.2}",
            from.width, to.width
        );
    };
    let most = |key: fn((f64, f64)) -> f64| steps.iter().max_by(|a, b| key(a.2).total_cmp(&key(b.2)));
    if let (Some(&step), Some(&allowing)) = (most(|s| s.0), most(|s| s.1)) {
        say("largest step", step);
        say("largest step allowing for the tile", allowing);
    }
    for &cliff in steps.iter().filter(|s| s.2.1 > CLIFF) {
        say(&format!("above {CLIFF}"), cliff);
    }
}

/// Multiply-adds of a step with each product's columns in whole granules.
fn multiply_adds(family: &Family, width: usize, path: &str, granule: usize) -> f64 {
    let whole = |n: usize| if path == "narrow" { n } else { n.next_multiple_of(granule) };
    let widths = [family.ends, width, width, family.ends];
    let layer = |(l, w): (usize, &[usize])| {
        let (k, n) = (w[0], w[1]);
        let input_vjp = if l == 0 { 0 } else { n * whole(k) };
        k * whole(n) + n * whole(k) + input_vjp
    };
    (family.batch * widths.windows(2).enumerate().map(layer).sum::<usize>()) as f64
}

/// Columns in a granule of an instruction set.
struct Granule;

impl LaneKernel for Granule {
    type Elem = f32;
    type Output = usize;
    #[inline(always)]
    fn run_lanes<I: Lanes<f32>>(self, _: I) -> usize {
        shape::granule::<f32, I>()
    }
}
