"""A picture as a network: a SIREN (Sitzmann et al. 2020) learns the brightness at each point.

    python siren.py [--side 128] [--epochs 300]

Saves siren.png: the picture, what the network makes of it after some epochs, and the loss.
"""

import argparse
import time

import numpy as np

import nablas

OMEGA = 30.0


def picture(side):
    """A square of a photograph that scikit-learn ships, [side, side] in -1 ... 1; without it, rings of many widths."""
    try:
        from sklearn.datasets import load_sample_image

        grey = load_sample_image("flower.jpg").mean(axis=2)
        step = min(grey.shape) // side
        grey = grey[: side * step, : side * step].reshape(side, step, side, step).mean(axis=(1, 3))
        return (grey / 127.5 - 1).astype("float32")
    except ImportError:
        x, y = np.meshgrid(*[np.linspace(-1, 1, side)] * 2)
        return np.sin(40 * (x * x + y * y)).astype("float32")


def points(side):
    """The coordinates of all pixels [side², 2] in -1 ... 1."""
    axis = np.linspace(-1, 1, side, dtype="float32")
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)


def torch_steps(x, y, hidden, batch, steps):
    """Seconds a step of the same network in torch, or None if it is not installed."""
    try:
        import torch
    except ImportError:
        return None

    class Sine(torch.nn.Module):
        def forward(self, z):
            return torch.sin(OMEGA * z)

    widths = [2, *hidden, 1]
    layers = [part for n, m in zip(widths, widths[1:]) for part in (torch.nn.Linear(n, m), Sine())][:-1]
    model = torch.nn.Sequential(*layers)
    adam, x, y = torch.optim.Adam(model.parameters(), 1e-4), torch.from_numpy(x), torch.from_numpy(y)
    times = []
    for _ in range(steps):
        rows, start = torch.randint(len(x), (batch,)), time.perf_counter()
        adam.zero_grad()
        torch.nn.functional.mse_loss(model(x[rows]), y[rows]).backward()
        adam.step()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def plot(truth, shots, losses, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(shots) + 2, figsize=(3 * (len(shots) + 2), 3.2))
    for axis, (name, image) in zip(axes, [("the picture", truth), *shots]):
        axis.imshow(image, cmap="gray", vmin=-1, vmax=1)
        axis.set_title(name)
        axis.axis("off")
    axes[-1].semilogy(losses)
    axes[-1].set(title="mean squared error", xlabel="epoch")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--out", default="siren.png")
    options = parser.parse_args()

    side, hidden = options.side, [128, 128, 128]
    truth, x = picture(side), points(side)
    y = truth.reshape(-1, 1)
    mlp = nablas.Mlp([2, *hidden, 1], f"sin:{OMEGA}")
    params = mlp.init("siren", seed=1, omega=OMEGA)
    # The first layer of a SIREN takes coordinates as they are, so that its sines have all frequencies up to ω.
    plan, all_of_it, adam = mlp.plan(min(options.batch, len(x))), mlp.plan(len(x)), nablas.Adam(mlp, 3e-4)
    rng, losses, shots, times = np.random.default_rng(1), [], [], []
    marks = {max(options.epochs // 20, 1), max(options.epochs // 4, 1), options.epochs}
    for epoch in range(1, options.epochs + 1):
        total = 0.0
        for rows in nablas.batches(len(x), plan.batch, rng):
            start = time.perf_counter()
            total += plan.train_step(params, x[rows], "mse", y[rows], adam).loss * len(rows)
            times.append(time.perf_counter() - start)
        losses.append(total / len(x))
        if epoch in marks:
            shots.append((f"epoch {epoch}", all_of_it.forward(params, x).reshape(side, side)))
            print(f"epoch {epoch:4}: mean squared error {losses[-1]:.5f}, {10 * np.log10(4 / losses[-1]):.1f} dB")
    plot(truth, shots, losses, options.out)
    mine, theirs = np.median(times), torch_steps(x, y, hidden, plan.batch, min(len(times), 100))
    beside = f"torch {theirs * 1e3:.2f} ms" if theirs else "torch is not installed"
    print(f"{options.out}; a step of {plan.batch} points: nablas {mine * 1e3:.2f} ms, {beside}")


if __name__ == "__main__":
    main()
