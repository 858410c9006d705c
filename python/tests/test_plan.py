"""Plans against NumPy in float64; forms of operands against each other, to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nablas
import reference

DTYPES = ["float32", "float64"]
# The narrow, the fused and the layered path, and one layer.
SIZES = [[7, 5, 3], [64, 48, 10], [300, 700, 80], [4, 2]]


def task(sizes, names, batch, dtype, seed=0):
    rng = np.random.default_rng(seed)
    mlp = nablas.Mlp(sizes, names, dtype=dtype)
    params = (rng.standard_normal(mlp.param_len) / np.sqrt(max(sizes))).astype(dtype)
    x = rng.standard_normal((batch, sizes[0])).astype(dtype)
    dy = rng.standard_normal((batch, sizes[-1])).astype(dtype)
    return mlp, params, x, dy


def same(a, b):
    assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_paths_are_all_tried():
    paths = {nablas.Mlp(sizes).plan(30).path for sizes in SIZES}
    assert paths == {"narrow", "fused", "layered"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_every_activation(name, dtype):
    sizes = [9, 14, 11, 4]
    mlp, params, x, dy = task(sizes, [name] * 3, 33, dtype)
    params /= 3  # exp of exp of exp
    plan = mlp.plan(33)
    y, kept = reference.forward(sizes, [name] * 3, params, x)
    grads, dx = reference.backward(kept, dy)
    got_y, got_dx = np.empty((33, 4), dtype), np.empty_like(x)
    got = plan.vjp(params, x, dy, y=got_y, dx=got_dx)
    reference.close(got_y, y, dtype)
    reference.close(got, grads, dtype, 1000)
    reference.close(got_dx, dx, dtype, 1000)
    reference.close(plan.forward(params, x), y, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SIZES)
def test_forward_and_backward_are_the_pass_in_one(sizes, dtype):
    names = ["tanh"] * (len(sizes) - 1)
    mlp, params, x, dy = task(sizes, names, 50, dtype)
    plan = mlp.plan(64)
    y, dx = np.empty((50, sizes[-1]), dtype), np.empty_like(x)
    grads = plan.vjp(params, x, dy, y=y, dx=dx)
    expected = reference.backward(reference.forward(sizes, names, params, x)[1], dy)[0]
    reference.close(grads, expected, dtype, 1000)

    kept = plan.kept(50)
    assert kept.batch is None and kept.room == 50
    same(plan.forward(params, x, kept=kept), y)
    assert kept.batch == 50
    for _ in range(2):
        again = np.empty_like(dx)
        same(plan.backward(params, x, dy, kept=kept, dx=again), grads)
        same(again, dx)

    keeps = mlp.plan(64, keep=True)
    same(keeps.forward(params, x), y)
    same(keeps.backward(params, x, dy), grads)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SIZES)
def test_forms_of_parameters_have_the_same_bits(sizes, dtype):
    mlp, params, x, dy = task(sizes, ["relu"] * (len(sizes) - 1), 40, dtype)
    plan = mlp.plan(40)
    y, grads = plan.forward(params, x), plan.vjp(params, x, dy)
    pairs = [(w.copy(), b.copy()) for w, b in mlp.layers(params)]
    turns = [part for pair in pairs for part in pair]
    packed = plan.pack(params)
    for form in [pairs, turns, tuple(turns), packed]:
        same(plan.forward(form, x), y)
        same(plan.vjp(form, x, dy), grads)
    out = [(np.empty_like(w), np.empty_like(b)) for w, b in pairs]
    assert plan.vjp(params, x, dy, out=out) is out
    same(np.concatenate([part.ravel() for pair in out for part in pair]), grads)
    same(packed.get(), params)
    packed.set(plan, 2 * params)
    same(plan.forward(packed, x), plan.forward(2 * params, x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("clip", [None, 0.01])
@pytest.mark.parametrize("packs", [False, True])
def test_a_training_step_is_the_calls_in_turn(dtype, clip, packs):
    mlp, params, x, _ = task([20, 40, 5], ["silu", "identity"], 60, dtype)
    classes = np.random.default_rng(1).integers(0, 5, 60)
    plan, apart = mlp.plan(60), params.copy()
    together = plan.pack(params) if packs else params
    one, two = nablas.AdamW(mlp, 0.01), nablas.AdamW(mlp, 0.01)
    for _ in range(3):
        out = np.empty_like(params)
        trained = plan.train_step(together, x, "softmax_cross_entropy", classes, one, clip=clip, out=out)
        value, grads = plan.value_and_grad(apart, x, "softmax_cross_entropy", classes)
        norm = nablas.clip_by_global_norm(grads, clip) if clip else None
        two.step(apart, grads)
        assert (trained.loss, trained.norm, trained.stepped) == (value, norm, True)
        same(out, grads)
        same(together.get() if packs else together, apart)
    assert float(trained) == trained.loss


def test_a_step_of_no_norm_is_no_step():
    mlp, params, x, _ = task([3, 4, 2], ["relu", "identity"], 5, "float32")
    x[2, 1] = np.nan
    before, adam = params.copy(), nablas.Adam(mlp)
    trained = mlp.plan(5).train_step(params, x, "mse", np.zeros((5, 2), "float32"), adam, clip=1.0)
    assert not trained.stepped and np.isnan(trained.norm)
    same(params, before)
    assert adam.state()[0] == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("kind", ["mse", "l1", "huber", "bce_with_logits", "softmax_cross_entropy", "classes"])
def test_losses(kind, reduction, dtype):
    mlp, params, x, t = task([6, 12, 4], ["tanh", "identity"], 25, dtype)
    if kind == "classes":
        kind, t = "softmax_cross_entropy", np.arange(25) % 4
    elif kind in ("bce_with_logits", "softmax_cross_entropy"):
        t = np.abs(t) / np.abs(t).sum(axis=1, keepdims=True)
    loss, plan = nablas.Loss(kind, reduction, delta=0.3), mlp.plan(25)
    y, kept = reference.forward([6, 12, 4], ["tanh", "identity"], params, x)
    value, delta = reference.loss(kind, reduction, y, t, 0.3)
    grads, _ = reference.backward(kept, delta)
    got, out = plan.value_and_grad(params, x, loss, t)
    assert abs(got - value) < 1e-5 * abs(value)
    reference.close(out, grads, dtype, 1000)
    if reduction == "mean" and kind != "huber":
        assert plan.value_and_grad(params, x, kind, t)[0] == got

    got, of_y = loss.value_and_delta(plan.forward(params, x), t)
    assert abs(got - value) < 1e-5 * abs(value)
    reference.close(of_y, delta, dtype, 1000)
    assert loss.value(plan.forward(params, x), t) == got


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["mse", "softmax_cross_entropy", "classes"])
def test_weights_of_rows(kind, dtype):
    mlp, params, x, t = task([6, 12, 4], ["tanh", "identity"], 25, dtype)
    t = np.arange(25) % 4 if kind == "classes" else np.abs(t)
    name, weights = kind.replace("classes", "softmax_cross_entropy"), np.arange(25).astype(dtype) % 3
    loss, plan = nablas.Loss(name), mlp.plan(25)
    y, kept = reference.forward([6, 12, 4], ["tanh", "identity"], params, x)
    value, delta = 0.0, np.zeros_like(y)
    for i, weight in enumerate(weights):
        of_row, delta[i : i + 1] = reference.loss(name, "mean", y[i : i + 1], t[i : i + 1])
        value += weight * of_row / weights.sum()
    delta *= weights[:, None] / weights.sum()
    got, grads = plan.value_and_grad(params, x, loss, t, weights=weights)
    assert abs(got - value) < 1e-5 * abs(value)
    reference.close(grads, reference.backward(kept, delta)[0], dtype, 1000)
    assert abs(loss.value(plan.forward(params, x), t, weights=weights) - value) < 1e-5 * abs(value)
    reference.close(loss.value_and_delta(plan.forward(params, x), t, weights=weights)[1], delta, dtype, 1000)
    before = params.copy()
    assert plan.train_step(params, x, loss, t, nablas.Sgd(mlp, 0.1), weights=weights).loss == got
    reference.close(before - params, 0.1 * grads.astype(float), dtype, 1e5)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "uint32", "int64", "uint64", "uint16", ">i4"])
def test_classes_of_any_integers(kind):
    mlp, params, x, _ = task([6, 5], ["identity"], 20, "float32")
    plan, classes = mlp.plan(20), np.arange(20) % 5
    expected = plan.value_and_grad(params, x, "softmax_cross_entropy", classes)
    for given in [classes.astype(kind), np.repeat(classes, 3).astype(kind)[::3]]:
        value, grads = plan.value_and_grad(params, x, "softmax_cross_entropy", given)
        assert value == expected[0]
        same(grads, expected[1])


def laid_out(matrix, steps, turned):
    """The same matrix with other strides: gaps between rows and columns, reversed, columns first."""
    rows, cols = matrix.shape
    down, right = steps
    shape = (rows * abs(down), cols * abs(right))
    room = np.full(shape[::-1] if turned else shape, np.nan, matrix.dtype)
    view = (room.T if turned else room)[::down, ::right]
    view[...] = matrix
    return view


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=4),
    st.integers(0, 40),
    st.sampled_from(DTYPES),
    st.tuples(*[st.sampled_from([1, 2, 3, -1, -2])] * 6),
    st.tuples(*[st.booleans()] * 3),
)
def test_strides_leave_no_trace(sizes, batch, dtype, steps, turned):
    mlp, params, x, dy = task(sizes, ["elu"] * (len(sizes) - 1), batch, dtype)
    plan = mlp.plan(40)
    y, dx = np.empty((batch, sizes[-1]), dtype), np.empty_like(x)
    grads = plan.vjp(params, x, dy, y=y, dx=dx)
    x_, dy_ = laid_out(x, steps[0:2], turned[0]), laid_out(dy, steps[2:4], turned[1])
    y_, dx_ = laid_out(0 * y, steps[4:6], turned[2]), laid_out(0 * dx, steps[4:6], turned[2])
    same(plan.vjp(params, x_, dy_, y=y_, dx=dx_), grads)
    same(np.ascontiguousarray(y_), y)
    same(np.ascontiguousarray(dx_), dx)
    out = laid_out(0 * y, steps[4:6], turned[2])
    assert plan.forward(params, x_, out=out) is out
    same(np.ascontiguousarray(out), y)


def test_outputs_are_what_was_given():
    mlp, params, x, dy = task([5, 4], ["relu"], 6, "float32")
    plan, grads, y = mlp.plan(6), np.empty(mlp.param_len, "float32"), np.empty((6, 4), "float32")
    assert plan.forward(params, x, out=y) is y
    assert plan.vjp(params, x, dy, out=grads) is grads
    assert plan.value_and_grad(params, x, "mse", dy, out=grads)[1] is grads


def test_columns_of_one_array_are_apart():
    mlp, params, x, _ = task([5, 4], ["relu"], 6, "float32")
    room = np.zeros((6, 12), "float32")
    room[:, :5] = x
    plan = mlp.plan(6)
    plan.forward(params, room[:, :5], out=room[:, 6:10])
    same(np.ascontiguousarray(room[:, 6:10]), plan.forward(params, x))
    assert not room[:, 10:].any() and not room[:, 5].any()


@pytest.mark.parametrize("sizes", SIZES[:3])
def test_bits_know_no_threads_no_isa_and_no_split(sizes):
    mlp, params, x, dy = task(sizes, ["tanh"] * (len(sizes) - 1), 400, "float32")
    plans = [mlp.plan(400, threads=t, isa=i) for t in (1, 2, 3) for i in nablas.config()["isas"]]
    y, grads = plans[0].forward(params, x), plans[0].vjp(params, x, dy)
    for plan in plans[1:]:
        same(plan.vjp(params, x, dy), grads)
        same(plan.forward(params, x), y)
    parts = [plans[0].forward(params, x[start : start + 37]) for start in range(0, 400, 37)]
    same(np.concatenate(parts), y)


@pytest.mark.parametrize("dtype", DTYPES)
def test_jacobian(dtype):
    sizes, names = [4, 6, 3], ["tanh", "sigmoid"]
    mlp, params, x, _ = task(sizes, names, 1, dtype)
    rows = [reference.backward(reference.forward(sizes, names, params, x)[1], e[None])[1][0] for e in np.eye(3)]
    reference.close(nablas.jacobian(mlp, params, x[0]), np.array(rows), dtype, 1000)


def test_an_empty_batch():
    mlp, params, x, dy = task([3, 2], ["relu"], 0, "float32")
    plan = mlp.plan(4)
    assert plan.forward(params, x).shape == (0, 2)
    assert not plan.vjp(params, x, dy).any()


def test_a_plan_says_what_it_is():
    mlp = nablas.Mlp([64, 64, 1], "gelu", dtype=np.float64)
    plan = mlp.plan(128, threads=1, isa="scalar")
    assert (plan.batch, plan.threads, plan.isa, plan.path) == (128, 1, "scalar", "fused")
    assert plan.mlp is mlp and "fused" in plan.explain() and plan.explain() in repr(plan)
    assert plan.step_flop(10) == 10 * (4 * 64 * 64 + 6 * 64) and plan.workspace_bytes > 0
