"""`nablas.torch` against PyTorch itself: values, gradients, and everything that rebinds, traces or watches tensors."""

import copy
import io
import math
import threading

import numpy as np
import pytest

import torch
from torch import nn

import nablas
import nablas.torch as nt
from nablas.torch import _ops

ACTIVATIONS = [
    "identity", "relu", "leaky_relu:0.1", "clipped_relu:0.7", "elu:1.5", "selu", "sigmoid", "tanh", "softplus", "silu",
    "gelu", "gelu_tanh", "mish", "hard_swish", "exp", "sin:3", "softsign",
]  # fmt: skip
#: One of each path: fused, narrow, layered.
SIZES = [[16, 64, 48, 8], [2, 20, 20, 1], [300, 700, 300]]


def twins(sizes, activation=nn.Tanh, dtype=torch.float32, seed=0):
    """A `nn.Sequential`, and the `MLP` of a copy of it."""
    torch.manual_seed(seed)
    modules = []
    for i, (n, m) in enumerate(zip(sizes, sizes[1:])):
        modules += [nn.Linear(n, m, dtype=dtype)] + ([activation()] if i < len(sizes) - 2 else [])
    theirs = nn.Sequential(*modules)
    return theirs, nt.from_sequential(copy.deepcopy(theirs))


def step(module, x, weight):
    """Y, ∂L/∂X and the gradients, of a loss that is Y against weights."""
    x = x.detach().clone().requires_grad_()
    y = module(x)
    module.zero_grad()
    (y * weight).sum().backward()
    return [y.detach(), x.grad] + [p.grad for p in module.parameters()]


def close(ours, theirs, tolerance=2e-5):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * max([1.0, *b.abs().flatten().tolist()]))


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("batch", [0, 1, 5, 33, 130])
def test_values_and_gradients_are_those_of_sequential(sizes, batch):
    theirs, ours = twins(sizes)
    x, weight = torch.randn(batch, sizes[0]), torch.randn(batch, sizes[-1])
    close(step(ours, x, weight), step(theirs, x, weight))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradcheck_of_every_activation(name):
    assert len(ACTIVATIONS) == 17
    torch.manual_seed(1)
    for sizes in ([3, 5, 4, 2], [17, 16, 3]):
        net = nt.MLP(sizes, name, output=name, dtype=torch.float64)
        x = torch.randn(4, sizes[0], dtype=torch.float64, requires_grad=True)
        params = [p.detach().requires_grad_() for p in net._tensors()]
        activations = net._activations
        for function in (nt.mlp, lambda x, *_: _ops.Traced.apply(x, activations, *params)[0]):
            assert torch.autograd.gradcheck(lambda x, *p: function(x, p, activations), (x, *params), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", SIZES)
def test_operators_pass_opcheck(sizes, dtype):
    torch.manual_seed(2)
    params = nt.MLP(sizes, "silu", dtype=dtype)._tensors()
    names = ",".join(["silu"] * (len(sizes) - 2) + ["identity"])
    x = torch.randn(7, sizes[0], dtype=dtype)
    # A schema without autograd of its own: the function is outside of it.
    utils = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
    frozen = [p.detach() for p in params]
    for keep in (False, True):
        torch.library.opcheck(_ops.forward_op, (x, frozen, names, keep), test_utils=utils)
    y, kept = _ops.forward_op(x, frozen, names, True)
    for need_dx in (False, True):
        args = (torch.randn_like(y), x, frozen, kept, names, need_dx)
        torch.library.opcheck(_ops.backward_op, args, test_utils=utils)


def test_the_length_of_the_state_is_the_formula():
    for sizes in SIZES:
        params = nt.MLP(sizes, "relu")._tensors()
        names = ",".join(["relu"] * (len(sizes) - 2) + ["identity"])
        for batch in (0, 1, 15, 16, 17, 100):
            kept = _ops.forward_op(torch.zeros(batch, sizes[0]), params, names, True)[1]
            assert kept.numel() == _ops._state_len(batch, params, names)


@pytest.mark.parametrize("sizes", SIZES)
def test_strided_expanded_and_shaped_inputs(sizes):
    theirs, ours = twins(sizes)
    wide = torch.randn(6, 2 * sizes[0])
    for x in (wide[:, : sizes[0]], wide[:, ::2], wide[::2, : sizes[0]], torch.randn(sizes[0], 6).t()):
        assert torch.allclose(ours(x), theirs(x), atol=1e-4)
    same = torch.randn(1, sizes[0]).expand(5, -1)
    results = [step(ours, same, torch.ones(())), step(theirs, same, torch.ones(()))]
    close(*results, 1e-4)
    results = [torch.autograd.grad(net(same).sum(), list(net.parameters())) for net in (ours, theirs)]
    close(*results, 1e-4)
    for shape in ((sizes[0],), (2, 3, sizes[0])):
        x = torch.randn(shape)
        assert ours(x).shape == theirs(x).shape and torch.allclose(ours(x), theirs(x), atol=1e-4)
    x = torch.randn(5, sizes[0], requires_grad=True)
    ours(x).sum().backward()  # the cotangent is one number, expanded
    got = x.grad.clone()
    x.grad = None
    theirs(x).sum().backward()
    assert torch.allclose(got, x.grad, atol=1e-4)


def test_tensors_that_are_negated_lazily():
    """Such are the imaginary parts of conjugates: their memory has what they are the negatives of."""
    lazy = lambda *shape: torch.randn(*shape, dtype=torch.cfloat).conj().imag
    _, net = twins([3, 7, 1])
    tensors = lazy(5, 3), lazy(5, 1), lazy(5, 1), lazy(1, 3), lazy(1)
    assert all(t.is_neg() for t in tensors)

    def results(x, dy, y, weight, bias):
        with torch.no_grad():
            out = [net(x)]
        out += torch.autograd.grad(net(x), list(net.parameters()), dy)
        # A bias of one element lies together however long its stride is.
        out.append(nt.mlp(x, [weight, bias], "identity"))
        loss = nt.train_step(copy.deepcopy(net), x, y, "mse", nablas.Sgd(net.param_len, 0.1))
        return out + [torch.tensor(loss)]

    expected = results(*(t.resolve_neg() for t in tensors))
    assert all(torch.equal(a, b) for a, b in zip(results(*tensors), expected, strict=True))


def flat(module):
    """Whether the parameters lie in one buffer."""
    at, ok = module._tensors()[0].data_ptr(), True
    for p in module._tensors():
        ok, at = ok and p.data_ptr() == at, at + p.numel() * p.element_size()
    return ok


def test_parameters_are_ordinary_and_lie_together():
    _, net = twins([4, 8, 3])
    assert flat(net) and all(type(p) is nn.Parameter and p.is_leaf for p in net.parameters())
    assert [n for n, _ in net.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    versions = [p._version for p in net.parameters()]
    with torch.no_grad():
        net.layers[0].weight.add_(1)
    assert [p._version - v for p, v in zip(net.parameters(), versions)] == [1, 0, 0, 0]


def test_state_dicts_fit_both_ways():
    theirs, ours = twins([5, 7, 7, 2], seed=3)
    other_theirs, other_ours = twins([5, 7, 7, 2], seed=4)
    x = torch.randn(9, 5)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    other_ours.load_state_dict(theirs.state_dict())
    other_theirs.load_state_dict(ours.state_dict())
    assert torch.equal(other_ours(x), ours(x)) and torch.equal(other_theirs(x), theirs(x))
    assert flat(other_ours)
    built = nt.MLP([5, 7, 7, 2], "tanh")
    built.load_state_dict(theirs.state_dict())
    assert torch.equal(built(x), ours(x))


def test_whatever_rebinds_storage_leaves_results_right():
    theirs, ours = twins([5, 7, 2])
    x, weight = torch.randn(9, 5), torch.randn(9, 2)
    expected = step(ours, x, weight)
    # Loaded by assignment.
    assigned = nt.MLP([5, 7, 2], "tanh")
    assigned.load_state_dict({k: v.clone() for k, v in theirs.state_dict().items()}, assign=True)
    assert not flat(assigned)
    # A deep copy.
    copied = copy.deepcopy(ours)
    assert all(a.data_ptr() != b.data_ptr() for a, b in zip(copied.parameters(), ours.parameters()))
    # Pickled, and loaded again.
    buffer = io.BytesIO()
    torch.save(ours, buffer)
    buffer.seek(0)
    loaded = torch.load(buffer, weights_only=False)
    # Transposed memory.
    turned = copy.deepcopy(ours)
    turned.layers[0].weight.data = turned.layers[0].weight.detach().t().contiguous().t()
    # There and back again.
    moved = copy.deepcopy(ours).double().float()
    assert flat(moved)
    for net in (assigned, copied, loaded, turned, moved):
        for a, b in zip(step(net, x, weight), expected, strict=True):
            assert torch.equal(a, b)
    assigned.flatten_parameters()
    assert flat(assigned)
    close(step(copy.deepcopy(ours).double(), x.double(), weight.double()), [e.double() for e in expected])


def test_shared_parameters_stay_shared():
    _, net = twins([5, 7, 2])
    x = torch.randn(9, 5)
    expected = net(x)
    assert net.share_memory() is net and all(p.is_shared() for p in net.parameters())
    net.flatten_parameters()
    assert all(p.is_shared() for p in net.parameters()) and torch.equal(net(x), expected)


def test_a_parametrised_layer():
    theirs, ours = twins([5, 7, 2])
    x = torch.randn(9, 5)
    for net, layer in ((theirs, theirs[0]), (ours, ours.layers[0])):
        torch.manual_seed(5)
        torch.nn.utils.parametrizations.weight_norm(layer)
        with torch.no_grad():
            layer.parametrizations.weight.original0.mul_(2)
        net(x).square().sum().backward()
    assert torch.allclose(ours(x), theirs(x), atol=1e-5)
    assert torch.allclose(*(n.parametrizations.weight.original0.grad for n in (theirs[0], ours.layers[0])), atol=1e-3)


def test_a_layer_that_is_replaced():
    _, net = twins([5, 7, 2])
    net.add_module("0", nn.Linear(5, 7))
    expected = nn.Sequential(net.layers[0], nn.Tanh(), net.layers[1])
    x = torch.randn(9, 5)
    assert torch.allclose(net(x), expected(x), atol=1e-5)


def test_functional_call():
    theirs, ours = twins([5, 7, 2])
    x, params = torch.randn(9, 5), {k: torch.randn_like(v) for k, v in theirs.state_dict().items()}
    got = torch.func.functional_call(ours, params, (x,))
    assert torch.allclose(got, torch.func.functional_call(theirs, params, (x,)), atol=1e-5)
    assert flat(ours)


def test_safetensors(tmp_path):
    from safetensors.torch import load_file, load_model, save_file, save_model

    theirs, ours = twins([5, 7, 2])
    x = torch.randn(9, 5)
    save_file(ours.state_dict(), tmp_path / "a.safetensors")
    other = nt.MLP([5, 7, 2], "tanh")
    other.load_state_dict(load_file(tmp_path / "a.safetensors"), assign=True)
    assert torch.equal(other(x), ours(x))
    save_model(theirs, str(tmp_path / "b.safetensors"))
    another = nt.MLP([5, 7, 2], "tanh")
    load_model(another, str(tmp_path / "b.safetensors"))
    assert torch.equal(another(x), ours(x)) and flat(another)
    save_model(ours, str(tmp_path / "c.safetensors"))
    load_model(theirs, str(tmp_path / "c.safetensors"))
    assert torch.allclose(theirs(x), ours(x), atol=1e-5)


def test_no_grad_and_inference_keep_no_state():
    _, net = twins([5, 7, 2])
    x = torch.randn(9, 5)
    with torch.no_grad():
        y = net(x)
    assert not y.requires_grad and y.grad_fn is None and torch.equal(y, net(x))
    with torch.inference_mode():
        assert torch.equal(net(x), y)
    net.requires_grad_(False)
    assert not net(x).requires_grad
    x.requires_grad_()
    net(x).sum().backward()
    assert x.grad is not None and all(p.grad is None for p in net.parameters())


def test_partly_frozen():
    theirs, ours = twins([5, 7, 7, 2])
    for net in (theirs, ours):
        net[0].requires_grad_(False) if net is theirs else net.layers[0].requires_grad_(False)
    x = torch.randn(9, 5)
    ours(x).sum().backward()
    theirs(x).sum().backward()
    for a, b in zip(ours.parameters(), theirs.parameters()):
        assert (a.grad is None) == (b.grad is None) and (a.grad is None or torch.allclose(a.grad, b.grad, atol=1e-5))


def test_retain_graph_accumulation_and_a_changed_parameter():
    _, net = twins([5, 7, 2])
    x = torch.randn(9, 5)
    y = net(x).sum()
    y.backward(retain_graph=True)
    once = [p.grad.clone() for p in net.parameters()]
    y.backward()
    assert all(torch.equal(p.grad, 2 * g) for p, g in zip(net.parameters(), once))
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    y = net(x).sum()
    with torch.no_grad():
        net.layers[1].weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
    y = net(x).sum()
    nt.train_step(net, x, torch.zeros(9, 2), "mse", nablas.Sgd(net.param_len, 0.1))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_several_graphs_are_alive_at_once():
    theirs, ours = twins([5, 7, 5])
    x = torch.randn(9, 5)
    for net in (theirs, ours):
        (net(net(x)) + net(2 * x)).sum().backward()
    close([p.grad for p in ours.parameters()], [p.grad for p in theirs.parameters()])


def test_hooks():
    _, net = twins([5, 7, 2])
    seen = []
    net.register_forward_hook(lambda module, args, y: seen.append("forward"))
    net.register_full_backward_hook(lambda module, dx, dy: seen.append("backward"))
    net.layers[0].weight.register_hook(lambda g: 2 * g)
    net.layers[0].bias.register_post_accumulate_grad_hook(lambda p: seen.append("accumulated"))
    x = torch.randn(9, 5)
    net(x).sum().backward()
    doubled = net.layers[0].weight.grad.clone()
    assert sorted(seen) == ["accumulated", "backward", "forward"]
    clean = copy.deepcopy(net)
    clean.zero_grad()
    _, fresh = twins([5, 7, 2])
    fresh(x).sum().backward()
    assert torch.equal(doubled, 2 * fresh.layers[0].weight.grad)


def test_a_second_derivative_is_refused_in_words():
    _, net = twins([5, 7, 1])
    x = torch.randn(9, 5, requires_grad=True)
    (dx,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="the gradient of a gradient is not built"):
        dx.square().sum().backward()
    with pytest.raises(RuntimeError, match="the gradient of a gradient is not built"):
        torch.func.grad(lambda a: torch.func.grad(lambda b: net(b).sum())(a).square().sum())(x.detach())


def test_forward_mode_is_refused_in_words():
    _, net = twins([5, 7, 1])
    x, params = torch.randn(9, 5), {k: v.detach() for k, v in net.named_parameters()}
    for mode in (torch.no_grad, torch.enable_grad):
        with mode(), torch.autograd.forward_ad.dual_level():
            # Without a tangent, nothing is lost.
            assert net(x).shape == (9, 1)
            dual = lambda t: torch.autograd.forward_ad.make_dual(t, torch.ones_like(t))
            refused(NotImplementedError, "forward mode is not built", lambda: net(dual(x)))
            moved = {k: dual(v) for k, v in params.items()}
            refused(
                NotImplementedError, "forward mode is not built", lambda: torch.func.functional_call(net, moved, (x,))
            )
        with mode():
            refused(NotImplementedError, "forward mode is not built", lambda: torch.func.jvp(net, (x,), (x,)))


def test_anomaly_mode_and_saved_tensor_hooks():
    _, net = twins([5, 7, 2])
    x = torch.randn(9, 5)
    net(x).sum().backward()
    expected = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()

    def misaligned(t):
        """A copy that starts off a cache line."""
        room = torch.empty(t.numel() + 16, dtype=t.dtype)
        skip = 1 + (-room.data_ptr() // t.element_size()) % 16
        return room[skip : skip + t.numel()].copy_(t.reshape(-1)).view(t.shape)

    with torch.autograd.detect_anomaly(), torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), misaligned):
        net(x).sum().backward()
    assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), expected))


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile_in_one_graph(dynamic):
    torch._dynamo.reset()
    theirs, ours = twins([5, 7, 7, 2])

    @torch.compile(fullgraph=True, dynamic=dynamic, backend="aot_eager")
    def loss(x, y):
        return (ours(x) - y).square().mean()

    for batch in (8, 9, 21) if dynamic else (8,):
        x, y = torch.randn(batch, 5), torch.randn(batch, 2)
        ours.zero_grad()
        theirs.zero_grad()
        value = loss(x, y)
        value.backward()
        expected = (theirs(x) - y).square().mean()
        expected.backward()
        close(
            [value.detach()] + [p.grad for p in ours.parameters()],
            [expected.detach()] + [p.grad for p in theirs.parameters()],
        )


def test_compile_with_inductor():
    torch._dynamo.reset()
    theirs, ours = twins([5, 7, 2])
    x = torch.randn(8, 5)
    compiled = torch.compile(ours, fullgraph=True)
    compiled(x).square().sum().backward()
    theirs(x).square().sum().backward()
    close([p.grad for p in ours.parameters()], [p.grad for p in theirs.parameters()])
    with torch.no_grad():
        assert torch.allclose(compiled(x), theirs(x), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_a_trace_records_the_operators():
    _, net = twins([5, 7, 2])
    x = torch.randn(9, 5)
    with torch.no_grad():
        traced = torch.jit.trace(net, x)
        assert "nablas::mlp_forward" in str(traced.inlined_graph)
        for other in (x, torch.randn(9, 5), torch.randn(4, 5)):
            assert torch.equal(traced(other), net(other))


def test_func_transforms():
    theirs, ours = twins([3, 6, 2])
    x, params = torch.randn(4, 5, 3), {k: v.detach() for k, v in ours.named_parameters()}
    of = lambda net: lambda p, x: torch.func.functional_call(net, p, (x,))
    loss = lambda net: lambda p, x: of(net)(p, x).square().sum()
    tree = lambda f: [f(theirs), f(ours)]

    def same(f):
        a, b = tree(f)
        a, b = torch.utils._pytree.tree_leaves(a), torch.utils._pytree.tree_leaves(b)
        close(b, a)

    same(lambda net: torch.func.grad(loss(net))(params, x[0]))
    same(lambda net: torch.func.vjp(of(net), params, x[0])[1](torch.ones(5, 2)))
    same(lambda net: torch.func.vmap(of(net), (None, 0))(params, x))
    same(lambda net: torch.func.vmap(of(net), (None, 1), 1)(params, x.transpose(0, 1)))
    same(lambda net: torch.func.vmap(torch.func.grad(loss(net)), (None, 0))(params, x))
    same(lambda net: torch.func.jacrev(of(net))(params, x[0]))
    many = {k: torch.stack([v, 2 * v, -v, v + 1]) for k, v in params.items()}
    same(lambda net: torch.func.vmap(of(net))(many, x))
    same(lambda net: torch.func.vmap(torch.func.grad(loss(net)))(many, x))
    with torch.no_grad():
        same(lambda net: torch.func.vmap(net)(x))


def test_fake_and_meta_tensors():
    from torch._subclasses.fake_tensor import FakeTensorMode

    net = nt.MLP([3, 6, 2])
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        y = net(mode.from_tensor(torch.randn(4, 3)))
        assert y.shape == (4, 2)
    meta = nt.MLP([3, 6, 2]).to("meta")
    with pytest.raises(Exception, match="meta|memory|storage|CPU"):
        meta(torch.zeros(4, 3))


class Writes(torch.overrides.TorchFunctionMode):
    """A mode that writes into the arguments of what makes tensors."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.empty:
            done = function(*args, **kwargs)
            kwargs["dtype"] = torch.int8
            return done
        return function(*args, **(kwargs or {}))


def test_results_are_on_the_cpu_whatever_the_default_device_is():
    _, net = twins([5, 7, 2])
    x, weight = torch.randn(9, 5), torch.randn(9, 2)
    expected = step(net, x, weight)
    same = lambda: all(torch.equal(a, b) for a, b in zip(step(net, x, weight), expected, strict=True))
    for mode in (torch.device("meta"), Writes()):
        with mode:
            assert same()
        assert same()
    torch.set_default_device("meta")
    try:
        assert same()
    finally:
        torch.set_default_device(None)
    assert same()


def test_autocast_is_off():
    _, net = twins([5, 7, 2])
    x = torch.randn(9, 5)
    with torch.autocast("cpu", torch.bfloat16):
        y = net(x)
        assert y.dtype == torch.float32 and torch.equal(y, net(x))
        assert net(x.bfloat16()).dtype == torch.float32
    assert torch.equal(y, net(x))


def refused(error, words, call):
    with pytest.raises(error, match=words):
        call()


def test_what_does_not_fit_is_refused():
    _, net = twins([5, 7, 2])
    x = torch.randn(9, 5)
    refused(ValueError, "expected a 9×5 matrix, got 9×4", lambda: net(torch.randn(9, 4)))
    refused(TypeError, "float32, got float64|float64, got float32", lambda: net(x.double()))
    refused(TypeError, "float32 or float64", lambda: net(x.bfloat16()))
    refused(
        TypeError,
        "torch.Tensor",
        lambda: nablas._nablas.torch_forward(x.numpy(), net._tensors(), "tanh,identity", True),
    )
    for lower in (torch.bfloat16, torch.float16):
        there = copy.deepcopy(net).to(lower)
        assert all(p.dtype == lower for p in there.parameters())
        refused(TypeError, "float32 or float64", lambda: there(x))
        refused(TypeError, "float32 or float64", lambda: there(x.to(lower)))
        assert flat(there.float()) and torch.allclose(there(x), net(x), atol=0.1)
    refused(ValueError, "activation", lambda: nt.MLP([3, 2, 1], "relux"))
    refused(ValueError, "layer", lambda: nt.MLP([3]))
    refused(TypeError, "float16", lambda: nt.MLP([3, 2], dtype=torch.float16))
    refused(
        ValueError,
        "layer 1",
        lambda: nt.mlp(x, [torch.zeros(7, 5), torch.zeros(7), torch.zeros(2, 6), torch.zeros(2)], "relu,relu"),
    )
    y, kept = _ops.forward_op(x, net._tensors(), net._activations, True)
    refused(
        ValueError, "kept: expected", lambda: _ops.backward_op(y, x, net._tensors(), kept[1:], net._activations, True)
    )
    odd = np.frombuffer(bytearray(4 * 45 + 1), np.uint8)[1:].view(np.float32).reshape(9, 5)
    refused(ValueError, "aligned", lambda: net(torch.from_numpy(odd)))


SUBCLASSED = [nn.GELU, nn.LeakyReLU, nn.ELU, nn.Softplus, nn.ReLU]
HOOKS = [
    "register_forward_pre_hook", "register_forward_hook", "register_full_backward_pre_hook",
    "register_full_backward_hook",
]  # fmt: skip


def hooked(module, register):
    """The module with a hook."""
    getattr(module, register)(lambda *_: None)
    return module


def test_from_sequential_says_what_it_cannot():
    ok = nn.Sequential(
        nn.Linear(3, 4), nn.GELU("tanh"), nn.Identity(), nn.Dropout(0.0), nn.Linear(4, 4), nn.Linear(4, 2), nn.Sigmoid()
    )
    net, x = nt.from_sequential(ok), torch.randn(5, 3)
    assert net.activations == ["gelu_tanh", "identity", "sigmoid"] and torch.allclose(net(x), ok(x), atol=1e-6)
    assert set(net.state_dict()) == set(ok.state_dict())
    assert net.layers[0].weight is ok[0].weight
    for modules, words in (
        ([nn.Linear(3, 4), nn.BatchNorm1d(4)], "1: BatchNorm1d"),
        ([nn.Linear(3, 4, bias=False)], "with a bias"),
        ([nn.Tanh(), nn.Linear(3, 4)], "a layer before an activation"),
        ([nn.Linear(3, 4), nn.Tanh(), nn.Tanh()], "a layer before an activation"),
        ([nn.Linear(3, 4), nn.Dropout(0.5)], "1: Dropout"),
        ([nn.Linear(3, 4), nn.Softplus(beta=2)], "1: Softplus"),
        ([nn.Linear(3, 4), nn.Softplus(threshold=5)], "1: Softplus"),
        *(([nn.Linear(3, 4), type("Other", (kind,), {})()], "1: Other") for kind in SUBCLASSED),
        *(([hooked(nn.Linear(3, 4), hook), nn.Tanh()], "0: Linear.*without hooks") for hook in HOOKS),
        ([nn.Linear(3, 4), hooked(nn.Tanh(), HOOKS[0])], "1: Tanh.*without hooks"),
        ([], "at least one"),
    ):
        refused(ValueError, words, lambda: nt.from_sequential(nn.Sequential(*modules)))
    another = type("Another", (nn.Sequential,), {"forward": lambda self, x: 2 * super().forward(x)})
    refused(ValueError, "Another: expected a nn.Sequential", lambda: nt.from_sequential(another(nn.Linear(3, 4))))
    refused(ValueError, "without hooks", lambda: nt.from_sequential(hooked(nn.Sequential(nn.Linear(3, 4)), HOOKS[0])))


@pytest.mark.parametrize("module, name", [
    (nn.ReLU, "relu"), (nn.ReLU6, "clipped_relu:6.0"), (nn.SELU, "selu"), (nn.Sigmoid, "sigmoid"), (nn.Tanh, "tanh"),
    (nn.SiLU, "silu"), (nn.Mish, "mish"), (nn.Hardswish, "hard_swish"), (nn.Softsign, "softsign"), (nn.GELU, "gelu"),
    (nn.Softplus, "softplus"), (nn.ELU, "elu:1.0"), (nn.LeakyReLU, "leaky_relu:0.01"),
])  # fmt: skip
def test_every_module_is_the_activation_it_is_taken_for(module, name):
    theirs, ours = twins([5, 9, 9, 3], module)
    assert ours.activations == [name, name, "identity"]
    x, weight = 2 * torch.randn(40, 5), torch.randn(40, 3)
    close(step(ours, x, weight), step(theirs, x, weight), 5e-5)


LOSSES = {
    "mse": nn.functional.mse_loss,
    "l1": nn.functional.l1_loss,
    "huber": nn.functional.huber_loss,
    "bce_with_logits": nn.functional.binary_cross_entropy_with_logits,
    "softmax_cross_entropy": nn.functional.cross_entropy,
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_train_step_is_torchs(loss, optimizer):
    theirs, ours = twins([5, 16, 3], dtype=torch.float64)
    n = ours.param_len
    ours_by = {"sgd": nablas.Sgd(n, 0.05, momentum=0.9, dtype="float64"), "adam": nablas.Adam(n, 0.01, dtype="float64"),
               "adamw": nablas.AdamW(n, 0.01, dtype="float64")}[optimizer]  # fmt: skip
    theirs_by = {"sgd": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9), "adam": lambda p: torch.optim.Adam(p, 0.01),
                 "adamw": lambda p: torch.optim.AdamW(p, 0.01)}[optimizer](theirs.parameters())  # fmt: skip
    for i in range(5):
        x = torch.randn(20, 5, dtype=torch.float64)
        y = torch.randint(3, (20,)) if loss == "softmax_cross_entropy" else torch.rand(20, 3, dtype=torch.float64)
        clip = 0.1 if i % 2 else None
        value = nt.train_step(ours, x, y, loss, ours_by, clip=clip)
        expected = LOSSES[loss](theirs(x), y)
        theirs_by.zero_grad()
        expected.backward()
        if clip:
            nn.utils.clip_grad_norm_(theirs.parameters(), clip)
        theirs_by.step()
        assert math.isclose(value, expected.item(), rel_tol=1e-6)
    # PyTorch clips to the norm over the norm and a millionth.
    for a, b in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_train_step_wherever_parameters_lie():
    _, together = twins([5, 16, 3])
    apart = copy.deepcopy(together)
    assert flat(together) and not flat(apart)
    by = [nablas.Adam(together.param_len, 0.01) for _ in range(2)]
    for _ in range(3):
        x, y = torch.randn(20, 5), torch.randn(20, 3)
        assert nt.train_step(together, x, y, "mse", by[0]) == nt.train_step(apart, x, y, "mse", by[1])
    assert all(torch.equal(a, b) for a, b in zip(together.parameters(), apart.parameters())) and not flat(apart)


def test_train_step_refuses_and_leaves_all_as_it_was():
    _, net = twins([5, 16, 3])
    before = [p.detach().clone() for p in net.parameters()]
    x, y, adam = torch.randn(20, 5), torch.randn(20, 3), nablas.Adam(net.param_len, 0.01)
    step = nt.train_step
    refused(
        TypeError,
        "nablas.Sgd, nablas.Adam or nablas.AdamW, got torch",
        lambda: step(net, x, y, "mse", torch.optim.Adam(net.parameters())),
    )
    refused(TypeError, "optimizer", lambda: step(net, x, y, "mse", nablas.Adam(net.param_len, 0.01, dtype="float64")))
    refused(ValueError, "elements", lambda: step(net, x, y, "mse", nablas.Adam(net.param_len + 1, 0.01)))
    refused(ValueError, "unknown loss", lambda: step(net, x, y, "msee", adam))
    refused(ValueError, "expected a 20×3 matrix", lambda: step(net, x, y[:, :2], "mse", adam))
    refused(
        ValueError, "class below 3, got 3", lambda: step(net, x, torch.full((20,), 3), "softmax_cross_entropy", adam)
    )
    refused(ValueError, "row 0", lambda: step(net, x, torch.full((20,), -1), "softmax_cross_entropy", adam))
    refused(ValueError, "overlap", lambda: step(net, net.layers[0].weight.detach().view(16, 5), y[:16], "mse", adam))
    tied = copy.deepcopy(net)
    tied.layers[1].bias.data = tied.layers[0].bias.data[:3]
    refused(ValueError, "overlap", lambda: step(tied, x, y, "mse", adam))
    normed = copy.deepcopy(net)
    torch.nn.utils.parametrizations.weight_norm(normed.layers[0])
    refused(ValueError, "computed from others", lambda: step(normed, x, y, "mse", adam))
    net.layers[0].weight.requires_grad_(False)
    refused(ValueError, "require a gradient", lambda: step(net, x, y, "mse", adam))
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), before))


def test_optimizers_of_torch_go_on_after_conversion():
    theirs, _ = twins([5, 7, 2])
    same = copy.deepcopy(theirs)
    optimizer, reference = torch.optim.Adam(theirs.parameters(), 0.01), torch.optim.Adam(same.parameters(), 0.01)
    ours = nt.from_sequential(theirs)
    for _ in range(3):
        x = torch.randn(9, 5)
        for net, by in ((ours, optimizer), (same, reference)):
            by.zero_grad()
            net(x).square().sum().backward()
            by.step()
    close([p.detach() for p in ours.parameters()], [p.detach() for p in same.parameters()])


def test_threads_call_at_once():
    _, net = twins([64, 128, 64])
    x = torch.randn(500, 64)
    expected, errors = net(x).detach(), []

    def work():
        for _ in range(20):
            if not torch.equal(net(x).detach(), expected):
                errors.append("another result")

    threads = [threading.Thread(target=work) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not errors


class Passed(torch.utils.data.Dataset):
    """Rows that have gone through a network in the worker."""

    def __init__(self, net, x):
        self.net, self.x = net, x

    def __len__(self):
        return 16

    def __getitem__(self, i):
        with torch.no_grad():
            return self.net(self.x[i * 256 : (i + 1) * 256])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_loader_after_the_pool_was_used():
    _, net = twins([64, 128, 64])
    x = torch.randn(4096, 64)
    with torch.no_grad():
        expected = net(x)
    net(x).sum().backward()
    loader = torch.utils.data.DataLoader(
        Passed(net, x), batch_size=2, num_workers=2, multiprocessing_context="fork", timeout=300
    )
    got = torch.cat([batch.flatten(0, 1) for batch in loader])
    assert torch.equal(got, expected)


def test_the_same_bits_on_any_number_of_threads():
    _, net = twins([64, 128, 64])
    x = torch.randn(1000, 64)
    results = []
    for threads in (1, 2, 3):
        with nablas.num_threads(threads):
            results.append(step(net, x, torch.ones(())))
    assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other))
