#!/usr/bin/env python3
"""Gradients of random networks: nablas through its C library, against JAX in float64.

For each network, of random depth, widths, batch, activations and loss, the outputs, dX and the gradient of a random
cotangent, and the value and gradient of a loss are compared, an array at a time: the largest difference over the largest
magnitude in the array. Prints the largest of all; the exit status is 1 if it is above the bound.

    jax_gradients.py LIBRARY [NETWORKS]
"""

import ctypes
import sys
from ctypes import POINTER, byref, c_double, c_int32, c_size_t, c_uint32, c_void_p

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
# Each network is compiled and run once.
jax.config.update("jax_disable_most_optimizations", True)

# The roundings of a few hundred terms, through a handful of layers that amplify them.
BOUND = 1e-11

ACTIVATIONS = [
    lambda z, p: z,
    lambda z, p: jax.nn.relu(z),
    lambda z, p: jnp.where(z > 0, z, p * z),
    lambda z, p: jnp.clip(z, 0.0, p),
    lambda z, p: jax.nn.elu(z, p),
    lambda z, p: jax.nn.selu(z),
    lambda z, p: jax.nn.sigmoid(z),
    lambda z, p: jnp.tanh(z),
    lambda z, p: jax.nn.softplus(z),
    lambda z, p: jax.nn.silu(z),
    lambda z, p: jax.nn.gelu(z, approximate=False),
    lambda z, p: jax.nn.gelu(z, approximate=True),
    lambda z, p: jax.nn.mish(z),
    lambda z, p: jax.nn.hard_swish(z),
    lambda z, p: jnp.exp(z),
    lambda z, p: jnp.sin(p * z),
    lambda z, p: jax.nn.soft_sign(z),
]
EXP = 14
LOSSES = [
    lambda y, t, p: (y - t) ** 2,
    lambda y, t, p: jnp.abs(y - t),
    lambda y, t, p: jnp.where(jnp.abs(y - t) <= p, 0.5 * (y - t) ** 2, p * (jnp.abs(y - t) - 0.5 * p)),
    lambda y, t, p: jnp.logaddexp(0.0, y) - t * y,
    lambda y, t, p: -t * jax.nn.log_softmax(y, axis=1),
]
SOFTMAX = 4


class Library:
    """The functions of double that are called, every failure an exception."""

    def __init__(self, path):
        self.lib = ctypes.CDLL(path)
        self.lib.nablas_last_error.restype = ctypes.c_char_p

    def call(self, name, *arguments):
        if status := getattr(self.lib, name)(*arguments):
            raise RuntimeError(f"{name}: {status}: {self.lib.nablas_last_error().decode()}")


def doubles(array):
    return None if array is None else array.ctypes.data_as(POINTER(c_double))


class Network:
    """A random network with all that its calls take."""

    def __init__(self, rng):
        deep = int(rng.integers(1, 6))
        widest = int(rng.choice([8, 40, 120]))
        self.widths = [int(rng.integers(1, widest + 1)) for _ in range(deep + 1)]
        if rng.random() < 0.05:
            # More parameters than stay in cache.
            self.widths = [int(rng.integers(1, 30)), 640, 420, int(rng.integers(1, 30))]
        layers = len(self.widths) - 1
        self.acts = [int(a) for a in rng.integers(0, len(ACTIVATIONS), layers)]
        # The exponential of an exponential is no number.
        self.acts = [7 if a == EXP and l > 0 and EXP in self.acts[:l] else a for l, a in enumerate(self.acts)]
        self.parameters = rng.uniform(0.1, 3.0, layers)
        self.batch = int(rng.integers(1, 200))
        self.loss = int(rng.integers(0, len(LOSSES)))
        self.of_loss = float(rng.uniform(0.1, 2.0))
        self.mean = int(rng.integers(0, 2))
        self.params = []
        for n, m in zip(self.widths, self.widths[1:]):
            self.params.append((rng.normal(size=(m, n)) / np.sqrt(n), rng.normal(size=m) / 2))
        outputs = (self.batch, self.widths[-1])
        self.x = rng.normal(size=(self.batch, self.widths[0]))
        self.dy = rng.normal(size=outputs)
        self.targets = rng.uniform(0.0, 1.0, outputs)
        self.classes = None
        if self.loss == SOFTMAX and rng.random() < 0.5:
            self.classes = rng.integers(0, outputs[1], self.batch).astype(np.uint32)
            self.targets = np.eye(outputs[1])[self.classes]
        elif self.loss == SOFTMAX:
            self.targets /= self.targets.sum(axis=1, keepdims=True)

    def describe(self):
        return f"{self.widths}, activations {self.acts}, batch {self.batch}, loss {self.loss}"

    def by_jax(self):
        def outputs(params, x):
            for (w, b), act, p in zip(params, self.acts, self.parameters):
                x = ACTIVATIONS[act](x @ w.T + b, p)
            return x

        def loss(params, x, targets):
            each = LOSSES[self.loss](outputs(params, x), targets, self.of_loss)
            divisor = each.shape[0] if self.loss == SOFTMAX else each.size
            return each.sum() / (divisor if self.mean else 1)

        @jax.jit
        def everything(params, x, dy, targets):
            y, pull = jax.vjp(outputs, params, x)
            value, of_loss = jax.value_and_grad(loss)(params, x, targets)
            return y, *pull(dy), value, of_loss

        y, grads, dx, value, of_loss = everything(self.params, self.x, self.dy, self.targets)
        return [("Y", y), *named("gradient", grads), ("dX", dx), ("loss", value), *named("loss' gradient", of_loss)]

    def by_nablas(self, nablas):
        layers, n, m = len(self.acts), self.widths[0], self.widths[-1]
        mlp, plan, length, size = c_void_p(), c_void_p(), c_size_t(), c_size_t()
        nablas.call(
            "nablas_dmlp_create", c_size_t(layers), (c_size_t * (layers + 1))(*self.widths),
            (c_int32 * layers)(*self.acts), doubles(self.parameters), byref(mlp),
        )
        nablas.call("nablas_dmlp_param_len", mlp, byref(length))
        nablas.call("nablas_dplan_create", mlp, c_size_t(self.batch), None, byref(plan))
        nablas.call("nablas_dplan_workspace_size", plan, byref(size))
        work = ctypes.create_string_buffer(size.value)
        nablas.call("nablas_dplan_workspace_init", plan, work, size)
        params = np.concatenate([part.ravel() for layer in self.params for part in layer])
        assert params.size == length.value
        y, grads, dx = np.full((self.batch, m), np.nan), np.full_like(params, np.nan), np.full((self.batch, n), np.nan)
        batch, ldx, ldy = c_size_t(self.batch), c_size_t(n), c_size_t(m)
        nablas.call(
            "nablas_dplan_vjp", plan, batch, doubles(params), doubles(self.x), ldx, doubles(self.dy), ldy,
            doubles(y), ldy, doubles(grads), doubles(dx), ldx, work, size,
        )
        value, of_loss = c_double(), np.full_like(params, np.nan)
        targets = self.targets if self.classes is None else None
        classes = None if self.classes is None else self.classes.ctypes.data_as(POINTER(c_uint32))
        nablas.call(
            "nablas_dplan_value_and_grad", plan, batch, doubles(params), doubles(self.x), ldx, c_int32(self.loss),
            c_double(self.of_loss), c_int32(self.mean), doubles(targets), ldy, classes, byref(value),
            doubles(of_loss), work, size,
        )
        nablas.lib.nablas_dplan_destroy(plan)
        nablas.lib.nablas_dmlp_destroy(mlp)
        return [
            ("Y", y), *self.parts("gradient", grads), ("dX", dx), ("loss", value.value),
            *self.parts("loss' gradient", of_loss),
        ]

    def parts(self, what, flat):
        """W and b of each layer in a flat buffer."""
        found, at = [], 0
        for l, layer in enumerate(self.params):
            for name, like in zip("Wb", layer):
                found.append((f"{what} {name}{l + 1}", flat[at : at + like.size].reshape(like.shape)))
                at += like.size
        return found


def named(what, layers):
    return [(f"{what} {name}{l + 1}", part) for l, layer in enumerate(layers) for name, part in zip("Wb", layer)]


def difference(got, want):
    """The largest difference, over the largest magnitude; 0 of nothing but zeros."""
    got, want = np.asarray(got), np.asarray(want)
    largest, off = np.max(np.abs(want)), np.max(np.abs(got - want))
    if largest == 0:
        return float(off)
    return float(off / largest)


def main():
    nablas, count = Library(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 500
    rng = np.random.default_rng(20261128)
    worst, compared = (0.0, "nothing"), 0
    while compared < count:
        network = Network(rng)
        want = network.by_jax()
        if not all(np.all(np.isfinite(part)) for _, part in want):
            continue
        compared += 1
        for (what, a), (same, b) in zip(network.by_nablas(nablas), want, strict=True):
            assert what == same, (what, same)
            off = difference(a, b)
            # A NaN compares as no number does.
            if not off <= worst[0]:
                worst = (off, f"{what} of {network.describe()}")
        if compared % 100 == 0:
            print(f"{compared} networks: at most {worst[0]:.2e}", flush=True)
            jax.clear_caches()
    print(f"largest relative difference over {compared} networks: {worst[0]:.3e}, bound {BOUND:.0e}: {worst[1]}")
    return 0 if worst[0] <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
