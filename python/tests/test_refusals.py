"""Bad calls: which exception, which words, and that nothing has been written."""

import array
import gc

import numpy as np
import pytest

import nablas


def f32(*shape):
    return np.ones(shape, "float32")


MLP = nablas.Mlp([4, 8, 3], "relu")
PLAN = MLP.plan(10, keep=True)
PARAMS, X, DY = MLP.init(seed=1), f32(6, 4), f32(6, 3)
OTHER = nablas.Mlp([4, 9, 3], "relu").plan(10)
N = MLP.param_len
ODD = np.frombuffer(bytearray(4 * 24 + 1), "float32", 24, 1).reshape(6, 4)
FROZEN = f32(6, 3)
FROZEN.flags.writeable = False


def whole(room):
    return np.lib.stride_tricks.as_strided(room, (6, 3), (0, 4))


# What is called, the exception, and some of its words.
CALLS = {
    "x of another type": (
        lambda: PLAN.forward(PARAMS, X.astype("float64")),
        TypeError,
        "x: expected elements of float32, got float64",
    ),
    "x of integers": (
        lambda: PLAN.forward(PARAMS, X.astype(int)),
        TypeError,
        "x: expected elements of float32, got int64",
    ),
    "x of the other order of bytes": (
        lambda: PLAN.forward(PARAMS, X.astype(X.dtype.newbyteorder())),
        TypeError,
        "x: expected elements of float32",
    ),
    "x a list": (
        lambda: PLAN.forward(PARAMS, [[1.0] * 4]),
        TypeError,
        "x: expected a NumPy array, or what has DLPack or the buffer protocol, got list",
    ),
    "x of one axis": (lambda: PLAN.forward(PARAMS, X[0]), ValueError, "x: expected an array of 2 axes, got 1"),
    "x of another width": (
        lambda: PLAN.forward(PARAMS, f32(6, 5)),
        ValueError,
        "the input: expected a 6×4 matrix, got 6×5",
    ),
    "x at odd addresses": (lambda: PLAN.forward(PARAMS, ODD), ValueError, "x: expected aligned elements"),
    "x between elements": (
        lambda: PLAN.forward(PARAMS, np.zeros(6, [("a", "f4", 4), ("b", "i1")])["a"]),
        ValueError,
        "x:",
    ),
    "too many rows": (
        lambda: PLAN.forward(PARAMS, f32(11, 4)),
        ValueError,
        "expected a batch of at most 10 rows, got 11",
    ),
    "too few parameters": (lambda: PLAN.forward(PARAMS[1:], X), ValueError, f"expected {N} elements, got {N - 1}"),
    "parameters with gaps": (
        lambda: PLAN.forward(np.repeat(PARAMS, 2)[::2], X),
        ValueError,
        "params: expected 1 (contiguous elements), got 2",
    ),
    "parameters of two axes": (
        lambda: PLAN.forward(PARAMS[None], X),
        ValueError,
        "params: expected an array of 1 axis, got 2",
    ),
    "parameters of too few layers": (
        lambda: PLAN.forward(MLP.layers(PARAMS)[:1], X),
        ValueError,
        "W and b of 2 layers: expected 4 arrays, got 2",
    ),
    "W turned": (
        lambda: PLAN.forward([(w.T, b) for w, b in MLP.layers(PARAMS)], X),
        ValueError,
        "W of a layer: expected an array of shape (8, 4), got [4, 8]",
    ),
    "W with gaps": (
        lambda: PLAN.forward([(np.repeat(w, 2, 1)[:, ::2], b) for w, b in MLP.layers(PARAMS)], X),
        ValueError,
        "W of a layer: expected a C-contiguous array",
    ),
    "packed for another": (
        lambda: PLAN.forward(OTHER.pack(f32(OTHER.mlp.param_len)), X),
        ValueError,
        "parameters packed for another network",
    ),
    "packed of the other type": (
        lambda: PLAN.forward(nablas.Mlp([4, 8, 3], dtype="float64").plan(1).pack(np.ones(N)), X),
        TypeError,
        "params: expected one of float32, got one of float64",
    ),
    "out of another shape": (
        lambda: PLAN.forward(PARAMS, X, out=f32(6, 4)),
        ValueError,
        "the output: expected a 6×3 matrix, got 6×4",
    ),
    "out read-only": (
        lambda: PLAN.forward(PARAMS, X, out=FROZEN),
        ValueError,
        "out: expected a writable array, got a read-only one",
    ),
    "out on itself": (
        lambda: PLAN.forward(PARAMS, X, out=whole(f32(18))),
        ValueError,
        "has two elements at one address",
    ),
    "kept of another plan": (
        lambda: PLAN.forward(PARAMS, X, kept=OTHER.kept(6)),
        ValueError,
        "a kept state of another plan",
    ),
    "kept too small": (
        lambda: PLAN.forward(PARAMS, X, kept=PLAN.kept(5)),
        ValueError,
        "expected a batch of at most 5 rows, got 6",
    ),
    "kept of no pass": (
        lambda: PLAN.backward(PARAMS, X, DY, kept=PLAN.kept(6)),
        ValueError,
        "the kept state is of no forward pass",
    ),
    "nothing kept": (
        lambda: MLP.plan(6).backward(PARAMS, X, DY),
        ValueError,
        "kept: expected a state, or a plan made with keep=True",
    ),
    "kept larger than the plan": (lambda: PLAN.kept(11), ValueError, "expected a batch of at most 10 rows, got 11"),
    "dy of another shape": (
        lambda: PLAN.vjp(PARAMS, X, f32(5, 3)),
        ValueError,
        "the gradient of the output: expected a 6×3 matrix, got 5×3",
    ),
    "a gradient too long": (
        lambda: PLAN.vjp(PARAMS, X, DY, out=f32(N + 1)),
        ValueError,
        f"the gradient: expected {N} elements, got {N + 1}",
    ),
    "dx of another shape": (
        lambda: PLAN.vjp(PARAMS, X, DY, dx=f32(6, 3)),
        ValueError,
        "the gradient of the input: expected a 6×4 matrix, got 6×3",
    ),
    "no such loss": (
        lambda: PLAN.value_and_grad(PARAMS, X, "hinge", DY),
        ValueError,
        "unknown loss: expected mse, l1, huber",
    ),
    "a loss that is none": (
        lambda: PLAN.value_and_grad(PARAMS, X, 1, DY),
        TypeError,
        "loss: expected a name or a nablas.Loss, got int",
    ),
    "targets of another shape": (
        lambda: PLAN.value_and_grad(PARAMS, X, "mse", f32(6, 2)),
        ValueError,
        "the targets: expected a 6×3 matrix, got 6×2",
    ),
    "a class that is none": (
        lambda: PLAN.value_and_grad(PARAMS, X, "softmax_cross_entropy", np.array([0, 1, 2, 3, 0, 0])),
        ValueError,
        "row 3: expected a class below 3, got 3",
    ),
    "a class below 0": (
        lambda: PLAN.value_and_grad(PARAMS, X, "softmax_cross_entropy", np.array([0, -1, 2, 0, 0, 0])),
        ValueError,
        "targets, row 1: expected a class from 0 on, got -1",
    ),
    "classes for values": (
        lambda: PLAN.value_and_grad(PARAMS, X, "mse", np.zeros(6, int)),
        ValueError,
        "mse: expected targets as values",
    ),
    "too few classes": (
        lambda: PLAN.value_and_grad(PARAMS, X, "softmax_cross_entropy", np.zeros(5, int)),
        ValueError,
        "the target classes: expected 6 elements, got 5",
    ),
    "classes of text": (
        lambda: PLAN.value_and_grad(PARAMS, X, "softmax_cross_entropy", np.array(["a"] * 6)),
        TypeError,
        "targets: expected elements of a float type or integers",
    ),
    "too few weights": (
        lambda: PLAN.value_and_grad(PARAMS, X, "mse", DY, weights=f32(5)),
        ValueError,
        "the rows' weights: expected 6 elements, got 5",
    ),
    "a weight below 0": (
        lambda: PLAN.value_and_grad(PARAMS, X, "mse", DY, weights=-f32(6)),
        ValueError,
        "a row's weight: expected a finite number of 0 or more, got -1",
    ),
    "a δ of 0": (
        lambda: PLAN.value_and_grad(PARAMS, X, nablas.Loss("huber", delta=0), DY),
        ValueError,
        "δ of the Huber loss: expected a finite number above 0, got 0",
    ),
    "an optimizer of others": (
        lambda: PLAN.train_step(PARAMS, X, "mse", DY, nablas.Sgd(N + 1, 0.1)),
        ValueError,
        f"the optimizer's parameters: expected {N + 1 - 1} elements, got {N + 1}",
    ),
    "an optimizer of the other type": (
        lambda: PLAN.train_step(PARAMS, X, "mse", DY, nablas.Sgd(N, 0.1, dtype="float64")),
        TypeError,
        "optimizer: expected one of float32, got one of float64",
    ),
    "no optimizer": (
        lambda: PLAN.train_step(PARAMS, X, "mse", DY, None),
        TypeError,
        "'None' is not an instance of 'Optimizer'",
    ),
    "a clip of 0": (
        lambda: PLAN.train_step(PARAMS, X, "mse", DY, nablas.Sgd(N, 0.1), clip=0.0),
        ValueError,
        "expected",
    ),
    "steps of layers": (
        lambda: PLAN.train_step(MLP.layers(PARAMS), X, "mse", DY, nablas.Sgd(N, 0.1)),
        TypeError,
        "params",
    ),
    "no such activation": (
        lambda: nablas.Mlp([1, 1], "step"),
        ValueError,
        "unknown activation: expected identity, relu",
    ),
    "an activation that is none": (
        lambda: nablas.Mlp([1, 2, 1], 3),
        TypeError,
        "activation: expected a name or a nablas.Activation, got int",
    ),
    "too many activations": (
        lambda: nablas.Mlp([1, 1], ["relu", "relu"]),
        ValueError,
        "activation: expected one, or 1 and no `output`, got 2",
    ),
    "no layer": (lambda: nablas.Mlp([3]), ValueError, "layers: expected at least one, got 0"),
    "a width of 0": (lambda: nablas.Mlp([3, 0]), ValueError, "a layer's width: expected at least 1, got 0"),
    "a width below 0": (lambda: nablas.Mlp([3, -1]), OverflowError, ""),
    "half precision": (
        lambda: nablas.Mlp([3, 1], dtype="float16"),
        TypeError,
        "dtype: expected float32 or float64, got float16",
    ),
    "a plan of 0 threads": (lambda: MLP.plan(1, threads=0), ValueError, "threads: expected 1 to 1024, got 0"),
    "too many threads": (lambda: nablas.set_num_threads(1025), ValueError, "threads: expected 1 to 1024, got 1025"),
    "no such ISA": (lambda: MLP.plan(1, isa="mmx"), ValueError, "unknown ISA: expected scalar, avx2, avx512 or neon"),
    "no such method": (lambda: MLP.init("lecun"), ValueError, "method: expected he_normal"),
    "an ω of 0": (lambda: MLP.init("siren", omega=0), ValueError, "ω of SIREN: expected finite and above 0, got 0"),
    "a layer that is not there": (lambda: MLP.weights_slice(2), IndexError, "layer"),
    "a rate below 0": (
        lambda: nablas.Adam(MLP, -1),
        ValueError,
        "the learning rate: expected a finite number of 0 or more, got -1",
    ),
    "a β of 1": (
        lambda: nablas.Adam(MLP, betas=(1, 0)),
        ValueError,
        "β₁: expected a number of 0 or more, below 1, got 1",
    ),
    "a state of others": (
        lambda: nablas.Adam(3).resume(1, [f32(3), f32(4)]),
        ValueError,
        "the second moments: expected 3 elements, got 4",
    ),
    "z of two types": (
        lambda: nablas.Activation("tanh").vjp(X, X.astype("float64")),
        TypeError,
        "g: expected elements of float32",
    ),
    "z with gaps": (lambda: nablas.Activation("tanh").value(X[:, ::2]), ValueError, "z: expected a C-contiguous array"),
    "g of another shape": (
        lambda: nablas.Activation("tanh").vjp(X, f32(4, 6)),
        ValueError,
        "g: expected an array of shape [6, 4], got [4, 6]",
    ),
    "a mask that is none": (
        lambda: nablas.Dense().vjp_input(DY, f32(3, 8), "relu", f32(6, 8)),
        TypeError,
        "saved: expected a mask",
    ),
    "nothing saved": (
        lambda: nablas.Dense().vjp_input(DY, f32(3, 8), "relu"),
        ValueError,
        "the saved state of relu: expected a mask",
    ),
    "buffers of another type": (
        lambda: PLAN.forward(array.array("d", PARAMS), X),
        TypeError,
        "params: expected elements of float32, got float64",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_refused(name):
    call, exception, words = CALLS[name]
    before = PARAMS.tobytes()
    with pytest.raises(exception) as caught:
        call()
    assert type(caught.value) is exception and words in str(caught.value)
    assert PARAMS.tobytes() == before


def overlapping():
    """Calls whose outputs overlap something, and what they write."""
    room = f32(100)
    flat, x = f32(N + 18), f32(6, 4)
    view = room[:24].reshape(6, 4)
    out = room[10:28].reshape(6, 3)
    yield lambda: PLAN.forward(PARAMS, view, out=out), "out overlaps x", [room]
    yield lambda: PLAN.forward(flat[:N], X, out=flat[N - 1 : N + 17].reshape(6, 3)), "out overlaps params", [flat]
    yield lambda: PLAN.vjp(PARAMS, view, DY, dx=view), "dx overlaps x", [room]
    yield lambda: PLAN.vjp(flat[:N], X, DY, out=flat[1 : N + 1]), "out overlaps params", [flat]
    yield lambda: PLAN.vjp(PARAMS, X, DY, out=flat[:N], dx=flat[:24].reshape(6, 4)), "out overlaps dx", [flat]
    yield lambda: PLAN.vjp(PARAMS, X, out, y=out), "y overlaps dy", [room]
    yield (
        lambda: PLAN.value_and_grad(PARAMS, X, "mse", flat[:18].reshape(6, 3), out=flat[:N]),
        "out overlaps targets",
        [flat],
    )
    sgd = nablas.Sgd(N, 0.1)
    yield lambda: PLAN.train_step(flat[:N], X, "mse", DY, sgd, out=flat[2 : N + 2]), "params overlaps out", [flat]
    yield lambda: PLAN.train_step(flat[:N], flat[:24].reshape(6, 4), "mse", DY, sgd), "params overlaps x", [flat]
    yield lambda: sgd.step(flat[:N], flat[1 : N + 1]), "params overlaps grads", [flat]
    yield lambda: nablas.Activation("sin").value(view, out=view), "out overlaps z", [room]
    yield lambda: nablas.Loss("mse").value_and_delta(out, DY, out=out), "out overlaps y", [room]
    yield lambda: nablas.Dense().forward(view, f32(4, 4), out=view), "out overlaps x", [room]
    yield lambda: nablas.Dense().vjp_weights(x, x, out=x[:4]), "out overlaps delta", [x]
    pairs = MLP.layers(flat[:N])
    yield (
        lambda: PLAN.vjp(PARAMS, X, DY, out=[pairs[0], (pairs[1][0], pairs[0][1][:3])]),
        "b of a layer overlaps b of a layer",
        [flat],
    )


@pytest.mark.parametrize("at", range(len(list(overlapping()))))
def test_overlaps_are_refused(at):
    call, words, outputs = list(overlapping())[at]
    before = [output.tobytes() for output in outputs]
    with pytest.raises(ValueError, match=words):
        call()
    assert before == [output.tobytes() for output in outputs]


def refused_with_outputs(outputs):
    """A bad call for each check that comes after all outputs are known."""
    y, grads, dx = outputs
    yield lambda: PLAN.forward(PARAMS, f32(11, 4), out=f32(11, 3))
    yield lambda: PLAN.vjp(PARAMS[1:], X, DY, y=y, out=grads, dx=dx)
    yield lambda: PLAN.vjp(PARAMS, X, f32(6, 4), y=y, out=grads, dx=dx)
    yield lambda: PLAN.vjp(PARAMS, X, DY, y=y[:5], out=grads, dx=dx)
    yield lambda: PLAN.vjp(PARAMS, X, DY, y=y, out=grads, dx=dx[:5])
    yield lambda: PLAN.backward(PARAMS, X, DY, out=grads, dx=dx, kept=PLAN.kept(6))
    yield lambda: PLAN.value_and_grad(PARAMS, X, "softmax_cross_entropy", np.full(6, 7), out=grads)
    yield lambda: PLAN.train_step(PARAMS, X, "mse", DY, nablas.Adam(N - 1), out=grads)
    yield lambda: PLAN.forward(PARAMS, X, out=y, kept=OTHER.kept(6))


@pytest.mark.parametrize("at", range(9))
def test_errors_leave_outputs_untouched(at):
    outputs = np.full((6, 3), 7, "float32"), np.full(N, 7, "float32"), np.full((6, 4), 7, "float32")
    before = PARAMS.tobytes()
    with pytest.raises(ValueError):
        list(refused_with_outputs(outputs))[at]()
    assert all((output == 7).all() for output in outputs) and PARAMS.tobytes() == before


@pytest.mark.parametrize("long", [False, True])
def test_a_panic_is_an_exception(long, capfd):
    try:
        nablas._nablas._panic("not again", long)
    except Exception as caught:
        assert type(caught) is RuntimeError and str(caught) == "a defect of nablas: not again"
    else:
        pytest.fail("no exception")
    gc.collect()
    assert PLAN.forward(PARAMS, X).shape == (6, 3)
