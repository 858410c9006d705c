"""Threads, forks, memory, the import, the settings of the process."""

import gc
import multiprocessing
import os
import re
import resource
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import nablas


def task(sizes, batch, dtype="float32"):
    rng = np.random.default_rng(0)
    mlp = nablas.Mlp(sizes, "tanh", dtype=dtype)
    x = rng.standard_normal((batch, sizes[0])).astype(dtype)
    dy = rng.standard_normal((batch, sizes[-1])).astype(dtype)
    return mlp, mlp.init("xavier_normal", 1), x, dy


@pytest.mark.parametrize("batch", [16, 2000])
def test_many_threads_share_a_plan(batch):
    mlp, params, x, dy = task([64, 64, 8], batch)
    plan = mlp.plan(batch)
    expected = plan.vjp(params, x, dy).tobytes()
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: plan.vjp(params, x, dy).tobytes(), range(200)))
    assert set(results) == {expected}


def test_a_state_is_one_calls_at_a_time():
    mlp, params, x, dy = task([256, 512, 256], 3000)
    plan, optimizer = mlp.plan(3000), nablas.Adam(mlp)
    kept, errors = plan.kept(3000), []

    def run():
        for _ in range(15):
            try:
                plan.forward(params, x, kept=kept)
            except RuntimeError as error:
                errors.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(3)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert set(errors) == {"kept: in use by another call"}
    assert kept.batch == 3000 and optimizer.rate == 1e-3


def test_long_calls_let_others_run():
    mlp, params, x, dy = task([512, 1024, 512], 4000)
    plan, done, beats = mlp.plan(4000, threads=1), threading.Event(), []

    def beat():
        while not done.wait(0.001):
            beats.append(0)

    thread = threading.Thread(target=beat)
    thread.start()
    # The interpreter would switch threads between calls: so one call, of some hundred milliseconds.
    plan.vjp(params, x, dy)
    done.set()
    thread.join()
    assert len(beats) > 10


def in_child(queue, plan, params, x, dy, expected):
    mlp = nablas.Mlp(plan.mlp.sizes, "tanh")
    same = [plan.vjp(params, x, dy).tobytes() == expected for _ in range(20)]
    same += [mlp.plan(len(x)).vjp(params, x, dy).tobytes() == expected]
    optimizer = nablas.Adam(mlp)
    optimizer.step(params, plan.vjp(params, x, dy))
    queue.put(all(same))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_children_of_a_fork_may_call():
    mlp, params, x, dy = task([64, 128, 64], 2000)
    plan = mlp.plan(2000, threads=2)
    expected, context = plan.vjp(params, x, dy).tobytes(), multiprocessing.get_context("fork")
    stop = threading.Event()

    def keep_calling():
        while not stop.is_set():
            plan.vjp(params, x, dy)

    # Forked while another thread calls: what it holds stays held in the child.
    thread = threading.Thread(target=keep_calling)
    thread.start()
    try:
        for _ in range(5):
            queue = context.Queue()
            child = context.Process(target=in_child, args=(queue, plan, params.copy(), x, dy, expected))
            child.start()
            assert queue.get(timeout=300)
            child.join(300)
            assert child.exitcode == 0
    finally:
        stop.set()
        thread.join()
    assert plan.vjp(params, x, dy).tobytes() == expected


def test_threads_are_set_for_what_is_made_from_now_on():
    mlp, before = nablas.Mlp([8, 8]), nablas.get_num_threads()
    plan = mlp.plan(4)
    with nablas.num_threads(1):
        assert nablas.get_num_threads() == 1 and mlp.plan(4).threads == 1
        with pytest.raises(ZeroDivisionError), nablas.num_threads(2):
            1 / 0
        assert nablas.get_num_threads() == 1
    assert nablas.get_num_threads() == before and plan.threads == before
    # What nobody has set is not set afterwards either.
    assert nablas._nablas._set_threads() == 0
    nablas.set_num_threads(3)
    assert mlp.plan(4).threads == 3
    nablas.set_num_threads(0)
    assert nablas.get_num_threads() == before
    assert mlp.plan(4, threads=5).threads == 5


def run(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_environment_says_how_many_threads():
    code = "import nablas; print(nablas.get_num_threads(), nablas.Mlp([2, 2]).plan(1).threads)"
    assert run(code, NABLAS_NUM_THREADS="1") == "1 1"
    code = "import nablas\ntry: nablas.Mlp([2, 2]).plan(1)\nexcept ValueError as e: print(e)"
    assert run(code, NABLAS_NUM_THREADS="many") == "NABLAS_NUM_THREADS: expected 1 to 1024, got many"
    assert run(code, NABLAS_ISA="mmx") == "unknown ISA: expected scalar, avx2, avx512 or neon"


def test_the_import_is_small_and_fast():
    code = """if 1:
        import sys, time, numpy, contextlib, collections.abc, typing
        start = time.perf_counter()
        import nablas
        took = time.perf_counter() - start
        heavy = [name for name in ("torch", "jax", "sklearn", "scipy", "tqdm") if name in sys.modules]
        print(took * 1e3, heavy)"""
    runs = [run(code).split(" ", 1) for _ in range(5)]
    assert min(float(took) for took, _ in runs) < 30
    assert {heavy for _, heavy in runs} == {"[]"}


def test_the_version_is_the_crates():
    from importlib.metadata import version

    root = Path(__file__).parents[2] / "Cargo.toml"
    assert nablas.__version__ == version("nablas") == re.search(r'^version = "(.*)"', root.read_text(), re.M)[1]


def test_config(capsys):
    nablas.show_config()
    shown, config = capsys.readouterr().out, nablas.config()
    assert all(name in shown for name in config) and config["isa"] in config["isas"]
    assert "scalar" in config["isas"] and config["l1d_bytes"] > 0


def calls(plan, params, x, dy, adam):
    """Calls of every kind, and refusals."""
    kept, layers = plan.kept(4), plan.mlp.layers(params)
    plan.forward(layers, x, kept=kept)
    plan.backward(plan.pack(params), x, dy, kept=kept)
    plan.value_and_grad(params, memoryview(x), "mse", dy)
    plan.value_and_grad(params, x, "softmax_cross_entropy", np.array([0, 1, 0, 1]))
    plan.train_step(params, x, nablas.Loss("l1"), dy, adam)
    nablas.Activation("gelu")(x)
    nablas.Dense().forward(x, layers[0][0], layers[0][1], "relu", save=True)
    for bad in (x[0], x.astype("float64"), [1.0], x[:, :2]):
        try:
            plan.forward(params, bad)
        except (TypeError, ValueError):
            pass


def test_nothing_leaks():
    mlp, params, x, dy = task([3, 4, 2], 4)
    plan, adam = mlp.plan(4), nablas.Adam(mlp, 0.0)
    operands = (plan, params, x, dy, adam)
    for _ in range(2000):
        calls(*operands)
    gc.collect()
    references = [sys.getrefcount(o) for o in operands]
    before = rss()
    for _ in range(8000):
        calls(*operands)
    gc.collect()
    assert [sys.getrefcount(o) for o in operands] == references
    # 8,000 times 13 calls: a leak of an object a call would be some megabytes.
    assert rss() - before < 1 << 20


def rss():
    """Bytes of memory that the process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def test_plans_and_states_are_freed():
    mlp, params, x, dy = task([256, 1024, 256], 1000)

    def once():
        plan = mlp.plan(1000, threads=1, keep=True)
        plan.forward(params, x)
        plan.backward(params, x, dy)
        nablas.Adam(mlp).step(params.copy(), params)

    once()
    before = rss()
    for _ in range(20):
        once()
    assert rss() - before < 64 << 20
