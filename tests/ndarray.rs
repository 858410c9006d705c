//! Views from and to `ndarray`: the same elements, whichever way the axes run.
#![cfg(feature = "ndarray")]

use nablas::{Backend, MatMut, MatRef, Result, backend::MatrixMultiply};
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, array, s};

fn same(view: ArrayView2<'_, f64>) {
    let matrix = MatRef::from(view);
    assert_eq!(matrix.shape(), view.dim());
    for ((i, j), x) in view.indexed_iter() {
        assert!(std::ptr::eq(matrix.get(i, j).expect("in the matrix"), x), "({i}, {j})");
    }
    let back = ArrayView2::from(matrix);
    assert_eq!(back, view);
    assert!(back.iter().zip(view.iter()).all(|(a, b)| std::ptr::eq(a, b)));
}

#[test]
fn views_share_their_elements() {
    let a = Array2::from_shape_fn((5, 7), |(i, j)| (10 * i + j) as f64);
    for rows in [1, -1, 2, -2] {
        for cols in [1, -1, 3, -3] {
            same(a.slice(s![..;rows, ..;cols]));
            same(a.slice(s![1..4;rows, 2..;cols]).reversed_axes());
        }
    }
    same(a.slice(s![..0, ..]));
    same(a.slice(s![.., 3..3;-1]));
    let row = a.row(2);
    same(row.broadcast((4, 7)).expect("a row repeats"));
}

#[test]
fn mutable_views_write_where_they_should() -> Result<()> {
    let mut a = Array2::<f64>::zeros((4, 6));
    let (x, y) = (array![[1.0, 2.0], [3.0, 4.0]], array![[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]]);
    let product = x.dot(&y);
    let c = MatMut::try_from(a.slice_mut(s![1..3;-1, ..;2]))?;
    MatrixMultiply.gemm(1.0, x.view().into(), y.view().into(), 0.0, c)?;
    assert_eq!(a.slice(s![1..3;-1, ..;2]), product);
    assert_eq!((a.sum(), a.row(0).sum()), (product.sum(), 0.0));
    let mut back = ArrayViewMut2::from(MatMut::try_from(a.slice_mut(s![..;-1, ..;-1]))?);
    back[[0, 0]] = 9.0;
    back.index_axis_mut(Axis(1), 1).fill(5.0);
    assert_eq!((a[[3, 5]], a.column(4).to_vec()), (9.0, vec![5.0; 4]));
    let empty = MatMut::try_from(a.slice_mut(s![2..2, ..]))?;
    assert_eq!(ArrayViewMut2::from(empty).dim(), (0, 6));
    Ok(())
}
