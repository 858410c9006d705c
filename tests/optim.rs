//! Optimizers against plain scalar loops in f64, on every instruction set; schedules, specials, refusals.

use nablas::{Adam, AdamW, Error, IsaToken, Optimizer, Result, Scalar, Sgd};

const LEN: usize = 1003;
const STEPS: usize = 25;

/// The gradient of a step: of a bowl around 1, with a term that changes sign from step to step.
fn gradient(p: f64, i: usize, step: usize) -> f64 {
    (p - 1.0) * (1.0 + i as f64 / LEN as f64) + 0.1 * ((i * 7 + step * 13) as f64).sin()
}

fn start() -> Vec<f64> {
    (0..LEN).map(|i| (i as f64 * 0.37).sin() * 2.0).collect()
}

/// Runs the optimizer of each instruction set beside `reference`, which moves one parameter of number i with its
/// state, and compares: within `bound`·ε of the reference, bit-equal among each other.
fn agrees<T: Scalar, S: Default + Clone>(
    mut make: impl FnMut(IsaToken) -> Result<Box<dyn FnMut(&mut [T], &[T]) -> Result<()>>>,
    reference: impl Fn(&mut f64, f64, &mut S, usize),
    bound: f64,
) -> Result<()> {
    let mut first: Option<Vec<T>> = None;
    for isa in IsaToken::available() {
        let mut step = make(isa)?;
        let (mut exact, mut state) = (start(), vec![S::default(); LEN]);
        let mut params: Vec<T> = exact.iter().map(|p| T::from_f64(*p)).collect();
        for t in 1..=STEPS {
            let grads: Vec<f64> = exact.iter().enumerate().map(|(i, p)| gradient(*p, i, t)).collect();
            for i in 0..LEN {
                reference(&mut exact[i], grads[i], &mut state[i], t);
            }
            let grads: Vec<T> = grads.iter().map(|g| T::from_f64(*g)).collect();
            step(&mut params, &grads)?;
        }
        for (i, (p, exact)) in params.iter().zip(&exact).enumerate() {
            let error = (p.to_f64() - exact).abs();
            assert!(error < bound * T::EPSILON.to_f64(), "{isa:?} {i}: {p} for {exact}");
        }
        let moved = exact.iter().zip(start()).filter(|(p, s)| (*p - s).abs() > 0.01).count();
        assert!(moved > LEN * 9 / 10, "{moved} of {LEN} parameters have moved");
        assert_eq!(*first.get_or_insert_with(|| params.clone()), params, "{isa:?} has its own bits");
    }
    Ok(())
}

fn sgd<T: Scalar>(momentum: f64, nesterov: bool, decay: f64) -> Result<()> {
    agrees::<T, f64>(
        |isa| {
            let mut sgd =
                Sgd::<T>::with(isa, LEN, 0.05)?.momentum(momentum, nesterov)?.weight_decay(decay)?;
            Ok(Box::new(move |p, g| sgd.step(p, g)))
        },
        |p, g, v, _| {
            let g = g + decay * *p;
            *v = momentum * *v + g;
            *p -= 0.05 * if nesterov { g + momentum * *v } else { *v };
        },
        STEPS as f64 * 4.0,
    )
}

#[test]
fn sgd_is_the_scalar_loop() -> Result<()> {
    for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
        for decay in [0.0, 0.1] {
            sgd::<f32>(momentum, nesterov, decay)?;
            sgd::<f64>(momentum, nesterov, decay)?;
        }
    }
    Ok(())
}

/// (m, v) of a parameter.
type Moments = (f64, f64);

fn adam_reference(p: &mut f64, g: f64, (m, v): &mut Moments, t: usize, (beta1, beta2): (f64, f64)) {
    *m = beta1 * *m + (1.0 - beta1) * g;
    *v = beta2 * *v + (1.0 - beta2) * g * g;
    let (m, v) = (*m / (1.0 - beta1.powi(t as i32)), *v / (1.0 - beta2.powi(t as i32)));
    *p -= 0.01 * m / (v.sqrt() + 1e-8);
}

fn adam<T: Scalar>(decay: f64, betas: (f64, f64)) -> Result<()> {
    agrees::<T, Moments>(
        |isa| {
            let adam = Adam::<T>::with(isa, LEN, 0.01)?.betas(betas.0, betas.1)?;
            let mut adam = adam.weight_decay(decay)?.epsilon(1e-8)?;
            Ok(Box::new(move |p, g| adam.step(p, g)))
        },
        |p, g, state, t| {
            let g = g + decay * *p;
            adam_reference(p, g, state, t, betas);
        },
        STEPS as f64 * 16.0,
    )
}

fn adam_w<T: Scalar>(decay: f64) -> Result<()> {
    agrees::<T, Moments>(
        |isa| {
            let mut adam = AdamW::<T>::with(isa, LEN, 0.01)?.weight_decay(decay)?;
            Ok(Box::new(move |p, g| adam.step(p, g)))
        },
        |p, g, state, t| {
            *p -= 0.01 * decay * *p;
            adam_reference(p, g, state, t, (0.9, 0.999));
        },
        STEPS as f64 * 16.0,
    )
}

#[test]
fn adam_is_the_scalar_loop() -> Result<()> {
    for decay in [0.0, 0.1] {
        for betas in [(0.9, 0.999), (0.0, 0.5)] {
            adam::<f32>(decay, betas)?;
            adam::<f64>(decay, betas)?;
        }
        adam_w::<f32>(decay)?;
        adam_w::<f64>(decay)?;
    }
    Ok(())
}

#[test]
fn the_first_step_of_adam_is_the_rate() -> Result<()> {
    let mut params = [1.0f64, 1.0, 1.0];
    let mut adam = Adam::new(3, 0.5)?;
    adam.step(&mut params, &[1e-3, -7.0, 0.0])?;
    assert!(
        (params[0] - 0.5).abs() < 1e-5 && (params[1] - 1.5).abs() < 1e-8 && params[2] == 1.0,
        "{params:?}"
    );
    assert_eq!(adam.steps(), 1);
    Ok(())
}

#[test]
fn the_default_decay_of_adam_w_shrinks_what_has_no_gradient() -> Result<()> {
    let mut params = [2.0f64];
    AdamW::new(1, 0.5)?.step(&mut params, &[0.0])?;
    assert_eq!(params, [2.0 * (1.0 - 0.5 * 0.01)]);
    Ok(())
}

#[test]
fn the_rate_can_change_between_steps() -> Result<()> {
    let mut params = [1.0f64];
    let mut sgd = Sgd::new(1, 0.5)?;
    sgd.step(&mut params, &[1.0])?;
    sgd.set_rate(0.25)?;
    sgd.step(&mut params, &[1.0])?;
    sgd.set_rate(0.0)?;
    sgd.step(&mut params, &[1.0])?;
    assert_eq!(params, [0.25]);
    Ok(())
}

/// Goes on from the state of an optimizer after three steps with another, beside it.
fn goes_on(make: impl Fn() -> Result<Box<dyn Optimizer<f32>>>) -> Result<()> {
    let (mut one, mut other) = (make()?, make()?);
    let mut params: Vec<f32> = start().iter().map(|p| *p as f32).collect();
    let grads = |step| (0..LEN).map(|i| gradient(0.5, i, step) as f32).collect::<Vec<_>>();
    for step in 0..3 {
        one.step(&mut params, &grads(step))?;
    }
    let (steps, buffers) = one.state();
    let (first, second) = (buffers[0].to_vec(), buffers[1].to_vec());
    other.resume(steps, [&first, &second])?;
    let mut its = params.clone();
    other.set_rate(one.rate())?;
    for step in 3..6 {
        one.step(&mut params, &grads(step))?;
        other.step(&mut its, &grads(step))?;
        assert_eq!(params, its, "step {step}");
    }
    assert_eq!(one.state(), other.state());
    let longer = [first, vec![0.0; 1]].concat();
    assert!(other.resume(0, [&longer, &second]).is_err());
    assert_eq!(one.state(), other.state());
    Ok(())
}

#[test]
fn a_state_can_be_resumed() -> Result<()> {
    goes_on(|| Ok(Box::new(Sgd::new(LEN, 0.05)?)))?;
    goes_on(|| Ok(Box::new(Sgd::new(LEN, 0.05)?.momentum(0.9, true)?)))?;
    goes_on(|| Ok(Box::new(Adam::new(LEN, 0.05)?)))?;
    goes_on(|| Ok(Box::new(AdamW::new(LEN, 0.05)?)))?;
    // Far on, powers are 0, and there is nothing to count.
    let mut adam = Adam::<f32>::new(1, 0.1)?;
    adam.resume(u64::MAX, [&[0.0], &[0.0]])?;
    assert_eq!(adam.steps(), u64::MAX);
    Ok(())
}

#[test]
fn nan_in_a_gradient_reaches_its_own_parameter_only() -> Result<()> {
    let (mut params, mut grads) = (vec![1.0f32; 37], vec![0.5; 37]);
    grads[20] = f32::NAN;
    AdamW::new(37, 0.1)?.step(&mut params, &grads)?;
    assert!(params.iter().enumerate().all(|(i, p)| p.is_nan() == (i == 20)));
    Ok(())
}

#[test]
fn nothing_to_move_is_no_error() -> Result<()> {
    Sgd::<f32>::new(0, 0.1)?.momentum(0.9, true)?.step(&mut [], &[])?;
    Adam::<f32>::new(0, 0.1)?.step(&mut [], &[])
}

#[test]
fn bad_calls_are_refused_and_move_nothing() -> Result<()> {
    let (mut params, grads) = ([1.0f32; 8], [1.0; 8]);
    let length = |r: Result<()>, what: &str| {
        assert!(
            matches!(&r, Err(Error::Length { what: w, expected: 8, got: 7 }) if w.contains(what)),
            "{r:?}"
        );
    };
    length(Sgd::new(8, 0.1)?.step(&mut params[1..], &grads), "parameters");
    length(Sgd::new(8, 0.1)?.momentum(0.5, false)?.step(&mut params, &grads[1..]), "gradient");
    let mut adam = Adam::new(8, 0.1)?;
    length(adam.step(&mut params[1..], &grads), "parameters");
    length(adam.step(&mut params, &grads[1..]), "gradient");
    assert_eq!((adam.steps(), params), (0, [1.0; 8]));
    for bad in [-0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let refused = [
            Sgd::<f32>::new(8, bad).err(),
            Sgd::<f32>::new(8, 0.1)?.set_rate(bad).err(),
            Sgd::<f32>::new(8, 0.1)?.momentum(bad, false).err(),
            Sgd::<f32>::new(8, 0.1)?.weight_decay(bad).err(),
            Adam::<f32>::new(8, bad).err(),
            Adam::<f32>::new(8, 0.1)?.set_rate(bad).err(),
            Adam::<f32>::new(8, 0.1)?.betas(bad, 0.9).err(),
            AdamW::<f32>::new(8, 0.1)?.betas(0.9, bad).err(),
            AdamW::<f32>::new(8, 0.1)?.epsilon(bad).err(),
            AdamW::<f32>::new(8, 0.1)?.weight_decay(bad).err(),
        ];
        for error in refused {
            assert!(matches!(error, Some(Error::Parameter { .. })), "{bad}: {error:?}");
        }
    }
    assert!(matches!(Sgd::<f32>::new(8, 0.1)?.momentum(1.0, false), Err(Error::Parameter { .. })));
    assert!(matches!(Adam::<f32>::new(8, 0.1)?.betas(0.9, 1.0), Err(Error::Parameter { .. })));
    assert!(matches!(Adam::<f64>::new(usize::MAX, 0.1), Err(Error::Memory { .. })));
    assert!(matches!(Sgd::<f64>::new(usize::MAX, 0.1)?.momentum(0.9, false), Err(Error::Memory { .. })));
    Ok(())
}
