"""The function, its two foreign calls, and the forms that parameters have."""

from __future__ import annotations

import functools
import math
from typing import Any, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from nablas import _nablas
from nablas._network import STATE_ROWS, Named, named, state_of_rows

_handlers = _nablas.xla_handlers()
_elsewhere = _handlers.pop("elsewhere")
for _name, _handler in _handlers.items():
    jax.ffi.register_ffi_target(_name, _handler, platform="cpu")
    for _platform in ("CUDA", "ROCM"):
        jax.ffi.register_ffi_target(_name, _elsewhere, platform=_platform)


def param_len(sizes: Sequence[int]) -> int:
    """Parameters of a network of these sizes: W and b of every layer."""
    return sum(outputs * (inputs + 1) for inputs, outputs in zip(sizes, sizes[1:]))


def ravel(layers: Sequence[tuple[Any, Any]]) -> jax.Array:
    """The flat vector of [(W [n_1, n_0], b [n_1]), …]: each W by rows, and then its b. Differentiable."""
    return jnp.concatenate([jnp.ravel(part) for layer in layers for part in layer])


def unravel(params: jax.Array, sizes: Sequence[int]) -> list[tuple[jax.Array, jax.Array]]:
    """[(W [n_1, n_0], b [n_1]), …] of the flat vector. Differentiable."""
    layers, at = [], 0
    for inputs, outputs in zip(sizes, sizes[1:]):
        end = at + outputs * inputs
        layers.append((params[at:end].reshape(outputs, inputs), params[end : end + outputs]))
        at = end + outputs
    return layers


def init(key: jax.Array, sizes: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Flat parameters: W and b of a layer uniform within ±1/√n of the layer's n inputs."""
    layers = []
    for inputs, outputs in zip(sizes, sizes[1:]):
        key, of_w, of_b = jax.random.split(key, 3)
        bound = 1 / math.sqrt(inputs)
        w = jax.random.uniform(of_w, (outputs, inputs), dtype, -bound, bound)
        layers.append((w, jax.random.uniform(of_b, (outputs,), dtype, -bound, bound)))
    return ravel(layers)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3))
def _call(
    target: str, shapes: tuple[tuple[int, ...], ...], sizes: tuple[int, ...], activations: str, *operands: Any
) -> Any:
    """A foreign call: its results, which may not be differentiated any further."""
    results = [jax.ShapeDtypeStruct(shape, operands[0].dtype) for shape in shapes]
    call = jax.ffi.ffi_call(target, results, vmap_method="expand_dims")
    return call(*operands, sizes=np.asarray(sizes, np.int64), activations=activations)


def _refuse(*_: Any) -> Any:
    raise NotImplementedError(
        "nablas.jax: the gradient of a gradient is not built: differentiate once, or write this network in JAX"
    )


_call.defvjp(lambda *args: (_call(*args), None), _refuse)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _mlp(params: Any, x: Any, sizes: tuple[int, ...], activations: str) -> Any:
    return _call("nablas_mlp_forward", ((x.shape[0], sizes[-1]),), sizes, activations, params, x)[0]


def _mlp_forward(params: Any, x: Any, sizes: tuple[int, ...], activations: str) -> Any:
    batch = x.value.shape[0]
    state = -(-batch // STATE_ROWS) * state_of_rows(sizes, activations, str(x.value.dtype))
    shapes = (batch, sizes[-1]), (state,)
    y, kept = _call("nablas_mlp_forward", shapes, sizes, activations, params.value, x.value)
    # Whether ∂L/∂X is wanted: known here, while tracing, and part of the residual's structure.
    return y, (params.value, x.value, kept, () if x.perturbed else None)


def _mlp_backward(sizes: tuple[int, ...], activations: str, saved: Any, dy: Any) -> Any:
    params, x, kept, wanted = saved
    if isinstance(dy, jax.custom_derivatives.SymbolicZero):
        return None, None
    shapes = (params.shape,) if wanted is None else (params.shape, x.shape)
    grads, *dx = _call("nablas_mlp_backward", shapes, sizes, activations, params, x, kept, dy)
    return grads, dx[0] if dx else None


_mlp.defvjp(_mlp_forward, _mlp_backward, symbolic_zeros=True)


def _check_layers(layers: Sequence[Any], sizes: tuple[int, ...]) -> None:
    """Refuses what is not W and b of each layer."""
    if len(layers) != len(sizes) - 1:
        raise ValueError(f"params: expected W and b of {len(sizes) - 1} layers, got {len(layers)}")
    for i, layer in enumerate(layers):
        if not isinstance(layer, (list, tuple)) or len(layer) != 2 or not all(hasattr(p, "shape") for p in layer):
            raise TypeError(f"params: layer {i}: expected two arrays, W and b")
        expected, (w, b) = (sizes[i + 1], sizes[i]), layer
        if tuple(w.shape) != expected or tuple(b.shape) != expected[:1]:
            raise ValueError(
                f"params: layer {i}: expected W of {expected} and b of {expected[:1]}, got {w.shape}, {b.shape}"
            )


def mlp(
    params: Any,
    x: Any,
    *,
    sizes: Sequence[int],
    activation: Named | Sequence[Named] = "relu",
    output: Named | None = None,
) -> jax.Array:
    """A_L [..., n_L] of x [..., n_0].

    params: the flat vector [param_len(sizes)], as everywhere in nablas, or [(W, b), …], which are copied into one. x:
    of the same type, float32 or float64. sizes: n_0, …, n_L. activation: of all layers but the last, a name such as
    "relu" or "sin:30" or a `nablas.Activation`, or a list of all; output: of the last, "identity" if not given.

    Raises ValueError or TypeError for what does not fit, while tracing.
    """
    sizes = tuple(int(n) for n in sizes)
    if isinstance(params, (list, tuple)):
        _check_layers(params, sizes)
        params = ravel(params)
    params, x = jnp.asarray(params), jnp.asarray(x)
    if params.dtype != x.dtype or str(x.dtype) not in ("float32", "float64"):
        raise TypeError(f"params and x: expected float32 or float64 for both, got {params.dtype} and {x.dtype}")
    if params.shape != (param_len(sizes),):
        raise ValueError(f"params: expected shape ({param_len(sizes)},), got {params.shape}")
    if x.ndim < 1 or x.shape[-1] != sizes[0]:
        raise ValueError(f"x: expected shape (..., {sizes[0]}), got {x.shape}")
    activations = named(sizes, activation, output, str(x.dtype))
    y = _mlp(params, x.reshape(-1, sizes[0]), sizes, activations)
    return y.reshape(*x.shape[:-1], sizes[-1])
