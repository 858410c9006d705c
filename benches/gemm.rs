//! The plain product: how close does C ← A·B come to the FMA peak, beside other libraries?
//!
//! `NABLAS_RECORD=benches/record` keeps the times: benches/record/README.md.

mod common {
    pub(crate) mod agree;
    pub(crate) mod flop;
    pub(crate) mod matrixmultiply;
    pub(crate) mod measure;
    pub(crate) mod numbers;
    pub(crate) mod peak;
    pub(crate) mod peers;
    pub(crate) mod record;
    pub(crate) mod threads;
}

use common::{
    agree::same,
    flop::{say_peak, time_flop},
    measure::quick,
    numbers::uniform,
    peak::peak,
    peers::Peer,
    record::Case,
    threads,
};
use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use nablas::{Gemm, MatMut, MatRef};
use std::{cell::LazyCell, time::Duration};

/// (m, n, k), A and B row-major.
const SQUARES: [(usize, usize, usize); 7] = [
    (64, 64, 64),
    (128, 128, 128),
    (256, 256, 256),
    (512, 512, 512),
    (1024, 1024, 1024),
    (2048, 2048, 2048),
    (4096, 4096, 4096),
];

/// The products of small networks: a batch times narrow weights, and its gradient, a long sum for a small C.
const SKINNY: [(usize, usize, usize); 6] =
    [(16384, 64, 64), (10_000, 32, 4), (5000, 20, 20), (64, 64, 16384), (256, 10, 512), (2048, 3072, 768)];

fn gemm(c: &mut Criterion) {
    let isa = nablas::isa().expect("NABLAS_ISA names an ISA of this machine");
    let all = threads::all();
    let peak_one = peak::<f32>(isa, 1);
    say_peak(&format!("{}, f32, 1 thread", isa.name()), peak_one);
    let peak_all = peak::<f32>(isa, all);
    say_peak(&format!("{}, f32, {all} threads", isa.name()), peak_all);
    for (m, n, k) in SQUARES.into_iter().chain(SKINNY) {
        let flop = 2 * (m * n * k) as u64;
        if quick() && flop > 1 << 26 {
            continue;
        }
        let name = format!("{m}x{n}x{k}");
        let mut group = c.benchmark_group(format!("gemm/{name}"));
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
        let (a, b) = (uniform(m * k, 1), uniform(k * n, 2));
        let mut product = vec![0.0; m * n];
        let a = MatRef::new(&a, m, k).expect("A is m×k");
        let b = MatRef::new(&b, k, n).expect("B is k×n");
        let reference = LazyCell::new(|| {
            let gemm = Gemm::with(isa, 1);
            let mut product = vec![0.0; m * n];
            let mut scratch = gemm.scratch(m, n, k);
            gemm.run(1.0, a, b, 0.0, view(&mut product, m, n), &mut scratch).expect("the shapes agree");
            product
        });
        let mut threads = vec![1, all];
        threads.dedup();
        for t in threads {
            let peak = if t == 1 { peak_one } else { peak_all };
            let gemm = Gemm::with(isa, t);
            let mut scratch = gemm.scratch(m, n, k);
            let (dims, isa) = ([m, n, k], isa.name());
            let case = Case {
                source: "gemm",
                workload: &name,
                dims: &dims,
                batch: 1,
                activation: "",
                dtype: "f32",
                isa,
                threads: t,
                flop,
                peak,
            };
            let timing = time_flop(&mut group, BenchmarkId::new("nablas", t), flop, peak, |_| {
                gemm.run(1.0, a, b, 0.0, view(&mut product, m, n), &mut scratch).expect("the shapes agree");
            });
            case.note("nablas", "", timing);
            for peer in Peer::ALL {
                let timing = time_flop(&mut group, BenchmarkId::new(peer.name(), t), flop, peak, |check| {
                    peer.product(t, a, b, view(&mut product, m, n));
                    if check {
                        same(peer.name(), &product, &reference);
                    }
                });
                case.note(peer.name(), "", timing);
            }
        }
        group.finish();
    }
}

fn view(data: &mut [f32], rows: usize, cols: usize) -> MatMut<'_, f32> {
    MatMut::new(data, rows, cols).expect("the buffer has that size")
}

criterion_group!(benches, gemm);
criterion_main!(benches);
