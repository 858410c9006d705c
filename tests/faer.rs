//! Views from and to `faer`: the same elements, whichever way the axes run.
#![cfg(feature = "faer")]

use faer::{Mat, MatRef as FaerRef};
use nablas::{
    Activation, Backend, Kept, MatMut, MatRef, Mlp, Plan, PlanOptions, Result, backend::MatrixMultiply,
};

fn same(view: FaerRef<'_, f64>) {
    let matrix = MatRef::from(view);
    assert_eq!(matrix.shape(), (view.nrows(), view.ncols()));
    let back = FaerRef::from(matrix);
    assert_eq!(back, view);
    for i in 0..view.nrows() {
        for j in 0..view.ncols() {
            let here: *const f64 = matrix.get(i, j).expect("in the matrix");
            assert!(
                std::ptr::eq(here, &raw const view[(i, j)]) && std::ptr::eq(here, &raw const back[(i, j)])
            );
        }
    }
}

#[test]
fn views_share_their_elements() {
    let a = Mat::from_fn(5, 7, |i, j| (10 * i + j) as f64);
    let views = [a.as_ref(), a.submatrix(1, 2, 3, 4), a.submatrix(2, 0, 1, 7), a.submatrix(0, 3, 5, 1)];
    for view in views {
        for view in [view, view.reverse_rows(), view.reverse_cols(), view.reverse_rows_and_cols()] {
            same(view);
            same(view.transpose());
        }
    }
    same(a.submatrix(5, 7, 0, 0));
    same(a.submatrix(2, 7, 3, 0));
    let row = [1.0, 2.0, 3.0];
    same(MatRef::with_strides(&row, 4, 3, 0, 1).expect("a row repeats").into());
}

#[test]
fn mutable_views_write_where_they_should() -> Result<()> {
    let mut a = Mat::<f64>::zeros(4, 6);
    let (x, y) =
        (Mat::from_fn(2, 2, |i, j| (2 * i + j) as f64), Mat::from_fn(2, 3, |i, j| (i * j) as f64 - 1.0));
    let product = &x * &y;
    let c = MatMut::try_from(a.as_mut().submatrix_mut(1, 2, 2, 3).reverse_rows_mut())?;
    MatrixMultiply.gemm(1.0, x.as_ref().into(), y.as_ref().into(), 0.0, c)?;
    assert_eq!(a.submatrix(1, 2, 2, 3).reverse_rows(), product.as_ref());
    assert_eq!(a.sum(), product.sum());
    let mut back = faer::MatMut::from(MatMut::try_from(a.as_mut().reverse_rows_and_cols_mut())?);
    back[(0, 0)] = 9.0;
    assert_eq!(a[(3, 5)], 9.0);
    let empty = MatMut::try_from(a.as_mut().submatrix_mut(2, 0, 0, 6))?;
    assert_eq!(faer::MatMut::from(empty).ncols(), 6);
    Ok(())
}

#[test]
fn a_network_reads_and_writes_them() -> Result<()> {
    let mlp = Mlp::builder(3).layer(9, Activation::Tanh).layer(2, Activation::Identity).build()?;
    let plan = Plan::new(&mlp, &PlanOptions::new(8))?;
    let params: Vec<f64> = (0..mlp.param_len()).map(|i| (i as f64).sin()).collect();
    let (mut ws, x) = (plan.workspace()?, Mat::from_fn(8, 3, |i, j| (i as f64 + 0.3 * j as f64).cos()));
    let rows: Vec<f64> =
        (0..8).flat_map(|i| (0..3).map(move |j| (i as f64 + 0.3 * j as f64).cos())).collect();
    let mut want = [0.0; 16];
    let none = None::<&mut Kept<f64>>;
    plan.forward(&params, MatRef::new(&rows, 8, 3)?, MatMut::new(&mut want, 8, 2)?, none, &mut ws)?;
    let mut y = Mat::<f64>::zeros(8, 2);
    plan.forward(&params, x.as_ref().into(), y.as_mut().try_into()?, None, &mut ws)?;
    assert_eq!(FaerRef::from(MatRef::new(&want, 8, 2)?), y.as_ref());
    Ok(())
}
