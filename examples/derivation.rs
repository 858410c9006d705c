//! The chain rule of a network n → 3 → 2 → 1, written twice: with generalized Jacobians, and as vector–Jacobian
//! products. Every shape is printed, and the numbers are equal. docs/DERIVATION.md tells the story.
//!
//! `cargo run --release --example derivation`

use anyhow::{Result, ensure};
use nablas::{
    Activation, Init, MatMut, MatRef, Mlp, Plan, PlanOptions, Pointwise,
    backend::MatrixMultiply,
    jacobian::{self, Dense},
};

/// n, the features.
const N: usize = 4;
/// More bytes than any matrix here has.
const LIMIT: u64 = 1 << 20;

/// What the forward pass leaves of a layer: its input, z = W·x + b, a = g(z).
struct Layer {
    input: Vec<f64>,
    z: Vec<f64>,
    a: Vec<f64>,
}

fn main() -> Result<()> {
    let mlp = Mlp::builder(N)
        .layer(3, Activation::Tanh)
        .layer(2, Activation::Sigmoid)
        .layer(1, Activation::Identity)
        .build()?;
    let mut params = vec![0.0; mlp.param_len()];
    Init::XavierNormal.fill(&mlp, &mut params, 1)?;
    let x = [0.5, -1.0, 0.25, 2.0];

    println!("A network {N} → 3 → 2 → 1, one sample, L = a³. Layer l: zˡ = Wˡ·aˡ⁻¹ + bˡ, aˡ = gˡ(zˡ).\n");
    let layers = forward(&mlp, &params, &x)?;
    let by_jacobians = with_jacobians(&mlp, &params, &layers)?;
    let by_vjps = with_vjps(&mlp, &params, &layers)?;

    println!("Equal numbers: the gradient of all {} parameters", params.len());
    let by_plan = with_the_library(&mlp, &params, &x)?;
    let by_differences = with_differences(&mlp, &params, &x)?;
    let ways =
        [("VJPs", &by_vjps, 1e-15), ("Plan::vjp", &by_plan, 1e-14), ("differences", &by_differences, 1e-9)];
    for (name, gradient, bound) in ways {
        let largest = gradient.iter().zip(&by_jacobians).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
        println!("  generalized Jacobians against {name:<12} largest difference {largest:.1e}");
        ensure!(largest <= bound, "the gradients by Jacobians and by {name} differ by {largest:e}");
    }
    Ok(())
}

/// z and a of each layer, with their shapes.
fn forward(mlp: &Mlp<f64>, params: &[f64], x: &[f64]) -> Result<Vec<Layer>> {
    println!("Forward");
    let (mut input, mut layers) = (x.to_vec(), Vec::new());
    for (l, layer) in mlp.layers().iter().enumerate() {
        let (m, n, s) = (layer.outputs, layer.inputs, up(l + 1));
        let (w, b) = (mlp.weights(params, l)?, mlp.bias(params, l)?);
        let z: Vec<f64> = (0..m).map(|i| b[i] + dot(w.row(i).unwrap_or(&[]), &input)).collect();
        let mut a = vec![0.0; m];
        layer.activation.value(&z, &mut a)?;
        println!("  W{s} {m}×{n}  a{} {n}×1  b{s} {m}×1  →  z{s} {m}×1  a{s} {m}×1 = {}", up(l), row(&a));
        layers.push(Layer { input, z, a: a.clone() });
        input = a;
    }
    println!();
    Ok(layers)
}

/// The gradient with every Jacobian a matrix: ∂L/∂Wˡ = ∂L/∂aˡ · ∂aˡ/∂zˡ · ∂zˡ/∂Wˡ, the last of them generalized.
fn with_jacobians(mlp: &Mlp<f64>, params: &[f64], layers: &[Layer]) -> Result<Vec<f64>> {
    println!("Backward with generalized Jacobians: from the left, a row vector times matrix after matrix");
    let mut gradient = vec![0.0; params.len()];
    let mut left = Dense::copy("∂L/∂a", MatRef::new(&[1.0], 1, 1)?, LIMIT)?;
    for (l, layer) in mlp.layers().iter().enumerate().rev() {
        let (m, n, s) = (layer.outputs, layer.inputs, up(l + 1));
        let Layer { input, z, .. } = &layers[l];
        let by_z = jacobian::activation_jacobian(&layer.activation, z, LIMIT)?;
        let by_weights = jacobian::weight_jacobian(input, m, LIMIT)?;
        let by_bias = jacobian::bias_jacobian(m, LIMIT)?;
        let by_input = jacobian::input_jacobian(mlp.weights(params, l)?, LIMIT)?;
        println!("  ∂L/∂a{s} {}   ∂a{s}/∂z{s} {} diagonal", size(&left), size(&by_z));
        println!(
            "  ∂z{s}/∂W{s} ({m}×1)×({m}×{n}), unrolled {}   ∂z{s}/∂a{} {}",
            size(&by_weights),
            up(l),
            size(&by_input)
        );
        let delta = left.times(&by_z, LIMIT, &MatrixMultiply)?;
        let dw = delta.times(&by_weights, LIMIT, &MatrixMultiply)?;
        let db = delta.times(&by_bias, LIMIT, &MatrixMultiply)?;
        println!("    → ∂L/∂z{s} {}, ∂L/∂W{s} (1×1)×({m}×{n}), unrolled {}", size(&delta), size(&dw));
        if l == 1 {
            show_generalized(&by_weights, input, &dw);
        }
        gradient[mlp.weights_range(l)?].copy_from_slice(dw.data());
        gradient[mlp.bias_range(l)?].copy_from_slice(db.data());
        left = delta.times(&by_input, LIMIT, &MatrixMultiply)?;
    }
    println!();
    Ok(gradient)
}

/// ∂z²/∂W², of which the course notes write a 1×3 row.
fn show_generalized(jacobian: &Dense<f64>, input: &[f64], product: &Dense<f64>) {
    println!("    ∂z²ᵢ/∂W²ₚq = [i = p]·a¹q: for each i a matrix of the shape of W², 2×3");
    for i in 0..jacobian.shape().0 {
        let blocks: Vec<String> = jacobian.row(i).chunks(input.len()).map(row).collect();
        println!("      i = {}: {}", i + 1, blocks.join("\n             "));
    }
    println!("    The notes write the one row that it repeats, (a¹)ᵀ 1×3 = {}", row(input));
    let blocks: Vec<String> = product.data().chunks(input.len()).map(row).collect();
    println!(
        "    ∂L/∂W² = ∂L/∂z²·∂z²/∂W², rolled up to 2×3:\n             {}",
        blocks.join("\n             ")
    );
}

/// The gradient with no Jacobian: each step takes the cotangent g of a value to those of what it was made from.
fn with_vjps(mlp: &Mlp<f64>, params: &[f64], layers: &[Layer]) -> Result<Vec<f64>> {
    println!("Backward with vector–Jacobian products: each cotangent has the shape of its value");
    let mut gradient = vec![0.0; params.len()];
    let mut cotangent = vec![1.0];
    for (l, layer) in mlp.layers().iter().enumerate().rev() {
        let (m, n, s) = (layer.outputs, layer.inputs, up(l + 1));
        let Layer { input, z, a } = &layers[l];
        let mut delta = vec![0.0; m];
        layer.activation.vjp(z, &cotangent, &mut delta)?;
        println!(
            "  a{s} = g(z{s}):  δ{s} = ∂L/∂a{s} ⊙ g'(z{s})  {}×1 ⊙ {}×1 → {m}×1",
            cotangent.len(),
            a.len()
        );
        let (mut dw, db) = mlp.layer_mut(&mut gradient, l)?;
        for i in 0..m {
            dw.row_mut(i).unwrap_or(&mut []).iter_mut().zip(input).for_each(|(w, x)| *w = delta[i] * x);
        }
        db.copy_from_slice(&delta);
        let t = up(l);
        println!(
            "  z{s} = W{s}·a{t} + b{s}:  dW{s} = δ{s}·(a{t})ᵀ  {m}×1 · 1×{n} → {m}×{n}   db{s} = δ{s} {m}×1"
        );
        if l == 1 {
            for i in 0..m {
                println!(
                    "      row {}: δ²ᵢ = {:8.5}, times (a¹)ᵀ = {}",
                    i + 1,
                    delta[i],
                    row(dw.row_mut(i).unwrap_or(&mut []))
                );
            }
        }
        let w = mlp.weights(params, l)?;
        cotangent = (0..n).map(|j| (0..m).filter_map(|i| w.get(i, j).map(|w| w * delta[i])).sum()).collect();
        println!("                    ∂L/∂a{t} = (W{s})ᵀ·δ{s}  {n}×{m} · {m}×1 → {n}×1");
    }
    println!();
    Ok(gradient)
}

/// The gradient by the library's fused pass.
fn with_the_library(mlp: &Mlp<f64>, params: &[f64], x: &[f64]) -> Result<Vec<f64>> {
    let plan = Plan::new(mlp, &PlanOptions::new(1))?;
    let (mut workspace, mut gradient) = (plan.workspace()?, vec![0.0; params.len()]);
    let (x, dy) = (MatRef::new(x, 1, N)?, MatRef::new(&[1.0], 1, 1)?);
    plan.vjp(params, x, dy, None, &mut gradient, None, &mut workspace)?;
    Ok(gradient)
}

/// The gradient by central differences of the forward pass.
fn with_differences(mlp: &Mlp<f64>, params: &[f64], x: &[f64]) -> Result<Vec<f64>> {
    let plan = Plan::new(mlp, &PlanOptions::new(1))?;
    let mut workspace = plan.workspace()?;
    let mut value = |params: &[f64]| -> Result<f64> {
        let mut y = [0.0];
        plan.forward(params, MatRef::new(x, 1, N)?, MatMut::new(&mut y, 1, 1)?, None, &mut workspace)?;
        Ok(y[0])
    };
    let (mut moved, h) = (params.to_vec(), 1e-6);
    let mut slope = |i: usize| -> Result<f64> {
        moved[i] = params[i] + h;
        let high = value(&moved)?;
        moved[i] = params[i] - h;
        let low = value(&moved)?;
        moved[i] = params[i];
        Ok((high - low) / (2.0 * h))
    };
    (0..params.len()).map(&mut slope).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A number as a superscript.
fn up(n: usize) -> char {
    ['⁰', '¹', '²', '³'][n]
}

fn size(matrix: &Dense<f64>) -> String {
    let (rows, cols) = matrix.shape();
    format!("{rows}×{cols}")
}

fn row(x: impl AsRef<[f64]>) -> String {
    let numbers: Vec<String> = x.as_ref().iter().map(|x| format!("{x:8.5}")).collect();
    format!("[{}]", numbers.join(" "))
}
