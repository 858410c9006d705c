//! Elementary functions: errors in ULP, specials, and the same bits on every ISA.
//!
//! `f64` is held against a table of correctly rounded values, `f32` against `f64`: for all 2³² arguments by
//! `cargo test --release -p nablas-kernels --test math -- --ignored --nocapture`.

mod math_support;

use math_support::{Function, Worst, apply, bits, neighbourhoods, ulps_f32, ulps_f64};
use nablas_kernels::{
    isa::{IsaToken, LaneKernel, Lanes},
    math::Math,
};

/// f, its reference in `f64`, and the error in ULP that `f32` and `f64` must keep.
struct Case {
    function: Function,
    reference: fn(f64) -> f64,
    bound_f32: f64,
    bound_f64: f64,
}

fn sech2(x: f64) -> f64 {
    let c = 1.0 / x.cosh();
    c * c
}

fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

fn sigmoid_derivative(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    e / ((1.0 + e) * (1.0 + e))
}

const fn case(function: Function, reference: fn(f64) -> f64, bound_f32: f64, bound_f64: f64) -> Case {
    Case { function, reference, bound_f32, bound_f64 }
}

const CASES: [Case; 10] = [
    case(Function::Exp, f64::exp, 1.0, 1.0),
    case(Function::Expm1, f64::exp_m1, 1.5, 2.0),
    case(Function::Log1p, f64::ln_1p, 1.5, 1.75),
    case(Function::Tanh, f64::tanh, 2.0, 2.25),
    case(Function::TanhDerivative, sech2, 3.5, 3.5),
    case(Function::Sigmoid, sigmoid, 1.0, 1.0),
    case(Function::SigmoidDerivative, sigmoid_derivative, 2.25, 2.25),
    case(Function::Erf, libm::erf, 1.0, 1.25),
    case(Function::Sin, f64::sin, 1.0, 1.0),
    case(Function::Cos, f64::cos, 1.0, 1.0),
];

/// The references of a block of arguments.
type References<'a> = &'a dyn Fn(&[f64], &mut [f64]);

/// The largest error over `f32` bit patterns, a block at a time.
fn measure(
    case: &Case,
    isa: IsaToken,
    patterns: impl Iterator<Item = u32>,
    references: References<'_>,
) -> Worst {
    const BLOCK: usize = 4096;
    let mut worst = Worst::default();
    let mut patterns = patterns.map(f32::from_bits).peekable();
    let (mut x, mut y) = (Vec::with_capacity(BLOCK), vec![0.0_f32; BLOCK]);
    let (mut wide, mut want) = (Vec::with_capacity(BLOCK), vec![0.0_f64; BLOCK]);
    while patterns.peek().is_some() {
        x.clear();
        x.extend(patterns.by_ref().take(BLOCK));
        apply(isa, case.function, &x, &mut y[..x.len()]);
        wide.clear();
        wide.extend(x.iter().copied().map(f64::from));
        references(&wide, &mut want[..x.len()]);
        for ((&x, &y), &want) in wide.iter().zip(&y).zip(&want) {
            worst.see(x, ulps_f32(y, want));
        }
    }
    worst
}

/// The reference of the case, one argument after the other.
fn by_std(case: &Case) -> impl Fn(&[f64], &mut [f64]) {
    |x, want| want.iter_mut().zip(x).for_each(|(want, &x)| *want = (case.reference)(x))
}

/// Points where a reduction, a branch or a limit changes, to be searched closely.
fn corners() -> Vec<f64> {
    let mut x = vec![
        0.0, 0.293, 0.414, 0.5, 0.875, 1.0, 1.25, 2.0, 3.92, 4.0, 6.0, 9.01, 17.3, 20.0, 43.7, 44.4, 52.0,
        53.0, 87.34, 88.03, 88.72, 89.0, 103.28, 103.97, 106.0, 131_072.0, 1.68e7, 1e30, 1.7e38, 3.4e38,
        1.2e-38, 6e-8, 1.2e-7,
    ];
    x.extend((1..=12).map(|k| f64::from(k) * std::f64::consts::FRAC_PI_4));
    x.extend((1..=12).map(|k| f64::from(k) * std::f64::consts::LN_2 / 4.0));
    x
}

#[test]
fn f32_is_within_its_bounds() {
    let corners = corners();
    let isa = IsaToken::detect();
    for case in &CASES {
        let close = neighbourhoods(&corners, 3000);
        let worst = measure(case, isa, (0..=u32::MAX).step_by(9973).chain(close), &by_std(case));
        println!("{:?} f32: {worst}", case.function);
        assert!(worst.ulps <= case.bound_f32, "{:?}: {worst}", case.function);
    }
}

/// All arguments against the function for `f64`, which the tests below hold to its own bounds, and every
/// hundred-and-first against std as well.
fn every_argument(case: &Case) {
    let isa = IsaToken::detect();
    let wide = |x: &[f64], want: &mut [f64]| apply(isa, case.function, x, want);
    let worst = measure(case, isa, 0..=u32::MAX, &wide);
    let beside_std = measure(case, isa, (0..=u32::MAX).step_by(101), &by_std(case));
    println!("{:?} f32, every argument: {worst}; every 101st, by std: {beside_std}", case.function);
    assert!(worst.ulps <= case.bound_f32, "{:?}: {worst}", case.function);
    assert!(beside_std.ulps <= case.bound_f32, "{:?}: {beside_std}", case.function);
}

macro_rules! every_f32 {
    ($($name:ident $case:expr;)*) => {
        mod every_f32 {
            $(
                #[test]
                #[ignore = "all 2^32 arguments: minutes"]
                fn $name() {
                    super::every_argument(&super::CASES[$case]);
                }
            )*
        }
    };
}
every_f32! {
    exp 0;
    expm1 1;
    log1p 2;
    tanh 3;
    tanh_derivative 4;
    sigmoid 5;
    sigmoid_derivative 6;
    erf 7;
    sin 8;
    cos 9;
}

#[test]
fn f64_is_within_its_bounds_of_correctly_rounded_values() {
    let isa = IsaToken::detect();
    let table = math_support::table();
    for case in &CASES {
        let rows = || table.iter().filter(|r| r.function == case.function);
        let x: Vec<f64> = rows().map(|r| r.x).collect();
        let mut y = vec![0.0; x.len()];
        apply(isa, case.function, &x, &mut y);
        let mut worst = Worst::default();
        for (row, &y) in rows().zip(&y) {
            worst.see(row.x, row.ulps(y));
        }
        println!("{:?} f64, {} values: {worst}", case.function, x.len());
        assert!(x.len() >= 100, "{:?}: {} values", case.function, x.len());
        assert!(worst.ulps <= case.bound_f64, "{:?}: {worst}", case.function);
    }
}

#[test]
fn f64_agrees_with_std_on_random_arguments() {
    let isa = IsaToken::detect();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut x: Vec<f64> = (0..200_000).map(|_| f64::from_bits(next())).collect();
    x.extend(
        (0..200_000).map(|i| (next() as f64 / u64::MAX as f64 - 0.5) * [2.0, 20.0, 100.0, 1500.0][i % 4]),
    );
    x.extend((0..100_000).map(|i| f64::from_bits((i * 0x41) | (i << 63))));
    let mut y = vec![0.0; x.len()];
    for case in &CASES {
        apply(isa, case.function, &x, &mut y);
        let mut worst = Worst::default();
        for (&x, &y) in x.iter().zip(&y) {
            worst.see(x, ulps_f64(y, (case.reference)(x)));
        }
        println!("{:?} f64 against std: {worst}", case.function);
        // The references are themselves off, sech² by as much as four roundings.
        assert!(worst.ulps <= case.bound_f64 + 4.0, "{:?}: {worst}", case.function);
    }
}

/// The same bits on every ISA, and wherever in a vector an argument stands, whatever its neighbours.
fn same_bits<T: Math + math_support::Sample>() {
    let x: Vec<T> = T::samples();
    let mut first = vec![T::ZERO; x.len()];
    let mut other = first.clone();
    for case in &CASES {
        let mut isas = IsaToken::available();
        let reference = isas.next().expect("there is always the scalar ISA");
        apply(reference, case.function, &x, &mut first);
        for isa in isas {
            for shift in [0, 1, 5] {
                apply(isa, case.function, &x[shift..], &mut other[shift..]);
                for i in shift..x.len() {
                    let (want, got) = (first[i], other[i]);
                    assert!(
                        bits(want) == bits(got),
                        "{:?}({}) on {}: {got} ({:x}), on {}: {want} ({:x})",
                        case.function,
                        x[i],
                        isa.name(),
                        got.bits(),
                        reference.name(),
                        want.bits()
                    );
                }
            }
        }
    }
}

#[test]
fn every_isa_gives_the_same_bits() {
    same_bits::<f32>();
    same_bits::<f64>();
}

/// Values and pairs agree to the bit.
fn pairs_agree<T: Math + math_support::Sample>() {
    let x: Vec<T> = T::samples();
    let (mut a, mut b) = (vec![T::ZERO; x.len()], vec![T::ZERO; x.len()]);
    for (alone, of_pair) in [
        (Function::Tanh, Function::TanhOfPair),
        (Function::Sigmoid, Function::SigmoidOfPair),
        (Function::Sin, Function::SinCos),
    ] {
        for isa in IsaToken::available() {
            apply(isa, alone, &x, &mut a);
            apply(isa, of_pair, &x, &mut b);
            for i in 0..x.len() {
                assert!(
                    bits(a[i]) == bits(b[i]),
                    "{alone:?}({}) on {}: {} and {}",
                    x[i],
                    isa.name(),
                    a[i],
                    b[i]
                );
            }
        }
    }
}

#[test]
fn pairs_begin_with_the_value() {
    pairs_agree::<f32>();
    pairs_agree::<f64>();
}

/// What limits, zeros and NaN must give, to the bit.
fn specials<T: Math>() {
    let inf = T::from_f64(f64::INFINITY);
    let nan = T::from_f64(f64::NAN);
    let v = |x: f64| T::from_f64(x);
    let zero_kept = [Function::Expm1, Function::Log1p, Function::Tanh, Function::Erf, Function::Sin];
    let table = [
        (Function::Exp, [(v(0.0), v(1.0)), (v(-0.0), v(1.0)), (inf, inf), (-inf, v(0.0))]),
        (Function::Expm1, [(v(1e4), inf), (v(-1e4), v(-1.0)), (inf, inf), (-inf, v(-1.0))]),
        (Function::Log1p, [(v(-1.0), -inf), (v(-1.5), nan), (inf, inf), (-inf, nan)]),
        (Function::Tanh, [(v(30.0), v(1.0)), (v(-30.0), v(-1.0)), (inf, v(1.0)), (-inf, v(-1.0))]),
        (Function::TanhDerivative, [(v(0.0), v(1.0)), (v(-0.0), v(1.0)), (inf, v(0.0)), (-inf, v(0.0))]),
        (Function::Sigmoid, [(v(0.0), v(0.5)), (v(-0.0), v(0.5)), (inf, v(1.0)), (-inf, v(0.0))]),
        (Function::SigmoidDerivative, [(v(0.0), v(0.25)), (v(-0.0), v(0.25)), (inf, v(0.0)), (-inf, v(0.0))]),
        (Function::Erf, [(v(7.0), v(1.0)), (v(-7.0), v(-1.0)), (inf, v(1.0)), (-inf, v(-1.0))]),
        (Function::Sin, [(v(0.0), v(0.0)), (v(-0.0), v(-0.0)), (inf, nan), (-inf, nan)]),
        (Function::Cos, [(v(0.0), v(1.0)), (v(-0.0), v(1.0)), (inf, nan), (-inf, nan)]),
    ];
    for isa in IsaToken::available() {
        let check = |f: Function, x: T, want: T| {
            let mut y = [T::ZERO];
            apply(isa, f, &[x], &mut y);
            assert!(bits(y[0]) == bits(want), "{f:?}({x}) on {}: {}, not {want}", isa.name(), y[0]);
        };
        for (f, rows) in table {
            for (x, want) in rows {
                check(f, x, want);
            }
            check(f, nan, nan);
            check(f, -nan, nan);
        }
        for f in zero_kept {
            check(f, v(0.0), v(0.0));
            check(f, v(-0.0), v(-0.0));
        }
    }
}

#[test]
fn limits_zeros_and_nan() {
    specials::<f32>();
    specials::<f64>();
}

#[test]
fn nan_keeps_to_its_lane_whatever_its_payload() {
    for isa in IsaToken::available() {
        for case in &CASES {
            for i in 0..16 {
                let mut x = [0.75_f32; 16];
                x[i] = f32::from_bits(0x7f80_0001 | 0x1234_5678 >> i);
                let mut y = [0.0; 16];
                apply(isa, case.function, &x, &mut y);
                for j in 0..16 {
                    assert_eq!(y[j].is_nan(), i == j, "{:?} on {}, lane {j}", case.function, isa.name());
                }
            }
        }
    }
}

#[test]
fn derivatives_do_not_cancel_far_out() {
    let isa = IsaToken::detect();
    // Known values: the last ones are denormal.
    for (f, x, want) in [
        (Function::TanhDerivative, 20.0, 1.699_341_702_116_635_5e-17),
        (Function::TanhDerivative, -45.0, 3.277_605_049_596_206e-39),
        (Function::SigmoidDerivative, 80.0, 1.804_851_387_845_415_3e-35),
        (Function::SigmoidDerivative, -80.0, 1.804_851_387_845_415_3e-35),
        (Function::SigmoidDerivative, -100.0, 3.720_075_976_020_836e-44),
        (Function::Sigmoid, -100.0, 3.720_075_976_020_836e-44),
    ] {
        let mut y = [0.0_f32];
        apply(isa, f, &[x], &mut y);
        assert!(ulps_f32(y[0], want) <= 3.0, "{f:?}({x}) = {:e}, not {want:e}", y[0]);
    }
}

#[test]
fn sine_of_large_arguments() {
    let isa = IsaToken::detect();
    // sin and cos of 10³⁰ as f64, and of the f32 nearest to it.
    let (mut s, mut c) = ([0.0_f64], [0.0_f64]);
    apply(isa, Function::Sin, &[1e30], &mut s);
    apply(isa, Function::Cos, &[1e30], &mut c);
    assert!(ulps_f64(s[0], 0.009_331_468_931_175_824) <= 1.0, "{}", s[0]);
    assert!(ulps_f64(c[0], -0.999_956_460_895_966_5) <= 1.0, "{}", c[0]);
    let mut s = [0.0_f32];
    apply(isa, Function::Sin, &[1e30], &mut s);
    assert!(ulps_f32(s[0], f64::from(1e30_f32).sin()) <= 1.0, "{}", s[0]);
}

/// What losses call where an argument is known to be on one side is, bit by bit, the function without that knowledge.
struct Sides<'a, T>(&'a [T]);

impl<T: Math> LaneKernel for Sides<'_, T> {
    type Elem = T;
    type Output = ();
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        let same = |a: I::V, b: I::V| {
            let nan = isa.and_m(isa.not_m(isa.eq(a, a)), isa.not_m(isa.eq(b, b)));
            let same = isa.or_m(nan, isa.eq_u(isa.to_bits(a), isa.to_bits(b)));
            !isa.any(isa.not_m(same))
        };
        for &x in self.0 {
            let x = isa.splat(x);
            let unit = isa.or_m(isa.le(x, isa.splat(T::ONE)), isa.not_m(isa.eq(x, x)));
            let unit = isa.select(unit, x, isa.zero());
            assert!(same(T::log1p(isa, unit), T::log1p_below(isa, unit)), "log1p");
        }
    }
}

#[test]
fn what_is_for_one_side_has_the_bits_of_both() {
    // From 0 to infinity and NaN, in steps that are prime.
    let singles: Vec<f32> = (0..=0x7fc0_0000).step_by(20_011).map(f32::from_bits).collect();
    let doubles: Vec<f64> =
        (0..=0x7ff8_0000_0000_0000).step_by(92_233_720_368_547).map(f64::from_bits).collect();
    // Where 1 + x passes √2, and the ends.
    let root = 2f32.sqrt() - 1.0;
    let near =
        (0..2000).map(|i| f32::from_bits(root.to_bits() - 1000 + i)).chain([1.0, f32::INFINITY, f32::NAN]);
    let near: Vec<f32> = near.collect();
    for isa in IsaToken::available() {
        isa.run(Sides(&singles));
        isa.run(Sides(&near));
        isa.run(Sides(&doubles));
    }
}
