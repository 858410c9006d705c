//! Tensors, and how far two of them are apart.

use candle_core::{DType, Device, Result, Tensor};

/// X or a cotangent.
pub(crate) fn matrix(rows: usize, cols: usize, dtype: DType, seed: f64) -> Result<Tensor> {
    let wave =
        |i: usize| ((0.731 + 0.01 * seed) * i as f64 + seed).sin() + 0.4 * (0.113 * i as f64 * seed).cos();
    Tensor::from_vec((0..rows * cols).map(wave).collect::<Vec<f64>>(), (rows, cols), &Device::Cpu)?
        .to_dtype(dtype)
}

/// ‖got − want‖ / ‖want‖ in the Euclidean norm.
pub(crate) fn relative(got: &Tensor, want: &Tensor) -> Result<f64> {
    assert_eq!(got.shape(), want.shape());
    let norm = |t: &Tensor| -> Result<f64> {
        Ok(t.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt())
    };
    Ok(norm(&(got - want)?)? / norm(want)?)
}

/// All elements, for comparisons to the bit.
pub(crate) fn elements(t: &Tensor) -> Result<Vec<f64>> {
    t.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}
