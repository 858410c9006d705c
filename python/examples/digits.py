"""Handwritten digits with NumPy arrays and nothing else: a whole training step is one call.

python digits.py [--epochs 30]
"""

import argparse
import time
from pathlib import Path

import numpy as np

import nablas

DATA = Path(__file__).parents[2] / "data" / "digits.csv.gz"


def train(x, classes, epochs, batch, seed):
    """The network and its parameters after some epochs, and the seconds that they took."""
    mlp = nablas.Mlp([64, 100, 10], activation="relu")
    params, plan = mlp.init("he_normal", seed), mlp.plan(batch)
    adam, rng, start = nablas.Adam(mlp, 1e-3), np.random.default_rng(seed), time.perf_counter()
    for epoch in range(epochs):
        total = 0.0
        for rows in nablas.batches(len(x), batch, rng):
            step = plan.train_step(params, x[rows], "softmax_cross_entropy", classes[rows], adam)
            total += step.loss * len(rows)
        if epoch % 10 == 9 or epoch + 1 == epochs:
            print(f"epoch {epoch + 1:3}: loss {total / len(x):.4f}")
    return mlp, params, time.perf_counter() - start


def scikit_learn(x, classes, test, test_classes, epochs, batch, seed):
    """Seconds and accuracy of the same network there, or None if it is not installed."""
    try:
        from sklearn.neural_network import MLPClassifier
    except ImportError:
        return None
    import warnings

    model = MLPClassifier(
        (100,), max_iter=epochs, batch_size=batch, alpha=0, n_iter_no_change=epochs, random_state=seed
    )
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, classes)
    return time.perf_counter() - start, model.score(test, test_classes)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    table = np.loadtxt(DATA, delimiter=",", dtype="float32")
    np.random.default_rng(options.seed).shuffle(table)
    x, classes = np.ascontiguousarray(table[:, :64]) / 16, table[:, 64].astype("uint32")
    cut = len(x) * 4 // 5
    train_set, test_set = (x[:cut], classes[:cut]), (x[cut:], classes[cut:])

    mlp, params, took = train(*train_set, options.epochs, options.batch, options.seed)
    predicted = mlp.plan(len(x)).forward(params, test_set[0]).argmax(axis=1)
    accuracy = (predicted == test_set[1]).mean()
    theirs = scikit_learn(*train_set, *test_set, options.epochs, options.batch, options.seed)
    beside = f"scikit-learn {theirs[0]:.2f} s, {theirs[1]:.2%}" if theirs else "scikit-learn is not installed"
    print(f"{options.epochs} epochs: nablas {took:.2f} s, {accuracy:.2%} of the test digits; {beside}")


if __name__ == "__main__":
    main()
