"""scikit-learn's tools around nablas' classifier: scaling, a search for settings, the time beside scikit-learn's own.

python pipeline.py [--epochs 60]
"""

import argparse
import time
import warnings

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nablas.sklearn import MLPClassifier


def timed(model, x, y):
    start = time.perf_counter()
    model.fit(x, y)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)

    x, test, y, y_test = train_test_split(*load_digits(return_X_y=True), test_size=0.25, random_state=0)
    model = make_pipeline(StandardScaler(), MLPClassifier(max_iter=options.epochs, random_state=0))
    search = GridSearchCV(
        model, {"mlpclassifier__activation": ["relu", "gelu"], "mlpclassifier__alpha": [1e-4, 1e-2]}, cv=3
    ).fit(x, y)
    print(f"best of the search: {search.best_params_}, {search.best_score_:.2%} in cross-validation")

    settings = {"max_iter": options.epochs, "random_state": 0, "n_iter_no_change": options.epochs}
    ours, theirs = (make_pipeline(StandardScaler(), kind(**settings)) for kind in (MLPClassifier, TheirClassifier))
    mine, its = timed(ours, x, y), timed(theirs, x, y)
    print(
        f"fit of {options.epochs} epochs: nablas {mine:.2f} s, {ours.score(test, y_test):.2%};"
        f" scikit-learn {its:.2f} s, {theirs.score(test, y_test):.2%}"
    )


if __name__ == "__main__":
    main()
