//! Initialisers: their moments and bounds, and that a seed gives the same parameters always.

use nablas::{Activation, Error, Init, Mlp, Result};

/// (mean, variance, largest magnitude).
fn moments(x: &[f64]) -> (f64, f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    (mean, variance, x.iter().fold(0.0, |m, x| x.abs().max(m)))
}

fn wide() -> Result<Mlp<f64>> {
    Mlp::builder(300).layer(200, Activation::Relu).layer(100, Activation::Identity).build()
}

#[test]
fn moments_are_the_papers() -> Result<()> {
    let mlp = wide()?;
    let mut params = vec![f64::NAN; mlp.param_len()];
    // (initialiser, whether n_l counts beside n_{l−1}, whether it is normal)
    let cases = [
        (Init::HeNormal, 0.0, true),
        (Init::HeUniform, 0.0, false),
        (Init::XavierNormal, 1.0, true),
        (Init::XavierUniform, 1.0, false),
    ];
    for (init, with_outputs, normal) in cases {
        init.fill(&mlp, &mut params, 7)?;
        for (l, layer) in mlp.layers().iter().enumerate() {
            let expected = 2.0 / (layer.inputs as f64 + with_outputs * layer.outputs as f64);
            let w = &params[mlp.weights_range(l)?];
            let (mean, got, largest) = moments(w);
            let n = w.len() as f64;
            // Five standard errors: of the mean, and of the variance for a kurtosis of 3 at most.
            assert!(mean.abs() < 5.0 * (expected / n).sqrt(), "{init:?} {l}: mean {mean}");
            assert!(
                (got / expected - 1.0).abs() < 5.0 * (2.0 / n).sqrt(),
                "{init:?} {l}: {got} for {expected}"
            );
            let bound = (3.0 * expected).sqrt();
            if normal {
                // 3σ and beyond hold 0.27 % of a normal distribution; a uniform one ends at √3·σ.
                let beyond = w.iter().filter(|x| x.abs() > 3.0 * expected.sqrt()).count() as f64 / n;
                assert!((0.0018..0.0036).contains(&beyond), "{init:?} {l}: {beyond} beyond 3σ");
                let neighbours = w.windows(2).map(|p| p[0] * p[1]).sum::<f64>() / (n * expected);
                assert!(neighbours.abs() < 5.0 / n.sqrt(), "{init:?} {l}: correlation {neighbours}");
            } else {
                assert!(largest <= bound && largest > 0.999 * bound, "{init:?} {l}: {largest} of {bound}");
            }
            assert!(mlp.bias(&params, l)?.iter().all(|b| *b == 0.0));
        }
    }
    Ok(())
}

#[test]
fn siren_has_the_papers_bounds() -> Result<()> {
    let mlp = wide()?;
    let mut params = vec![f64::NAN; mlp.param_len()];
    Init::Siren { omega: 30.0 }.fill(&mlp, &mut params, 3)?;
    let bounds = [1.0 / 300.0, (6.0f64 / 200.0).sqrt() / 30.0];
    for (l, bound) in bounds.into_iter().enumerate() {
        let (_, _, largest) = moments(&params[mlp.weights_range(l)?]);
        assert!(largest <= bound && largest > 0.999 * bound, "{l}: {largest} of {bound}");
        let bound = (1.0 / mlp.layers()[l].inputs as f64).sqrt();
        let (_, _, largest) = moments(mlp.bias(&params, l)?);
        assert!(largest <= bound && largest > 0.9 * bound, "bias {l}: {largest} of {bound}");
    }
    Ok(())
}

#[test]
fn a_seed_fixes_every_bit_and_f32_is_f64_rounded() -> Result<()> {
    let (a, b) = (
        wide()?,
        Mlp::<f32>::builder(300).layer(200, Activation::Relu).layer(100, Activation::Tanh).build()?,
    );
    let drawn =
        [Init::HeNormal, Init::XavierUniform, Init::Siren { omega: 30.0 }, Init::Orthogonal { gain: 1.3 }];
    for init in drawn {
        let (mut x, mut y, mut z) =
            (vec![0.0; a.param_len()], vec![1.0; a.param_len()], vec![0.0f32; b.param_len()]);
        init.fill(&a, &mut x, 42)?;
        init.fill(&a, &mut y, 42)?;
        init.fill(&b, &mut z, 42)?;
        assert_eq!(x, y);
        assert!(x.iter().zip(&z).all(|(x, z)| *x as f32 == *z));
        init.fill(&a, &mut y, 43)?;
        let equal = x.iter().zip(&y).filter(|(x, y)| x == y && **x != 0.0).count();
        assert_eq!(equal, 0, "{init:?}: another seed draws other numbers");
    }
    Ok(())
}

#[test]
fn bad_calls_are_refused_and_write_nothing() -> Result<()> {
    let mlp = wide()?;
    let mut params = vec![0.5; mlp.param_len()];
    let short = Init::HeNormal.fill(&mlp, &mut params[1..], 0);
    assert!(matches!(short, Err(Error::Length { expected, got, .. }) if expected == got + 1));
    for omega in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(Init::Siren { omega }.fill(&mlp, &mut params, 0), Err(Error::Parameter { .. })));
    }
    assert!(params.iter().all(|p| *p == 0.5));
    Ok(())
}

/// The largest |W·Wᵀ − gain²·I| or, with more rows than columns, |Wᵀ·W − gain²·I|, over gain².
fn not_orthonormal(w: &[f64], rows: usize, cols: usize, gain: f64) -> f64 {
    let (count, len) = (rows.min(cols), rows.max(cols));
    let at = |i: usize, j: usize| if rows <= cols { w[i * cols + j] } else { w[j * cols + i] };
    let mut worst = 0.0f64;
    for a in 0..count {
        for b in 0..=a {
            let product: f64 = (0..len).map(|j| at(a, j) * at(b, j)).sum();
            let want = if a == b { 1.0 } else { 0.0 };
            worst = worst.max((product / (gain * gain) - want).abs());
        }
    }
    worst
}

#[test]
fn orthogonal_rows_or_columns_are_orthonormal() -> Result<()> {
    // Wide, tall, square, one row, one column, one element.
    let widths = [40, 17, 33, 33, 1, 50, 1, 1, 130, 130];
    let builder =
        widths[1..].iter().fold(Mlp::<f64>::builder(widths[0]), |b, n| b.layer(*n, Activation::Relu));
    let mlp = builder.build()?;
    for gain in [1.0, 2f64.sqrt(), 1e-3] {
        let mut params = vec![f64::NAN; mlp.param_len()];
        Init::Orthogonal { gain }.fill(&mlp, &mut params, 9)?;
        for (l, layer) in mlp.layers().iter().enumerate() {
            let w = &params[mlp.weights_range(l)?];
            let off = not_orthonormal(w, layer.outputs, layer.inputs, gain);
            assert!(off < 1e-14, "{} × {}, gain {gain}: off by {off}", layer.outputs, layer.inputs);
            assert!(mlp.bias(&params, l)?.iter().all(|b| *b == 0.0));
        }
    }
    // No direction is preferred: the mean of many first elements of vectors in four dimensions, whose variance is 1/4.
    let small = Mlp::<f64>::builder(4).layer(3, Activation::Relu).build()?;
    let (mut params, n) = (vec![0.0; small.param_len()], 2000);
    let (mut mean, mut square) = ([0.0; 12], [0.0; 12]);
    for seed in 0..n {
        Init::Orthogonal { gain: 1.0 }.fill(&small, &mut params, seed)?;
        for i in 0..12 {
            mean[i] += params[i] / n as f64;
            square[i] += params[i] * params[i] / n as f64;
        }
    }
    assert!(mean.iter().all(|m| m.abs() < 5.0 * (0.25 / n as f64).sqrt()), "{mean:?}");
    assert!(square.iter().all(|s| (s - 0.25).abs() < 0.03), "{square:?}");
    Ok(())
}

#[test]
fn a_gain_is_finite_and_above_0() -> Result<()> {
    let mlp = wide()?;
    for gain in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let mut params = vec![7.0; mlp.param_len()];
        let refused = Init::Orthogonal { gain }.fill(&mlp, &mut params, 1);
        assert!(matches!(refused, Err(Error::Parameter { .. })), "{refused:?}");
        assert!(params.iter().all(|p| *p == 7.0));
    }
    Ok(())
}
