"""The examples that need several processes, run as a person would: each checks its gradients against one process's."""

import os
import pathlib
import shutil
import subprocess
import sys

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"


def run(*command):
    """What a command prints; one that fails fails the test, with its words."""
    # mpiexec of a pip package lies beside Python's own programs.
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}
    program = shutil.which(command[0], path=path)
    assert program, f"{command[0]} is not installed"
    done = subprocess.run([program, *command[1:]], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_two_processes_over_gloo_have_the_gradients_of_one():
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    out = run(sys.executable, *torchrun, str(EXAMPLES / "torch_ddp.py"))
    assert "2 processes: gradients differ from one process's by" in out


def test_two_processes_of_mpi_have_the_gradients_of_one():
    out = run("mpiexec", "-n", "2", sys.executable, str(EXAMPLES / "mpi_allreduce.py"))
    assert "2 processes: gradients differ from one process's by" in out
