//! Variables and files are those of `candle_nn::linear` layers.

mod common;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Init, Linear, Module, VarBuilder, VarMap, linear};
use common::{elements, matrix};
use nablas_candle::{Activation, FusedMlp};
use std::{collections::BTreeSet, env, path::PathBuf};

fn fused(vb: VarBuilder) -> Result<FusedMlp> {
    let mlp = FusedMlp::builder(7).layer("a", 12, Activation::Tanh).layer("b", 4, Activation::Identity);
    mlp.build(vb.pp("net"))
}

fn layers(vb: VarBuilder) -> Result<[Linear; 2]> {
    Ok([linear(7, 12, vb.pp("net.a"))?, linear(12, 4, vb.pp("net.b"))?])
}

fn forward(layers: &[Linear; 2], x: &Tensor) -> Result<Tensor> {
    layers[1].forward(&layers[0].forward(x)?.tanh()?)
}

fn names(map: &VarMap) -> BTreeSet<String> {
    map.data().lock().expect("nobody panicked").keys().cloned().collect()
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn files_go_both_ways_and_unchanged() -> Result<()> {
    let (x, cpu) = (matrix(6, 7, DType::F32, 1.0)?, &Device::Cpu);
    let (mut ours, mut theirs) = (VarMap::new(), VarMap::new());
    let mlp = fused(VarBuilder::from_varmap(&ours, DType::F32, cpu))?;
    let layers = layers(VarBuilder::from_varmap(&theirs, DType::F32, cpu))?;
    assert_eq!(names(&ours), names(&theirs));
    let same = |a: &Tensor, b: &Tensor| -> Result<bool> { Ok(common::relative(a, b)? < 1e-6) };
    assert!(!same(&mlp.forward(&x)?, &forward(&layers, &x)?)?, "they start from different numbers");

    // candle's file into the fused network, by the map and by itself.
    theirs.save(file("theirs"))?;
    ours.load(file("theirs"))?;
    assert!(same(&mlp.forward(&x)?, &forward(&layers, &x)?)?);
    ours.set_one("net.a.bias", Tensor::ones(12, DType::F32, cpu)?)?;
    assert!(!same(&mlp.forward(&x)?, &forward(&layers, &x)?)?);
    mlp.load(file("theirs"))?;
    assert!(same(&mlp.forward(&x)?, &forward(&layers, &x)?)?);

    // And back, from flat parameters, which are their own.
    let flat = mlp.flatten()?;
    let moved = (flat.vars()[0].as_tensor() * 1.5)?;
    flat.vars()[0].set(&moved)?;
    assert!(same(&mlp.forward(&x)?, &forward(&layers, &x)?)?);
    flat.save(file("ours"))?;
    theirs.load(file("ours"))?;
    assert!(same(&flat.forward(&x)?, &forward(&layers, &x)?)?);
    ours.set(flat.tensors()?.iter())?;
    assert_eq!(elements(&mlp.forward(&x)?)?, elements(&flat.forward(&x)?)?);
    mlp.save(file("again"))?;
    assert_eq!(std::fs::read(file("again"))?, std::fs::read(file("ours"))?);
    flat.load(file("theirs"))?;
    theirs.load(file("theirs"))?;
    assert!(same(&flat.forward(&x)?, &forward(&layers, &x)?)?);

    // Read-only, from a file's tensors.
    let tensors = candle_core::safetensors::load(file("theirs"), cpu)?;
    let read = fused(VarBuilder::from_tensors(tensors, DType::F32, cpu))?;
    assert!(same(&read.forward(&x)?, &forward(&layers, &x)?)? && read.vars().is_empty());
    let error = read.load(file("theirs")).expect_err("tensors are no variables").to_string();
    assert!(error.contains("no variable"), "{error}");
    Ok(())
}

#[test]
fn files_that_do_not_fit_are_refused() -> Result<()> {
    let cpu = &Device::Cpu;
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F32, cpu);
    fused(vb.clone())?.save(file("whole"))?;
    let other = VarBuilder::from_varmap(&VarMap::new(), DType::F32, cpu);
    let wider =
        FusedMlp::builder(7).layer("net.a", 13, Activation::Tanh).layer("net.b", 4, Activation::Identity);
    let wider = wider.build(other.clone())?;
    let longer = FusedMlp::builder(7).layer("net.c", 4, Activation::Tanh).build(other)?;
    for (mlp, words) in [(&wider, "expected the shape"), (&longer, "no tensor net.c")] {
        for mlp in [mlp, &mlp.flatten()?] {
            let values = || -> Result<Vec<f64>> {
                let tensors =
                    mlp.tensors()?.into_values().map(|t| t.flatten_all()).collect::<Result<Vec<_>>>()?;
                elements(&Tensor::cat(&tensors, 0)?)
            };
            let sum = || -> Result<f64> { Ok(values()?.iter().map(|v| v.abs()).sum()) };
            let before = sum()?;
            let error = mlp.load(file("whole")).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
            assert!((sum()? - before).abs() < 1e-6 * before, "nothing has been set");
        }
    }
    // A map that has the name already, with another shape.
    vb.get_with_hints((3, 3), "x.a.weight", Init::Const(0.0))?;
    let error =
        FusedMlp::builder(7).layer("a", 12, Activation::Tanh).build(vb.pp("x")).expect_err("another shape");
    assert!(error.to_string().contains("shape mismatch"), "{error}");
    Ok(())
}
