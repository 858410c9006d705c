//! The workspace that a plan asks for is the one that docs/ARCHITECTURE.md promises.

#[path = "common/workspace.rs"]
mod workspace;

use nablas::{Activation, Keep, Mlp, Plan, PlanOptions, Scalar};
use std::collections::BTreeMap;
use workspace::workspace_bytes;

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

fn check<T: Scalar>(paths: &mut BTreeMap<String, usize>) {
    for widths in WIDTHS {
        for act in [Activation::Relu, Activation::Tanh, Activation::Exp] {
            let hidden = &widths[1..widths.len() - 1];
            let builder = hidden.iter().fold(Mlp::builder(widths[0]), |b, &n| b.layer(n, act));
            let mlp = builder.layer(widths[widths.len() - 1], Activation::Identity).build().unwrap();
            for batch in [0, 1, 7, 24, 63, 64, 100, 512, 1000, 4096, 10_000, 32_257, 262_144, 600_000] {
                for threads in [1, 2, 7, 16] {
                    for keep in [Keep::ForBackward, Keep::Nothing] {
                        let options = PlanOptions::new(batch).threads(threads).keep(keep);
                        let plan = Plan::<T>::new(&mlp, &options).unwrap();
                        let path = plan.explain();
                        let want = workspace_bytes(&mlp, batch, threads, keep, &path);
                        let what = format!("{widths:?} {act:?} {batch} × {threads} {keep:?}, {path}");
                        assert_eq!(plan.workspace_bytes(), want, "{what}");
                        *paths.entry(path[..5].to_owned()).or_default() += 1;
                    }
                }
            }
        }
    }
}

#[test]
fn workspaces_are_as_large_as_the_formula_says() {
    let mut paths = BTreeMap::new();
    check::<f32>(&mut paths);
    check::<f64>(&mut paths);
    assert_eq!(paths.keys().collect::<Vec<_>>(), ["fused", "layer", "narro"], "{paths:?}");
}
