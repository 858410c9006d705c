//! candle's own autodiff judges: every activation that both have, both types, X as it comes, W and b apart or flat.

mod common;
#[path = "common/network.rs"]
mod network;

use candle_core::{D, DType, Result, Tensor, Var};
use candle_nn::Module;
use common::{matrix, relative};
use nablas_candle::{Activation, FusedMlp};
use network::{activate, forward, linears, listed};

const WIDTHS: [usize; 5] = [5, 33, 20, 17, 3];

fn bound(dtype: DType) -> f64 {
    if dtype == DType::F32 { 1e-5 } else { 1e-12 }
}

/// Y, then the gradients of X and of each W and b, of a loss with many different cotangents.
fn all_of(y: &Tensor, of: &[&Tensor]) -> Result<Vec<Tensor>> {
    let dy = matrix(y.dim(0)?, y.dim(D::Minus1)?, y.dtype(), 5.0)?;
    let grads = (y * dy)?.sum_all()?.backward()?;
    let mut all = vec![y.detach()];
    for tensor in of {
        all.push(grads.get(tensor).expect("a gradient that is tracked").clone());
    }
    Ok(all)
}

/// X, and the variable that it is a view of.
fn compare(activation: Activation<f64>, dtype: DType, x: &Tensor, leaf: &Var) -> Result<()> {
    let layers = linears(&WIDTHS, dtype)?;
    let tensors = || layers.iter().flat_map(|l| [Some(l.weight()), l.bias()]).flatten();
    let of: Vec<_> = std::iter::once(leaf.as_tensor()).chain(tensors()).collect();
    let want = all_of(&forward(&layers, activation, x)?, &of)?;
    let mlp = FusedMlp::from_linears(&listed(&layers, activation))?;
    let within = |what: &str, got: &Tensor, want: &Tensor| -> Result<()> {
        let error = relative(got, want)?;
        assert!(error <= bound(dtype), "{activation}, {dtype:?}: {what} differs by {error:.1e}");
        Ok(())
    };
    let got = all_of(&mlp.forward(x)?, &of)?;
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        within(&format!("result {i} (Y, dX, dW, db, …)"), got, want)?;
    }
    let flat = mlp.flatten()?;
    let got = all_of(&flat.forward(x)?, &[leaf, &flat.vars()[0]])?;
    within("Y of flat parameters", &got[0], &want[0])?;
    within("dX of flat parameters", &got[1], &want[1])?;
    let parts = want[2..].iter().map(Tensor::flatten_all).collect::<Result<Vec<_>>>()?;
    within("the flat gradient", &got[2], &Tensor::cat(&parts, 0)?)
}

#[test]
fn every_activation_has_candles_values_and_gradients() -> Result<()> {
    for dtype in [DType::F32, DType::F64] {
        for activation in Activation::<f64>::all() {
            let x = Var::from_tensor(&matrix(37, WIDTHS[0], dtype, 1.0)?)?;
            compare(activation, dtype, &x, &x)?;
        }
    }
    Ok(())
}

#[test]
fn x_may_have_any_strides_and_offset() -> Result<()> {
    let (rows, cols, dtype) = (11, WIDTHS[0], DType::F64);
    let wide = Var::from_tensor(&matrix(rows + 3, cols + 6, dtype, 2.0)?)?;
    let tall = Var::from_tensor(&matrix(cols, rows, dtype, 3.0)?)?;
    let row = Var::from_tensor(&matrix(1, cols, dtype, 4.0)?)?;
    let views = [
        (wide.narrow(0, 2, rows)?.narrow(1, 4, cols)?, &wide),
        (tall.t()?, &tall),
        (row.broadcast_as((rows, cols))?, &row),
        (wide.narrow(0, 1, 1)?.narrow(1, 1, cols)?, &wide),
    ];
    for (x, leaf) in &views {
        assert!(!x.is_contiguous() || x.layout().start_offset() > 0);
        compare(Activation::Tanh, dtype, x, leaf)?;
    }
    Ok(())
}

#[test]
fn more_axes_are_rows_too() -> Result<()> {
    let layers = linears(&WIDTHS, DType::F64)?;
    let mlp = FusedMlp::from_linears(&listed(&layers, Activation::Silu))?;
    let x = matrix(24, WIDTHS[0], DType::F64, 1.0)?;
    let want = mlp.forward(&x)?;
    for shape in [vec![4, 6, 5], vec![2, 3, 4, 5]] {
        let y = mlp.forward(&x.reshape(shape.clone())?)?;
        assert_eq!(y.dims(), [&shape[..shape.len() - 1], &[3]].concat());
        assert_eq!(common::elements(&y)?, common::elements(&want)?);
    }
    // Axes in another order are no matrix where they lie.
    let turned = x.reshape((4, 6, 5))?.transpose(0, 1)?;
    let candles = forward(&layers, Activation::Silu, &turned.contiguous()?)?;
    assert!(relative(&mlp.forward(&turned)?, &candles)? < 1e-13);
    Ok(())
}

#[test]
fn the_judge_knows_an_activation_from_another() -> Result<()> {
    let z = (matrix(9, 9, DType::F64, 1.0)? * 8.0)?;
    let all = Activation::<f64>::all();
    for (i, a) in all.iter().enumerate() {
        for b in &all[i + 1..] {
            assert!(relative(&activate(*a, &z)?, &activate(*b, &z)?)? > 2e-5, "{a} and {b}");
        }
    }
    Ok(())
}
