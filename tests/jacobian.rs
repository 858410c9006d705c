//! The naive pass against central differences in f64: layers, networks with every activation, limits, refusals.

use nablas::{
    Activation, Error, Init, MatRef, Mlp, Plan, PlanOptions, Pointwise, Result,
    backend::MatrixMultiply,
    jacobian::{self, Gradients},
};

const LIMIT: u64 = 1 << 24;

/// Numbers in (−1, 1).
fn numbers(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn activations() -> impl Iterator<Item = Activation<f64>> {
    Activation::all().into_iter().map(|act| match act {
        Activation::LeakyRelu(_) => Activation::LeakyRelu(0.1),
        Activation::ClippedRelu(_) => Activation::ClippedRelu(0.4),
        Activation::Elu(_) => Activation::Elu(0.8),
        Activation::Sin(_) => Activation::Sin(3.0),
        act => act,
    })
}

/// ⟨dY, Y⟩, the scalar whose gradient a VJP with the cotangent dY is.
fn objective(mlp: &Mlp<f64>, params: &[f64], x: &[f64], dy: &[f64]) -> Result<f64> {
    let batch = dy.len() / mlp.outputs();
    let run = naive(mlp, params, x, dy, batch)?;
    Ok(run.y.data().iter().zip(dy).map(|(y, d)| y * d).sum())
}

fn naive(mlp: &Mlp<f64>, params: &[f64], x: &[f64], dy: &[f64], batch: usize) -> Result<Gradients<f64>> {
    let (x, dy) = (MatRef::new(x, batch, mlp.inputs())?, MatRef::new(dy, batch, mlp.outputs())?);
    jacobian::gradients(mlp, params, x, dy, LIMIT, &MatrixMultiply)
}

/// The derivative of f by its argument's element `i`, by central differences of step h: error O(h²).
fn difference(v: &[f64], i: usize, f: impl Fn(&[f64]) -> Result<f64>) -> Result<f64> {
    let h = 1e-6;
    let (mut low, mut high) = (v.to_vec(), v.to_vec());
    low[i] -= h;
    high[i] += h;
    Ok((f(&high)? - f(&low)?) / (high[i] - low[i]))
}

#[test]
fn gradients_agree_with_differences_for_every_activation() -> Result<()> {
    for g in activations() {
        let mlp = Mlp::builder(3).layer(4, g).layer(2, g).layer(3, Activation::Identity).build()?;
        let mut params = vec![0.0; mlp.param_len()];
        Init::Siren { omega: 1.0 }.fill(&mlp, &mut params, 11)?;
        let (x, dy) = (numbers(6, 1), numbers(6, 2));
        let got = naive(&mlp, &params, &x, &dy, 2)?;
        for i in 0..params.len() {
            let expected = difference(&params, i, |p| objective(&mlp, p, &x, &dy))?;
            assert!((got.params[i] - expected).abs() < 1e-8, "{g:?} {i}: {} for {expected}", got.params[i]);
        }
        for i in 0..x.len() {
            let expected = difference(&x, i, |x| objective(&mlp, &params, x, &dy))?;
            assert!((got.dx.data()[i] - expected).abs() < 1e-8, "{g:?} x{i}");
        }
        assert!(got.params.iter().any(|g| g.abs() > 1e-3));
    }
    Ok(())
}

#[test]
fn matrices_have_their_shapes_entries_and_bytes() -> Result<()> {
    let (w, x) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [7.0, 8.0, 9.0]);
    let by_weights = jacobian::weight_jacobian(&x, 2, LIMIT)?;
    assert_eq!(by_weights.shape(), (2, 6));
    assert_eq!(by_weights.data(), [7.0, 8.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 7.0, 8.0, 9.0]);
    assert_eq!(jacobian::bias_jacobian::<f64>(2, LIMIT)?.data(), [1.0, 0.0, 0.0, 1.0]);
    let by_input = jacobian::input_jacobian(MatRef::with_strides(&w, 2, 3, 1, 2)?, LIMIT)?;
    assert_eq!(by_input.data(), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
    let diagonal = jacobian::activation_jacobian(&Activation::Relu, &[1.0, -1.0], LIMIT)?;
    assert_eq!(diagonal.data(), [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(
        (by_weights.bytes(), by_weights.row(1), by_weights.row(2)),
        (96, &by_weights.data()[6..], &[][..])
    );
    assert_eq!(jacobian::layer_bytes::<f64>(2, 3, true), 8 * (6 + 12 + 4 + 4));
    assert_eq!(jacobian::layer_bytes::<f32>(256, 256, false), 4 * (256 * 256 * 258));
    Ok(())
}

#[test]
fn pieces_agree_with_the_products_that_need_no_matrix() -> Result<()> {
    for g in activations() {
        let (z, cotangent) = (numbers(17, 3), numbers(17, 4));
        let mut expected = vec![0.0; 17];
        g.vjp(&z, &cotangent, &mut expected)?;
        let got = jacobian::activation_vjp_naive(&g, &z, &cotangent, LIMIT, &MatrixMultiply)?;
        assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-14), "{g:?}");
    }
    let (m, n, batch) = (5, 7, 3);
    let (w, x, delta) = (numbers(m * n, 5), numbers(batch * n, 6), numbers(batch * m, 7));
    let views = (MatRef::new(&w, m, n)?, MatRef::new(&x, batch, n)?, MatRef::new(&delta, batch, m)?);
    let got = jacobian::layer_vjp_naive(views.0, views.1, views.2, LIMIT, &MatrixMultiply)?;
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-13, "{a} for {b}");
    for i in 0..m {
        near(got.db[i], (0..batch).map(|s| delta[s * m + i]).sum());
        for j in 0..n {
            near(got.dw.data()[i * n + j], (0..batch).map(|s| delta[s * m + i] * x[s * n + j]).sum());
        }
    }
    for s in 0..batch {
        for j in 0..n {
            near(got.dx.data()[s * n + j], (0..m).map(|i| delta[s * m + i] * w[i * n + j]).sum());
        }
    }
    assert_eq!(got.bytes_materialised, batch as u128 * jacobian::layer_bytes::<f64>(m, n, false));
    Ok(())
}

#[test]
fn full_products_hold_the_whole_derivative() -> Result<()> {
    let (m, n, g) = (3, 4, Activation::Tanh);
    let (w, x) = (numbers(m * n, 8), numbers(n, 9));
    let forward =
        |w: &[f64], x: &[f64], i: usize| -> f64 { (0..n).map(|j| w[i * n + j] * x[j]).sum::<f64>().tanh() };
    let z: Vec<f64> = (0..m).map(|i| forward(&w, &x, i).atanh()).collect();
    let (by_input, by_weights) =
        jacobian::layer_full_products(MatRef::new(&w, m, n)?, &g, &x, &z, LIMIT, &MatrixMultiply)?;
    for i in 0..m {
        for j in 0..n {
            let expected = difference(&x, j, |x| Ok(forward(&w, x, i)))?;
            assert!((by_input.row(i)[j] - expected).abs() < 1e-9);
        }
        for k in 0..m * n {
            let expected = difference(&w, k, |w| Ok(forward(w, &x, i)))?;
            assert!((by_weights.row(i)[k] - expected).abs() < 1e-9);
        }
    }
    Ok(())
}

#[test]
fn the_pass_is_a_sum_over_samples_and_counts_its_bytes() -> Result<()> {
    let mlp = Mlp::builder(3).layer(4, Activation::Tanh).layer(2, Activation::Sigmoid).build()?;
    let params = numbers(mlp.param_len(), 10);
    let (x, dy) = (numbers(9, 11), numbers(6, 12));
    let all = naive(&mlp, &params, &x, &dy, 3)?;
    let mut sum = vec![0.0; mlp.param_len()];
    for s in 0..3 {
        let one = naive(&mlp, &params, &x[3 * s..3 * s + 3], &dy[2 * s..2 * s + 2], 1)?;
        assert_eq!(one.dx.data(), all.dx.row(s));
        sum.iter_mut().zip(&one.params).for_each(|(a, b)| *a += b);
    }
    assert!(sum.iter().zip(&all.params).all(|(a, b)| (a - b).abs() < 1e-14));
    let layers: u128 =
        mlp.layers().iter().map(|l| jacobian::layer_bytes::<f64>(l.outputs, l.inputs, true)).sum();
    assert_eq!(all.bytes_materialised, 3 * layers);
    let none = naive(&mlp, &params, &[], &[], 0)?;
    assert!(none.params.iter().all(|g| *g == 0.0) && none.bytes_materialised == 0);
    Ok(())
}

#[test]
fn what_exceeds_the_limit_is_refused() -> Result<()> {
    let mlp = Mlp::<f32>::builder(300).layer(5000, Activation::Relu).build()?;
    let (params, x, dy) = (vec![0.0; mlp.param_len()], vec![0.0; 300], vec![0.0; 5000]);
    let bytes = jacobian::layer_bytes::<f32>(5000, 300, true);
    assert_eq!(bytes, 4 * (300 * 5000 + 300 * 5000 * 5000 + 2 * 5000 * 5000));
    let run = |limit| {
        let (x, dy) = (MatRef::new(&x, 1, 300)?, MatRef::new(&dy, 1, 5000)?);
        jacobian::gradients(&mlp, &params, x, dy, limit, &MatrixMultiply)
    };
    let too_large = Error::TooLarge { what: "the Jacobians of a layer", bytes, limit: 1 << 30 };
    assert_eq!(run(1 << 30), Err(too_large));
    // The limit is inclusive: a layer of exactly that many bytes is computed.
    let limit = jacobian::layer_bytes::<f64>(5, 7, false) as u64;
    let (w, x, delta) = (numbers(35, 1), numbers(7, 2), numbers(5, 3));
    let layer = |limit| {
        let views = (MatRef::new(&w, 5, 7)?, MatRef::new(&x, 1, 7)?, MatRef::new(&delta, 1, 5)?);
        jacobian::layer_vjp_naive(views.0, views.1, views.2, limit, &MatrixMultiply)
    };
    assert!(layer(limit).is_ok());
    assert!(matches!(layer(limit - 1), Err(Error::TooLarge { .. })));
    let huge = jacobian::weight_jacobian(&[1.0f64; 2], usize::MAX / 2, u64::MAX);
    assert!(matches!(huge, Err(Error::TooLarge { .. })), "{huge:?}");
    assert!(matches!(
        jacobian::weight_jacobian(&[1.0f64; 3], usize::MAX, u64::MAX),
        Err(Error::Overflow { .. })
    ));
    assert!(matches!(jacobian::bias_jacobian::<f64>(usize::MAX, u64::MAX), Err(Error::TooLarge { .. })));
    assert_eq!(jacobian::layer_bytes::<f64>(usize::MAX, usize::MAX, true), u128::MAX);
    Ok(())
}

/// A call that went through the samples would not come back.
#[test]
fn samples_without_elements_take_no_time() -> Result<()> {
    let (w, many) = (MatRef::<f64>::new(&[], 0, 0)?, MatRef::new(&[], 1 << 59, 0)?);
    let got = jacobian::layer_vjp_naive(w, many, many, LIMIT, &MatrixMultiply)?;
    assert_eq!((got.dx.shape(), got.dw.shape(), got.bytes_materialised), ((1 << 59, 0), (0, 0), 0));
    assert!(got.db.is_empty());
    Ok(())
}

#[test]
fn operands_that_do_not_fit_are_refused() -> Result<()> {
    let mlp = Mlp::<f64>::builder(3).layer(2, Activation::Tanh).build()?;
    let data = [0.0; 64];
    let view = |rows, cols| MatRef::new(&data, rows, cols);
    let run = |params: usize, x: (usize, usize), dy: (usize, usize)| {
        let run = jacobian::gradients(
            &mlp,
            &data[..params],
            view(x.0, x.1)?,
            view(dy.0, dy.1)?,
            LIMIT,
            &MatrixMultiply,
        );
        Result::Ok(run.err().map(|e| e.to_string()))
    };
    let says = |words: &str| Ok(Some(words.into()));
    assert_eq!(run(8, (4, 3), (4, 2)), Ok(None));
    assert_eq!(
        run(7, (4, 3), (4, 2)),
        says("a flat buffer of the network's parameters: expected 8 elements, got 7")
    );
    assert_eq!(run(8, (4, 2), (4, 2)), says("X: expected a 4×3 matrix, got 4×2"));
    assert_eq!(run(8, (4, 3), (3, 2)), says("dY: expected a 4×2 matrix, got 3×2"));
    let layer = jacobian::layer_vjp_naive(view(2, 3)?, view(4, 3)?, view(4, 3)?, LIMIT, &MatrixMultiply);
    assert_eq!(layer.err().map(|e| e.to_string()), Some("δ: expected a 4×2 matrix, got 4×3".into()));
    let pointwise =
        jacobian::activation_vjp_naive(&Activation::Exp, &data[..3], &data[..2], LIMIT, &MatrixMultiply);
    assert!(matches!(pointwise, Err(Error::Length { expected: 3, got: 2, .. })));
    Ok(())
}

#[test]
fn the_jacobian_of_a_network_is_built_from_vjps() -> Result<()> {
    let mlp = Mlp::builder(5).layer(8, Activation::Tanh).layer(7, Activation::Sigmoid).build()?;
    let params = numbers(mlp.param_len(), 20);
    let x = numbers(5, 21);
    // A plan of fewer rows than the network has outputs takes several batches.
    for max_batch in [1, 3, 7, 50] {
        let plan = Plan::new(&mlp, &PlanOptions::new(max_batch))?;
        let mut workspace = plan.workspace()?;
        let got = jacobian::network_jacobian(&plan, &params, &x, LIMIT, &mut workspace)?;
        assert_eq!(got.shape(), (7, 5));
        for i in 0..7 {
            let mut unit = vec![0.0; 7];
            unit[i] = 1.0;
            let expected = naive(&mlp, &params, &x, &unit, 1)?.dx;
            let near = got.row(i).iter().zip(expected.data()).all(|(a, b)| (a - b).abs() < 1e-14);
            assert!(near, "row {i}: {:?} for {:?}", got.row(i), expected.data());
        }
        // The Jacobian, the gradient and one cotangent: the limit is inclusive, and leaves no trace in the bits.
        let least = 8 * (7 * 5 + mlp.param_len() as u64 + 7);
        let one_by_one = jacobian::network_jacobian(&plan, &params, &x, least, &mut workspace)?;
        assert_eq!(one_by_one, got);
        let refused = jacobian::network_jacobian(&plan, &params, &x, least - 1, &mut workspace);
        let (bytes, limit) = (u128::from(least), u128::from(least - 1));
        assert_eq!(refused, Err(Error::TooLarge { what: "the Jacobian of a network", bytes, limit }));
        let refused = jacobian::network_jacobian(&plan, &params, &x[1..], LIMIT, &mut workspace);
        assert!(matches!(refused, Err(Error::Length { expected: 5, got: 4, .. })));
    }
    Ok(())
}
