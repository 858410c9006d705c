//! Activations over slices: how fast are value and VJP of each, from the first cache and from memory?
//!
//! Throughput is bytes read and written. The share of the FMA peak has no meaning for a function without products,
//! so the price is given in it instead: how many FMAs the machine could have done per element.

mod common {
    pub(crate) mod measure;
    pub(crate) mod numbers;
    pub(crate) mod peak;
}

use common::{
    measure::{self, Timing},
    numbers::uniform,
    peak::peak,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nablas::{Activation, IsaToken, Pointwise, Scalar};
use std::{hint::black_box, time::Duration};

/// Elements: three slices of `f64` within 48 KiB, and far beyond any cache.
const SIZES: [usize; 2] = [1 << 11, 1 << 24];

fn activations<T: Scalar>(c: &mut Criterion) {
    let isa = nablas::isa().expect("NABLAS_ISA names an ISA of this machine");
    let peak = peak::<T>(isa, 1);
    println!("FMA peak, {}, {}, 1 thread: {:.1} GFLOP/s", isa.name(), T::NAME, peak / 1e9);
    let sizes = if measure::quick() { &SIZES[..1] } else { &SIZES };
    for &n in sizes {
        for activation in Activation::<T>::all() {
            one(c, isa, activation, n, peak);
        }
    }
}

fn one<T: Scalar>(c: &mut Criterion, isa: IsaToken, activation: Activation<T>, n: usize, peak: f64) {
    let numbers =
        |seed| uniform(n, seed).into_iter().map(|x| T::from_f64(4.0 * f64::from(x))).collect::<Vec<T>>();
    let (z, g) = (numbers(1), numbers(2));
    let mut out = vec![T::ZERO; n];
    let mut group = c.benchmark_group(format!("activations/{}/{}", activation.name(), T::NAME));
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400));
    let bytes = |slices: usize| Throughput::Bytes((slices * n * size_of::<T>()) as u64);
    let price = |timing: Option<Timing>| {
        if let Some(Timing { min, median }) = timing {
            let [fmas, usual] = [min, median].map(|seconds| seconds * peak / 2.0 / n as f64);
            println!("{:24}one element costs as much as {fmas:.1} FMAs at their peak, median {usual:.1}", "");
        }
    };
    let id = BenchmarkId::new("value", n);
    price(measure::time(&mut group, id, bytes(2), |_| {
        activation.value_on(isa, black_box(&z), &mut out).expect("the slices are equally long");
    }));
    let id = BenchmarkId::new("vjp", n);
    price(measure::time(&mut group, id, bytes(3), |_| {
        activation.vjp_on(isa, black_box(&z), &g, &mut out).expect("the slices are equally long");
    }));
    group.finish();
}

criterion_group!(benches, activations::<f32>, activations::<f64>);
criterion_main!(benches);
