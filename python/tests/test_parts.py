"""Activations, the dense layer, initial parameters, optimizers."""

import copy
import pickle

import numpy as np
import pytest

import nablas
import reference

DTYPES = ["float32", "float64"]
RNG = np.random.default_rng(3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_activations(name, dtype):
    g, act = RNG.standard_normal((2, 5, 7)).astype(dtype), nablas.Activation(name)
    z = (4 * RNG.standard_normal((2, 5, 7))).astype(dtype)
    value, derivative = reference.ACTIVATIONS[name](z.astype(float))
    reference.close(act.value(z), value, dtype, 20)
    reference.close(act(z), value, dtype, 20)
    reference.close(act.vjp(z, g), g * derivative, dtype, 20)
    assert (act.jvp(z, g) == act.vjp(z, g)).all()
    out = np.empty_like(z)
    assert act.value(z, out=out) is out and (out == act(z)).all()
    assert act.vjp(z, g, out=out) is out and (out == act.vjp(z, g)).all()


def test_an_activation_is_a_value():
    act = nablas.Activation("leaky_relu", 0.2)
    assert act == nablas.Activation("leaky_relu:0.2") and hash(act) == hash(nablas.Activation("leaky_relu:0.2"))
    assert act != nablas.Activation("leaky_relu") and (act.name, act.parameter) == ("leaky_relu", 0.2)
    assert str(act) == "leaky_relu:0.2" and eval(repr(act), {"Activation": nablas.Activation}) == act
    assert pickle.loads(pickle.dumps(act)) == act == copy.deepcopy(act)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_dense(name, dtype):
    dense, below = nablas.Dense(dtype), RNG.standard_normal((33, 20)).astype(dtype)
    x, w = RNG.standard_normal((33, 11)).astype(dtype), RNG.standard_normal((20, 11)).astype(dtype) / 3
    b, up = RNG.standard_normal(20).astype(dtype), RNG.standard_normal((9, 20)).astype(dtype)
    value, derivative = reference.ACTIVATIONS[name]((x.astype(float)) @ w.T + b)
    a, saved = dense.forward(x, w, b, name, save=True)
    reference.close(a, value, dtype)
    assert (dense.forward(x, w, b, name) == a).all()
    delta, db = RNG.standard_normal((33, 9)).astype(dtype), np.empty(20, dtype)
    back = dense.vjp_input(delta, up, name, saved, db=db)
    expected = (delta.astype(float) @ up) * derivative
    reference.close(back, expected, dtype)
    reference.close(db, expected.sum(axis=0), dtype, 1000)
    dw = dense.vjp_weights(delta, below)
    reference.close(dw, delta.T.astype(float) @ below, dtype, 1000)
    assert dense.vjp_weights(delta, below, out=dw, accumulate=True) is dw
    reference.close(dw, 2 * delta.T.astype(float) @ below, dtype, 1000)
    reference.close(dense.vjp_bias(delta), delta.astype(float).sum(axis=0), dtype, 1000)


def test_dense_without_bias_or_activation():
    dense, x, w = nablas.Dense(), RNG.standard_normal((4, 3)).astype("float32"), np.eye(3, dtype="float32")
    out = np.empty((4, 3), "float32")
    assert dense.forward(x, w, out=out) is out and (out == x).all()
    assert (dense.vjp_input(x, w) == x).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_initial_parameters(dtype):
    mlp = nablas.Mlp([400, 300, 500], dtype=dtype)
    for method, spread in [("he_normal", 2 / 400), ("he_uniform", 2 / 400), ("xavier_normal", 2 / 700)]:
        params = mlp.init(method, seed=5)
        w, b = mlp.layers(params)[0]
        assert abs(w.var() / spread - 1) < 0.02 and not b.any() and w.dtype == dtype
        assert (mlp.init(method, seed=5) == params).all() and (mlp.init(method, seed=6) != params).any()
    out = np.empty(mlp.param_len, dtype)
    assert mlp.init("siren", omega=20, out=out) is out
    assert np.abs(mlp.layers(out)[0][0]).max() <= 1 / 400
    (tall, _), (wide, _) = mlp.layers(mlp.init("orthogonal", gain=2))
    assert np.abs(tall @ tall.T - 4 * np.eye(300)).max() < 1e-4
    assert np.abs(wide.T @ wide - 4 * np.eye(300)).max() < 1e-4


def test_layers_are_views():
    mlp = nablas.Mlp([3, 2, 1])
    params = np.zeros(mlp.param_len, "float32")
    (w1, b1), (w2, b2) = mlp.layers(params)
    w1[...], b1[...], w2[...], b2[...] = 1, 2, 3, 4
    assert params.tolist() == [1] * 6 + [2] * 2 + [3] * 2 + [4]
    assert (mlp.weights_slice(1), mlp.bias_slice(0)) == (slice(8, 10, 1), slice(6, 8, 1))


def test_a_network_is_a_value():
    mlp = nablas.Mlp([3, 4, 2], ["sin:30", "identity"], dtype="float64")
    assert mlp == pickle.loads(pickle.dumps(mlp)) == eval(repr(mlp), {"Mlp": nablas.Mlp})
    assert mlp != nablas.Mlp([3, 4, 2], ["sin:30", "identity"]) and mlp != nablas.Mlp([3, 4, 2], "sin:20", dtype=float)
    assert mlp == nablas.Mlp([3, 4, 2], "sin:30", dtype=float)
    assert (mlp.sizes, mlp.dtype, mlp.param_len) == ([3, 4, 2], "float64", 26)
    assert nablas.Mlp([3, 4, 2], "relu", "sigmoid").activations == [nablas.Activation(n) for n in ("relu", "sigmoid")]


def test_a_loss_is_a_value():
    for loss in [nablas.Loss("mse"), nablas.Loss("huber", "sum", delta=0.5)]:
        assert loss == pickle.loads(pickle.dumps(loss)) == eval(repr(loss), {"Loss": nablas.Loss})
    assert nablas.Loss("huber").delta == 1.0 and nablas.Loss("mse").delta is None


def rule(name, settings):
    """One step of an optimizer, in NumPy: of p and its state, in place."""
    decay, rate = settings.get("weight_decay", 0.01 if name == "AdamW" else 0.0), 0.02

    def sgd(p, g, state, t):
        g = g + decay * p
        momentum = settings.get("momentum", 0.0)
        state[0] = momentum * state[0] + g
        p -= rate * (g + momentum * state[0] if settings.get("nesterov") else state[0])

    def adam(p, g, state, t):
        beta1, beta2 = settings.get("betas", (0.9, 0.999))
        if name == "AdamW":
            p *= 1 - rate * decay
        else:
            g = g + decay * p
        state[0] = beta1 * state[0] + (1 - beta1) * g
        state[1] = beta2 * state[1] + (1 - beta2) * g * g
        root = np.sqrt(state[1] / (1 - beta2**t)) + settings.get("epsilon", 1e-8)
        p -= rate * state[0] / (1 - beta1**t) / root

    return sgd if name == "Sgd" else adam


OPTIMIZERS = [
    ("Sgd", {}),
    ("Sgd", {"momentum": 0.9, "weight_decay": 0.1}),
    ("Sgd", {"momentum": 0.8, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"betas": (0.8, 0.99), "epsilon": 1e-3, "weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.3}),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name, settings", OPTIMIZERS)
def test_optimizers(name, settings, dtype):
    p = RNG.standard_normal(100).astype(dtype)
    before = p.copy()
    exact, state, step = p.astype(float), [0.0, 0.0], rule(name, settings)
    optimizer = getattr(nablas, name)(p, 0.02, **settings)
    for t in range(1, 20):
        g = (exact - 1) * np.linspace(1, 2, 100) + 0.1 * np.sin(t)
        step(exact, g, state, t)
        optimizer.step(p, g.astype(dtype))
    reference.close(p, exact, dtype)
    assert np.abs(p - before).min() > 1e-3 and len(optimizer) == 100 and optimizer.dtype == dtype


@pytest.mark.parametrize("name, settings", OPTIMIZERS)
def test_an_optimizer_goes_on_after_a_pickle(name, settings):
    p, g = np.linspace(-1, 1, 50), np.cos(np.arange(50.0))
    one = getattr(nablas, name)(50, 0.02, dtype="float64", **settings)
    for _ in range(5):
        one.step(p, g)
    for other in [pickle.loads(pickle.dumps(one)), copy.deepcopy(one)]:
        assert type(other) is type(one) and other.rate == 0.02
        mine, its = p.copy(), p.copy()
        fork = copy.deepcopy(one)
        for optimizer, q in [(fork, mine), (other, its)]:
            optimizer.rate = 0.1
            optimizer.step(q, g)
        assert (mine == its).all() and (mine != p).all()
    assert one.rate == 0.02 and name in repr(one)


def test_clipping():
    g = np.array([3.0, 4.0])
    assert nablas.clip_by_global_norm(g, 10) == 5 and g.tolist() == [3, 4]
    assert nablas.clip_by_global_norm(g, 1) == 5 and np.allclose(g, [0.6, 0.8])


def test_fit_learns():
    x = RNG.standard_normal((200, 2)).astype("float32")
    y = (x[:, :1] * x[:, 1:]).astype("float32")
    mlp = nablas.Mlp([2, 32, 32, 1], "tanh")
    params = mlp.init("xavier_normal", 1)
    losses = nablas.fit(mlp.plan(20), params, x, "mse", y, nablas.Adam(mlp, 0.01), epochs=60, progress=True)
    assert len(losses) == 60 and losses[-1] < 0.1 * losses[0]
