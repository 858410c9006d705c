"""A contender at work: a process that makes training steps when it is told to.

    python contenders.py CONTENDER KIND WORKLOAD THREADS

KIND `step`: forward, mean squared error, gradient, Adam. KIND `grad`: the same without Adam. It says its version, the
first losses and for `grad` the norm of the gradient, then for each line `SECONDS SAMPLES` on standard input the
microseconds of a step in each sample.
"""

import json
import os
import sys
import time

if __name__ == "__main__":
    NAME, KIND, WORKLOAD, THREADS = *sys.argv[1:4], int(sys.argv[4])
    # Before anything starts threads.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    for variable in ("OMP", "MKL", "OPENBLAS", "NABLAS"):
        os.environ[f"{variable}_NUM_THREADS"] = str(THREADS)
    # PyTorch's threads wait for their next loop at full speed, some milliseconds, unless they are told to sleep.
    if NAME.endswith("(passive)"):
        os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ["JAX_PLATFORMS"] = "cpu"
    if THREADS == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import numpy as np
import workloads

RATE = 1e-4


def flat(layers):
    return np.concatenate([part.reshape(-1) for layer in layers for part in layer])


def numpy_step(work, kind, threads):
    """nablas over NumPy's arrays."""
    import nablas

    layers, x, y = work.data()
    mlp = nablas.Mlp(work.sizes, activation=work.activation)
    plan, params = mlp.plan(work.batch, threads=threads), flat(layers)
    if kind == "step":
        adam = nablas.Adam(params, RATE)
        return lambda: plan.train_step(params, x, "mse", y, adam).loss, nablas.__version__, None
    grads = np.empty_like(params)
    step = lambda: plan.value_and_grad(params, x, "mse", y, out=grads)[0]
    return step, nablas.__version__, lambda: grads


def torch_module(work, layers, ours):
    import torch
    from torch import nn

    class Sin(nn.Module):
        def forward(self, z):
            return torch.sin(z)

    make = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU, "sin:1": Sin, "gelu_tanh": lambda: nn.GELU("tanh")}
    if ours:
        import nablas.torch

        net = nablas.torch.MLP(work.sizes, work.activation)
        linears = net.layers
    else:
        linears, modules = [], []
        for l, (n, m) in enumerate(zip(work.sizes, work.sizes[1:])):
            linears.append(nn.Linear(n, m))
            modules += [linears[-1]] + ([make[work.activation]()] if l + 2 < len(work.sizes) else [])
        net = nn.Sequential(*modules)
    with torch.no_grad():
        for linear, (w, b) in zip(linears, layers):
            linear.weight.copy_(torch.from_numpy(w))
            linear.bias.copy_(torch.from_numpy(b))
    return net


def torch_step(work, kind, threads, ours=False, compiled=False):
    """PyTorch's autograd, with `nn.Sequential` or `nablas.torch.MLP`; the step by its fused Adam."""
    import torch

    torch.set_num_threads(threads)
    layers, x, y = work.data()
    net, x, y = torch_module(work, layers, ours), torch.from_numpy(x), torch.from_numpy(y)
    adam = torch.optim.Adam(net.parameters(), RATE, fused=True)
    mse = torch.nn.functional.mse_loss
    loss = lambda: mse(net(x), y)
    if compiled:
        loss = torch.compile(loss, fullgraph=True)

    params = list(net.parameters())

    def step():
        for p in params:
            p.grad = None
        value = loss()
        value.backward()
        if kind == "step":
            adam.step()
        return value.detach()

    return step, torch.__version__, lambda: np.concatenate([p.grad.reshape(-1) for p in params])


def train_step(work, kind, threads):
    """`nablas.torch.train_step`."""
    import torch

    import nablas
    import nablas.torch

    torch.set_num_threads(threads)
    layers, x, y = work.data()
    net, x, y = torch_module(work, layers, True), torch.from_numpy(x), torch.from_numpy(y)
    adam = nablas.Adam(net.param_len, RATE)
    return lambda: nablas.torch.train_step(net, x, y, "mse", adam), nablas.__version__, None


def jax_step(work, kind, threads, ours=False):
    """JAX, the whole step under `jit` with its state donated: the network written out, or `nablas.jax.mlp`."""
    import jax
    import jax.numpy as jnp

    act = {"relu": jax.nn.relu, "tanh": jnp.tanh, "silu": jax.nn.silu, "sin:1": jnp.sin, "gelu_tanh": jax.nn.gelu}
    layers, x, y = work.data()
    x, y = jnp.asarray(x), jnp.asarray(y)
    if ours:
        import nablas.jax

        params = jnp.asarray(flat(layers))
        net = lambda p, x: nablas.jax.mlp(p, x, sizes=work.sizes, activation=work.activation)
    else:
        params = [(jnp.asarray(w), jnp.asarray(b)) for w, b in layers]

        def net(p, x):
            for w, b in p[:-1]:
                x = act[work.activation](x @ w.T + b)
            return x @ p[-1][0].T + p[-1][1]

    loss = jax.value_and_grad(lambda p, x, y: jnp.mean((net(p, x) - y) ** 2))
    if kind == "grad":
        run = jax.jit(loss)
        grads = lambda: np.concatenate([np.ravel(g) for g in jax.tree.leaves(run(params, x, y)[1])])
        return lambda: jax.block_until_ready(run(params, x, y))[0], jax.__version__, grads

    def adam(state, x, y):
        p, m, v, t = state
        value, g = loss(p, x, y)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        of = lambda p, m, v: p - RATE * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
        return (jax.tree.map(of, p, m, v), m, v, t), value

    run = jax.jit(adam, donate_argnums=0)
    zeros = lambda: jax.tree.map(jnp.zeros_like, params)
    state = [(params, zeros(), zeros(), jnp.zeros((), jnp.float32))]

    def step():
        state[0], value = run(state[0], x, y)
        # A step is over when its parameters are there, as everywhere else.
        jax.block_until_ready(state[0])
        return value

    return step, jax.__version__, None


def sklearn_step(work, kind, threads):
    """scikit-learn's `partial_fit` of one batch."""
    import sklearn
    from sklearn.neural_network import MLPRegressor

    layers, x, y = work.data()
    y = y[:, 0] if y.shape[1] == 1 else y
    same = {"batch_size": work.batch, "alpha": 0.0, "shuffle": False, "learning_rate_init": RATE}
    model = MLPRegressor(hidden_layer_sizes=work.sizes[1:-1], activation=work.activation, **same)
    model.partial_fit(x, y)
    for i, (w, b) in enumerate(layers):
        model.coefs_[i][:], model.intercepts_[i][:] = w.T, b

    def step():
        model.partial_fit(x, y)
        # It halves the square.
        return 2 * model.loss_

    return step, sklearn.__version__, None


#: Name: (its steps, kinds, whether it is nablas).
CONTENDERS = {
    "nablas.torch.train_step": (train_step, ("step",), True),
    "nablas.torch": (lambda *a: torch_step(*a, ours=True), ("step", "grad"), True),
    "nablas.torch (passive)": (lambda *a: torch_step(*a, ours=True), ("step", "grad"), True),
    "torch": (torch_step, ("step", "grad"), False),
    "torch (passive)": (torch_step, ("step", "grad"), False),
    "torch.compile": (lambda *a: torch_step(*a, compiled=True), ("step", "grad"), False),
    "nablas.jax": (lambda *a: jax_step(*a, ours=True), ("step", "grad"), True),
    "JAX": (jax_step, ("step", "grad"), False),
    "nablas.numpy": (numpy_step, ("step", "grad"), True),
    "scikit-learn": (sklearn_step, ("step",), False),
}


def takes(name, work, kind, threads):
    """Whether a contender has what a workload needs."""
    if name.endswith("(passive)") and threads == 1:
        return False
    return kind in CONTENDERS[name][1] and not (name == "scikit-learn" and work.activation not in ("relu", "tanh"))


def main():
    work = next(w for w in workloads.workloads() if w.name == WORKLOAD)
    step, version, grads = CONTENDERS[NAME][0](work, KIND, THREADS)
    losses = [float(step()) for _ in range(3)]
    # Losses of the kind `grad` are those of the forward pass alone.
    norm = float(np.linalg.norm(grads().astype(np.float64))) if KIND == "grad" else None
    print(json.dumps({"version": version, "losses": losses, "norm": norm}), flush=True)
    clock = time.perf_counter
    for line in sys.stdin:
        seconds, samples = float(line.split()[0]), int(line.split()[1])
        # Warm again after the others' turns; and how many steps a sample takes.
        start, steps = clock(), 0
        while clock() - start < 0.8 * seconds or not steps:
            step()
            steps += 1
        steps = max(1, round(seconds * steps / (clock() - start)))
        out = []
        for _ in range(samples):
            start = clock()
            for _ in range(steps):
                step()
            out.append(1e6 * (clock() - start) / steps)
        print(json.dumps(out), flush=True)


if __name__ == "__main__":
    main()
