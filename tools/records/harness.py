"""Rows from the results of an outside harness, a JSON file:

    {"workloads": {NAME: {"dims": [n_0, …, n_L], "batch": B, "act": NAME}},
     "versions": {CONTENDER: TEXT},
     "steps": {NAME: {"1": {CONTENDER: {"min_ms": …, "median_ms": …, "gflops": …}}, "2": {…}}}}

`ours` is nablas, `ours-before` an older build of it, `peak` a loop of FMAs in the same rounds.
"""
import re

from .data import BEFORE, OURS, Row

NAMES = {"ours": OURS, "ours-before": BEFORE, "openblas": "OpenBLAS", "mkl": "MKL", "jax": "JAX", "rust-faer": "faer",
         "rust-gemm": "gemm", "rust-gemmkit": "gemmkit", "rust-matrixmultiply": "matrixmultiply"}
# The harness's GELU is the one with tanh.
ACTIVATIONS = {"gelu": "gelu_tanh"}


def version(text):
    """The first number with a point in it, to three places: 0.3.34 of "OpenBLAS 0.3.34.481.3 …"."""
    found = re.search(r"\d+(\.\d+){1,2}", text)
    return found[0] if found else ""


def rows(data, workloads, source, pace, commit, before):
    """The rows of a result file; `workloads` as above, where the file has none."""
    versions = {name: version(text) for name, text in data.get("versions", {}).items()}
    versions |= {"ours": commit, "ours-before": before}
    isa = data.get("versions", {}).get("ours", "").split()[-1:] or [""]
    for name, by_threads in data["steps"].items():
        workload = data.get("workloads", workloads)[name]
        for threads, contenders in sorted(by_threads.items()):
            peak = contenders.get("peak", {}).get("gflops")
            for contender, r in contenders.items():
                if contender == "peak" or "min_ms" not in r:
                    continue
                yield Row(source, name, tuple(workload["dims"]), workload["batch"],
                          ACTIVATIONS.get(workload["act"], workload["act"]), "f32", isa[0], int(threads), pace,
                          NAMES.get(contender, contender), versions.get(contender, ""), 1e3 * r["min_ms"],
                          1e3 * r["median_ms"], r["gflops"], peak)
