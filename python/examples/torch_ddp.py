"""Data-parallel training over gloo: `nablas.torch.MLP` in PyTorch's DistributedDataParallel.

    torchrun --nproc-per-node 2 python/examples/torch_ddp.py

Each process has its part of every batch. It checks that the averaged gradient is that of one process over the whole
batch, within rounding, trains, and prints the loss and what a step costs beside `nn.Sequential` in the same place.
"""

import copy
import time

import nablas
import nablas.torch
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

SIZES, BATCH, STEPS = [32, 64, 64, 1], 512, 200


def largest_difference(net, parallel, x, y, mine):
    """Between the gradient of all processes and that of one over all rows, relative to the largest of its elements."""
    parallel.zero_grad()
    nn.functional.mse_loss(parallel(x[mine]), y[mine]).backward()
    whole = copy.deepcopy(net)
    whole.zero_grad()
    nn.functional.mse_loss(whole(x), y).backward()
    pairs = zip(parallel.parameters(), whole.parameters())
    return max(((a.grad - b.grad).abs().max() / b.grad.abs().max()).item() for a, b in pairs)


def train(net, x, y, mine):
    """(the last loss, µs a step)."""
    parallel = DistributedDataParallel(net)
    adam = torch.optim.Adam(parallel.parameters(), 1e-3, fused=True)
    start = time.perf_counter()
    for _ in range(STEPS):
        adam.zero_grad()
        loss = nn.functional.mse_loss(parallel(x[mine]), y[mine])
        loss.backward()
        adam.step()
    return loss.item(), 1e6 * (time.perf_counter() - start) / STEPS


def main():
    dist.init_process_group("gloo")
    rank, count = dist.get_rank(), dist.get_world_size()
    torch.set_num_threads(1)
    nablas.set_num_threads(1)
    torch.manual_seed(0)
    theirs = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    net = nablas.torch.from_sequential(copy.deepcopy(theirs))
    x = torch.randn(BATCH, SIZES[0])
    y = x[:, :4].sin().sum(1, keepdim=True)
    mine = slice(rank * BATCH // count, (rank + 1) * BATCH // count)
    difference = largest_difference(net, DistributedDataParallel(net), x, y, mine)
    assert difference < 1e-5, difference
    net.zero_grad()
    loss, us = train(net, x, y, mine)
    reference, their_us = train(theirs, x, y, mine)
    if rank == 0:
        print(
            f"{count} processes: gradients differ from one process's by {difference:.1e} at most; "
            f"loss after {STEPS} steps {loss:.4f}, {us:.0f} µs a step; torch.nn {reference:.4f}, {their_us:.0f} µs"
        )
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
