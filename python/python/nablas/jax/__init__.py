"""nablas in JAX: a network of dense layers as one function, forward and backward fused calls, by XLA's foreign
functions.

    >>> sizes = (64, 128, 10)
    >>> params = nablas.jax.init(jax.random.key(0), sizes)
    >>> y = nablas.jax.mlp(params, x, sizes=sizes, activation="tanh")

Works under `jit`, `grad`, `vmap`, `scan` and with donated buffers, on CPUs. Reverse mode, once: `jvp` and gradients of
gradients are not built.
"""

from nablas.jax._mlp import init, mlp, param_len, ravel, unravel

__all__ = ["init", "mlp", "param_len", "ravel", "unravel"]
