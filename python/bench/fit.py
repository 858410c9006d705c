"""`fit` on the digits, scikit-learn's and nablas', in turns in one process: the least time, and the accuracy of each.

    python fit.py [--rounds 10] [--threads 1]
"""

import argparse
import os
import time
import warnings

EPOCHS = (20, 100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    # Before anything starts threads.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    for variable in ("OMP", "OPENBLAS", "NABLAS"):
        os.environ[f"{variable}_NUM_THREADS"] = str(options.threads)

    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier as Theirs

    from nablas.sklearn import MLPClassifier as Ours

    warnings.simplefilter("ignore", ConvergenceWarning)
    x, y = load_digits(return_X_y=True)
    x, held, y, labels = train_test_split(x / 16, y, random_state=0)
    print(f"{'epochs':>6}  {'scikit-learn':>21}  {'nablas':>21}  ratio")
    for epochs in EPOCHS:
        times, scores = {Theirs: [], Ours: []}, {Theirs: [], Ours: []}
        for seed in range(options.rounds):
            for kind in times:
                model = kind(random_state=seed, max_iter=epochs)
                start = time.perf_counter()
                model.fit(x, y)
                times[kind].append(1e3 * (time.perf_counter() - start))
                scores[kind].append(model.score(held, labels))
        cells = [f"{min(times[k]):8.1f} ms, {sum(scores[k]) / options.rounds:7.2%}" for k in times]
        print(f"{epochs:6}  {cells[0]:>21}  {cells[1]:>21}  {min(times[Theirs]) / min(times[Ours]):.2f}")


if __name__ == "__main__":
    main()
