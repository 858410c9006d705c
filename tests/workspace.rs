//! The memory that a plan asks for is what docs/ARCHITECTURE.md promises.

#[path = "common/workspace.rs"]
mod workspace;

use nablas::{Activation, BackendKind, Mlp, PathKind, Plan, PlanOptions, Scalar};
use std::collections::HashSet;
use workspace::Formula;

const WIDTHS: [&[usize]; 12] = [
    &[1, 1],
    &[4, 32, 16, 4],
    &[2, 20, 20, 20, 20, 20, 20, 20, 20, 20, 1],
    &[10, 45, 45, 10],
    &[10, 46, 46, 10],
    &[17, 64, 64, 6],
    &[32, 64, 64, 64, 16],
    &[128, 256, 256, 1],
    &[100, 333, 77],
    &[784, 512, 512, 10],
    &[768, 3072, 768],
    &[3, 70_001, 3],
];
const BATCHES: [usize; 13] = [0, 1, 7, 24, 63, 64, 100, 512, 1000, 4096, 10_000, 262_144, 1_000_003];

/// Networks of every path, with each kind of state.
fn networks<T: Scalar>() -> impl Iterator<Item = Mlp<T>> {
    let acts = [Activation::Relu, Activation::Tanh, Activation::Exp];
    WIDTHS.into_iter().flat_map(move |widths| {
        acts.map(|act| {
            let hidden = &widths[1..widths.len() - 1];
            let builder = hidden.iter().fold(Mlp::builder(widths[0]), |b, &n| b.layer(n, act));
            builder.layer(widths[widths.len() - 1], Activation::Identity).build().unwrap()
        })
    })
}

fn check<T: Scalar>(paths: &mut HashSet<PathKind>) {
    for mlp in networks::<T>() {
        for batch in BATCHES {
            for threads in [1, 2, 7, 16] {
                for backend in [BackendKind::Native, BackendKind::MatrixMultiply] {
                    let options = PlanOptions::new(batch).threads(threads).backend(backend);
                    let plan = Plan::<T>::new(&mlp, &options).unwrap();
                    let formula = Formula::new(&mlp, plan.path(), backend != BackendKind::Native);
                    let bytes = formula.workspace(batch, threads) * size_of::<T>();
                    assert_eq!(plan.workspace_bytes(), bytes, "{plan:?} × {threads}");
                    // A state's size is its own batch's, not the plan's.
                    for rows in BATCHES.into_iter().take_while(|rows| *rows <= batch) {
                        assert_eq!(plan.kept_len(rows), Ok(formula.kept(rows)), "{rows} rows of {plan:?}");
                    }
                    paths.insert(plan.path());
                }
            }
        }
    }
}

#[test]
fn memory_is_as_large_as_the_formulas_say() {
    let mut paths = HashSet::new();
    check::<f32>(&mut paths);
    check::<f64>(&mut paths);
    assert_eq!(paths.len(), 3, "{paths:?}");
}

fn check_panels<T: Scalar>() {
    for mlp in networks::<T>().step_by(3) {
        for backend in [BackendKind::Native, BackendKind::MatrixMultiply] {
            for (batch, threads) in [(1, 1), (500, 3)] {
                let options = PlanOptions::new(batch).threads(threads).backend(backend);
                let plan = Plan::<T>::new(&mlp, &options).unwrap();
                let formula = Formula::new(&mlp, plan.path(), backend != BackendKind::Native);
                let packed = plan.pack(&vec![T::ZERO; mlp.param_len()]).unwrap();
                let bytes = (mlp.param_len() + formula.panels()) * size_of::<T>();
                assert_eq!(packed.bytes(), bytes, "{plan:?}");
                let kept = plan.kept(batch).unwrap();
                assert_eq!(kept.bytes(), formula.kept(batch) * size_of::<T>(), "{plan:?}");
                assert_eq!((kept.room(), kept.batch()), (batch, None));
            }
        }
    }
}

#[test]
fn packed_parameters_and_kept_states_are_as_large_as_the_formulas_say() {
    check_panels::<f32>();
    check_panels::<f64>();
}
