"""A network as the frameworks' calls name it."""

from __future__ import annotations

import functools
from typing import Sequence

import numpy as np

from ._nablas import Activation, Mlp, state_block

#: What names an activation.
Named = str | Activation

#: Rows that the state of a batch is measured in.
STATE_ROWS = 16


@functools.lru_cache(maxsize=256)
def _named(sizes: tuple[int, ...], activation: Named | tuple[Named, ...], output: Named | None, dtype: str) -> str:
    mlp = Mlp(sizes, activation if isinstance(activation, (str, Activation)) else list(activation), output, dtype=dtype)
    number = np.dtype(dtype).type
    # The shortest number of the type: 0.01, and not what it is in float64.
    names = (a.name if a.parameter is None else f"{a.name}:{number(a.parameter)!s}" for a in mlp.activations)
    return ",".join(names)


def named(sizes: Sequence[int], activation: Named | Sequence[Named], output: Named | None, dtype: str) -> str:
    """The activations of a network's layers, with commas between them. A ValueError for what is no network."""
    given = activation if isinstance(activation, (str, Activation)) else tuple(activation)
    return _named(tuple(int(n) for n in sizes), given, output, dtype)


@functools.lru_cache(maxsize=256)
def state_of_rows(sizes: tuple[int, ...], activations: str, dtype: str) -> int:
    """Elements of the state of `STATE_ROWS` rows."""
    return state_block(list(sizes), activations, dtype)
