"""A whole training step in one call."""

from __future__ import annotations

import torch
from torch import Tensor

from nablas import Loss, _nablas
from nablas.torch._module import MLP


def train_step(
    module: MLP,
    x: Tensor,
    y: Tensor,
    loss: str | Loss,
    optimizer: _nablas.Optimizer,
    *,
    clip: float | None = None,
) -> float:
    """One step: the loss and its gradient at the parameters, which `optimizer` then moves in place. The loss.

    x: [B, n_0]; y: [B, n_L] of the same type, or [B] of int64, classes, for "softmax_cross_entropy". loss: a name, for
    the mean, or a `nablas.Loss`. optimizer: `nablas.Sgd`, `Adam` or `AdamW`, made for as many parameters and of the
    same type; another is a TypeError. clip: the gradient is first made no longer than that; if its norm is ∞ or NaN,
    nothing is stepped.

    It has the bits of the forward pass, the gradient and the step in turn. No `.grad` is read or written, and nothing
    enters autograd's graph; graphs that have saved the parameters notice that these have changed. All parameters are
    stepped: one that does not require a gradient is a ValueError, and so is one that is computed from others, as of a
    parametrised layer.
    """
    if not isinstance(optimizer, _nablas.Optimizer):
        kind = f"{type(optimizer).__module__}.{type(optimizer).__qualname__}"
        raise TypeError(f"optimizer: expected nablas.Sgd, nablas.Adam or nablas.AdamW, got {kind}")
    params = module._tensors()
    for p in params:
        if not p.requires_grad:
            raise ValueError("train_step: a parameter does not require a gradient, but all are stepped")
        if not p.is_leaf:
            raise ValueError("train_step: a parameter is computed from others, which would not be stepped")
    value, _, _ = _nablas.torch_train_step(params, x, y, module._activations, loss, optimizer, clip)
    torch.autograd.graph.increment_version(params)
    return value
