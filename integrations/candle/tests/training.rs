//! candle's own optimizer trains digits to the same accuracy, and a step in one call is nablas' own.

mod common;
#[path = "../../../examples/digits/data.rs"]
mod data;
#[path = "common/network.rs"]
mod network;
#[path = "../../../examples/common/shuffle.rs"]
mod shuffle;
#[path = "../../../examples/common/table.rs"]
mod table;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{AdamW, Linear, Optimizer};
use common::elements;
use data::{CLASSES, PIXELS, Samples};
use nablas_candle::{Activation, FusedMlp, Loss, LossKind, Reduction};
use network::{linears, listed};
use shuffle::Rng;
use std::path::Path;

const WIDTHS: [usize; 4] = [PIXELS, 48, 32, CLASSES];
const BATCH: usize = 32;

fn digits() -> (Samples<f32>, Samples<f32>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/digits.csv.gz");
    data::load(&path, 1).expect("the digits are there")
}

fn tensors(samples: &Samples<f32>) -> Result<(Tensor, Tensor)> {
    let (n, cpu) = (samples.len(), &Device::Cpu);
    Ok((
        Tensor::from_slice(&samples.images, (n, PIXELS), cpu)?,
        Tensor::from_slice(&samples.classes, n, cpu)?,
    ))
}

/// Twelve epochs, whatever a step is.
fn train(samples: &Samples<f32>, mut step: impl FnMut(&Tensor, &Tensor) -> Result<()>) -> Result<()> {
    let mut rng = Rng::new(3);
    let mut order: Vec<usize> = (0..samples.len()).collect();
    let mut batch = Samples::with_capacity(BATCH);
    for _ in 0..12 {
        rng.shuffle(&mut order);
        for indices in order.chunks(BATCH) {
            samples.gather(indices, &mut batch);
            let (x, classes) = tensors(&batch)?;
            step(&x, &classes)?;
        }
    }
    Ok(())
}

fn accuracy(logits: &Tensor, classes: &Tensor) -> Result<f64> {
    let right = logits.argmax(1)?.eq(classes)?.to_dtype(DType::F64)?;
    right.mean_all()?.to_scalar()
}

#[test]
fn digits_are_learned_as_well_by_candles_optimizer() -> Result<()> {
    let (train_on, test_on) = digits();
    let (x, classes) = tensors(&test_on)?;
    let rate = 3e-3;
    let with = |forward: &dyn Fn(&Tensor) -> Result<Tensor>, vars| -> Result<f64> {
        let mut adamw = AdamW::new_lr(vars, rate)?;
        train(&train_on, |x, classes| {
            adamw.backward_step(&candle_nn::loss::cross_entropy(&forward(x)?, classes)?)
        })?;
        accuracy(&forward(&x)?, &classes)
    };
    let start = || linears(&WIDTHS, DType::F32);
    let fused = |layers: &[Linear]| FusedMlp::from_linears(&listed(layers, Activation::Relu));

    let layers = start()?;
    let vars = fused(&layers)?.vars();
    let candles = with(&|x| network::forward(&layers, Activation::Relu, x), vars)?;
    let mut reached = Vec::new();
    for mlp in [fused(&start()?)?, fused(&start()?)?.flatten()?] {
        reached.push(with(&|x| candle_nn::Module::forward(&mlp, x), mlp.vars())?);
    }
    let mlp = fused(&start()?)?.flatten()?;
    let len = mlp.vars()[0].elem_count();
    let loss = Loss::new(LossKind::SoftmaxCrossEntropy, Reduction::Mean);
    let mut adamw = nablas::AdamW::<f32>::new(len, rate).expect("a rate");
    train(&train_on, |x, classes| {
        let trained = mlp.train_step::<f32, _>(x, &loss, classes, None, &mut adamw)?;
        assert!(trained.stepped && trained.loss.is_finite());
        Ok(())
    })?;
    reached.push(accuracy(&candle_nn::Module::forward(&mlp, &x)?, &classes)?);

    println!("candle {candles:.4}; fused: W and b, flat, whole steps {reached:.4?}");
    assert!(candles > 0.94, "candle alone reaches {candles}");
    // 360 samples: two of them more or less, and as many again by rounding.
    assert!(reached.iter().all(|a| (a - candles).abs() < 0.0125), "{reached:?} for {candles}");
    Ok(())
}

#[test]
fn a_step_in_one_call_has_nablas_bits() -> Result<()> {
    let layers = linears(&[5, 16, 3], DType::F64)?;
    let mlp = FusedMlp::from_linears(&listed(&layers, Activation::Silu))?.flatten()?;
    let network = nablas::Mlp::builder(5).layer(16, Activation::Silu).layer(3, Activation::Identity).build();
    let network = network.expect("well formed");
    let plan = nablas::Plan::new(&network, &nablas::PlanOptions::new(20)).expect("it can be planned");
    let mut params = elements(&mlp.vars()[0])?;
    let (mut grads, mut ws) = (vec![0.0; params.len()], plan.workspace().expect("memory"));
    let loss = Loss::new(LossKind::Mse, Reduction::Mean);
    let [mut one, mut other] = [(); 2].map(|()| nablas::AdamW::new(params.len(), 1e-2).expect("a rate"));
    // X with strides of its own, targets with an offset.
    let x = common::matrix(5, 20, DType::F64, 1.0)?.t()?;
    let targets = common::matrix(22, 3, DType::F64, 2.0)?.narrow(0, 2, 20)?;
    let (dense_x, dense_t) = (elements(&x)?, elements(&targets)?);
    for _ in 0..5 {
        let got = mlp.train_step(&x, &loss, &targets, Some(0.5), &mut one)?;
        let views = (nablas::MatRef::new(&dense_x, 20, 5), nablas::MatRef::new(&dense_t, 20, 3));
        let (x, t) = (views.0.expect("20×5"), nablas::Targets::Values(views.1.expect("20×3")));
        let want =
            plan.train_step(params.as_mut_slice(), x, &loss, t, &mut grads, Some(0.5), &mut other, &mut ws);
        assert_eq!(Ok(got), want);
        assert_eq!(elements(&mlp.vars()[0])?, params);
    }
    // Targets by columns, and classes with a step, are what they say.
    let by_columns = targets.t()?.contiguous()?.t()?;
    let got = mlp.train_step(&x, &loss, &by_columns, None, &mut one)?;
    let views = (nablas::MatRef::new(&dense_x, 20, 5), nablas::MatRef::new(&dense_t, 20, 3));
    let (dense, t) = (views.0.expect("20×5"), nablas::Targets::Values(views.1.expect("20×3")));
    let want = plan.train_step(params.as_mut_slice(), dense, &loss, t, &mut grads, None, &mut other, &mut ws);
    assert_eq!(Ok(got), want);
    assert_eq!(elements(&mlp.vars()[0])?, params);
    let classes: Vec<u32> = (0..20).map(|i| i % 3).collect();
    let columns: Vec<u32> = classes.iter().flat_map(|c| [*c, 2 - *c]).collect();
    let of_classes = Loss::new(LossKind::SoftmaxCrossEntropy, Reduction::Mean);
    let strided = Tensor::from_vec(columns, (20, 2), &Device::Cpu)?.narrow(1, 0, 1)?.squeeze(1)?;
    let got = mlp.train_step(&x, &of_classes, &strided, None, &mut one)?;
    let t = nablas::Targets::Classes(&classes);
    let want =
        plan.train_step(params.as_mut_slice(), dense, &of_classes, t, &mut grads, None, &mut other, &mut ws);
    assert_eq!(Ok(got), want);
    assert_eq!(elements(&mlp.vars()[0])?, params);
    let start = FusedMlp::from_linears(&listed(&layers, Activation::Silu))?.flatten()?;
    assert!(common::relative(&mlp.vars()[0], &start.vars()[0])? > 1e-3, "five steps move the parameters");
    let refused = |result: Result<nablas_candle::Trained<f64>>, words: &str| {
        let error = result.expect_err(words).to_string();
        assert!(error.contains(words), "{error:?} does not say {words:?}");
    };
    let apart = FusedMlp::from_linears(&listed(&layers, Activation::Silu))?;
    refused(apart.train_step(&x, &loss, &targets, None, &mut one), "flatten");
    refused(mlp.train_step(&x, &loss, &targets.t()?, None, &mut one), "3×20");
    refused(mlp.train_step(&x, &loss, &Tensor::zeros(20, DType::U32, &Device::Cpu)?, None, &mut one), "mse");
    let matrix = Tensor::from_slice(&classes, (20, 1), &Device::Cpu)?;
    refused(mlp.train_step(&x, &of_classes, &matrix, None, &mut one), "expected the shape [20], got [20, 1]");
    let mut single = nablas::AdamW::new(params.len(), 1e-2).expect("a rate");
    let loss = Loss::new(LossKind::Mse, Reduction::Mean);
    let error = mlp.train_step::<f32, _>(&x, &loss, &targets, None, &mut single).expect_err("another type");
    assert!(error.to_string().contains("F32"), "{error}");
    assert_eq!(elements(&mlp.vars()[0])?, params);
    Ok(())
}
