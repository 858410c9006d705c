"""∇BLAS: a BLAS for the backward pass, in NumPy.

    import nablas

    mlp = nablas.Mlp([64, 128, 10], activation="relu")
    params, plan = mlp.init("he_normal", seed=1), mlp.plan(32)
    adam = nablas.Adam(mlp)
    for x, classes in batches:
        loss = plan.train_step(params, x, "softmax_cross_entropy", classes, adam).loss

Words: B rows in a batch; layer l maps n_{l-1} features to n_l; W_l is n_l × n_{l-1}; Z_l = A_{l-1}·W_lᵀ + b_l,
A_l = g_l(Z_l), A_0 = X. Arrays are NumPy's, or anything that has DLPack or the buffer protocol, of the network's type,
used where they lie. What is wrong is said by a ValueError or a TypeError, and then every output is as it was.

`nablas.torch`, `nablas.jax` and `nablas.sklearn` have the same for these libraries, and are imported on demand.
"""

from __future__ import annotations

from collections.abc import Iterator as _Iterator
from contextlib import contextmanager as _contextmanager
from typing import Any as _Any

from ._nablas import (
    Activation,
    Adam,
    AdamW,
    Dense,
    Kept,
    Loss,
    Mlp,
    Optimizer,
    PackedParams,
    Plan,
    Sgd,
    Trained,
    __version__,
    clip_by_global_norm,
    config,
    _set_threads,
    get_num_threads,
    set_num_threads,
)
from ._training import batches, fit

__all__ = [
    "Activation",
    "Adam",
    "AdamW",
    "Dense",
    "Kept",
    "Loss",
    "Mlp",
    "Optimizer",
    "PackedParams",
    "Plan",
    "Sgd",
    "Trained",
    "__version__",
    "batches",
    "clip_by_global_norm",
    "config",
    "fit",
    "get_num_threads",
    "jacobian",
    "num_threads",
    "set_num_threads",
    "show_config",
]


@_contextmanager
def num_threads(threads: int) -> _Iterator[None]:
    """`set_num_threads(threads)` within a `with` block."""
    before = _set_threads()
    set_num_threads(threads)
    try:
        yield
    finally:
        set_num_threads(before)


def jacobian(mlp: Mlp, params: _Any, x: _Any) -> _Any:
    """∂A_L/∂X [n_L, n_0] at one sample x [n_0], row by row from vector-Jacobian products: to learn and to test with."""
    return mlp.plan(mlp.sizes[-1], threads=1).jacobian(params, x)


def show_config() -> None:
    """Prints what the library is and runs on."""
    for name, value in config().items():
        print(f"{name:11} {value if not isinstance(value, list) else ' '.join(value)}")
