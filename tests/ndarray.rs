//! Views from and to `ndarray`: the same elements, whichever way the axes run.
#![cfg(feature = "ndarray")]

use nablas::{
    Activation, Backend, Error, MatMut, MatRef, Mlp, Plan, PlanOptions, Result, backend::MatrixMultiply,
};
use ndarray::{Array2, ArrayD, ArrayView2, ArrayViewMut2, Axis, IxDyn, array, s};

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

#[test]
fn results_are_new_arrays() -> Result<()> {
    let mlp = Mlp::builder(3).layer(9, Activation::Tanh).layer(2, Activation::Identity).build()?;
    let plan = Plan::new(&mlp, &PlanOptions::new(8))?;
    let params: Vec<f64> = (0..mlp.param_len()).map(|i| (i as f64).sin()).collect();
    let x = Array2::from_shape_fn((3, 8), |(j, i)| (i as f64 + 0.3 * j as f64).cos());
    let (x, dy) = (x.t(), Array2::from_shape_fn((8, 2), |(i, j)| i as f64 - 3.0 * j as f64));
    let mut ws = plan.workspace()?;

    let (mut y, mut kept) = ([0.0; 16], plan.kept(8)?);
    plan.forward(&params, x.into(), MatMut::new(&mut y, 8, 2)?, None, &mut ws)?;
    let made = plan.forward_array(&params, x, Some(&mut kept), &mut ws)?;
    assert_eq!((made.dim(), made.as_slice()), ((8, 2), Some(&y[..])));
    assert_eq!(kept.batch(), Some(8));
    assert_eq!(Array2::from(MatRef::new(&y, 8, 2)?.t()), made.t());

    let (mut grads, mut dx) = (vec![0.0; mlp.param_len()], [0.0; 24]);
    let dx_view = Some(MatMut::new(&mut dx, 8, 3)?);
    plan.vjp(&params, x.into(), dy.view().into(), None, grads.as_mut_slice(), dx_view, &mut ws)?;
    let (made_grads, made_dx) = plan.vjp_arrays(&params, x, dy.view(), &mut ws)?;
    assert_eq!((made_grads.to_vec(), made_dx.as_slice()), (grads, Some(&dx[..])));

    let row = array![1.0, 2.0, 3.0];
    let none = Array2::<f64>::zeros((0, 3));
    assert_eq!(plan.forward_array(&params, none.view(), None, &mut ws)?.dim(), (0, 2));
    // More rows than there is memory for are refused by the plan, and not by the memory.
    let endless = row.broadcast((1 << 40, 3)).expect("a row repeats");
    let too_many = plan.forward_array(&params, endless, None, &mut ws);
    assert!(matches!(too_many, Err(Error::Batch { max: 8, .. })), "{too_many:?}");
    let too_many = plan.vjp_arrays(&params, endless, endless.slice(s![.., ..2]), &mut ws);
    assert!(matches!(too_many, Err(Error::Batch { max: 8, .. })), "{too_many:?}");
    Ok(())
}

#[test]
fn arrays_of_two_axes_alone_are_matrices() -> Result<()> {
    let mut a = ArrayD::<f64>::from_shape_fn(IxDyn(&[4, 6]), |i| (10 * i[0] + i[1]) as f64);
    let turned = a.view().permuted_axes(IxDyn(&[1, 0]));
    assert_eq!(MatRef::try_from(turned)?.get(5, 2), Some(&25.0));
    MatMut::try_from(a.view_mut())?;
    for axes in [vec![], vec![24], vec![2, 3, 4]] {
        let mut b = ArrayD::<f64>::zeros(axes.clone());
        let words = format!("axes of an array: expected 2, got {}", axes.len());
        assert_eq!(MatRef::try_from(b.view()).map(|_| ()).map_err(|e| e.to_string()), Err(words.clone()));
        assert_eq!(MatMut::try_from(b.view_mut()).map(|_| ()).map_err(|e| e.to_string()), Err(words));
    }
    Ok(())
}
