"""A regression in JAX: `nablas.jax.mlp` under `jit`, `grad` and `scan`, beside the same network written in JAX.

    pip install 'nablas[jax]'
    python python/examples/jax_regression.py

Eight features, a smooth target with noise; Adam, minibatches by `scan`, buffers donated. It prints the error on rows
that were held back, and what a step costs.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import nablas.jax

SIZES, ROWS, BATCH, RATE = (8, 64, 64, 1), 8192, 64, 2e-3


def ours(params, x):
    return nablas.jax.mlp(params, x, sizes=SIZES, activation="tanh")


def plain(params, x):
    layers = nablas.jax.unravel(params, SIZES)
    for w, b in layers[:-1]:
        x = jnp.tanh(x @ w.T + b)
    return x @ layers[-1][0].T + layers[-1][1]


def trainer(network):
    """An epoch: (state, batches) -> (state, losses)."""
    loss = lambda p, x, y: ((network(p, x) - y) ** 2).mean()

    def step(state, batch):
        p, m, v, t = state
        value, g = jax.value_and_grad(loss)(p, *batch)
        t, m, v = t + 1, 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        p = p - RATE * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
        return (p, m, v, t), value

    return jax.jit(lambda state, batches: jax.lax.scan(step, state, batches), donate_argnums=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    epochs = parser.parse_args().epochs
    key = jax.random.key(0)
    x = jax.random.normal(key, (ROWS + 1024, SIZES[0]))
    clean = jnp.sin(x[:, :1]) * x[:, 1:2] + jnp.tanh(x[:, 2:3] + x[:, 3:4])
    y = clean + 0.1 * jax.random.normal(jax.random.fold_in(key, 1), clean.shape)
    first, figures = nablas.jax.init(jax.random.fold_in(key, 2), SIZES), {}
    for name, network in (("nablas.jax", ours), ("JAX", plain)):
        epoch, params = trainer(network), first + 0
        state = (params, jnp.zeros_like(first), jnp.zeros_like(first), jnp.zeros(()))
        seconds = []
        for e in range(epochs):
            rows = jax.random.permutation(jax.random.fold_in(key, 10 + e), ROWS).reshape(-1, BATCH)
            batches = jax.block_until_ready((x[rows], y[rows]))
            start = time.perf_counter()
            state, losses = jax.block_until_ready(epoch(state, batches))
            seconds.append(time.perf_counter() - start)
        error = float(jnp.sqrt(((network(state[0], x[ROWS:]) - clean[ROWS:]) ** 2).mean()))
        # The first epoch compiles.
        figures[name] = error, 1e6 * min(seconds[1:]) / (ROWS // BATCH)
        print(f"{name:10}: last loss {losses.mean():.4f}, error {error:.4f}, {figures[name][1]:.1f} µs a step")
    (error, us), (their_error, their_us) = figures["nablas.jax"], figures["JAX"]
    print(
        f"nablas.jax: error {error:.4f}, {us:.1f} µs a step; JAX: error {their_error:.4f}, {their_us:.1f} µs: "
        f"{their_us / us:.2f}×"
    )


if __name__ == "__main__":
    main()
