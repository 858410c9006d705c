//! Activations by name, and the check of their parameters.

use nablas_kernels::act::{Activation, ParseActivationError, Saved};

#[test]
fn names_parse_to_what_they_print() {
    for (i, act) in Activation::<f32>::all().into_iter().enumerate() {
        let text = act.to_string();
        assert_eq!(text.parse(), Ok(act));
        assert_eq!(act.name().parse(), Ok(act));
        assert_eq!(act.name(), text.split(':').next().expect("a name"));
        assert!(Activation::<f32>::all()[..i].iter().all(|other| other.name() != act.name()));
        assert!(ParseActivationError::Name.to_string().contains(act.name()));
    }
    assert_eq!("sin:30".parse(), Ok(Activation::Sin(30.0_f32)));
    assert_eq!(
        (Activation::LeakyRelu(0.01).to_string(), Activation::<f32>::Relu.to_string().as_str()),
        ("leaky_relu:0.01".into(), "relu")
    );
    assert_eq!("leaky_relu".parse(), Ok(Activation::LeakyRelu(0.01_f32)));
    assert_eq!("sin".parse(), Ok(Activation::Sin(1.0_f64)));
    assert_eq!("elu: 0.5".parse(), Ok(Activation::Elu(0.5_f64)));
}

#[test]
fn what_is_no_activation_is_refused() {
    let parse = |text: &str| text.parse::<Activation<f32>>().expect_err(text);
    assert_eq!(parse("reul"), ParseActivationError::Name);
    assert_eq!(parse(""), ParseActivationError::Name);
    assert_eq!(parse("relu:1"), ParseActivationError::NoParameter);
    assert_eq!(parse("elu:one"), ParseActivationError::Number);
    assert_eq!(parse("elu:"), ParseActivationError::Number);
    for text in ["elu:nan", "sin:inf", "leaky_relu:1e60", "clipped_relu:0", "clipped_relu:-1"] {
        assert!(matches!(parse(text), ParseActivationError::Parameter(_)), "{text}");
    }
    assert!(parse("reul").to_string().contains("hard_swish"));
}

#[test]
fn parameters_are_checked() {
    assert!(Activation::Elu(f32::NAN).check().is_err());
    assert!(Activation::Sin(f64::INFINITY).check().is_err());
    assert!(Activation::ClippedRelu(0.0_f32).check().is_err());
    assert!(Activation::ClippedRelu(1e-9_f32).check().is_ok());
    assert!(Activation::<f32>::Gelu.check().is_ok());
}

#[test]
fn each_saves_the_least_that_serves() {
    let saved = |text: &str| text.parse::<Activation<f32>>().expect(text).saved();
    assert_eq!(saved("identity"), Saved::Nothing);
    for text in ["relu", "leaky_relu", "clipped_relu"] {
        assert_eq!(saved(text), Saved::Mask);
    }
    assert_eq!(saved("exp"), Saved::Output);
    for text in
        ["elu", "selu", "sigmoid", "tanh", "softplus", "silu", "gelu", "gelu_tanh", "mish", "hard_swish"]
    {
        assert_eq!(saved(text), Saved::Derivative);
    }
}
