//! What is refused, with which words, and that nothing has been written: networks, flat buffers, pointwise calls.

use nablas::{Activation, Error, Init, IsaToken, MatRef, Mlp, Pointwise, Result, Shape, isa::IsaError};

/// The last error of a builder's network.
fn refusal(mlp: Result<Mlp<f32>>) -> String {
    mlp.expect_err("this network is refused").to_string()
}

#[test]
fn networks_that_cannot_be_are_refused() {
    const HALF: usize = usize::MAX / 2;
    let net = Mlp::<f32>::builder;
    let relu = Activation::Relu;
    let width = "a layer's width: expected at least 1, got 0";
    let overflow = "the parameters: the size overflows the address space";
    let cases = [
        (net(4).build(), "layers: expected at least one, got 0"),
        (net(0).layer(3, relu).build(), width),
        (net(3).layer(0, relu).build(), width),
        (net(3).layer(2, relu).layer(0, relu).build(), width),
        (net(HALF).layer(3, relu).build(), overflow),
        (net(1).layer(HALF, relu).build(), overflow),
        (net(usize::MAX).layer(usize::MAX, relu).build(), overflow),
        (net(1).layer(1 << 30, relu).layer(1 << 30, relu).layer(1 << 31, relu).build(), overflow),
        (net(1).layer(1, Activation::Sin(f32::NAN)).build(), "sin: expected a finite parameter, got NaN"),
        (
            net(1).layer(1, Activation::Elu(f32::INFINITY)).build(),
            "elu: expected a finite parameter, got inf",
        ),
        (
            net(1).layer(1, Activation::LeakyRelu(f32::NAN)).build(),
            "leaky_relu: expected a finite parameter, got NaN",
        ),
        (
            net(1).layer(1, Activation::ClippedRelu(0.0)).build(),
            "clipped_relu: expected a finite ceiling above 0, got 0",
        ),
    ];
    for (mlp, words) in cases {
        assert_eq!(refusal(mlp), words);
    }
}

#[test]
fn a_flat_buffer_holds_each_layer_in_order() -> Result<()> {
    let mlp = Mlp::<f64>::builder(3).layer(4, Activation::Tanh).layer(2, Activation::Identity).build()?;
    assert_eq!((mlp.param_len(), mlp.inputs(), mlp.outputs(), mlp.max_width()), (26, 3, 2, 4));
    let mut params: Vec<f64> = (0..26).map(f64::from).collect();
    assert_eq!((mlp.weights_range(0)?, mlp.bias_range(0)?), (0..12, 12..16));
    assert_eq!((mlp.weights_range(1)?, mlp.bias_range(1)?), (16..24, 24..26));
    let w = mlp.weights(&params, 1)?;
    assert_eq!((w.shape(), w.get(1, 2), mlp.bias(&params, 1)?), ((2, 4), Some(&22.0), &[24.0, 25.0][..]));
    let (mut w, b) = mlp.layer_mut(&mut params, 0)?;
    w.fill(-1.0);
    b.fill(-2.0);
    mlp.bias_mut(&mut params, 1)?.fill(-4.0);
    mlp.weights_mut(&mut params, 1)?.fill(-3.0);
    let expected = [[-1.0; 12].as_slice(), &[-2.0; 4], &[-3.0; 8], &[-4.0; 2]].concat();
    assert_eq!(params, expected);
    Ok(())
}

#[test]
fn layers_and_buffers_that_are_not_there_are_refused() -> Result<()> {
    let mlp = Mlp::<f64>::builder(3).layer(4, Activation::Tanh).build()?;
    let mut params = vec![0.0; 17];
    let length = Error::Length { what: "a flat buffer of the network's parameters", expected: 16, got: 17 };
    assert_eq!(mlp.weights(&params, 0).err(), Some(length.clone()));
    assert_eq!(mlp.bias(&params, 0).err(), Some(length.clone()));
    assert_eq!(mlp.layer_mut(&mut params, 0).err(), Some(length.clone()));
    assert_eq!(Init::HeNormal.fill(&mlp, &mut params, 0).err(), Some(length));
    for l in [1, usize::MAX] {
        let range = Error::Range { what: "layer", start: l, end: l.saturating_add(1), len: 1 };
        assert_eq!(mlp.weights(&params[1..], l).err(), Some(range.clone()));
        assert_eq!(mlp.bias(&params[1..], l).err(), Some(range.clone()));
        assert_eq!(mlp.bias_range(l).err(), Some(range));
    }
    Ok(())
}

#[test]
fn pointwise_calls_need_slices_of_one_length() {
    let (z, mut out, mut other) = ([0.5f32; 4], [7.0; 3], [7.0; 4]);
    let tanh = Activation::Tanh;
    let refused = [
        (tanh.value(&z, &mut out), "a of a = g(z): expected 4 elements, got 3"),
        (tanh.value_and_derivative(&z, &mut out, &mut [0.0; 4]), "a of a = g(z): expected 4 elements, got 3"),
        (tanh.value_and_derivative(&z, &mut other, &mut out), "d of d = g'(z): expected 4 elements, got 3"),
        (tanh.vjp(&z, &z[1..], &mut other), "g of g ⊙ g'(z): expected 4 elements, got 3"),
        (tanh.vjp(&z, &z, &mut out), "the output of g ⊙ g'(z): expected 4 elements, got 3"),
        (tanh.jvp(&z, &[], &mut other), "g of g ⊙ g'(z): expected 4 elements, got 0"),
        (Activation::Sin(f32::INFINITY).value(&z, &mut other), "sin: expected a finite parameter, got inf"),
        (
            Activation::ClippedRelu(-1.0).vjp(&z, &z, &mut other),
            "clipped_relu: expected a finite ceiling above 0, got -1",
        ),
    ];
    for (result, words) in refused {
        assert_eq!(result.expect_err(words).to_string(), words);
    }
    assert_eq!((out, other), ([7.0; 3], [7.0; 4]));
}

#[test]
fn pointwise_products_are_the_diagonal_of_derivatives() -> Result<()> {
    let z: Vec<f64> = (0..37).map(|i| f64::from(i) * 0.25 - 4.6).collect();
    let g: Vec<f64> = (0..37).map(|i| f64::from(i % 5) - 1.5).collect();
    let (mut a, mut b, mut d, mut by_vjp, mut by_jvp) =
        ([0.0; 37], [0.0; 37], [0.0; 37], [0.0; 37], [0.0; 37]);
    Activation::Sin(2.0).value(&z, &mut a)?;
    for isa in IsaToken::available() {
        Activation::Sin(2.0).value_and_derivative_on(isa, &z, &mut b, &mut d)?;
        Activation::Sin(2.0).vjp_on(isa, &z, &g, &mut by_vjp)?;
        Activation::Sin(2.0).jvp(&z, &g, &mut by_jvp)?;
        assert_eq!((a, by_vjp), (b, by_jvp));
        for i in 0..37 {
            assert!((a[i] - (2.0 * z[i]).sin()).abs() < 1e-15);
            assert!((d[i] - 2.0 * (2.0 * z[i]).cos()).abs() < 1e-15 * 2.0);
            assert_eq!(by_vjp[i], g[i] * d[i]);
        }
    }
    Ok(())
}

#[test]
fn errors_say_what_was_expected_and_what_came() {
    let shape = Shape::new(2, 3);
    let cases = [
        (Error::Bounds { shape, needed: 6, got: 5 }, "a 2×3 view needs a slice of 6 elements, got 5"),
        (
            Error::Aliased { shape, row_stride: 1, col_stride: 1 },
            "a mutable 2×3 view with strides (1, 1) has two elements at one address",
        ),
        (Error::Range { what: "rows", start: 2, end: 9, len: 4 }, "rows: expected 2..9 within 0..4"),
        (Error::Batch { max: 32, got: 33 }, "expected a batch of at most 32 rows, got 33"),
        (Error::TooLarge { what: "it", bytes: 9, limit: 8 }, "it: needs 9 bytes, the limit is 8"),
        (Error::Memory { what: "it", bytes: 9 }, "it: could not allocate 9 bytes"),
        (
            Error::Backend { name: "cblas", why: "sizes are of 31 bits" },
            "backend cblas: sizes are of 31 bits",
        ),
        (Error::Threads { threads: 8 }, "could not start 8 threads"),
        (Error::from(IsaError::Unknown), "unknown ISA: expected scalar, avx2, avx512 or neon"),
    ];
    for (error, words) in cases {
        assert_eq!(error.to_string(), words);
        assert_eq!(error.clone(), error);
    }
}

/// No view of the public constructors, however large its sizes claim to be, makes a call panic.
#[test]
fn extreme_sizes_are_errors_everywhere() -> Result<()> {
    let mlp = Mlp::<f64>::builder(3).layer(4, Activation::Tanh).build()?;
    let params = vec![0.0; mlp.param_len()];
    let one = [1.0f64];
    // A view that repeats one element 2⁵⁹ times is valid; nothing can be written for it.
    let tall = MatRef::with_strides(&one, 1 << 59, 1, 0, 0)?;
    assert_eq!(tall.get((1 << 59) - 1, 0), Some(&1.0));
    let backend = nablas::backend::MatrixMultiply;
    let refused = nablas::jacobian::gradients(&mlp, &params, tall, tall, u64::MAX, &backend);
    assert!(matches!(refused, Err(Error::Shape { .. })));
    let refused = nablas::jacobian::input_jacobian(tall, u64::MAX);
    assert!(matches!(refused, Err(Error::Memory { .. } | Error::TooLarge { .. })), "{refused:?}");
    let refused = nablas::jacobian::layer_vjp_naive(tall, tall, tall, u64::MAX, &backend);
    assert!(matches!(refused, Err(Error::Shape { .. } | Error::TooLarge { .. })), "{refused:?}");
    Ok(())
}
