"""What a call costs from Python above the same call from Rust: in one process, on one thread, in turns.

    python overhead.py [--rounds 50]
"""

import argparse
import statistics
from timeit import timeit

import numpy as np

import nablas

NETWORKS = [([4, 4, 2], 1), ([17, 64, 64, 6], 1), ([64, 64, 64, 1], 32)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--calls", type=int, default=2000)
    options = parser.parse_args()
    print(f"{'network':16} {'batch':>5}  {'call':15} {'Rust, µs':>9} {'Python, µs':>11} {'more, µs':>9}")
    for sizes, batch in NETWORKS:
        mlp = nablas.Mlp(sizes, "tanh")
        params, plan = mlp.init(seed=1), mlp.plan(batch, threads=1)
        x, t = np.ones((batch, sizes[0]), "float32"), np.zeros((batch, sizes[-1]), "float32")
        y, grads = np.empty_like(t), np.empty_like(params)
        calls = {
            "forward": lambda: plan.forward(params, x, out=y),
            "value_and_grad": lambda: plan.value_and_grad(params, x, "mse", t, out=grads),
        }
        times = {name: ([], []) for name in calls}
        for _ in range(options.rounds):
            rust = nablas._nablas._seconds(plan, params, options.calls)
            for (name, call), own in zip(calls.items(), rust):
                times[name][0].append(own * 1e6)
                times[name][1].append(timeit(call, number=options.calls) / options.calls * 1e6)
        for name, (rust, python) in times.items():
            # A pair was measured in the same moment.
            more = statistics.median(p - r for r, p in zip(rust, python))
            arrows = "→".join(map(str, sizes))
            print(f"{arrows:16} {batch:5}  {name:15} {min(rust):9.2f} {min(python):11.2f} {more:9.2f}")


if __name__ == "__main__":
    main()
