//! The check that contenders did the same work.

/// ‖got − want‖ / ‖want‖ in the Euclidean norm, NaN where either holds one.
pub(crate) fn relative(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let norm = |it: &mut dyn Iterator<Item = f64>| it.map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&mut got.iter().zip(want).map(|(g, w)| f64::from(*g) - f64::from(*w)));
    difference / norm(&mut want.iter().map(|w| f64::from(*w)))
}

/// Panics unless two contenders agree to 10⁻⁴: only equal work is timed.
pub(crate) fn same(what: &str, got: &[f32], want: &[f32]) {
    let error = relative(got, want);
    assert!(error <= 1e-4, "{what}: differs from the reference by {error:.2e}; not timed");
}
