"""The two operators, forward and backward, and the autograd function outside of them.

They take the list of parameters, W and b of each layer, wherever these lie. The state that the forward pass leaves for
the backward pass is an output of the one and an input of the other; its length follows from the batch by a formula, so
that tracers know it, too.
"""

from __future__ import annotations

from typing import Any, Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

from nablas import _nablas
from nablas._network import STATE_ROWS, state_of_rows

_library = torch.library.Library("nablas", "DEF")
_library.define("mlp_forward(Tensor x, Tensor[] params, str activations, bool keep) -> (Tensor, Tensor)")
_library.define(
    "mlp_backward(Tensor dy, Tensor x, Tensor[] params, Tensor kept, str activations, bool need_dx) -> (Tensor, Tensor)"
)
# With zeros where the state has gaps: an operator's outputs are the same whenever its inputs are.
_library.impl("mlp_forward", lambda *args: _nablas.torch_forward(*args, True), "CPU")
_library.impl("mlp_backward", _nablas.torch_backward, "CPU")

forward_op = torch.ops.nablas.mlp_forward.default
backward_op = torch.ops.nablas.mlp_backward.default


def _state_len(batch: Any, params: Sequence[Tensor], activations: str) -> Any:
    """Elements of the state of a batch, which may be a symbol."""
    widths = (int(params[0].shape[1]), *(int(b.shape[0]) for b in params[1::2]))
    dtype = "float64" if params[0].dtype == torch.float64 else "float32"
    return (batch + (STATE_ROWS - 1)) // STATE_ROWS * state_of_rows(widths, activations, dtype)


@torch.library.register_fake("nablas::mlp_forward", lib=_library)
def _(x: Tensor, params: list[Tensor], activations: str, keep: bool) -> tuple[Tensor, Tensor]:
    length = _state_len(x.shape[0], params, activations) if keep else 0
    return x.new_empty((x.shape[0], params[-1].shape[0])), x.new_empty((length,))


@torch.library.register_fake("nablas::mlp_backward", lib=_library)
def _(
    dy: Tensor, x: Tensor, params: list[Tensor], kept: Tensor, activations: str, need_dx: bool
) -> tuple[Tensor, Tensor]:
    return x.new_empty((sum(p.numel() for p in params),)), x.new_empty(x.shape if need_dx else (0,))


def _each(size: int, dims: Sequence[Any], args: Sequence[Any]) -> list[list[Any]]:
    """The arguments of each index of the axes that `vmap` maps over; of lists, each one's."""

    def pick(arg: Any, dim: Any, i: int) -> Any:
        if isinstance(arg, (list, tuple)):
            return [pick(a, d, i) for a, d in zip(arg, dim if isinstance(dim, (list, tuple)) else [dim] * len(arg))]
        return arg if dim is None else arg.select(dim, i)

    return [[pick(a, d, i) for a, d in zip(args, dims)] for i in range(size)]


def _mapped(dim: Any) -> bool:
    return any(d is not None for d in dim) if isinstance(dim, (list, tuple)) else dim is not None


def _forward_vmap(info: Any, dims: Any, x: Tensor, params: list[Tensor], activations: str, keep: bool) -> Any:
    if not keep and not _mapped(dims[1]):
        # Shared parameters, and no state: one larger batch.
        x = x.movedim(dims[0], 0)
        y, kept = forward_op(x.flatten(0, 1), params, activations, False)
        return (y.unflatten(0, x.shape[:2]), kept), (0, None)
    calls = _each(info.batch_size, dims, (x, params, activations, keep))
    y, kept = zip(*(forward_op(*call) for call in calls))
    return (torch.stack(y), torch.stack(kept)), (0, 0)


def _backward_vmap(info: Any, dims: Any, *args: Any) -> Any:
    grads, dx = zip(*(backward_op(*call) for call in _each(info.batch_size, dims, args)))
    return (torch.stack(grads), torch.stack(dx)), (0, 0)


torch.library.register_vmap("nablas::mlp_forward", _forward_vmap, lib=_library)
torch.library.register_vmap("nablas::mlp_backward", _backward_vmap, lib=_library)


def _parts(grads: Tensor, params: Sequence[Tensor]) -> list[Tensor]:
    """The flat gradient as one tensor for each parameter, views of it."""
    parts = grads.split([p.numel() for p in params])
    return [part if p.dim() == 1 else part.view(p.shape) for part, p in zip(parts, params)]


class _Gradient(torch.autograd.Function):
    """The backward pass where it may be differentiated again, which is refused when that happens."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        dy: Tensor, x: Tensor, kept: Tensor, activations: str, need_dx: bool, *params: Tensor
    ) -> tuple[Tensor, Tensor]:
        return backward_op(dy, x, list(params), kept, activations, need_dx)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise RuntimeError(
            "nablas.torch: the gradient of a gradient is not built: differentiate once, "
            "or use torch.nn for this network"
        )


class Traced(torch.autograd.Function):
    """The network where something looks on: `torch.compile`, `torch.func`, a dispatch mode."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, activations: str, *params: Tensor) -> tuple[Tensor, Tensor]:
        return forward_op(x, list(params), activations, True)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, activations, *params = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(x, output[1], *params)
        ctx.activations = activations

    @staticmethod
    def backward(ctx: Any, dy: Tensor, _: Any) -> Any:
        x, kept, *params = ctx.saved_tensors
        need_dx = ctx.needs_input_grad[0]
        if torch.is_grad_enabled():
            grads, dx = _Gradient.apply(dy, x, kept, ctx.activations, need_dx, *params)
        else:
            grads, dx = backward_op(dy, x, params, kept, ctx.activations, need_dx)
        return dx if need_dx else None, None, *_parts(grads, params)


class Eager(torch.autograd.Function):
    """The network where nothing does: the operators' functions themselves, without the dispatcher between."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, activations: str, *params: Tensor) -> Tensor:  # type: ignore[override]
        y, kept = _nablas.torch_forward(x, params, activations, True)
        ctx.save_for_backward(x, kept, *params)
        ctx.activations = activations
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:  # type: ignore[override]
        x, kept, *params = ctx.saved_tensors
        need_dx = ctx.needs_input_grad[0]
        if torch.is_grad_enabled():
            grads, dx = _Gradient.apply(dy, x, kept, ctx.activations, need_dx, *params)
            return dx if need_dx else None, None, *_parts(grads, params)
        grads, dx = _nablas.torch_gradients(dy, x, params, kept, ctx.activations, need_dx)
        return dx, None, *grads


def _watched(x: Tensor) -> bool:
    """Whether something looks on that must see the operators: a transform, a mode, a trace, a tensor of another
    class."""
    return (
        type(x) is not Tensor
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._get_tracing_state() is not None
    )


def mlp(x: Tensor, params: Sequence[Tensor], activations: str) -> Tensor:
    """Y = A_L [B, n_L] of X [B, n_0] and W [n_l, n_{l-1}] and b [n_l] of each layer in turn; all of one type, on the
    CPU.

    `activations`: of each layer, with commas between them. Differentiable once in x and all parameters.
    """
    grad = torch.is_grad_enabled() and (
        x.requires_grad or params[0].requires_grad or any(p.requires_grad for p in params)
    )
    if torch.compiler.is_compiling():
        if grad:
            return Traced.apply(x, activations, *params)[0]
        return forward_op(x, params, activations, False)[0]
    # Below 0 no level of forward mode is open.
    if forward_ad._current_level >= 0 and any(forward_ad.unpack_dual(t).tangent is not None for t in (x, *params)):
        raise NotImplementedError("nablas.torch: forward mode is not built: use torch.nn for this network")
    if _watched(x):
        # Tensors of a transform do not say whether one outside of it differentiates.
        if torch.is_grad_enabled():
            return Traced.apply(x, activations, *params)[0]
        return forward_op(x, params, activations, False)[0]
    if grad:
        return Eager.apply(x, activations, *params)
    return _nablas.torch_forward(x, params, activations, False)[0]
