//! The three fused products of a dense layer, and the column sums.

use crate::{
    activation::Activation,
    array::{Access, Array, Matrix, Vector},
    config,
    failure::{Failure, call},
    overlap::{Bytes, disjoint},
    shelf::Shelf,
    threads,
    typed::{Dtype, Elem, Typed, typed},
};
use nablas::{
    BackendKind,
    dense::{SavedMut, SavedRef},
};
use nablas_kernels::act::Saved;
use pyo3::{exceptions::PyTypeError, prelude::*};

/// The calls of one element type, with the scratch of those before.
struct Calls<T: Elem> {
    dense: nablas::Dense<T>,
    scratch: Shelf<Vec<T>>,
}

/// The calls of a dense layer, A = g(X·Wᵀ + b), each in one pass. Any number of threads may call at once.
///
/// dtype: "float32" or "float64"; threads and isa as for `Mlp.plan`.
#[pyclass(frozen, module = "nablas")]
pub(crate) struct Dense(Typed<Calls<f32>, Calls<f64>>);

/// What a call is given.
type Any<'a, 'py> = &'a Bound<'py, PyAny>;

/// A saved state: a mask of bytes, or values.
enum State<T> {
    Nothing,
    Mask(Vector<u8>),
    Values(Matrix<T>),
}

impl<T: Elem> State<T> {
    fn bytes(&self) -> Option<Bytes> {
        match self {
            Self::Nothing => None,
            Self::Mask(mask) => Some(mask.bytes()),
            Self::Values(values) => Some(values.bytes()),
        }
    }
}

/// The bytes of a mask.
fn mask_of(array: &Array<'_>, access: Access) -> PyResult<Vector<u8>> {
    let refuse = || PyTypeError::new_err("saved: expected a mask, a C-contiguous array of uint8");
    array.stored("saved", access).ok_or_else(refuse)
}

impl<T: Elem> Calls<T> {
    fn new(threads: Option<usize>, isa: Option<&str>) -> nablas::Result<Self> {
        let threads = threads::threads(threads)?;
        let dense = nablas::Dense::with(config::isa(isa)?, threads, BackendKind::Native)?;
        let dense = match threads::team(threads)? {
            Some(team) => dense.team(&team),
            None => dense,
        };
        Ok(Self { dense, scratch: Shelf::new() })
    }

    /// Makes a call of these sizes (rows, inputs, outputs), with scratch.
    fn call(
        &self,
        py: Python<'_>,
        (rows, inputs, outputs): (usize, usize, usize),
        work: impl FnOnce(&nablas::Dense<T>, &mut [T]) -> nablas::Result<()> + Send,
    ) -> PyResult<()> {
        let long = rows.saturating_mul(inputs).saturating_mul(outputs) > 200_000;
        call(py, long, || {
            let mut scratch = self.scratch.take().unwrap_or_default();
            let len = self.dense.scratch_len(rows, inputs, outputs);
            if scratch.len() < len {
                scratch.resize(len, T::ZERO);
            }
            let done = work(&self.dense, &mut scratch);
            self.scratch.put(scratch);
            done
        })
    }

    fn forward<'py>(
        &self,
        (x, w, b): (Any<'_, 'py>, Any<'_, 'py>, Option<Any<'_, 'py>>),
        act: Activation,
        (save, out): (bool, Option<Any<'_, 'py>>),
    ) -> PyResult<(Bound<'py, PyAny>, Option<Bound<'py, PyAny>>)> {
        let (py, act) = (x.py(), act.of::<T>());
        let (_x, x) = Array::read::<T>("x", x)?;
        let (_w, w) = Array::read::<T>("w", w)?;
        let b = b.map(|b| Array::read_vector::<T>("b", b)).transpose()?;
        let bias = b.as_ref().map(|(_, b)| *b);
        let (out, a) = Array::matrix_or_empty::<T>(py, "out", out, (x.rows, w.rows))?;
        let inputs = [Some(x.bytes()), Some(w.bytes()), bias.map(|b| b.bytes())];
        disjoint(&[a.bytes()], inputs.into_iter().flatten())?;
        let kind = if save { act.saved() } else { Saved::Nothing };
        let (held, state) = match kind {
            Saved::Nothing | Saved::Output => (None, State::Nothing),
            Saved::Mask => {
                let array = Array::bytes(py, &mut [x.rows as isize, w.rows.div_ceil(8) as isize])?;
                let mask = mask_of(&array, Access::Write)?;
                (Some(array), State::Mask(mask))
            }
            Saved::Derivative => {
                let (array, values) = Array::matrix_or_empty::<T>(py, "saved", None, (x.rows, w.rows))?;
                (Some(array), State::Values(values))
            }
        };
        self.call(py, (x.rows, x.cols, w.rows), move |dense, scratch| {
            // SAFETY: the arrays are held; the output overlaps nothing, and what is saved is new.
            unsafe {
                let saved = match state {
                    State::Nothing => SavedMut::Nothing,
                    State::Mask(mask) => SavedMut::Mask(mask.slice_mut()),
                    State::Values(values) => SavedMut::Derivative(values.view_mut()),
                };
                dense.forward(x.view(), w.view(), bias.map(|b| b.slice()), act, a.view_mut(), saved, scratch)
            }
        })?;
        let out = out.into_object();
        let saved = if kind == Saved::Output { Some(out.clone()) } else { held.map(Array::into_object) };
        Ok((out, saved))
    }

    fn vjp_input<'py>(
        &self,
        (delta, w): (Any<'_, 'py>, Any<'_, 'py>),
        (act, saved): (Activation, Option<Any<'_, 'py>>),
        (out, db): (Option<Any<'_, 'py>>, Option<Any<'_, 'py>>),
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, act) = (delta.py(), act.of::<T>());
        let (_delta, delta) = Array::read::<T>("delta", delta)?;
        let (_w, w) = Array::read::<T>("w", w)?;
        let saved = saved.map(|saved| Array::new("saved", saved)).transpose()?;
        let state = match (&saved, act.saved()) {
            (None, _) => State::Nothing,
            (Some(mask), Saved::Mask) => State::Mask(mask_of(mask, Access::Read)?),
            (Some(values), _) => State::Values(values.matrix("saved", Access::Read)?),
        };
        let (out, to) = Array::matrix_or_empty::<T>(py, "out", out, (delta.rows, w.cols))?;
        let db = db.map(|db| Array::given_or_empty::<T>(py, "db", Some(db), w.cols)).transpose()?;
        let sums = db.as_ref().map(|(_, db)| *db);
        let outputs: Vec<_> = [Some(to.bytes()), sums.map(|db| db.bytes())].into_iter().flatten().collect();
        disjoint(&outputs, [Some(delta.bytes()), Some(w.bytes()), state.bytes()].into_iter().flatten())?;
        self.call(py, (delta.rows, w.cols, w.rows), move |dense, scratch| {
            // SAFETY: the arrays are held, outputs overlap nothing.
            unsafe {
                let saved = match state {
                    State::Nothing => SavedRef::Nothing,
                    State::Mask(mask) => SavedRef::Mask(mask.slice()),
                    State::Values(values) => SavedRef::Values(values.view()),
                };
                let db = sums.map(|db| db.slice_mut());
                dense.vjp_input(delta.view(), w.view(), act, saved, to.view_mut(), db, scratch)
            }
        })?;
        Ok(out.into_object())
    }

    fn vjp_weights<'py>(
        &self,
        (delta, a): (Any<'_, 'py>, Any<'_, 'py>),
        (out, accumulate): (Option<Any<'_, 'py>>, bool),
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = delta.py();
        let (_delta, delta) = Array::read::<T>("delta", delta)?;
        let (_a, a) = Array::read::<T>("a", a)?;
        let accumulate = accumulate && out.is_some();
        let (out, dw) = Array::matrix_or_empty::<T>(py, "out", out, (delta.cols, a.cols))?;
        disjoint(&[dw.bytes()], [delta.bytes(), a.bytes()])?;
        self.call(py, (delta.rows, a.cols, delta.cols), move |dense, scratch| {
            // SAFETY: the arrays are held, the output overlaps nothing.
            unsafe { dense.vjp_weights(delta.view(), a.view(), dw.view_mut(), accumulate, scratch) }
        })?;
        Ok(out.into_object())
    }

    fn vjp_bias<'py>(&self, delta: Any<'_, 'py>, out: Option<Any<'_, 'py>>) -> PyResult<Bound<'py, PyAny>> {
        let py = delta.py();
        let (_delta, delta) = Array::read::<T>("delta", delta)?;
        let (out, db) = Array::given_or_empty::<T>(py, "out", out, delta.cols)?;
        disjoint(&[db.bytes()], [delta.bytes()])?;
        call(py, delta.rows.saturating_mul(delta.cols) > 16384, move || {
            // SAFETY: the arrays are held, the output overlaps nothing.
            unsafe { self.dense.vjp_bias(delta.view(), db.slice_mut()) }
        })?;
        Ok(out.into_object())
    }
}

#[pymethods]
impl Dense {
    #[new]
    #[pyo3(signature = (dtype=None, *, threads=None, isa=None))]
    fn new(dtype: Option<Dtype>, threads: Option<usize>, isa: Option<&str>) -> PyResult<Self> {
        let calls = match dtype.unwrap_or(Dtype::F32) {
            Dtype::F32 => Calls::new(threads, isa).map(Typed::F32),
            Dtype::F64 => Calls::new(threads, isa).map(Typed::F64),
        };
        Ok(Self(calls.map_err(Failure::from)?))
    }

    /// A [B, n] = g(X·Wᵀ + b) of X [B, m], W [n, m] and b [n]: in `out` (contiguous rows), if given. With `save`, also
    /// what `vjp_input` of the layer above needs: a mask of bits [B, ⌈n/8⌉], the derivative [B, n], A itself, or
    /// `None`, by the activation.
    #[pyo3(signature = (x, w, b=None, activation=None, *, save=false, out=None))]
    fn forward<'py>(
        &self,
        x: &Bound<'py, PyAny>,
        w: &Bound<'py, PyAny>,
        b: Option<&Bound<'py, PyAny>>,
        activation: Option<&Bound<'py, PyAny>>,
        save: bool,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let act = activation.map_or_else(|| Activation::named("identity"), Activation::read)?;
        let (a, saved) = typed!(&self.0, calls => calls.forward((x, w, b), act, (save, out)))?;
        if save { (a, saved).into_pyobject(x.py()).map(Bound::into_any) } else { Ok(a) }
    }

    /// δ' [B, m] = (δ·W) ⊙ g'(Z') of δ [B, n] and W [n, m]: in `out`, if given. `activation` and `saved` are those of
    /// the layer below; ∂L/∂X without them. The column sums of δ' go to `db` [m], if given.
    #[pyo3(signature = (delta, w, activation=None, saved=None, *, out=None, db=None))]
    fn vjp_input<'py>(
        &self,
        delta: &Bound<'py, PyAny>,
        w: &Bound<'py, PyAny>,
        activation: Option<&Bound<'py, PyAny>>,
        saved: Option<&Bound<'py, PyAny>>,
        out: Option<&Bound<'py, PyAny>>,
        db: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let act = activation.map_or_else(|| Activation::named("identity"), Activation::read)?;
        typed!(&self.0, calls => calls.vjp_input((delta, w), (act, saved), (out, db)))
    }

    /// dW [n, m] = δᵀ·A of δ [B, n] and A [B, m], sums over the batch: in `out`, if given, or added to it.
    #[pyo3(signature = (delta, a, *, out=None, accumulate=false))]
    fn vjp_weights<'py>(
        &self,
        delta: &Bound<'py, PyAny>,
        a: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
        accumulate: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        typed!(&self.0, calls => calls.vjp_weights((delta, a), (out, accumulate)))
    }

    /// db [n], the column sums of δ [B, n]: in `out`, if given.
    #[pyo3(signature = (delta, *, out=None))]
    fn vjp_bias<'py>(
        &self,
        delta: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        typed!(&self.0, calls => calls.vjp_bias(delta, out))
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Dense>()
}
