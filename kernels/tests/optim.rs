//! Optimizers against a plain `f64` loop over several steps, on every ISA, to the bit.

mod act_support;

use act_support::{Guarded, LENGTHS, Random, keys};
use nablas_kernels::{
    isa::{IsaToken, Real},
    math::Math,
    optim::{Adam, AdamFactors, Sgd, SgdFactors, SgdMomentum},
};

const STEPS: i32 = 5;

/// Parameters, and the gradients of each step.
fn problem<T: Real>(n: usize) -> (Vec<T>, Vec<Vec<T>>) {
    let mut random = Random(n as u64 + 1);
    let mut numbers = || (0..n).map(|_| T::from_f64(random.within(2.0))).collect::<Vec<T>>();
    let params = numbers();
    (params, (0..STEPS).map(|_| numbers()).collect())
}

fn close<T: Real>(got: &[T], want: &[f64], what: &str) {
    for (got, want) in got.iter().zip(want) {
        let tolerance = 40.0 * T::EPSILON.to_f64() * want.abs().max(1.0);
        assert!((got.to_f64() - want).abs() < tolerance, "{what}: {got} is not {want}");
    }
}

fn wide<T: Real>(x: &[T]) -> Vec<f64> {
    x.iter().map(|x| x.to_f64()).collect()
}

fn canary<T: Real>() -> T {
    T::from_f64(-7.25e20)
}

fn sgd<T: Math>() {
    for n in LENGTHS {
        for (rate, decay, momentum, nesterov) in [
            (0.1, 0.0, 0.0, false),
            (0.1, 0.01, 0.0, false),
            (0.05, 0.02, 0.9, false),
            (0.05, 0.0, 0.8, true),
        ] {
            let (start, grads) = problem::<T>(n);
            let (mut p, mut v) = (wide(&start), vec![0.0; n]);
            for (step, g) in grads.iter().enumerate() {
                for j in 0..n {
                    let g = g[j].to_f64() + decay * p[j];
                    // PyTorch: the buffer starts as the first gradient.
                    v[j] = if step == 0 { g } else { momentum * v[j] + g };
                    p[j] -= rate * if nesterov { g + momentum * v[j] } else { v[j] };
                }
            }
            let [rate, decay, momentum_t] = [rate, decay, momentum].map(T::from_f64);
            let factors = SgdFactors { rate, decay, momentum: momentum_t, nesterov };
            let mut first = None;
            for isa in IsaToken::available() {
                let (mut params, mut velocity) =
                    (Guarded::copy(&start, canary()), Guarded::new(n, T::ZERO, canary()));
                for g in &grads {
                    isa.run(SgdMomentum {
                        factors,
                        params: params.inner(),
                        grads: g,
                        velocity: velocity.inner(),
                    });
                }
                close(params.check(), &p, "momentum");
                close(velocity.check(), &v, "velocity");
                if momentum == 0.0 {
                    let mut plain = Guarded::copy(&start, canary());
                    for g in &grads {
                        isa.run(Sgd { factors, params: plain.inner(), grads: g });
                    }
                    assert_eq!(keys(plain.check()), keys(params.check()), "no momentum is plain descent");
                }
                let bits = (keys(params.check()), keys(velocity.check()));
                assert_eq!(*first.get_or_insert(bits.clone()), bits, "{}", isa.name());
            }
        }
    }
}

#[test]
fn sgd_follows_the_f64_loop() {
    sgd::<f32>();
    sgd::<f64>();
}

fn adam<T: Math>() {
    let (rate, beta1, beta2, epsilon) = (0.01, 0.9, 0.999, 1e-8);
    for n in LENGTHS {
        for (decay, decoupled) in [(0.0, false), (0.1, false), (0.1, true)] {
            let (start, grads) = problem::<T>(n);
            let (mut p, mut m, mut v) = (wide(&start), vec![0.0; n], vec![0.0; n]);
            let factors = |t: i32| AdamFactors {
                blend1: T::from_f64(1.0 - beta1),
                beta2: T::from_f64(beta2),
                blend2: T::from_f64(1.0 - beta2),
                step: T::from_f64(rate / (1.0 - f64::powi(beta1, t))),
                root: T::from_f64(1.0 / (1.0 - f64::powi(beta2, t)).sqrt()),
                epsilon: T::from_f64(epsilon),
                decay: T::from_f64(if decoupled { 0.0 } else { decay }),
                shrink: T::from_f64(if decoupled { 1.0 - rate * decay } else { 1.0 }),
            };
            for (t, g) in (1..).zip(&grads) {
                for j in 0..n {
                    let g = g[j].to_f64() + if decoupled { 0.0 } else { decay * p[j] };
                    p[j] *= if decoupled { 1.0 - rate * decay } else { 1.0 };
                    m[j] = beta1 * m[j] + (1.0 - beta1) * g;
                    v[j] = beta2 * v[j] + (1.0 - beta2) * g * g;
                    let (m, v) = (m[j] / (1.0 - f64::powi(beta1, t)), v[j] / (1.0 - f64::powi(beta2, t)));
                    p[j] -= rate * m / (v.sqrt() + epsilon);
                }
            }
            let mut first_bits = None;
            for isa in IsaToken::available() {
                let zeros = || Guarded::new(n, T::ZERO, canary());
                let (mut params, mut first, mut second) = (Guarded::copy(&start, canary()), zeros(), zeros());
                for (t, g) in (1..).zip(&grads) {
                    let (params, first, second) = (params.inner(), first.inner(), second.inner());
                    isa.run(Adam { factors: factors(t), params, grads: g, first, second });
                }
                close(params.check(), &p, "Adam");
                close(first.check(), &m, "first moment");
                close(second.check(), &v, "second moment");
                let bits = [params.check(), first.check(), second.check()].map(keys);
                assert_eq!(*first_bits.get_or_insert(bits.clone()), bits, "{}", isa.name());
            }
        }
    }
}

#[test]
fn adam_and_adamw_follow_the_f64_loop() {
    adam::<f32>();
    adam::<f64>();
}

#[test]
fn nan_stays_with_its_parameter() {
    let factors = SgdFactors { rate: 0.1_f32, decay: 0.0, momentum: 0.9, nesterov: false };
    for isa in IsaToken::available() {
        let (mut params, mut grads, mut velocity) = ([1.0; 20], [1.0; 20], [0.0; 20]);
        grads[7] = f32::NAN;
        isa.run(SgdMomentum { factors, params: &mut params, grads: &grads, velocity: &mut velocity });
        for j in 0..20 {
            assert_eq!(params[j].is_nan(), j == 7);
            assert_eq!(velocity[j].is_nan(), j == 7);
        }
    }
}
