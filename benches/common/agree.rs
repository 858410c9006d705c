//! The check that contenders did the same work.

use nablas::Scalar;

/// ‖got − want‖ / ‖want‖ in the Euclidean norm, NaN where either holds one.
pub(crate) fn relative<T: Scalar>(got: &[T], want: &[T]) -> f64 {
    assert_eq!(got.len(), want.len());
    let norm = |it: &mut dyn Iterator<Item = f64>| it.map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&mut got.iter().zip(want).map(|(g, w)| g.to_f64() - w.to_f64()));
    difference / norm(&mut want.iter().map(|w| w.to_f64()))
}

/// Panics unless two contenders agree within the tolerance: only equal work is timed.
pub(crate) fn same<T: Scalar>(what: &str, got: &[T], want: &[T]) {
    let (error, tolerance) = (relative(got, want), if size_of::<T>() == 4 { 1e-4 } else { 1e-12 });
    assert!(error <= tolerance, "{what}: differs from the reference by {error:.2e}; not timed");
}
