#!/usr/bin/env bash
# The examples of PyTorch, JAX and MPI at small size, and the benchmark as far as it takes to see that it works. The programs are
# those of the PATH.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

echo "--- ppo_cartpole"
python "$here/ppo_cartpole.py" --steps 4096 --seeds 1
echo "--- torch_ddp"
OMP_NUM_THREADS=1 torchrun --standalone --nproc-per-node 2 "$here/torch_ddp.py"
echo "--- mpi_allreduce"
mpiexec -n 2 python "$here/mpi_allreduce.py"
echo "--- jax_regression"
python "$here/jax_regression.py" --epochs 2
echo "--- bench"
python "$here/../bench/steps.py" --workloads ppo --threads 1 --quick
