"""Loops over batches, for those who don't write their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ._nablas import Loss, Optimizer, Plan


def batches(rows: int, batch: int, rng: np.random.Generator) -> Iterator[Any]:
    """The numbers of all rows in a new random order, in batches of at most `batch`."""
    order = rng.permutation(rows)
    for start in range(0, rows, batch):
        yield order[start : start + batch]


def fit(
    plan: Plan,
    params: Any,
    x: Any,
    loss: str | Loss,
    targets: Any,
    optimizer: Optimizer,
    *,
    epochs: int,
    seed: int = 0,
    clip: float | None = None,
    progress: bool = False,
) -> list[float]:
    """Trains for some epochs, in batches of `plan.batch` rows in random order, and gives the mean loss of each epoch.

    x: [rows, n_0]; targets: [rows, n_L] or a class for each row; params and optimizer are changed in place. progress:
    show a bar, if `tqdm` is there.
    """
    rng, losses = np.random.default_rng(seed), []
    for _ in _progress(range(epochs), progress):
        total = 0.0
        for rows in batches(len(x), plan.batch, rng):
            total += plan.train_step(params, x[rows], loss, targets[rows], optimizer, clip=clip).loss * len(rows)
        losses.append(total / max(len(x), 1))
    return losses


def _progress(steps: range, wanted: bool) -> Iterable[int]:
    """The steps, with a bar if it is wanted and `tqdm` is there."""
    if not wanted:
        return steps
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return steps
    bar: Iterable[int] = tqdm(steps)
    return bar
