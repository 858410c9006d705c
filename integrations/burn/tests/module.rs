//! The module among burn's: state that goes with a call, records, layers there and back, other backends, whole steps.

mod common;
#[path = "common/network.rs"]
mod network;

use burn::{
    module::Module,
    nn::Linear,
    store::ModuleRecord,
    tensor::{DType, Device, Int, Tensor, TensorData},
};
use common::{elements, relative};
use nablas_burn::{Activation, FusedMlp, FusedMlpConfig, Goal, Loss, LossKind, Reduction};
use network::{forward, linears, listed, numbers};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

const WIDTHS: [usize; 4] = [6, 40, 24, 2];

fn mlp(dtype: DType, device: &Device) -> FusedMlp {
    let layers = linears(&WIDTHS, dtype, device);
    FusedMlpConfig::new(0).of_linears(&listed(&layers, Activation::Tanh)).expect("the layers fit")
}

fn gradient(mlp: &FusedMlp, y: Tensor<2>) -> Vec<f64> {
    let grads = y.square().sum().backward();
    elements(mlp.params.val().grad(&grads).expect("parameters want their gradient"))
}

#[test]
fn several_forward_passes_are_alive_at_once() {
    let device = Device::flex().autodiff();
    let mlp = mlp(DType::F64, &device);
    let xs = [3, 17, 64].map(|rows| numbers([rows, 6], rows as f64, 1.0, DType::F64, &device));
    let alone = xs.clone().map(|x| gradient(&mlp, mlp.forward(x)));
    let ys = xs.map(|x| mlp.forward(x));
    for (y, want) in ys.into_iter().zip(alone).rev() {
        assert_eq!(gradient(&mlp, y), want);
    }
}

#[test]
fn a_network_may_stand_twice_in_a_graph() {
    let device = Device::flex().autodiff();
    let layers = linears(&[5, 30, 5], DType::F64, &device);
    let mlp = FusedMlpConfig::new(0).of_linears(&listed(&layers, Activation::Tanh)).expect("the layers fit");
    let x = numbers([13, 5], 1.0, 1.0, DType::F64, &device);
    let got = gradient(&mlp, mlp.forward(mlp.forward(x.clone())));
    let burns = |x| forward(&layers, Activation::Tanh, x);
    let grads = burns(burns(x)).square().sum().backward();
    let mut want = Vec::new();
    for layer in &layers {
        want.extend(elements(layer.weight.val().grad(&grads).expect("dW").transpose()));
        want.extend(elements(layer.bias.as_ref().expect("a bias").val().grad(&grads).expect("db")));
    }
    assert!(relative(&got, &want) < 1e-12);
}

#[test]
fn threads_share_a_module() {
    let device = Device::flex().autodiff();
    let mlp = mlp(DType::F64, &device);
    let x = numbers([50, 6], 1.0, 1.0, DType::F64, &device);
    let want = gradient(&mlp, mlp.forward(x.clone()));
    thread::scope(|s| {
        for _ in 0..4 {
            let (mlp, x, want) = (mlp.clone(), x.clone(), &want);
            s.spawn(move || {
                for _ in 0..20 {
                    assert_eq!(&gradient(&mlp, mlp.forward(x.clone())), want);
                }
            });
        }
    });
}

#[test]
fn what_wants_no_gradient_gets_none() {
    let device = Device::flex().autodiff();
    let mlp = mlp(DType::F64, &device);
    let x = numbers([9, 6], 1.0, 1.0, DType::F64, &device);
    // Frozen parameters let the gradient through to X.
    let frozen = mlp.clone().no_grad();
    let wanting = x.clone().require_grad();
    let grads = frozen.forward(wanting.clone()).square().sum().backward();
    let through = elements(wanting.grad(&grads).expect("X wants its gradient"));
    assert!(frozen.params.val().grad(&grads).is_none());
    let grads = mlp.forward(wanting.clone()).square().sum().backward();
    assert_eq!(elements(wanting.grad(&grads).expect("X wants its gradient")), through);
    assert!(mlp.params.val().grad(&grads).is_some());
    // Without autodiff there is nothing to keep.
    let valid = mlp.valid();
    assert_eq!(elements(valid.forward(x.clone().inner())), elements(mlp.forward(x)));
}

#[test]
fn records_save_and_load() {
    let device = Device::flex().autodiff();
    let trained = mlp(DType::F32, &device);
    let x = numbers([7, 6], 1.0, 1.0, DType::F32, &device);
    let want = elements(trained.forward(x.clone()));
    let bytes = trained.clone().into_record().into_bytes().expect("a record");
    let config = FusedMlpConfig::new(6).layer(40, Activation::Tanh).layer(24, Activation::Tanh);
    let fresh = || config.clone().layer(2, Activation::Identity).init(&device).expect("a network");
    assert_ne!(elements(fresh().forward(x.clone())), want);
    let loaded = fresh().load_record(ModuleRecord::from_bytes(bytes).expect("a record"));
    assert_eq!(elements(loaded.forward(x.clone())), want);
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("fused.bpk");
    trained.save_file(&file).expect("a file");
    let loaded = fresh().load_file(&file);
    assert_eq!(elements(loaded.forward(x.clone())), want);
    // And it still trains.
    assert_eq!(gradient(&loaded, loaded.forward(x)).len(), loaded.params.dims()[0]);
}

#[test]
fn layers_go_there_and_back() {
    let device = Device::flex().autodiff();
    let mlp = mlp(DType::F64, &device);
    let x = numbers([7, 6], 1.0, 1.0, DType::F64, &device);
    let burns = elements(forward(&mlp.linears(), Activation::Tanh, x.clone()));
    assert!(relative(&elements(mlp.forward(x)), &burns) < 1e-13);
    let a = linears(&[3, 4], DType::F64, &device);
    let b = linears(&[5, 2], DType::F64, &device);
    let apart = [(&a[0], Activation::Relu), (&b[0], Activation::Identity)];
    let error = FusedMlpConfig::new(0).of_linears(&apart).expect_err("they don't fit").to_string();
    assert!(error.contains("expected a 4×2 matrix, got 5×2"), "{error}");
    let mut wrong = linears(&[3, 4], DType::F64, &device);
    wrong[0].bias = linears(&[3, 5], DType::F64, &device)[0].bias.clone();
    let error =
        FusedMlpConfig::new(0).of_linears(&listed(&wrong, Activation::Tanh)).expect_err("b is too long");
    assert!(error.to_string().contains("expected a 1×4 matrix, got 1×5"), "{error}");
    assert!(FusedMlpConfig::new(3).init(&device).is_err());
}

#[test]
fn first_numbers_are_drawn_as_burns_are() {
    let device = Device::flex();
    let mlp = FusedMlpConfig::new(100).layer(50, Activation::Relu).layer(3, Activation::Identity);
    let mlp = mlp.init(&device).expect("a network");
    for (linear, inputs) in mlp.linears().iter().zip([100.0, 50.0f64]) {
        let (w, k) = (elements(linear.weight.val()), 1.0 / inputs.sqrt());
        let largest = w.iter().fold(0.0f64, |m, w| m.max(w.abs()));
        assert!(largest <= k && largest > 0.9 * k, "{largest} of {k}");
    }
}

#[test]
#[expect(deprecated, reason = "a CPU backend that nothing is fused on")]
fn other_backends_run_by_burns_own_operations() {
    let ndarray = Device::ndarray().autodiff();
    assert!(FusedMlp::fused(&Device::flex().autodiff(), DType::F64));
    assert!(!FusedMlp::fused(&ndarray, DType::F64));
    assert!(!FusedMlp::fused(&Device::flex(), DType::BF16));
    for activation in Activation::<f64>::all() {
        let at = |device: &Device| {
            let layers = linears(&WIDTHS, DType::F64, device);
            let mlp =
                FusedMlpConfig::new(0).of_linears(&listed(&layers, activation)).expect("the layers fit");
            let y = mlp.forward(numbers([9, 6], 1.0, 1.0, DType::F64, device));
            (elements(y.clone()), gradient(&mlp, y))
        };
        let ((y, grads), (ys, gradses)) = (at(&ndarray), at(&Device::flex().autodiff()));
        assert!(
            relative(&y, &ys) < 1e-5 && relative(&grads, &gradses) < 1e-5,
            "{activation}: {:.1e}, {:.1e}",
            relative(&y, &ys),
            relative(&grads, &gradses)
        );
    }
}

#[test]
fn bad_operands_are_refused_with_words() {
    let device = Device::flex();
    let mlp = mlp(DType::F64, &device);
    let says = |x: Tensor<2>, words: &str| {
        let panic = catch_unwind(AssertUnwindSafe(|| mlp.forward(x))).expect_err("it is refused");
        let said = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        assert!(said.contains(words), "{said:?} does not say {words:?}");
    };
    says(numbers([4, 5], 1.0, 1.0, DType::F64, &device), "the last axis of the input");
    says(numbers([4, 6], 1.0, 1.0, DType::F32, &device), "the input is F32, the parameters are F64");
}

#[test]
fn a_step_in_one_call_has_nablas_bits() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        let mut mlp = mlp(DType::F64, &device);
        let network = nablas::Mlp::builder(6).layer(40, Activation::Tanh).layer(24, Activation::Tanh);
        let network = network.layer(2, Activation::Identity).build().expect("a network");
        let plan = nablas::Plan::new(&network, &nablas::PlanOptions::new(20)).expect("a plan");
        let mut params = elements(mlp.params.val());
        let (mut grads, mut ws) = (vec![0.0; params.len()], plan.workspace().expect("memory"));
        let [mut one, mut other] = [(); 2].map(|()| nablas::AdamW::new(params.len(), 1e-2).expect("a rate"));
        let x = numbers([6, 20], 1.0, 1.0, DType::F64, &device).transpose();
        let loss = Loss::new(LossKind::SoftmaxCrossEntropy, Reduction::Mean);
        let classes: Vec<u32> = (0..20).map(|i| i % 2).collect();
        let goal = || Goal::Classes(Tensor::<1, Int>::from_data(classes.as_slice(), &device));
        let dense = elements(x.clone());
        for _ in 0..5 {
            let got = mlp.train_step(x.clone(), &loss, goal(), Some(0.5), &mut one);
            let x = nablas::MatRef::new(&dense, 20, 6).expect("20×6");
            let t = nablas::Targets::Classes(&classes);
            let want = plan.train_step(
                params.as_mut_slice(),
                x,
                &loss,
                t,
                &mut grads,
                Some(0.5),
                &mut other,
                &mut ws,
            );
            assert_eq!(got, want);
            assert_eq!(elements(mlp.params.val()), params);
        }
        let mse = Loss::new(LossKind::Mse, Reduction::Mean);
        assert!(mlp.train_step(x.clone(), &mse, goal(), None, &mut one).is_err());
        let wrong = Goal::Classes(Tensor::<1, Int>::from_data([2i32; 20], &device));
        let error = mlp.train_step(x.clone(), &loss, wrong, None, &mut one).expect_err("no such class");
        assert!(matches!(error, nablas::Error::Class { class: 2, classes: 2, .. }), "{error}");
        let values = Goal::Values(numbers([20, 2], 2.0, 1.0, DType::F64, &device));
        let mut single = nablas::AdamW::<f32>::new(params.len(), 1e-2).expect("a rate");
        let mse32 = Loss::new(LossKind::Mse, Reduction::Mean);
        assert!(mlp.train_step(x.clone(), &mse32, values.clone(), None, &mut single).is_err());
        assert_eq!(elements(mlp.params.val()), params);
        mlp.train_step(x, &mse, values, None, &mut one).expect("a step");
        let moved = elements(mlp.params.val());
        assert_ne!(moved, params);
        // Values by columns are what they say.
        let values = numbers([2, 20], 3.0, 1.0, DType::F64, &device);
        let (by_rows, by_columns) = (values.clone().transpose(), values.transpose());
        let by_rows = Tensor::<2>::from_data(by_rows.into_data(), (&device, DType::F64));
        let x = Tensor::<2>::from_data(TensorData::new(dense, [20, 6]), (&device, DType::F64));
        let mut again = mlp.clone();
        let mut other = one.clone();
        let got = mlp.train_step(x.clone(), &mse, Goal::Values(by_columns), None, &mut one).expect("a step");
        assert_eq!(Ok(got), again.train_step(x, &mse, Goal::Values(by_rows), None, &mut other));
        assert_eq!(elements(mlp.params.val()), elements(again.params.val()));
        assert_ne!(elements(mlp.params.val()), moved);
    }
}

#[test]
fn a_step_in_one_call_leaves_parameters_that_want_their_gradient_as_before() {
    for device in [Device::flex().autodiff(), Device::flex().autodiff().gradient_checkpointing()] {
        let x = numbers([9, 6], 1.0, 1.0, DType::F64, &device);
        let mse = Loss::new(LossKind::Mse, Reduction::Mean);
        let step = |mlp: &mut FusedMlp| {
            let mut sgd = nablas::Sgd::<f64>::new(mlp.params.dims()[0], 1e-2).expect("a rate");
            let goal = Goal::Values(numbers([9, 2], 2.0, 1.0, DType::F64, &device));
            mlp.train_step(x.clone(), &mse, goal, None, &mut sgd).expect("a step");
        };
        let mut mlp = mlp(DType::F64, &device);
        let (id, strategy) = (mlp.params.id, mlp.params.val().gradient_checkpointing_strategy());
        step(&mut mlp);
        let grads = mlp.forward(x.clone()).sum().backward();
        assert!(mlp.params.val().grad(&grads).is_some());
        assert_eq!(mlp.params.val().gradient_checkpointing_strategy(), strategy);
        assert_eq!(mlp.params.id, id);
        let mut frozen = mlp.no_grad();
        step(&mut frozen);
        assert!(!frozen.params.val().is_require_grad());
    }
}

#[test]
fn layers_are_frozen_all_or_none() {
    let device = Device::flex().autodiff();
    let layers = linears(&WIDTHS, DType::F64, &device);
    let fused = |layers: &[Linear]| FusedMlpConfig::new(0).of_linears(&listed(layers, Activation::Tanh));
    assert!(fused(&layers).expect("the layers fit").params.val().is_require_grad());
    let mut some = layers.clone();
    some[1] = some[1].clone().no_grad();
    let error = fused(&some).expect_err("some are frozen").to_string();
    assert!(error.contains("frozen"), "{error}");
    let none = fused(&layers.no_grad()).expect("the layers fit");
    assert!(!none.params.val().is_require_grad());
}

#[test]
fn an_empty_batch_is_a_batch() {
    let device = Device::flex().autodiff();
    let mlp = mlp(DType::F64, &device);
    let x = Tensor::<2>::zeros([0, 6], (&device, DType::F64)).require_grad();
    let y = mlp.forward(x.clone());
    assert_eq!(y.dims(), [0, 2]);
    let grads = y.sum().backward();
    assert_eq!(x.grad(&grads).expect("X wants its gradient").dims(), [0, 6]);
    let of_nothing = elements(mlp.params.val().grad(&grads).expect("parameters want their gradient"));
    assert_eq!(of_nothing, vec![0.0; mlp.params.dims()[0]]);
}
