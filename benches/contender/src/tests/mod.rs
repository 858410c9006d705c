//! Through the exported functions, as the harness calls them.

mod operands;
mod product;
mod reference;
mod refusals;

use nablas::IsaToken;
use operands::{Numbers, Operands};
use reference::Results;
use std::ffi::CStr;

/// The variants of this machine.
fn variants() -> Vec<&'static CStr> {
    let mut variants = vec![c"default"];
    variants.extend(IsaToken::pin("avx2").is_ok().then_some(c"avx2"));
    variants
}

/// Fails if ‖got − want‖ exceeds 10⁻⁵·‖want‖, or anything is NaN.
#[track_caller]
fn close(what: &str, got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
    let error = norm(&mut got.iter().zip(want).map(|(g, w)| g - w)) / norm(&mut want.iter().copied());
    assert!(error < 1e-5, "{what}: {error:e}");
}

#[track_caller]
fn agree(what: &str, got: &Results, want: &Results) {
    close(&format!("{what}, y"), &got.y, &want.y);
    for l in 0..want.dw.len() {
        close(&format!("{what}, dW of layer {l}"), &got.dw[l], &want.dw[l]);
        close(&format!("{what}, db of layer {l}"), &got.db[l], &want.db[l]);
    }
}

/// Widths, the rows to test and the activation of the ten workloads.
fn workloads() -> [(&'static str, Vec<usize>, usize, i32); 10] {
    [
        ("tiny-field", vec![32, 64, 64, 64, 16], 50, 0),
        ("latency", vec![64, 64, 64, 1], 32, 1),
        ("tabular", vec![128, 256, 256, 1], 30, 2),
        ("mnist", vec![784, 512, 512, 10], 7, 0),
        ("siren", vec![2, 256, 256, 256, 3], 30, 4),
        ("ffn", vec![768, 3072, 768], 3, 3),
        ("big", vec![4096, 4096, 4096], 2, 0),
        ("matexp", vec![4, 32, 16, 4], 100, 1),
        ("pinn", [&[2][..], &[20; 9], &[1]].concat(), 100, 1),
        ("ppo", vec![17, 64, 64, 6], 64, 1),
    ]
}

#[test]
fn workloads_agree_with_a_loop_in_f64() {
    for (name, widths, batch, act) in workloads() {
        let operands = Operands::new(&widths, batch, act);
        let want = reference::step(&operands);
        for variant in variants() {
            for threads in [1, 2] {
                let what = format!("{name}, {variant:?}, {threads} threads");
                agree(&what, &operands.once(variant, threads), &want);
            }
        }
    }
}

#[test]
fn every_activation_agrees_with_a_loop_in_f64() {
    for act in 0..5 {
        let operands = Operands::new(&[5, 19, 33, 7], 41, act);
        let want = reference::step(&operands);
        for variant in variants() {
            agree(&format!("activation {act}, {variant:?}"), &operands.once(variant, 1), &want);
        }
    }
}

/// Enough work for two members, on two of a plan's paths.
#[test]
fn two_threads_give_the_bits_of_one() {
    for (widths, batch, act) in [(vec![64, 128, 128, 9], 300, 2), (vec![300, 600, 300], 50, 1)] {
        let operands = Operands::new(&widths, batch, act);
        let (one, two) = (operands.once(c"default", 1), operands.once(c"default", 2));
        agree("two threads", &two, &reference::step(&operands));
        assert!(one.y == two.y && one.dw == two.dw && one.db == two.db, "{widths:?}");
    }
}

/// What the harness writes into its arrays between two steps is what the second one sees.
#[test]
fn a_step_keeps_nothing_of_the_one_before() {
    let mut operands = Operands::new(&[6, 32, 4], 20, 1);
    let mut step = operands.create(c"default", 1).expect("the variant can do it");
    agree("the first step", &operands.run(&mut step), &reference::step(&operands));
    agree("the same again", &operands.run(&mut step), &reference::step(&operands));
    let mut numbers = Numbers(7);
    let Operands { x, dy, w, b, .. } = &mut operands;
    for array in [x, dy].into_iter().chain(w).chain(b) {
        let fresh = numbers.take(array.len());
        array.copy_from_slice(&fresh);
    }
    agree("after a change", &operands.run(&mut step), &reference::step(&operands));
}
