//! burn's own optimizer trains digits to the same accuracy.

#[path = "../../../examples/digits/data.rs"]
mod data;
#[path = "common/network.rs"]
mod network;
#[path = "../../../examples/common/shuffle.rs"]
mod shuffle;
#[path = "../../../examples/common/table.rs"]
mod table;

use burn::{
    module::Module,
    nn::{Linear, loss::CrossEntropyLossConfig},
    optim::{AdamWConfig, GradientsParams},
    tensor::{DType, Device, Int, Tensor, TensorData},
};
use data::{CLASSES, PIXELS, Samples};
use nablas_burn::{Activation, FusedMlp, FusedMlpConfig, Goal, Loss, LossKind, Reduction};
use network::{forward, linears, listed};
use shuffle::Rng;
use std::path::Path;

const WIDTHS: [usize; 4] = [PIXELS, 48, 32, CLASSES];
const BATCH: usize = 32;
const RATE: f64 = 3e-3;

fn tensors(samples: &Samples<f32>, device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
    let n = samples.len();
    let classes: Vec<i32> = samples.classes.iter().map(|c| *c as i32).collect();
    let x = TensorData::new(samples.images.clone(), [n, PIXELS]);
    (Tensor::from_data(x, device), Tensor::from_data(TensorData::new(classes, [n]), device))
}

/// Twelve epochs, whatever a step makes of a module.
fn train<M>(
    samples: &Samples<f32>,
    device: &Device,
    mut module: M,
    mut step: impl FnMut(M, Tensor<2>, Tensor<1, Int>) -> M,
) -> M {
    let mut rng = Rng::new(3);
    let mut order: Vec<usize> = (0..samples.len()).collect();
    let mut batch = Samples::with_capacity(BATCH);
    for _ in 0..12 {
        rng.shuffle(&mut order);
        for indices in order.chunks(BATCH) {
            samples.gather(indices, &mut batch);
            let (x, classes) = tensors(&batch, device);
            module = step(module, x, classes);
        }
    }
    module
}

/// With burn's AdamW.
fn with_burn<M: Module>(
    samples: &Samples<f32>,
    device: &Device,
    module: M,
    forward: impl Fn(&M, Tensor<2>) -> Tensor<2>,
) -> M {
    let mut adamw = AdamWConfig::new().init();
    let loss = CrossEntropyLossConfig::new().init(device);
    train(samples, device, module, |module, x, classes| {
        let grads = loss.forward(forward(&module, x), classes).backward();
        let grads = GradientsParams::from_grads(grads, &module);
        adamw.step(RATE, module, grads)
    })
}

#[test]
fn digits_are_learned_as_well_by_burns_optimizer() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/digits.csv.gz");
    let (train_on, test_on) = data::load::<f32>(&path, 1).expect("the digits are there");
    let device = Device::flex().autodiff();
    let (x, classes) = tensors(&test_on, &device);
    let accuracy = |y: Tensor<2>| {
        let right = y.argmax(1).squeeze_dim::<1>(1).equal(classes.clone()).int().sum();
        right.into_scalar::<i64>() as f64 / test_on.len() as f64
    };
    let start = || linears(&WIDTHS, DType::F32, &device);
    let fused =
        || FusedMlpConfig::new(0).of_linears(&listed(&start(), Activation::Relu)).expect("the layers fit");

    let burns = |layers: &Vec<Linear>, x| forward(layers, Activation::Relu, x);
    let theirs = accuracy(burns(&with_burn(&train_on, &device, start(), burns), x.clone()));
    let ours = accuracy(with_burn(&train_on, &device, fused(), FusedMlp::forward).forward(x.clone()));
    let mlp = fused();
    let mut adamw = nablas::AdamW::<f32>::new(mlp.params.dims()[0], RATE).expect("a rate");
    let loss = Loss::new(LossKind::SoftmaxCrossEntropy, Reduction::Mean);
    let mlp = train(&train_on, &device, mlp, |mut mlp, x, classes| {
        mlp.train_step::<f32, _>(x, &loss, Goal::Classes(classes), None, &mut adamw).expect("a step");
        mlp
    });
    let whole = accuracy(mlp.forward(x));

    println!("burn {theirs:.4}; fused {ours:.4}, in whole steps {whole:.4}");
    assert!(theirs > 0.94, "burn alone reaches {theirs}");
    // 360 samples: two of them more or less, and as many again by rounding.
    assert!([ours, whole].iter().all(|a| (a - theirs).abs() < 0.0125), "{ours}, {whole} for {theirs}");
}
