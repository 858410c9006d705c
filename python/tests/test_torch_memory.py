"""Memory of `nablas.torch` that comes back: the states of large batches."""

import subprocess
import sys
import textwrap
import threading

import torch

import nablas
import nablas.torch as nt


def state(net: nt.MLP, x: torch.Tensor) -> torch.Tensor:
    return nablas._nablas.torch_forward(x, net._tensors(), net._activations, True)[1]


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    # By bits: what fills a state's gaps may be no number.
    return torch.equal(a.view(torch.int32), b.view(torch.int32))


def test_memory_of_large_states_comes_back() -> None:
    net, x = nt.MLP([8, 64, 64, 1], activation="tanh"), torch.randn(2048, 8)
    first, second = state(net, x), state(net, x)
    places = {first.data_ptr(), second.data_ptr()}
    assert len(places) == 2 and first.numel() * 4 >= 1 << 16
    bits = first.clone()
    view = first[5:]
    del first, second
    # A view keeps the memory of which it is one; the other comes back.
    third, fourth = state(net, x), state(net, x)
    assert third.data_ptr() in places and third.data_ptr() != view.data_ptr() - 20
    assert fourth.data_ptr() not in places
    assert same(view, bits[5:])
    # On a thread of its own, as autograd has them.
    last = [view]
    del view
    thread = threading.Thread(target=last.clear)
    thread.start()
    thread.join()
    assert state(net, x).data_ptr() in places


def test_a_state_outlives_its_networks_place() -> None:
    net, x = nt.MLP([8, 64, 63, 1], activation="tanh"), torch.randn(2048, 8)
    kept = state(net, x)
    bits = kept.clone()
    # More networks than are kept: the plan of the first is dropped with the last of its states.
    for width in range(20, 40):
        other = nt.MLP([8, width, 64, 1], activation="tanh")
        state(other, x)
    assert same(kept, bits)
    del kept
    assert state(net, x).numel() == bits.numel()


def test_memory_that_cannot_be_had_is_an_error() -> None:
    # In a process of its own, which may map a gigabyte more: the state takes more than two.
    code = """
        import resource, torch, nablas.torch as nt
        net, x = nt.MLP([1, 64, 1], activation="tanh"), torch.ones(1 << 22, 1)
        net(x[:4096]).sum().backward()
        pages = int(open("/proc/self/statm").read().split()[0])
        limit = pages * resource.getpagesize() + (1 << 30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        try:
            net(x)
        except (MemoryError, RuntimeError) as error:
            print("refused:", error)
        net(x[:4096]).sum().backward()
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout.startswith("refused:"), run
