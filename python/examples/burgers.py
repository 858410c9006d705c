"""A physics-informed network: Burgers' equation u_t + u·u_x = ν·u_xx, learnt from nothing but the equation.

    python burgers.py [--steps 6000]

The derivatives of u are central differences of the network's own values, so one vector-Jacobian product of the stencils'
points is the gradient of the residual: no second derivative of the network is taken. The exact solution (Cole, Hopf)
says how well it went.
"""

import argparse
import time

import numpy as np

import nablas

NU, H = 0.05, 0.01


def exact(t, x):
    """u(t, x) from u(0, x) = -sin πx, by Cole and Hopf, with Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite.hermgauss(80)
    z = x[:, None] - np.sqrt(4 * NU * t)[:, None] * nodes
    heat = weights * np.exp(-np.cos(np.pi * z) / (2 * np.pi * NU))
    return -(np.sin(np.pi * z) * heat).sum(axis=1) / heat.sum(axis=1)


def stencils(t, x):
    """The points (t, x), and H before and behind them in time and space: [5, n, 2]."""
    centre = np.stack([t, x], axis=1)
    return np.stack([centre, centre + [H, 0], centre - [H, 0], centre + [0, H], centre - [0, H]])


def residual(u):
    """Of the equation at the centres of stencils, and its derivatives by the values [5, n]."""
    c, later, before, right, left = u
    u_x = (right - left) / (2 * H)
    r = (later - before) / (2 * H) + c * u_x - NU * (right - 2 * c + left) / H**2
    along, across = np.full_like(c, 1 / (2 * H)), c / (2 * H)
    return r, np.stack([u_x + 2 * NU / H**2, along, -along, across - NU / H**2, -across - NU / H**2])


def sample(rng, n):
    """Points to learn from: inside, at the start, at both walls; and what u is at the last two."""
    inside = stencils(rng.uniform(H, 1, n), rng.uniform(-1, 1, n)).reshape(-1, 2)
    x, t, wall = rng.uniform(-1, 1, n // 2), rng.uniform(0, 1, n // 2), rng.choice([-1.0, 1.0], n // 2)
    start, walls = np.stack([np.zeros_like(x), x], axis=1), np.stack([t, wall], axis=1)
    return np.concatenate([inside, start, walls]), np.concatenate([-np.sin(np.pi * x), np.zeros_like(t)])


def step(plan, params, points, known, n, buffers):
    """The loss of a batch of points, and its gradient in `buffers`."""
    y, dy, grads, kept = (buffers[name] for name in ("y", "dy", "grads", "kept"))
    plan.forward(params, points, out=y, kept=kept)
    r, by_u = residual(y[: 5 * n, 0].reshape(5, n))
    off = y[5 * n :, 0] - known
    dy[: 5 * n, 0] = (2 / n * r * by_u).ravel()
    dy[5 * n :, 0] = 20 / len(known) * off
    plan.backward(params, points, dy, kept=kept, out=grads)
    return (r @ r) / n + 10 * (off @ off) / len(known)


def torch_step(widths, n):
    """Seconds of the same step in torch, or None if it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    layers = [part for i, o in zip(widths, widths[1:]) for part in (torch.nn.Linear(i, o), torch.nn.Tanh())][:-1]
    model = torch.nn.Sequential(*layers).double()
    adam, rng, times = torch.optim.Adam(model.parameters(), 2e-3), np.random.default_rng(0), []
    for _ in range(60):
        points, known = (torch.from_numpy(a) for a in sample(rng, n))
        start = time.perf_counter()
        adam.zero_grad()
        y = model(points)[:, 0]
        c, later, before, right, left = y[: 5 * n].reshape(5, n)
        r = (later - before) / (2 * H) + c * (right - left) / (2 * H) - NU * (right - 2 * c + left) / H**2
        ((r @ r) / n + 10 * ((y[5 * n :] - known) ** 2).mean()).backward()
        adam.step()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--points", type=int, default=256)
    options = parser.parse_args()

    n, widths = options.points, [2, 20, 20, 20, 1]
    mlp, rng = nablas.Mlp(widths, "tanh", dtype="float64"), np.random.default_rng(1)
    params, rows = mlp.init("xavier_normal", seed=1), 5 * n + 2 * (n // 2)
    plan, adam, times = mlp.plan(rows), nablas.Adam(mlp, 2e-3), []
    buffers = {name: np.empty((rows, 1)) for name in ("y", "dy")} | {
        "grads": np.empty_like(params),
        "kept": plan.kept(rows),
    }
    for i in range(1, options.steps + 1):
        points, known = sample(rng, n)
        start = time.perf_counter()
        loss = step(plan, params, points, known, n, buffers)
        adam.step(params, buffers["grads"])
        times.append(time.perf_counter() - start)
        if i % max(options.steps // 3, 1) == 0:
            adam.rate *= 0.4
            print(f"step {i:6}: loss {loss:.5f}")
    t, x = (a.ravel() for a in np.meshgrid(np.linspace(0.05, 1, 40), np.linspace(-1, 1, 81), indexing="ij"))
    u = mlp.plan(len(t)).forward(params, np.stack([t, x], axis=1))[:, 0]
    error = np.linalg.norm(u - exact(t, x)) / np.linalg.norm(exact(t, x))
    mine, theirs = np.median(times), torch_step(widths, n)
    beside = f"torch {theirs * 1e6:.0f} µs" if theirs else "torch is not installed"
    print(f"relative error of u {error:.2%}; a step of {rows} points: nablas {mine * 1e6:.0f} µs, {beside}")


if __name__ == "__main__":
    main()
