"""The ten workloads, as benches/common/workloads.rs has them, and their data."""

import dataclasses
import math
import pathlib
import re

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
ACTIVATIONS = {"Relu": "relu", "Tanh": "tanh", "Silu": "silu", "Sin(1.0)": "sin:1", "GeluTanh": "gelu_tanh"}


@dataclasses.dataclass(eq=False)
class Workload:
    """A network and its batch."""

    name: str
    sizes: list
    batch: int
    activation: str

    def flop(self):
        """Of a step, matrix products only: forward and dW of every layer, δ of all but the first."""
        pairs = zip(self.sizes, self.sizes[1:])
        return sum((4 if l == 0 else 6) * self.batch * n * m for l, (n, m) in enumerate(pairs))

    def data(self):
        """([(W, b), …], x, y), the same for every contender."""
        random = np.random.default_rng(1)
        layers = []
        for n, m in zip(self.sizes, self.sizes[1:]):
            bound = 1 / math.sqrt(n)
            layers.append(tuple(random.uniform(-bound, bound, shape).astype(np.float32) for shape in ((m, n), (m,))))
        x = random.standard_normal((self.batch, self.sizes[0]), np.float32)
        return layers, x, random.standard_normal((self.batch, self.sizes[-1]), np.float32)


def workloads():
    """All of them."""
    text = (ROOT / "benches" / "common" / "workloads.rs").read_text(encoding="utf-8")
    found = re.findall(r'workload\("([\w-]+)", &\[([\d, ]+)\], ([\d_]+), Activation::(\w+(?:\([\d.]+\))?)\)', text)
    return [Workload(name, [int(n) for n in sizes.split(",")], int(batch.replace("_", "")), ACTIVATIONS[act])
            for name, sizes, batch, act in found]  # fmt: skip
