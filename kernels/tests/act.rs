//! Activations and their derivatives: errors in ULP, derivatives against differences, specials.
//!
//! `cargo test --release -p nablas-kernels --test act -- --ignored --nocapture` measures all 2³² `f32` inputs, and holds
//! them against the bounds of docs/NUMERICS.md.

mod act_support;

use act_support::{Random, all, in_f32, reference, ulp_f32, ulp_f64};
use nablas_kernels::{
    act::{Activation, Forward},
    isa::IsaToken,
    math::Math,
};

/// The largest errors of value and derivative in ULP, and where.
#[derive(Debug, Clone, Copy, Default)]
struct Worst {
    value: (f64, f64),
    derivative: (f64, f64),
}

impl Worst {
    fn take(&mut self, value: f64, derivative: f64, z: f64) {
        // A NaN is worse than any number.
        let worse = |new: f64, old: f64| new > old || new.is_nan() && !old.is_nan();
        if worse(value, self.value.0) {
            self.value = (value, z);
        }
        if worse(derivative, self.derivative.0) {
            self.derivative = (derivative, z);
        }
    }
}

/// Where the derivative crosses 0 with the input far from 0, its error is in ULP of at least 1/16: this floor.
fn floor(act: Activation<f64>, z: f64) -> f64 {
    let crosses =
        matches!(act, Activation::Silu | Activation::Gelu | Activation::GeluTanh | Activation::Mish);
    if crosses && -3.0 < z && z < 0.0 { 1.0 / 16.0 } else { 0.0 }
}

/// The value and the derivative of a slice, by the kernel.
fn forward<T: Math>(isa: IsaToken, act: Activation<T>, z: &[T]) -> (Vec<T>, Vec<T>) {
    let (mut a, mut d) = (vec![T::ZERO; z.len()], vec![T::ZERO; z.len()]);
    isa.run(Forward { act, z, a: &mut a, d: &mut d });
    (a, d)
}

/// |got − want| in ULP of `f32`; ½ where `got` is `want`, rounded.
#[inline]
fn error_f32(got: f32, want: f64, floor: f64) -> f64 {
    if got == want as f32 { 0.5 } else { (f64::from(got) - want).abs() / ulp_f32(want.abs().max(floor)) }
}

/// The error of one activation in `f32` against the same in `f64`, over every `step`-th bit pattern.
fn measure(act: Activation<f64>, step: u64) -> Worst {
    const BLOCK: u64 = 4096;
    let (narrow, wide) = in_f32(act);
    let (isa, mut worst) = (IsaToken::detect(), Worst::default());
    let (mut z, mut exact) = (Vec::new(), Vec::new());
    let mut narrow_out = [vec![0.0_f32; BLOCK as usize], vec![0.0_f32; BLOCK as usize]];
    let mut wide_out = [vec![0.0_f64; BLOCK as usize], vec![0.0_f64; BLOCK as usize]];
    for first in (0..1 << 32).step_by((BLOCK * step) as usize) {
        let patterns = (0..BLOCK).map(|i| first + i * step).filter(|&b| b < 1 << 32);
        z.clear();
        z.extend(patterns.map(|b| f32::from_bits(b as u32)));
        exact.clear();
        exact.extend(z.iter().map(|&z| f64::from(z)));
        let n = z.len();
        let ([a, d], [value, derivative]) = (&mut narrow_out, &mut wide_out);
        isa.run(Forward { act: narrow, z: &z, a: &mut a[..n], d: &mut d[..n] });
        isa.run(Forward { act: wide, z: &exact, a: &mut value[..n], d: &mut derivative[..n] });
        for i in 0..n {
            if z[i].is_nan() {
                assert!(a[i].is_nan() && d[i].is_nan(), "{act} of NaN is {}, {}", a[i], d[i]);
            } else if z[i].is_finite() {
                let error = error_f32(d[i], derivative[i], floor(act, exact[i]));
                worst.take(error_f32(a[i], value[i], 0.0), error, exact[i]);
            }
        }
    }
    worst
}

/// The bounds that docs/NUMERICS.md states, in ULP of `f32`: value, derivative.
fn bounds(act: Activation<f64>) -> (f64, f64) {
    match act {
        Activation::Identity | Activation::Relu | Activation::ClippedRelu(_) => (0.5, 0.5),
        Activation::LeakyRelu(_) => (0.501, 0.5),
        Activation::Elu(1.0) => (1.5, 1.0),
        Activation::Elu(_) => (2.75, 2.5),
        Activation::Selu => (2.5, 2.25),
        Activation::Sigmoid => (1.0, 2.25),
        Activation::Tanh => (2.0, 3.5),
        Activation::Softplus => (2.0, 2.5),
        Activation::Silu => (4.0, 6.0),
        Activation::Gelu => (6.5, 14.0),
        Activation::GeluTanh => (4.5, 8.0),
        Activation::Mish => (5.0, 12.0),
        Activation::HardSwish => (2.5, 1.5),
        Activation::Softsign => (1.0, 2.0),
        Activation::Exp | Activation::Sin(_) => (1.0, 1.0),
    }
}

#[test]
fn f32_errors_stay_within_the_stated_bounds() {
    let others = [0.1, 1.3, 1.99].map(Activation::Elu);
    for act in all().into_iter().chain(others) {
        let worst = measure(act, 3001);
        let (value, derivative) = bounds(act);
        assert!(worst.value.0 <= value, "{act}: value {worst:?}");
        assert!(worst.derivative.0 <= derivative, "{act}: derivative {worst:?}");
    }
}

#[test]
#[ignore = "all 2³² inputs of sixteen functions: half an hour; NABLAS_SWEEP_STEP=97 takes every 97th"]
fn f32_errors_over_all_inputs() {
    let mut within = true;
    let step = std::env::var("NABLAS_SWEEP_STEP").map_or(1, |s| s.parse().expect("a number"));
    println!("| activation | value | at z | derivative | at z |\n|---|---|---|---|---|");
    for act in all() {
        let Worst { value: v, derivative: d } = measure(act, step);
        println!("| {act} | {:.3} | {:e} | {:.3} | {:e} |", v.0, v.1, d.0, d.1);
        let (value, derivative) = bounds(act);
        within &= v.0 <= value && d.0 <= derivative;
    }
    assert!(within, "a bound is exceeded");
}

/// The same of `f64`.
fn bounds_f64(act: Activation<f64>) -> (f64, f64) {
    match act {
        Activation::Tanh => (2.25, 3.5),
        Activation::Softplus => (4.0, 2.75),
        Activation::Silu => (4.0, 6.5),
        Activation::Gelu => (7.0, 15.0),
        Activation::Mish => (5.5, 12.0),
        act => bounds(act),
    }
}

/// `f64` against a table of correctly rounded values, whose rounding is half a unit.
#[test]
fn f64_errors_stay_within_their_bounds() {
    let rows = include_str!("data/act_f64.csv").lines().filter(|line| !line.starts_with('#'));
    let mut worst = std::collections::BTreeMap::<&str, Worst>::new();
    for row in rows {
        let mut fields = row.split(',');
        let name = fields.next().expect("a name");
        let act: Activation<f64> = name.parse().expect("an activation");
        let [z, value, derivative] = [(); 3]
            .map(|()| f64::from_bits(u64::from_str_radix(fields.next().expect("bits"), 16).expect("hex")));
        let (a, d) = at(IsaToken::detect(), act, z);
        let error = |got: f64, want: f64, floor: f64| (got - want).abs() / ulp_f64(want.abs().max(floor));
        worst.entry(name).or_default().take(error(a, value, 0.0), error(d, derivative, floor(act, z)), z);
    }
    assert_eq!(worst.len(), 12);
    for (name, worst) in worst {
        println!("{name}: {worst:?}");
        let (value, derivative) = bounds_f64(name.parse().expect("an activation"));
        assert!(worst.value.0 <= value + 0.5 && worst.derivative.0 <= derivative + 0.5, "{name}: {worst:?}");
    }
}

/// The oracle of the `f32` errors is the `f64` kernel; its own oracle, beside the table, are textbook formulas.
#[test]
fn f64_agrees_with_the_formulas() {
    let mut random = Random(7);
    for act in all() {
        let within = |i: usize| [4.0, 40.0, 800.0, 1e-6][i % 4];
        let z: Vec<f64> = (0..60_000).map(|i| random.within(within(i))).collect();
        let (a, d) = forward(IsaToken::detect(), act, &z);
        for i in 0..z.len() {
            let (value, derivative) = reference(act, z[i]);
            // The formulas round y of e^−y, and lose bits of denormals.
            let close = |got: f64, want: f64, floor: f64| {
                let y =
                    1.0 + if act == Activation::Gelu { z[i] * z[i] } else { z[i].abs().powi(3).min(800.0) };
                got == want
                    || (got - want).abs() <= 8.0 * f64::EPSILON * y * want.abs().max(floor).max(1e-290)
            };
            let floor = floor(act, z[i]);
            assert!(close(a[i], value, 0.0), "{act} of {}: {}, not {value}", z[i], a[i]);
            assert!(close(d[i], derivative, floor), "{act}' of {}: {}, not {derivative}", z[i], d[i]);
        }
    }
}

/// The derivative is that of this very forward function: central differences in `f64`.
#[test]
fn derivatives_agree_with_differences() {
    let mut random = Random(11);
    let h = 1e-5;
    for act in
        all().into_iter().chain([Activation::Elu(0.3), Activation::Sin(3.0), Activation::LeakyRelu(-0.5)])
    {
        let z: Vec<f64> = (0..4000).map(|_| random.within(8.0)).collect();
        let shifted = |by: f64| z.iter().map(|z| z + by).collect::<Vec<_>>();
        let isa = IsaToken::detect();
        let (_, d) = forward(isa, act, &z);
        let (left, _) = forward(isa, act, &shifted(-h));
        let (right, _) = forward(isa, act, &shifted(h));
        let kinks = [-3.0, 0.0, 3.0, 6.0];
        for i in 0..z.len() {
            if kinks.iter().any(|k| (z[i] - k).abs() < 2.0 * h) {
                continue;
            }
            let slope = (right[i] - left[i]) / (2.0 * h);
            let tolerance = 1e-7 * d[i].abs().max(1.0);
            assert!((slope - d[i]).abs() < tolerance, "{act}' at {}: {slope} or {}", z[i], d[i]);
        }
    }
}

/// One input through the kernel.
fn at<T: Math>(isa: IsaToken, act: Activation<T>, z: f64) -> (f64, f64) {
    let (a, d) = forward(isa, act, &[T::from_f64(z)]);
    (a[0].to_f64(), d[0].to_f64())
}

/// Value and derivative at −∞, and at ∞.
type Pairs = [(f64, f64); 2];

fn specials<T: Math>(isa: IsaToken) {
    let inf = f64::INFINITY;
    let (selu, selu_low) = (1.050_700_987_355_480_5, -1.758_099_340_847_376_9);
    let t = |x: f64| T::from_f64(x).to_f64();
    // All but the sine, which has none.
    let limits: [(Activation<T>, Pairs); Activation::<()>::COUNT - 1] = [
        (Activation::Identity, [(-inf, 1.0), (inf, 1.0)]),
        (Activation::Relu, [(0.0, 0.0), (inf, 1.0)]),
        (Activation::LeakyRelu(T::from_f64(0.25)), [(-inf, 0.25), (inf, 1.0)]),
        (Activation::ClippedRelu(T::from_f64(6.0)), [(0.0, 0.0), (6.0, 0.0)]),
        (Activation::Elu(T::from_f64(0.5)), [(-0.5, 0.0), (inf, 1.0)]),
        (Activation::Selu, [(t(selu_low), 0.0), (inf, t(selu))]),
        (Activation::Sigmoid, [(0.0, 0.0), (1.0, 0.0)]),
        (Activation::Tanh, [(-1.0, 0.0), (1.0, 0.0)]),
        (Activation::Softplus, [(0.0, 0.0), (inf, 1.0)]),
        (Activation::Silu, [(-0.0, 0.0), (inf, 1.0)]),
        (Activation::Gelu, [(-0.0, 0.0), (inf, 1.0)]),
        (Activation::GeluTanh, [(-0.0, 0.0), (inf, 1.0)]),
        (Activation::Mish, [(-0.0, 0.0), (inf, 1.0)]),
        (Activation::HardSwish, [(0.0, 0.0), (inf, 1.0)]),
        (Activation::Exp, [(0.0, 0.0), (inf, inf)]),
        (Activation::Softsign, [(-1.0, 0.0), (1.0, 0.0)]),
    ];
    let huge = if T::NAME == "f32" { 3e38 } else { 1e308 };
    for (act, [low, high]) in limits {
        assert_eq!(at(isa, act, -inf), low, "{act} at −∞");
        assert_eq!(at(isa, act, inf), high, "{act} at ∞");
        let (a, d) = at(isa, act, f64::NAN);
        assert!(a.is_nan() && d.is_nan(), "{act} of NaN: {a}, {d}");
        for z in [huge, -huge, 1e5, -1e5, 1e-40, -1e-40, 0.0, -0.0] {
            let (a, d) = at(isa, act, z);
            assert!(!a.is_nan() && !d.is_nan(), "{act} of {z}: {a}, {d}");
        }
    }
    let (a, d) = at(isa, Activation::Sin(T::ONE), inf);
    assert!(a.is_nan() && d.is_nan());
    // At 0: the branch taken, and the sign kept where the function is odd there.
    assert_eq!(at::<T>(isa, Activation::Relu, 0.0), (0.0, 0.0));
    assert_eq!(at(isa, Activation::LeakyRelu(T::from_f64(0.25)), 0.0), (0.0, 0.25));
    assert_eq!(at(isa, Activation::ClippedRelu(T::from_f64(6.0)), 6.0), (6.0, 0.0));
    assert_eq!(at::<T>(isa, Activation::Silu, 0.0), (0.0, 0.5));
    assert_eq!(at::<T>(isa, Activation::Gelu, 0.0).0, 0.0);
    for act in [Activation::Silu, Activation::Gelu, Activation::GeluTanh, Activation::Mish, Activation::Tanh]
    {
        assert!(at::<T>(isa, act, -0.0).0.is_sign_negative(), "{act} of −0");
        assert!(at::<T>(isa, act, 0.0).0.is_sign_positive(), "{act} of 0");
    }
}

#[test]
fn infinities_go_to_their_limits_and_nan_stays() {
    for isa in IsaToken::available() {
        specials::<f32>(isa);
        specials::<f64>(isa);
    }
}

/// Saturated derivatives are small numbers, not differences of large ones.
#[test]
fn saturated_derivatives_keep_their_digits() {
    for (act, z) in [
        (Activation::Sigmoid, 40.0),
        (Activation::Tanh, 15.0),
        (Activation::Tanh, -15.0),
        (Activation::Elu(1.0), -30.0),
        (Activation::Softplus, -50.0),
        (Activation::Gelu, -12.0),
        (Activation::GeluTanh, -9.0),
        (Activation::Silu, -80.0),
        (Activation::Mish, -80.0),
    ] {
        let want = reference(act, z).1;
        let got = at::<f32>(IsaToken::detect(), in_f32(act).0, z).1;
        assert!(want != 0.0 && ((got - want) / want).abs() < 1e-6, "{act}' at {z}: {got}, not {want}");
    }
}
