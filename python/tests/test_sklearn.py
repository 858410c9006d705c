"""The estimators against scikit-learn's: its own checks, the same way of training, and accuracy over seeds."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_digits, make_moons, make_multilabel_classification, make_regression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from nablas.sklearn import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:`batch_size` is larger:UserWarning"),
]

PAIRS = [(MLPClassifier, TheirClassifier), (MLPRegressor, TheirRegressor)]
RNG = np.random.default_rng(0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("ours", [MLPClassifier, MLPRegressor])
def test_scikit_learns_own_checks(ours):
    done = check_estimator(ours(max_iter=100), on_fail=None, on_skip=None)
    assert [check["check_name"] for check in done if check["status"] in ("failed", "xfail")] == []
    assert sum(check["status"] == "passed" for check in done) > 40


def task(ours, dtype="float64", rows=150):
    x = RNG.standard_normal((rows, 6)).astype(dtype)
    y = x[:, 0] * x[:, 1] + np.sin(x[:, 2])
    return x, (y > 0).astype(int) + (y > 0.7) if ours is MLPClassifier else y.astype(dtype)


@pytest.mark.parametrize("ours, theirs", PAIRS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"activation": "tanh", "alpha": 0.1, "batch_size": 32},
        {"activation": "logistic", "hidden_layer_sizes": (20, 10), "shuffle": False},
        {"solver": "sgd", "learning_rate_init": 0.05, "nesterovs_momentum": False},
        {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1},
        {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.3, "tol": 0.05, "n_iter_no_change": 2},
        {"early_stopping": True, "hidden_layer_sizes": 15},
        {"activation": "identity", "solver": "sgd", "momentum": 0.0},
    ],
)
def test_training_takes_the_same_way(ours, theirs, settings):
    x, y = task(ours)
    settings = {"max_iter": 12, "random_state": 3, **settings}
    one, two = ours(**settings).fit(x, y), theirs(**settings).fit(x, y)
    # Adam's ε is added before the correction there, after it here: a trace of it is all that may differ.
    bound = 2e-3 if settings.get("solver") != "sgd" else 1e-9
    assert (one.n_iter_, len(one.loss_curve_), one.t_) == (two.n_iter_, len(two.loss_curve_), two.t_)
    np.testing.assert_allclose(one.loss_curve_, two.loss_curve_, rtol=bound)
    for mine, its in zip(one.coefs_ + one.intercepts_, two.coefs_ + two.intercepts_):
        assert mine.shape == its.shape and mine.dtype == its.dtype
        np.testing.assert_allclose(mine, its, atol=10 * bound)
    if settings.get("early_stopping"):
        np.testing.assert_allclose(one.validation_scores_, two.validation_scores_, atol=0.05)
    assert one.out_activation_ == two.out_activation_ and one.n_layers_ == two.n_layers_
    assert set(vars(two)) <= set(vars(one)) | {"_coef_indptr", "_intercept_indptr"}


@pytest.mark.parametrize("ours, theirs", PAIRS)
def test_sample_weights_take_the_same_way(ours, theirs):
    x, y = task(ours)
    weight = RNG.integers(0, 4, len(x)).astype(float)
    settings = {"solver": "sgd", "learning_rate_init": 0.05, "max_iter": 15, "random_state": 1, "batch_size": 40}
    one, two = ours(**settings).fit(x, y, weight), theirs(**settings).fit(x, y, weight)
    np.testing.assert_allclose(one.loss_curve_, two.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(one.coefs_[0], two.coefs_[0], atol=1e-9)
    # Whole weights are rows that come several times.
    often = ours(**{**settings, "batch_size": 10_000}).fit(
        np.repeat(x, weight.astype(int), 0), np.repeat(y, weight.astype(int))
    )
    once = ours(**{**settings, "batch_size": 10_000}).fit(x, y, weight)
    np.testing.assert_allclose(often.coefs_[0], once.coefs_[0], atol=1e-9)


@pytest.mark.parametrize("ours, theirs", PAIRS)
def test_a_batch_whose_weights_sum_to_zero_is_refused_as_there(ours, theirs):
    x, y = task(ours)
    weight = np.ones(len(x))
    weight[:50] = 0
    for kind in (ours, theirs):
        with pytest.raises(ZeroDivisionError, match="sum to zero"):
            kind(batch_size=50, max_iter=1, shuffle=False).fit(x, y, weight)


@pytest.mark.parametrize("ours, theirs", PAIRS)
def test_without_a_penalty_weights_count_too(ours, theirs):
    x, y = task(ours)
    weight = RNG.integers(1, 4, len(x)).astype(float)
    settings = {"solver": "sgd", "alpha": 0.0, "max_iter": 10, "random_state": 1, "batch_size": 40}
    one, two = ours(**settings).fit(x, y, weight), theirs(**settings).fit(x, y, weight)
    np.testing.assert_allclose(one.loss_curve_, two.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("ours, theirs", PAIRS)
def test_partial_fit_and_warm_start_go_on(ours, theirs):
    x, y = task(ours)
    settings = {"solver": "sgd", "learning_rate_init": 0.05, "random_state": 2, "shuffle": False}
    classes = {"classes": np.unique(y)} if ours is MLPClassifier else {}
    one, two = ours(**settings), theirs(**settings)
    for start in range(0, 150, 30):
        part = slice(start, start + 30)
        one.partial_fit(x[part], y[part], **(classes if start == 0 else {}))
        two.partial_fit(x[part], y[part], **(classes if start == 0 else {}))
        one = pickle.loads(pickle.dumps(one))
    np.testing.assert_allclose(one.coefs_[0], two.coefs_[0], atol=1e-9)
    one, two = ours(warm_start=True, max_iter=3, **settings), theirs(warm_start=True, max_iter=3, **settings)
    for _ in range(3):
        one.fit(x, y), two.fit(x, y)
    np.testing.assert_allclose(one.loss_curve_, two.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("ours, theirs", PAIRS)
def test_partial_fit_goes_on_in_the_type_that_it_began_with(ours, theirs):
    x, y = task(ours)
    model = ours(random_state=2).partial_fit(x, y, **({"classes": np.unique(y)} if ours is MLPClassifier else {}))
    before = model.coefs_[0].copy()
    model.partial_fit(x.astype("float32"), y)
    assert model.coefs_[0].dtype == np.float64 and (model.coefs_[0] != before).any()


@pytest.mark.parametrize("ours, theirs", PAIRS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_are_theirs(ours, theirs, dtype):
    x, y = task(ours, dtype)
    two = theirs(random_state=0, max_iter=20).fit(x, y)
    one = ours(random_state=0, max_iter=20).fit(x, y)
    one.coefs_, one.intercepts_ = two.coefs_, two.intercepts_
    many = np.tile(x, (20, 1))
    bound = 1e-5 if dtype == "float32" else 1e-12
    assert one.predict(x).dtype == two.predict(x).dtype
    np.testing.assert_allclose(one.predict(many), two.predict(many), rtol=bound, atol=bound)
    if ours is MLPClassifier:
        np.testing.assert_allclose(one.predict_proba(many), two.predict_proba(many), rtol=10 * bound, atol=bound)
        np.testing.assert_allclose(one.predict_log_proba(x), two.predict_log_proba(x), rtol=10 * bound, atol=bound)


def test_several_labels_and_several_outputs():
    x, y = make_multilabel_classification(200, 8, n_classes=3, random_state=0)
    settings = {"solver": "sgd", "learning_rate_init": 0.01, "max_iter": 10, "random_state": 0}
    one, two = MLPClassifier(**settings).fit(x, y), TheirClassifier(**settings).fit(x, y)
    np.testing.assert_allclose(one.predict_proba(x), two.predict_proba(x), atol=1e-9)
    x, y = make_regression(100, 5, n_targets=3, random_state=0)
    one, two = MLPRegressor(**settings).fit(x, y / 100), TheirRegressor(**settings).fit(x, y / 100)
    np.testing.assert_allclose(one.loss_curve_, two.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(one.predict(x), two.predict(x), atol=1e-9)


@pytest.mark.parametrize("ours, theirs", PAIRS)
def test_sparse_input_is_the_dense_one(ours, theirs):
    x, y = task(ours)
    x[np.abs(x) < 0.5] = 0
    settings = {"max_iter": 10, "random_state": 0}
    one, two = ours(**settings).fit(x, y), ours(**settings).fit(csr_matrix(x), y)
    assert all((a == b).all() for a, b in zip(one.coefs_, two.coefs_))
    assert (one.predict(x) == two.predict(csr_matrix(x))).all()


@pytest.mark.parametrize("activation", ["gelu", "silu", "sin:2", "leaky_relu:0.1", "softplus"])
def test_any_activation_and_any_threads(activation):
    x, y = task(MLPClassifier)
    settings = {"activation": activation, "max_iter": 100, "learning_rate_init": 0.02, "random_state": 0}
    one, two = (MLPClassifier(threads=threads, **settings).fit(x, y) for threads in (1, 2))
    assert one.score(x, y) > 0.8
    assert all((a == b).all() for a, b in zip(one.coefs_, two.coefs_))


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"solver": "lbfgs"}, "The 'solver' parameter"),
        ({"activation": "step"}, "unknown activation"),
        ({"threads": 0}, "The 'threads' parameter"),
        ({"momentum": 1.0}, "The 'momentum' parameter"),
        ({"hidden_layer_sizes": (5, 0)}, "hidden_layer_sizes must be > 0"),
    ],
)
@pytest.mark.parametrize("ours", [MLPClassifier, MLPRegressor])
def test_what_there_is_not_is_refused(ours, settings, words):
    x, y = task(ours)
    with pytest.raises(ValueError, match=words):
        ours(**settings).fit(x, y)


def test_poisson_is_refused():
    with pytest.raises(ValueError, match="The 'loss' parameter"):
        MLPRegressor(loss="poisson").fit(*task(MLPRegressor))


def test_pickles_and_clones():
    x, y = task(MLPClassifier)
    one = MLPClassifier(random_state=0, max_iter=10, threads=1).fit(x, y)
    two = pickle.loads(pickle.dumps(one))
    assert (one.predict_proba(x) == two.predict_proba(x)).all()
    assert len(pickle.dumps(one)) < 20 * sum(c.nbytes for c in one.coefs_)
    assert clone(one).get_params() == one.get_params() and not hasattr(clone(one), "coefs_")


def test_a_grid_search_in_a_pipeline():
    x, y = load_digits(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(max_iter=15, learning_rate_init=0.01, random_state=0))
    grid = {"mlpclassifier__alpha": [1e-4, 1e-2], "mlpclassifier__activation": ["relu", "gelu"]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(x[:600], y[:600])
    assert search.best_score_ > 0.85


def spread(ours, theirs, x, y, **settings):
    """Mean scores over ten seeds, ours and theirs, and the error of their difference."""
    scores = []
    for seed in range(10):
        train, test, y_train, y_test = train_test_split(x, y, random_state=seed, test_size=0.3)
        both = [
            kind(random_state=100 * own + seed, **settings).fit(train, y_train).score(test, y_test)
            for own, kind in enumerate((ours, theirs))
        ]
        scores.append(both)
    scores = np.array(scores)
    return scores.mean(axis=0), scores.std(axis=0).max() / np.sqrt(10) * np.sqrt(2)


def houses():
    """Like the houses of California: eight features, of which income, place and age count, and noise."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1500, 8))
    value = 2 + 0.8 * x[:, 0] + 0.4 * np.tanh(x[:, 1]) * x[:, 0] - 0.5 * np.hypot(x[:, 6], x[:, 7]) + 0.1 * x[:, 2]
    return x, value + 0.3 * rng.standard_normal(1500)


@pytest.mark.parametrize("name", ["digits", "houses", "moons"])
def test_scores_are_equal_over_ten_seeds(name):
    if name == "digits":
        pair, (x, y) = PAIRS[0], load_digits(return_X_y=True)
        x, settings = x / 16.0, {"max_iter": 20, "hidden_layer_sizes": (50,)}
    elif name == "houses":
        pair, (x, y), settings = PAIRS[1], houses(), {"max_iter": 40, "hidden_layer_sizes": (40, 40)}
    else:
        pair, (x, y) = PAIRS[0], make_moons(600, noise=0.2, random_state=0)
        settings = {"max_iter": 150, "learning_rate_init": 0.01}
    (mine, its), error = spread(*pair, x, y, **settings)
    assert mine > 0.6 and abs(mine - its) < 3 * error + 0.002, f"{mine:.4f} and {its:.4f} ± {error:.4f}"
