//! What does a second member cost, and what does it bring? From outside of any pool, in a loop and after pauses: the
//! hand-over of a call with next to no work, and training steps on one member and on two.
//!
//! A member stays awake for some 50 µs after a call. So a pause of 20 µs finds it awake, one of 1 ms asleep.

mod common {
    #[expect(dead_code, reason = "only parts of calls are timed here")]
    pub(crate) mod measure;
    pub(crate) mod numbers;
    pub(crate) mod operands;
    #[expect(dead_code, reason = "times are not held against the peak here")]
    pub(crate) mod step;
    pub(crate) mod threads;
}

use common::{measure::quick, step::Step, threads};
use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use nablas::{Activation, PlanOptions};
use std::time::{Duration, Instant};

const PAUSES: [(&str, Duration); 3] = [
    ("in a loop", Duration::ZERO),
    ("after 20 µs", Duration::from_micros(20)),
    ("after 1 ms", Duration::from_millis(1)),
];

/// Widths, batch and activation of steps that are short, of one that is not, and of one in between.
const STEPS: [(&[usize], usize, Activation<f32>); 4] = [
    (&[784, 512, 512, 10], 16, Activation::Relu),
    (&[784, 512, 512, 10], 256, Activation::Relu),
    (&[64, 64, 64, 1], 32, Activation::Tanh),
    (&[17, 64, 64, 6], 64, Activation::Tanh),
];

/// One member and two, as far as there are two.
fn members() -> impl Iterator<Item = usize> {
    1..=threads::all().min(2)
}

/// A call that brings all of its members whatever they cost, and waits for them: the difference between one and two is
/// the time until the second has come.
fn hand_over(c: &mut Criterion) {
    let steps = members().map(|members| {
        let options = PlanOptions::new(1).threads(members).exactly(members);
        (members, Step::new(&[8, 8], Activation::Identity, &options))
    });
    after_pauses(c, "team/hand-over", steps.collect());
}

/// Steps that bring the members that pay.
fn steps(c: &mut Criterion) {
    for (widths, batch, activation) in STEPS {
        let name = widths.iter().map(usize::to_string).collect::<Vec<_>>().join("→");
        let steps = members().map(|members| {
            (members, Step::new(widths, activation, &PlanOptions::new(batch).threads(members)))
        });
        after_pauses(c, &format!("team/{name}, batch {batch}"), steps.collect());
    }
}

/// Times steps of so many members, without the pauses before them.
fn after_pauses(c: &mut Criterion, name: &str, mut steps: Vec<(usize, Step)>) {
    let mut group = c.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    group.warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(500));
    for (pause, time) in PAUSES {
        for (members, step) in &mut steps {
            group.bench_function(BenchmarkId::new(pause, *members), |b| {
                b.iter_custom(|steps| (0..steps).map(|_| after(time, || step.run(1))).sum());
            });
        }
    }
    group.finish();
    if let [(_, alone), others @ ..] = &mut steps[..] {
        // What was filtered out has not run.
        alone.run(1);
        for (members, step) in others {
            step.run(1);
            assert!(step.grads == alone.grads, "{name}: other bits on {members} members");
        }
    }
}

/// The time of `f` after a pause, in which this thread is awake: it computes something else.
fn after(pause: Duration, f: impl FnOnce()) -> Duration {
    let pause = if quick() { Duration::ZERO } else { pause };
    let start = Instant::now();
    while start.elapsed() < pause {
        std::hint::spin_loop();
    }
    let start = Instant::now();
    f();
    start.elapsed()
}

criterion_group!(benches, hand_over, steps);
criterion_main!(benches);
