//! The state of a forward pass goes with its result, and no gradient is cut.

mod common;
#[path = "common/network.rs"]
mod network;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{Linear, Module};
use common::{elements, matrix};
use nablas_candle::{Activation, FusedMlp};
use network::{linears, listed};
use std::{collections::HashSet, process::Command, thread};

const WIDTHS: [usize; 4] = [6, 40, 24, 2];

fn both() -> Result<[FusedMlp; 2]> {
    let layers = linears(&WIDTHS, DType::F64)?;
    let mlp = FusedMlp::from_linears(&listed(&layers, Activation::Tanh))?;
    Ok([mlp.flatten()?, mlp])
}

/// The gradients of all parameters, from the sum of squares of Y.
fn gradients(mlp: &FusedMlp, y: &Tensor) -> Result<Vec<Vec<f64>>> {
    let grads = y.sqr()?.sum_all()?.backward()?;
    mlp.vars().iter().map(|v| elements(grads.get(v).expect("a gradient for every variable"))).collect()
}

#[test]
fn several_forward_passes_are_alive_at_once() -> Result<()> {
    for mlp in both()? {
        let xs = [3, 17, 64].map(|rows| matrix(rows, 6, DType::F64, rows as f64));
        let xs = xs.into_iter().collect::<Result<Vec<_>>>()?;
        let alone = xs.iter().map(|x| gradients(&mlp, &mlp.forward(x)?)).collect::<Result<Vec<_>>>()?;
        let ys = xs.iter().map(|x| mlp.forward(x)).collect::<Result<Vec<_>>>()?;
        for (i, y) in ys.iter().enumerate().rev() {
            assert_eq!(gradients(&mlp, y)?, alone[i]);
        }
        // Backward again, from the same results.
        for (i, y) in ys.iter().enumerate() {
            assert_eq!(gradients(&mlp, y)?, alone[i]);
        }
    }
    Ok(())
}

#[test]
fn a_network_may_stand_twice_in_a_graph() -> Result<()> {
    let layers = linears(&[5, 30, 5], DType::F64)?;
    let mlp = FusedMlp::from_linears(&listed(&layers, Activation::Tanh))?;
    let x = matrix(13, 5, DType::F64, 1.0)?;
    let candles = |x: &Tensor| network::forward(&layers, Activation::Tanh, x);
    let want = gradients(&mlp, &candles(&candles(&x)?)?)?;
    let got = gradients(&mlp, &mlp.forward(&mlp.forward(&x)?)?)?;
    for (got, want) in got.concat().iter().zip(want.concat()) {
        assert!((got - want).abs() <= 1e-11 * want.abs().max(1.0), "{got} for {want}");
    }
    Ok(())
}

#[test]
fn threads_share_a_module() -> Result<()> {
    for mlp in both()? {
        let x = matrix(50, 6, DType::F64, 1.0)?;
        let want = gradients(&mlp, &mlp.forward(&x)?)?;
        // One graph for all of them, and one of each.
        let y = mlp.forward(&x)?;
        thread::scope(|s| {
            let work = || -> Result<()> {
                for _ in 0..20 {
                    assert_eq!(gradients(&mlp, &y)?, want);
                    assert_eq!(gradients(&mlp, &mlp.forward(&x)?)?, want);
                }
                Ok(())
            };
            let workers: Vec<_> = (0..4).map(|_| s.spawn(work)).collect();
            workers.into_iter().try_for_each(|w| w.join().expect("no thread panics"))
        })?;
    }
    Ok(())
}

#[test]
fn without_variables_there_is_no_graph() -> Result<()> {
    let layers = linears(&WIDTHS, DType::F32)?;
    let frozen: Vec<_> =
        layers.iter().map(|l| Linear::new(l.weight().detach(), l.bias().map(Tensor::detach))).collect();
    let tracked = FusedMlp::from_linears(&listed(&layers, Activation::Relu))?;
    let untracked = FusedMlp::from_linears(&listed(&frozen, Activation::Relu))?;
    let x = matrix(9, 6, DType::F32, 1.0)?;
    let (a, b) = (tracked.forward(&x)?, untracked.forward(&x)?);
    assert!(a.track_op() && !b.track_op());
    assert_eq!(elements(&a)?, elements(&b)?);
    assert!(untracked.vars().is_empty());
    Ok(())
}

#[test]
fn layers_may_be_frozen() -> Result<()> {
    let layers = linears(&WIDTHS, DType::F64)?;
    let x = Var::from_tensor(&matrix(9, 6, DType::F64, 1.0)?)?;
    for frozen in 0..3 {
        let some = layers.iter().enumerate();
        let some: Vec<_> = some
            .map(|(l, layer)| match l == frozen {
                true => Linear::new(layer.weight().detach(), layer.bias().map(Tensor::detach)),
                false => layer.clone(),
            })
            .collect();
        let mlp = FusedMlp::from_linears(&listed(&some, Activation::Tanh))?;
        assert_eq!(mlp.vars().len(), 4);
        let grads = mlp.forward(&x)?.sum_all()?.backward()?;
        let want = network::forward(&some, Activation::Tanh, &x)?.sum_all()?.backward()?;
        for tensor in mlp.vars().iter().chain([&x]) {
            let (got, want) = (grads.get(tensor).expect("tracked"), want.get(tensor).expect("tracked"));
            assert!(common::relative(got, want)? < 1e-12);
        }
        for tensor in [some[frozen].weight(), some[frozen].bias().expect("it has one")] {
            assert!(grads.get(tensor).is_none());
        }
        // In one variable they would be trained.
        let error = mlp.flatten().expect_err("some are frozen").to_string();
        assert!(error.contains("frozen"), "{error}");
    }
    // With all of them frozen, the gradient goes to X alone.
    let all: Vec<_> =
        layers.iter().map(|l| Linear::new(l.weight().detach(), l.bias().map(Tensor::detach))).collect();
    let mlp = FusedMlp::from_linears(&listed(&all, Activation::Tanh))?;
    let grads = mlp.forward(&x)?.sum_all()?.backward()?;
    let want = network::forward(&all, Activation::Tanh, &x)?.sum_all()?.backward()?;
    assert!(common::relative(grads.get(&x).expect("tracked"), want.get(&x).expect("tracked"))? < 1e-12);
    assert_eq!(mlp.flatten()?.vars().len(), 1);
    Ok(())
}

#[test]
fn layers_may_share_their_tensors() -> Result<()> {
    let layers = |widths: &[usize]| linears(widths, DType::F64);
    let (first, shared, last) = (layers(&[6, 5])?, layers(&[5, 5])?, layers(&[5, 2])?);
    let all = [&first[0], &shared[0], &shared[0], &last[0]].map(Clone::clone);
    let mlp = FusedMlp::from_linears(&listed(&all, Activation::Tanh))?;
    let vars = mlp.vars();
    let ids: HashSet<_> = vars.iter().map(|v| v.id()).collect();
    assert_eq!((vars.len(), ids.len()), (6, 6), "an optimizer steps each variable once");
    let x = matrix(9, 6, DType::F64, 1.0)?;
    let grads = mlp.forward(&x)?.sqr()?.sum_all()?.backward()?;
    let want = network::forward(&all, Activation::Tanh, &x)?.sqr()?.sum_all()?.backward()?;
    for v in &vars {
        assert!(common::relative(grads.get(v).expect("tracked"), want.get(v).expect("tracked"))? < 1e-12);
    }
    let error = mlp.flatten().expect_err("one variable has no shared parts").to_string();
    assert!(error.contains("share"), "{error}");
    Ok(())
}

#[test]
fn w_may_be_a_view() -> Result<()> {
    let w = Var::from_tensor(&matrix(6, 10, DType::F64, 1.0)?)?;
    let b = Var::from_tensor(&matrix(1, 20, DType::F64, 2.0)?)?;
    let layer = Linear::new(w.t()?, Some(b.squeeze(0)?.narrow(0, 3, 10)?));
    let third = Var::from_tensor(&matrix(3, 10, DType::F64, 3.0)?)?;
    let without = Linear::new(third.into_inner(), None);
    let x = matrix(8, 6, DType::F64, 4.0)?;
    let listed = [(&layer, Activation::Sigmoid), (&without, Activation::Identity)];
    let mlp = FusedMlp::from_linears(&listed)?;
    let (got, want) = (mlp.forward(&x)?, without.forward(&candle_nn::ops::sigmoid(&layer.forward(&x)?)?)?);
    assert!(common::relative(&got, &want)? < 1e-13);
    let (got, want) = (got.sqr()?.sum_all()?.backward()?, want.sqr()?.sum_all()?.backward()?);
    for v in [&w, &b] {
        assert!(common::relative(got.get(v).expect("tracked"), want.get(v).expect("tracked"))? < 1e-12);
    }
    // Flat, the bias that is not there stays 0.
    let flat = mlp.flatten()?;
    let grads = flat.forward(&x)?.sqr()?.sum_all()?.backward()?;
    let flat_grads = elements(grads.get(&flat.vars()[0]).expect("tracked"))?;
    assert!(flat_grads[..flat_grads.len() - 3].iter().all(|g| *g != 0.0));
    assert_eq!(flat_grads[flat_grads.len() - 3..], [0.0; 3]);
    assert_eq!(flat.tensors()?.len(), 3);
    Ok(())
}

#[test]
fn an_empty_batch_is_a_batch() -> Result<()> {
    for mlp in both()? {
        let y = mlp.forward(&Tensor::zeros((0, 6), DType::F64, &Device::Cpu)?)?;
        assert_eq!(y.dims(), [0, 2]);
        let x = Var::zeros((0, 6), DType::F64, &Device::Cpu)?;
        let grads = mlp.forward(&x)?.sum_all()?.backward()?;
        assert_eq!(grads.get(&x).expect("X wants its gradient").dims(), [0, 6]);
        for v in mlp.vars() {
            let of_nothing = elements(grads.get(&v).expect("a gradient for every variable"))?;
            assert!(of_nothing.len() == v.elem_count() && of_nothing.iter().all(|g| *g == 0.0));
        }
    }
    Ok(())
}

#[test]
fn bad_operands_are_refused_with_words() -> Result<()> {
    let cpu = &Device::Cpu;
    let refused = |result: Result<Tensor>, words: &str| {
        let error = result.expect_err(words).to_string();
        assert!(error.contains(words), "{error:?} does not say {words:?}");
    };
    for mlp in both()? {
        refused(
            mlp.forward(&Tensor::zeros((4, 6), DType::F32, cpu)?),
            "expected F64 as the parameters are, got F32",
        );
        refused(mlp.forward(&Tensor::zeros((4, 6), DType::U32, cpu)?), "got U32");
        refused(mlp.forward(&Tensor::zeros((4, 5), DType::F64, cpu)?), "expected a 4×6 matrix, got 4×5");
        refused(
            mlp.forward(&Tensor::zeros(6, DType::F64, cpu)?),
            "expected a batch of rows, got the shape [6]",
        );
    }
    let wrong = |layers: &[(&Linear, Activation<f64>)], words: &str| {
        let error = FusedMlp::from_linears(layers).expect_err(words).to_string();
        assert!(error.contains(words), "{error:?} does not say {words:?}");
    };
    let linear = |outputs: usize, inputs: usize, dtype| -> Result<Linear> {
        Ok(Linear::new(Tensor::zeros((outputs, inputs), dtype, cpu)?, None))
    };
    let (a, b) = (linear(4, 3, DType::F32)?, linear(2, 5, DType::F32)?);
    wrong(&[], "at least one");
    wrong(&[(&a, Activation::Relu), (&b, Activation::Relu)], "expected 4 inputs");
    wrong(
        &[(&a, Activation::Relu), (&linear(2, 4, DType::F64)?, Activation::Relu)],
        "1.weight: expected F32",
    );
    wrong(&[(&linear(4, 3, DType::BF16)?, Activation::Relu)], "F32 or F64");
    wrong(&[(&a, Activation::ClippedRelu(-1.0))], "a finite ceiling above 0");
    Ok(())
}

/// candle reads `CANDLE_GRAD_DO_NOT_DETACH` once a thread, so it is set for a process of its own.
#[test]
fn a_second_derivative_is_an_error_and_not_zero() -> Result<()> {
    if std::env::var_os("CANDLE_GRAD_DO_NOT_DETACH").is_none() {
        let name = "a_second_derivative_is_an_error_and_not_zero";
        let exe = std::env::current_exe()?;
        let again =
            Command::new(exe).args([name, "--exact"]).env("CANDLE_GRAD_DO_NOT_DETACH", "1").output()?;
        assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
        return Ok(());
    }
    for mlp in both()? {
        // With the square, ∂L/∂Y depends on the parameters, and the derivative of that would be missed; with the sum it does
        // not, but dX and dW do.
        let y = mlp.forward(&matrix(4, 6, DType::F64, 1.0)?)?;
        for loss in [y.sqr()?.sum_all()?, y.sum_all()?] {
            let error = loss.backward().expect_err("second derivatives are not there").to_string();
            assert!(error.contains("second derivatives"), "{error}");
        }
    }
    Ok(())
}
