"""Training steps from Python, beside PyTorch, torch.compile, JAX and scikit-learn, on the ten workloads.

    python python/bench/steps.py                                   # all of it: an hour on two cores
    python python/bench/steps.py --record xeon-emerald-rapids      # and into benches/record/
    python python/bench/steps.py --workloads latency,ppo --kinds step --threads 1 --quick

Every contender is a process of its own, all of them alive at once, which take turns: A B C A B C …, 200 ms apart, so
that idle threads have stopped spinning. All make the same step on the same data, in float32: forward, the mean squared
error, its gradient, and for the kind `step` one of Adam. Their first losses are compared before anything is timed, and
for the kind `grad` the norms of their gradients. The best sample counts.
"""

import argparse
import collections
import datetime
import json
import pathlib
import statistics
import subprocess
import sys
import time

from contenders import CONTENDERS, takes
from workloads import ROOT, workloads

sys.path.insert(0, str(ROOT / "tools"))
from records import data  # noqa: E402

SMALL = ("latency", "ppo", "matexp", "pinn")
#: (kind, workloads, ours, another, how many times as fast).
MARKS = [
    ("step", SMALL, "nablas.torch.train_step", "torch", 5.0),
    ("step", SMALL, "nablas.torch.train_step", "torch.compile", 3.0),
    ("step", ("latency", "ppo", "pinn"), "nablas.torch.train_step", "JAX", 2.5),
    ("step", ("latency", "ppo", "pinn"), "nablas.jax", "JAX", 1.0),
    ("grad", None, "nablas.torch", "torch", 1.0),
]
#: Below this share of the FMA peak, gradients through plain autograd are to be twice as fast.
LAZY, TWICE = 0.4, 2.0
#: Seconds between turns: for 130 ms after a call OpenBLAS' threads spin on the processor of the next, PyTorch's for 8.
SETTLE = 0.2


class Worker:
    """A contender's process."""

    def __init__(self, name, kind, work, threads):
        script = pathlib.Path(__file__).with_name("contenders.py")
        command = [sys.executable, str(script), name, kind, work.name, str(threads)]
        self.name, self.samples = name, []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} has ended: {self.process.wait()}")
        return json.loads(line)

    def turn(self, seconds, samples):
        print(seconds, samples, file=self.process.stdin, flush=True)
        self.samples += self.answer()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def agree(workers):
    """Refuses contenders whose losses, or norm of the gradient, are not those of the first; what the losses are."""
    first, norm = workers[0].losses, workers[0].norm
    for worker in workers:
        if norm is not None and not abs(norm - worker.norm) <= 1e-3 * norm:
            sys.exit(f"{worker.name}: a gradient of norm {worker.norm}, {workers[0].name} has {norm}")
        # scikit-learn goes on from an optimizer that has made a step: only its first loss is comparable.
        count = 1 if worker.name == "scikit-learn" else len(first)
        for a, b in zip(first[:count], worker.losses):
            if not abs(a - b) <= 1e-3 * abs(a):
                sys.exit(f"{worker.name}: losses {worker.losses}, {workers[0].name} has {first}")
    return first


def measure(work, kind, threads, options):
    """{contender: (best µs, median µs, version)}."""
    workers = []
    for name in options.contenders:
        if takes(name, work, kind, threads):
            worker = Worker(name, kind, work, threads)
            hello = worker.answer()
            worker.version, worker.losses, worker.norm = hello["version"], hello["losses"], hello["norm"]
            workers.append(worker)
    if not workers:
        return {}
    print(
        f"\n{kind} {work.name}, {threads} threads: losses agree, {' '.join(f'{x:.6f}' for x in agree(workers))}",
        flush=True,
    )
    seconds, samples, rounds = (0.001, 1, 2) if options.quick else (0.005, 2, options.rounds)
    for i in range(rounds):
        for worker in workers:
            worker.turn(seconds, samples)
            time.sleep(SETTLE)
        if i == 4 and max(min(w.samples) for w in workers) > 1e5:
            break
    for worker in workers:
        worker.end()
    return {w.name: (min(w.samples), statistics.median(w.samples), w.version) for w in workers}


def peak(machine, threads):
    """The FMA peak that the records of a machine have, in GFLOP/s."""
    folder = data.RECORDS / machine
    rows = [r for path in folder.glob("*.csv") for r in data.read(path)] if folder.is_dir() else []
    return max((r.peak_gflops for r in rows if r.threads == threads and r.peak_gflops), default=None)


def show(work, kind, result, top):
    """A table of one workload, beside nablas' best; without one, the best of all."""
    bests = {name: us for name, (us, _, _) in result.items()}
    ours = min([us for name, us in bests.items() if CONTENDERS[name][2]] or bests.values(), default=None)
    for name, (best, median, version) in sorted(result.items(), key=lambda item: item[1][0]):
        rate = work.flop() / best / 1e3
        share = f"{rate / top:6.1%}" if top else ""
        print(
            f"  {name:24} {version:14} {best:12.1f} µs, median {median:12.1f}   {best / ours:6.2f}× {share}", flush=True
        )


def marks(results, tops):
    """Whether what was asked for is met, a line each."""
    print("\nmarks:")
    for (kind, work, threads), result in results.items():
        for of, names, ours, other, factor in MARKS:
            if of != kind or names and work.name not in names or not {ours, other} <= set(result):
                continue
            if (kind, ours) == ("grad", "nablas.torch") and tops[threads]:
                lazy = work.flop() / result[other][0] / 1e3 < LAZY * tops[threads]
                factor = TWICE if lazy else factor
            ratio = result[other][0] / result[ours][0]
            met = "met   " if ratio >= factor else "MISSED"
            case = f"{kind} {work.name:10} {threads} threads"
            print(f"  {met} {case}: {ours} is {ratio:.2f}× as fast as {other}, {factor}× wanted")


def record(results, tops, machine):
    """Writes rows to benches/record/."""
    import nablas

    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    rows = []
    for (kind, work, threads), result in results.items():
        for name, (best, median, version) in result.items():
            rows.append(data.Row(
                f"python-{kind}", work.name, tuple(work.sizes), work.batch, work.activation.split(":")[0], "f32",
                nablas.config()["isa"], threads, "hot", name, commit if CONTENDERS[name][2] else version, best, median,
                work.flop() / best / 1e3, tops[threads]))  # fmt: skip
    date = datetime.datetime.now(datetime.timezone.utc).date()
    path = data.RECORDS / machine / f"{date}-{commit}.csv"
    data.write(path, rows)
    print(f"\n{len(rows)} rows: {path.relative_to(ROOT)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda text: text.split(",")
    parser.add_argument("--workloads", type=listed, help="names; all by default")
    parser.add_argument("--contenders", type=listed, default=list(CONTENDERS), help=", ".join(CONTENDERS))
    parser.add_argument("--kinds", type=listed, default=["step", "grad"])
    parser.add_argument("--threads", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--machine", help="a folder of benches/record whose FMA peak is taken", default="")
    parser.add_argument("--record", metavar="MACHINE", help="write the figures to this folder of benches/record")
    parser.add_argument("--quick", action="store_true", help="two short rounds, to see that it works")
    options = parser.parse_args()
    machine = options.record or options.machine
    tops = {n: peak(machine, n) if machine else None for n in options.threads}
    results = collections.OrderedDict()
    for threads in options.threads:
        for work in workloads():
            for kind in options.kinds if options.workloads is None or work.name in options.workloads else ():
                result = results[kind, work, threads] = measure(work, kind, threads, options)
                show(work, kind, result, tops[threads])
    marks(results, tops)
    if options.record:
        record(results, tops, options.record)


if __name__ == "__main__":
    main()
