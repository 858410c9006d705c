"""`nablas.jax` against JAX itself, under everything that transforms functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import nablas
import nablas.jax as nj

jax.config.update("jax_enable_x64", True)

ACTIVATIONS = {
    "identity": lambda z: z, "relu": jax.nn.relu, "leaky_relu:0.1": lambda z: jax.nn.leaky_relu(z, 0.1),
    "clipped_relu:0.7": lambda z: jnp.clip(z, 0, 0.7), "elu:1.5": lambda z: jax.nn.elu(z, 1.5), "selu": jax.nn.selu,
    "sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "softplus": jax.nn.softplus, "silu": jax.nn.silu,
    "gelu": lambda z: jax.nn.gelu(z, approximate=False), "gelu_tanh": jax.nn.gelu, "mish": jax.nn.mish,
    "hard_swish": jax.nn.hard_swish, "exp": jnp.exp, "sin:3": lambda z: jnp.sin(3 * z), "softsign": jax.nn.soft_sign,
}  # fmt: skip
#: One of each path: fused, narrow, layered.
SIZES = [(16, 64, 48, 8), (2, 20, 20, 1), (300, 700, 300)]


def plain(params, x, sizes, activation):
    """The network in JAX."""
    layers = nj.unravel(params, sizes)
    for l, (w, b) in enumerate(layers):
        x = x @ w.T + b
        if l + 1 < len(layers):
            x = ACTIVATIONS[activation](x)
    return x


def data(sizes, batch, dtype=jnp.float64, seed=0):
    key = jax.random.key(seed)
    params = nj.init(key, sizes, dtype)
    return params, jax.random.normal(jax.random.fold_in(key, 1), (batch, sizes[0]), dtype)


def close(a, b, tolerance=1e-9):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(y).max(initial=0))))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [SIZES[0], SIZES[1]])
def test_check_grads_of_every_activation(activation, sizes):
    assert len(ACTIVATIONS) == 17
    params, x = data(sizes, 5)
    f = lambda p, x: nj.mlp(p, x, sizes=sizes, activation=activation)
    check_grads(f, (params, x), order=1, modes=["rev"], atol=1e-5, rtol=1e-5, eps=1e-6)
    close(f(params, x), plain(params, x, sizes, activation))


@pytest.mark.parametrize("dtype, tolerance", [(jnp.float32, 2e-4), (jnp.float64, 1e-9)])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("batch", [1, 33, 130])
def test_gradients_are_jaxs(sizes, batch, dtype, tolerance):
    params, x = data(sizes, batch, dtype)
    loss = lambda f: lambda p, x: (f(p, x) ** 2).mean()
    ours = loss(lambda p, x: nj.mlp(p, x, sizes=sizes, activation="tanh"))
    theirs = loss(lambda p, x: plain(p, x, sizes, "tanh"))
    for argnums in (0, 1, (0, 1)):
        close(jax.grad(ours, argnums)(params, x), jax.grad(theirs, argnums)(params, x), tolerance)
        close(
            jax.jit(jax.value_and_grad(ours, argnums))(params, x),
            jax.value_and_grad(theirs, argnums)(params, x),
            tolerance,
        )


def test_an_empty_batch():
    params, x = data((3, 4, 2), 0)
    assert nj.mlp(params, x, sizes=(3, 4, 2)).shape == (0, 2)
    grads = jax.grad(lambda p: nj.mlp(p, x, sizes=(3, 4, 2)).sum())(params)
    assert not grads.any()


def test_vmap_over_nothing():
    params, x = data((3, 4, 2), 5)
    f = lambda p, x: nj.mlp(p, x, sizes=(3, 4, 2))
    grad = jax.grad(lambda p, x: f(p, x).sum())
    none, no_params = jnp.zeros((0, *x.shape)), jnp.zeros((0, *params.shape))
    for of, axes in (((params, none), (None, 0)), ((no_params, x), (0, None)), ((no_params, none), 0)):
        assert jax.vmap(f, axes)(*of).shape == (0, 5, 2)
        assert jax.vmap(grad, axes)(*of).shape == (0, *params.shape)


def test_vmap_in_every_way():
    sizes, n = (3, 6, 2), 4
    params, _ = data(sizes, 1)
    many = jnp.stack([params, 2 * params, -params, params + 1])
    xs = jax.random.normal(jax.random.key(5), (n, 5, 3), jnp.float64)
    ours = lambda p, x: nj.mlp(p, x, sizes=sizes, activation="tanh")
    theirs = lambda p, x: plain(p, x, sizes, "tanh")
    square = lambda f: lambda p, x: (f(p, x) ** 2).sum()
    for transform in (
        lambda f: jax.vmap(f, (None, 0))(params, xs),
        lambda f: jax.vmap(f, (None, 1))(params, xs.transpose(1, 0, 2)),
        lambda f: jax.vmap(f, (0, None))(many, xs[0]),
        lambda f: jax.vmap(f)(many, xs),
        lambda f: jax.vmap(jax.grad(square(f), (0, 1)), (None, 0))(params, xs),
        lambda f: jax.vmap(jax.grad(square(f), (0, 1)), (0, None))(many, xs[0]),
        lambda f: jax.vmap(jax.grad(square(f), (0, 1)))(many, xs),
        lambda f: jax.grad(lambda p: jax.vmap(square(f), (None, 0))(p, xs).sum())(params),
        lambda f: jax.vmap(jax.vmap(f, (None, 0)), (0, None))(many, xs),
        lambda f: jax.vmap(jax.vmap(jax.grad(square(f)), (None, 0)), (0, None))(many, xs),
        lambda f: jax.vmap(jax.vmap(f, (None, 0)), (None, 0))(params, jnp.stack([xs, 2 * xs])),
        lambda f: jax.jacrev(f)(params, xs[0]),
        lambda f: jax.jit(jax.vmap(f, (None, 0)))(params, xs),
    ):
        close(transform(ours), transform(theirs))


def test_scan_with_donated_parameters():
    sizes = (3, 8, 1)
    params, x = data(sizes, 32)
    y = jnp.sin(x.sum(1, keepdims=True))

    def trained(f):
        loss = lambda p: ((f(p, x) - y) ** 2).mean()

        def step(p, _):
            value, grads = jax.value_and_grad(loss)(p)
            return p - 0.1 * grads, value

        run = jax.jit(lambda p: jax.lax.scan(step, p, length=50), donate_argnums=0)
        given = params + 0
        done = run(given)
        assert given.is_deleted()
        return done

    ours = trained(lambda p, x: nj.mlp(p, x, sizes=sizes, activation="tanh"))
    close(ours, trained(lambda p, x: plain(p, x, sizes, "tanh")), 1e-7)
    assert ours[1][-1] < ours[1][0] / 2


def test_trees_of_parameters():
    sizes = (3, 6, 2)
    params, x = data(sizes, 5)
    layers = nj.unravel(params, sizes)
    assert [(w.shape, b.shape) for w, b in layers] == [((6, 3), (6,)), ((2, 6), (2,))]
    np.testing.assert_array_equal(nj.ravel(layers), params)
    loss = lambda p: (nj.mlp(p, x, sizes=sizes) ** 2).sum()
    close(nj.ravel(jax.grad(loss)(layers)), jax.grad(loss)(params), 0)


def test_shapes_and_layouts_of_x():
    sizes = (3, 6, 2)
    params, x = data(sizes, 12)
    f = jax.jit(lambda x: nj.mlp(params, x, sizes=sizes))
    expected = f(x)
    np.testing.assert_array_equal(f(x.reshape(3, 4, 3)).reshape(12, 2), expected)
    np.testing.assert_array_equal(f(x[0]), expected[0])
    np.testing.assert_array_equal(jax.jit(lambda t: nj.mlp(params, t.T, sizes=sizes))(x.T), expected)


def test_the_layout_is_that_of_numpy():
    sizes = (3, 6, 2)
    params, x = data(sizes, 5)
    mlp = nablas.Mlp(list(sizes), activation="tanh", dtype="float64")
    y = mlp.plan(5).forward(np.asarray(params), np.asarray(x))
    np.testing.assert_array_equal(nj.mlp(params, x, sizes=sizes, activation="tanh"), y)


def test_what_is_not_built_is_refused_in_words():
    sizes = (3, 6, 1)
    params, x = data(sizes, 5)
    f = lambda x: nj.mlp(params, x, sizes=sizes).sum()
    with pytest.raises(TypeError, match="can't apply forward-mode|custom_vjp"):
        jax.jvp(f, (x,), (x,))
    with pytest.raises(Exception, match="nablas.jax: the gradient of a gradient is not built"):
        jax.grad(lambda x: (jax.grad(f)(x) ** 2).sum())(x)


def test_what_does_not_fit_is_refused():
    sizes = (3, 6, 1)
    params, x = data(sizes, 5)
    for error, words, call in (
        (ValueError, r"params: expected shape \(31,\)", lambda: nj.mlp(params[1:], x, sizes=sizes)),
        (ValueError, r"x: expected shape \(..., 3\)", lambda: nj.mlp(params, x[:, :2], sizes=sizes)),
        (TypeError, "float32 or float64 for both", lambda: nj.mlp(params, x.astype("float32"), sizes=sizes)),
        (TypeError, "float32 or float64", lambda: nj.mlp(params.astype("float16"), x.astype("float16"), sizes=sizes)),
        (ValueError, "activation", lambda: nj.mlp(params, x, sizes=sizes, activation="relux")),
        (ValueError, "layers: expected at least one", lambda: nj.mlp(params[:0], x, sizes=(3,))),
        (ValueError, "layer 0", lambda: nj.mlp([(x, x)] * 2, x, sizes=sizes)),
        (ValueError, "of 2 layers, got 3", lambda: nj.mlp(nj.unravel(params, sizes) + [(x, x)], x, sizes=sizes)),
        (ValueError, "of 2 layers, got 1", lambda: nj.mlp(nj.unravel(params, sizes)[:1], x, sizes=sizes)),
        (TypeError, "layer 0: expected two arrays", lambda: nj.mlp([([[1.0]], [0.0])], x, sizes=(1, 1))),
        (TypeError, "layer 0: expected two arrays", lambda: nj.mlp([x], x, sizes=(1, 1))),
        (ValueError, "a layer's width", lambda: nj.mlp(params[:1], x[:, :0], sizes=(0, 1))),
    ):
        with pytest.raises(error, match=words):
            jax.jit(call)()


def test_handlers_refuse_calls_that_are_not_theirs():
    """What the library never sends: the handler must answer in words, not read past an end."""
    params, x = data((3, 6, 1), 5)
    call = lambda name, results, *args, **attributes: jax.ffi.ffi_call(name, results)(*args, **attributes)
    shape = lambda *dims: jax.ShapeDtypeStruct(dims, x.dtype)
    network = {"sizes": np.asarray((3, 6, 1)), "activations": "relu,identity"}
    for words, run in (
        ("attribute activations", lambda: call("nablas_mlp_forward", [shape(5, 1)], params, x)),
        ("expected 31 elements", lambda: call("nablas_mlp_forward", [shape(5, 1)], params[1:], x, **network)),
        ("x: missing", lambda: call("nablas_mlp_forward", [shape(5, 1)], params, **network)),
        ("5×1 matrix", lambda: call("nablas_mlp_forward", [shape(5, 2)], params, x, **network)),
        ("the state: expected", lambda: call("nablas_mlp_forward", [shape(5, 1), shape(3)], params, x, **network)),
        (
            "elements of float64",
            lambda: call("nablas_mlp_forward", [shape(5, 1)], params, x.astype("float32"), **network),
        ),
        ("float32 or float64", lambda: call("nablas_mlp_forward", [shape(5, 1)], params.astype("int32"), x, **network)),
        ("axes in front", lambda: call("nablas_mlp_forward", [shape(2, 5, 1)], params, x, **network)),
        (
            "the state: expected",
            lambda: call("nablas_mlp_backward", [shape(31)], params, x, params, x[:, :1], **network),
        ),
    ):
        with pytest.raises(Exception, match=words):
            jax.block_until_ready(run())


def test_other_platforms_are_refused_in_words():
    """The handler that they get, called here."""
    jax.ffi.register_ffi_target("nablas_test_elsewhere", nablas._nablas.xla_handlers()["elsewhere"], platform="cpu")
    params, x = data((3, 6, 1), 5)
    with pytest.raises(Exception, match="nablas.jax runs on CPUs alone"):
        jax.block_until_ready(
            jax.ffi.ffi_call("nablas_test_elsewhere", jax.ShapeDtypeStruct((5, 1), x.dtype))(params, x)
        )


def test_the_same_bits_on_any_number_of_threads():
    sizes = (64, 128, 64)
    params, x = data(sizes, 1000, jnp.float32)
    f = jax.jit(jax.value_and_grad(lambda p: (nj.mlp(p, x, sizes=sizes) ** 2).mean()))
    results = []
    for threads in (1, 2, 3):
        with nablas.num_threads(threads):
            results.append(jax.tree.map(np.asarray, f(params)))
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(results[0]), jax.tree.leaves(other)))


def test_many_calls_at_once():
    sizes = (16, 32, 4)
    params, _ = data(sizes, 1)
    xs = jax.random.normal(jax.random.key(2), (8, 200, 16), jnp.float64)
    both = jax.jit(lambda p: sum((nj.mlp(p, x, sizes=sizes) ** 2).sum() for x in xs))
    one = sum(float((plain(params, x, sizes, "relu") ** 2).sum()) for x in xs)
    for _ in range(10):
        np.testing.assert_allclose(both(params), one, rtol=1e-9)
