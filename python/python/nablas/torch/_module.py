"""The module: ordinary parameters, made as views of one flat buffer."""

from __future__ import annotations

from typing import Callable, Sequence

import torch
from torch import Tensor, nn

from nablas._network import Named, named
from nablas.torch._ops import mlp

_DTYPES = {torch.float32: "float32", torch.float64: "float64"}


def _dtype_name(dtype: torch.dtype) -> str:
    if dtype not in _DTYPES:
        raise TypeError(f"dtype: expected torch.float32 or torch.float64, got {dtype}")
    return _DTYPES[dtype]


class MLP(nn.Module):
    """A multi-layer perceptron whose forward and backward passes are one fused call each.

    sizes: n_0, …, n_L. activation: of all layers but the last, a name such as "relu" or "sin:30" or a
    `nablas.Activation`, or a list of all; output: of the last, "identity" if not given. dtype: torch.float32 or
    float64. The parameters are initialised as those of `nn.Linear`, which the layers are: `state_dict` has the keys of
    `nn.Sequential(Linear, activation, Linear, …)`, "0.weight", "0.bias", "2.weight", …, and loads what that has saved.
    Hooks of the layers inside are not run.

    forward(x [..., n_0]) -> [..., n_L]: `x` of the parameters' type, on the CPU, of any strides.

    Raises ValueError or TypeError for sizes, types and devices that do not fit.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Named | Sequence[Named] = "relu",
        output: Named | None = None,
        *,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        dtype = dtype or torch.get_default_dtype()
        activations = named(sizes, activation, output, _dtype_name(dtype))
        layers = zip(sizes, sizes[1:])
        modules = {str(2 * i): nn.Linear(n, m, dtype=dtype) for i, (n, m) in enumerate(layers)}
        self._build(modules, activations)

    def _build(self, modules: dict[str, nn.Linear], activations: str) -> None:
        """Takes the layers over, by name."""
        self._activations = activations
        for name, module in modules.items():
            self.add_module(name, module)
        self.flatten_parameters()

    @property
    def layers(self) -> list[nn.Linear]:
        """The layers, first to last."""
        return list(self._modules.values())  # type: ignore[arg-type]

    @property
    def sizes(self) -> list[int]:
        """n_0, …, n_L."""
        layers = self.layers
        return [layers[0].in_features, *(layer.out_features for layer in layers)]

    @property
    def param_len(self) -> int:
        """How many parameters there are, as an optimizer of nablas wants to know."""
        return sum(layer.out_features * (layer.in_features + 1) for layer in self.layers)

    @property
    def activations(self) -> list[str]:
        """Of each layer."""
        return self._activations.split(",")

    def flatten_parameters(self) -> None:
        """Lays the parameters into one buffer, if they do not lie so: each stays the `nn.Parameter` that it is.

        Parameters in shared memory stay there. What moves them calls it (`.to()`, `.double()`); after `copy.deepcopy`
        or `load_state_dict(assign=True)` it makes `train_step` need no copies again. Nothing else depends on it.
        """
        params = [p for layer in self.layers for p in (layer.weight, layer.bias)]
        # What has no memory of the CPU, or another type, is left as it is, and refused when it is called. What is
        # shared stays where other processes see it.
        dtype = params[0].dtype
        if dtype not in _DTYPES or any(
            p.device.type != "cpu" or type(p.data) is not Tensor or p.dtype != dtype for p in params
        ):
            return
        if any(p.is_shared() for p in params):
            return
        at, size = params[0].data_ptr(), params[0].element_size()
        for p in params:
            if p.data_ptr() != at or not p.is_contiguous():
                break
            at += p.numel() * size
        else:
            return
        flat = torch.cat([p.detach().reshape(-1) for p in params]).numpy()
        start = 0
        for p in params:
            # By way of NumPy each has a storage and a version counter of its own: autograd, `torch.compile` and
            # safetensors would else take them for views of one tensor.
            p.data = torch.from_numpy(flat[start : start + p.numel()].reshape(p.shape))
            start += p.numel()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MLP:
        super()._apply(fn, recurse)
        self.flatten_parameters()
        return self

    def _tensors(self) -> list[Tensor]:
        """W and b of each layer, as they are now."""
        tensors: list[Tensor] = []
        if not torch.compiler.is_compiling():
            try:
                for layer in self._modules.values():
                    # What `layer.weight` looks up, without the way there.
                    own = layer._parameters  # type: ignore[union-attr]
                    tensors += (own["weight"], own["bias"])  # type: ignore[arg-type]
                return tensors
            except KeyError:
                # A parametrisation has made properties of them.
                tensors = []
        for layer in self.layers:
            tensors += (layer.weight, layer.bias)
        return tensors

    def forward(self, x: Tensor) -> Tensor:
        """[..., n_L] of [..., n_0]."""
        params = self._tensors()
        if torch.is_autocast_enabled("cpu"):
            # Products in lower precision are not what this is for: types stay as they are.
            x = x.to(params[0].dtype)
        if x.dim() == 2:
            return mlp(x, params, self._activations)
        y = mlp(x.reshape(-1, x.shape[-1]), params, self._activations)
        return y.view(*x.shape[:-1], y.shape[-1])

    def extra_repr(self) -> str:
        return f"activations={self._activations}"


#: Modules whose activation takes no parameter, and its name.
_NAMES: dict[type[nn.Module], str] = {
    nn.Identity: "identity",
    nn.ReLU: "relu",
    nn.ReLU6: "clipped_relu:6",
    nn.SELU: "selu",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
    nn.SiLU: "silu",
    nn.Mish: "mish",
    nn.Hardswish: "hard_swish",
    nn.Softsign: "softsign",
}


#: Where a module has hooks.
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def _check_hooks(what: str, module: nn.Module) -> None:
    """Refuses a module with hooks, which would not run any more."""
    if any(getattr(module, hooks) for hooks in _HOOKS):
        raise ValueError(f"{what}: expected a module without hooks")


def _name(module: nn.Module) -> str:
    """The activation that a module is; a subclass may be anything."""
    if type(module) is nn.GELU:
        return "gelu" if module.approximate == "none" else "gelu_tanh"
    if type(module) is nn.LeakyReLU:
        return f"leaky_relu:{module.negative_slope}"
    if type(module) is nn.ELU:
        return f"elu:{module.alpha}"
    # Beyond its threshold it is the identity: from PyTorch's own on, 20, to within float32's rounding.
    if type(module) is nn.Softplus and module.beta == 1 and module.threshold >= 20:
        return "softplus"
    name = _NAMES.get(type(module))
    if name is None:
        raise ValueError(f"{module}: expected a layer or an activation that nablas has")
    return name


def from_sequential(module: nn.Sequential) -> MLP:
    """The `MLP` that computes what a `nn.Sequential` of `nn.Linear` and activations does, with its parameters.

    The parameters are the same objects, laid into one buffer, so that an optimizer that has them goes on; names stay,
    so that a `state_dict` fits both. Layers without an activation between them, `nn.Identity`, and dropout that drops
    nothing are understood.

    Raises ValueError for what it cannot convert, and says what that is: another module, a layer without a bias, two
    activations in a row, an activation before the first layer, an activation with a parameter that nablas has not,
    hooks of modules that would not run, a subclass, which may compute anything.
    """
    if type(module).forward is not nn.Sequential.forward:
        raise ValueError(f"{type(module).__name__}: expected a nn.Sequential")
    _check_hooks(type(module).__name__, module)
    modules: dict[str, nn.Linear] = {}
    activations: list[str] = []
    for name, child in module._modules.items():
        if child is None:
            continue
        _check_hooks(f"{name}: {child}", child)
        if type(child) is nn.Dropout and child.p == 0:
            continue
        if type(child) is nn.Linear:
            if child.bias is None:
                raise ValueError(f"{name}: {child}: expected a layer with a bias")
            modules[name] = child
            activations.append("identity")
            continue
        try:
            activation = _name(child)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if activation == "identity":
            continue
        if not activations or activations[-1] != "identity":
            raise ValueError(f"{name}: {child}: expected a layer before an activation")
        activations[-1] = activation
    if not activations:
        raise ValueError("expected at least one nn.Linear")
    made = MLP.__new__(MLP)
    nn.Module.__init__(made)
    layers = list(modules.values())
    sizes = [layers[0].in_features, *(layer.out_features for layer in layers)]
    for (name, layer), inputs in zip(modules.items(), sizes):
        if layer.in_features != inputs:
            raise ValueError(f"{name}: {layer}: expected {inputs} inputs, as the layer before has outputs")
    made._build(modules, named(sizes, activations, None, _dtype_name(layers[0].weight.dtype)))
    made.train(module.training)
    return made
