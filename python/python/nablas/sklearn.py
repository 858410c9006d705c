"""scikit-learn's multi-layer perceptrons, trained and evaluated by nablas.

`MLPClassifier` and `MLPRegressor` are scikit-learn's own classes with other passes: constructor, attributes, checks and
semantics are theirs, and so are the numbers that they start from and the batches, so a fit with the same `random_state`
takes the same way. What differs:

- activation: also any of nablas', by name ("gelu", "sin:30", ...); "logistic" is nablas' "sigmoid".
- threads: at most so many; `nablas.get_num_threads()` if None.
- solver: "adam" or "sgd"; loss of the regressor: "squared_error". Others raise a ValueError.
- sparse X is made dense a batch at a time.

Plans are shared by all estimators of a process and are no part of one: an estimator is pickled as its parameters.
"""

from __future__ import annotations

import inspect
import warnings
from functools import lru_cache
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier as _Classifier
from sklearn.neural_network import MLPRegressor as _Regressor
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, validate_data

from ._nablas import Adam, Loss, Mlp, Optimizer, Plan, Sgd, get_num_threads

__all__ = ["MLPClassifier", "MLPRegressor"]

# Rows that are predicted together.
_ROWS = 1024

_CONSTRAINTS = {
    "activation": [str],
    "solver": [StrOptions({"sgd", "adam"})],
    "momentum": [Interval(Real, 0, 1, closed="left")],
    "threads": [None, Interval(Integral, 1, 1024, closed="both")],
}

# The loss by the activation of the outputs: summed, since rows have weights that make it a mean.
_LOSSES = {
    "softmax": Loss("softmax_cross_entropy", "sum"),
    "logistic": Loss("bce_with_logits", "sum"),
    "identity": Loss("mse", "sum"),
}


@lru_cache(maxsize=32)
def _plan(sizes: tuple[int, ...], activation: str, output: str, dtype: str, batch: int, threads: int) -> Plan:
    """The plan of a network for batches of at most `batch` rows: for all who ask for the same."""
    return Mlp(sizes, _name(activation), output, dtype=dtype).plan(batch, threads=threads)


def _name(activation: str) -> str:
    """nablas' name of an activation."""
    return "sigmoid" if activation == "logistic" else activation


def _constructor(base: type) -> Any:
    """The constructor of a class of scikit-learn with one more parameter; parameters are read off its signature."""
    given = inspect.signature(base.__init__)  # type: ignore[misc]
    threads = inspect.Parameter("threads", inspect.Parameter.KEYWORD_ONLY, default=None)

    def __init__(self: Any, *args: Any, threads: int | None = None, **keywords: Any) -> None:
        base.__init__(self, *args, **keywords)  # type: ignore[misc]
        self.threads = threads

    own: Any = __init__
    own.__signature__ = given.replace(parameters=[*given.parameters.values(), threads])
    return own


class _Fused:
    """What classifier and regressor have in common: the passes."""

    if TYPE_CHECKING:
        # scikit-learn has no types: all else that there is comes from its classes.
        coefs_: Any
        intercepts_: Any
        t_: int
        _no_improvement_count: int

        def __getattr__(self, name: str) -> Any: ...

    def _sizes(self, features: int) -> list[int]:
        """The widths of the network."""
        hidden = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object)).tolist()
        if any(width <= 0 for width in hidden):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        return [features, *map(int, hidden), self.n_outputs_]

    def _plan(self, sizes: list[int], output: str, dtype: Any, batch: int) -> Plan:
        threads = get_num_threads() if self.threads is None else self.threads
        return _plan(tuple(sizes), self.activation, output, np.dtype(dtype).name, batch, threads)

    def _gather(self, mlp: Mlp) -> np.ndarray:
        """The parameters in one array, of which `coefs_` and `intercepts_` are views from now on."""
        params = np.empty(mlp.param_len, mlp.dtype)
        layers = mlp.layers(params)
        for (w, b), coef, intercept in zip(layers, self.coefs_, self.intercepts_, strict=True):
            w[...], b[...] = coef.T, intercept
        self.coefs_, self.intercepts_ = [w.T for w, _ in layers], [b for _, b in layers]
        return params

    def _forward_pass_fast(self, X: Any, check_input: bool = True) -> np.ndarray:
        """The outputs [rows, n_outputs_], with their activation."""
        if check_input:
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        dtype = self.coefs_[0].dtype
        sizes = [self.coefs_[0].shape[0], *(coef.shape[1] for coef in self.coefs_)]
        params = [part for coef, b in zip(self.coefs_, self.intercepts_) for part in (np.ascontiguousarray(coef.T), b)]
        output = "sigmoid" if self.out_activation_ == "logistic" else "identity"
        plan, y = self._plan(sizes, output, dtype, _ROWS), np.empty((X.shape[0], sizes[-1]), dtype)
        for rows in gen_batches(X.shape[0], _ROWS):
            plan.forward(params, _dense(X[rows], dtype), out=y[rows])
        return _softmax(y) if self.out_activation_ == "softmax" else y

    def _fit(self, X: Any, y: Any, sample_weight: Any = None, incremental: bool = False) -> Any:
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        X, y = self._validate_input(X, y, incremental, reset=first)
        if not first:
            X = X.astype(self.coefs_[0].dtype, copy=False)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=X.dtype)
        y = y.reshape(len(y), -1)
        self.n_outputs_ = y.shape[1]
        sizes = self._sizes(X.shape[1])
        self._random_state = check_random_state(self.random_state)
        if first:
            self._initialize(y, sizes, X.dtype)
        mlp = Mlp(sizes, _name(self.activation), dtype=X.dtype)
        params = self._gather(mlp)
        if not incremental or not hasattr(self, "_optimizer"):
            self._optimizer = self._new_optimizer(mlp)
        self._train(params, *self._split(X, y, sample_weight), incremental)
        if not all(np.isfinite(part).all() for part in (*self.coefs_, *self.intercepts_)):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
                " preprocessed."
            )
        return self

    def _new_optimizer(self, mlp: Mlp) -> Optimizer:
        rate, threads = self.learning_rate_init, self.threads
        if self.solver == "adam":
            betas = (self.beta_1, self.beta_2)
            return Adam(mlp, rate, betas=betas, epsilon=self.epsilon, threads=threads)
        nesterov = bool(self.nesterovs_momentum and self.momentum > 0)
        return Sgd(mlp, rate, momentum=self.momentum, nesterov=nesterov, threads=threads)

    def _split(self, X: Any, y: np.ndarray, weight: Any) -> tuple[Any, Any]:
        """What is trained with, and what is held out if training stops early: X, y and weights of both."""
        if not self.early_stopping:
            return (X, y, weight), (None, None, None)
        stratify = y if is_classifier(self) and self.n_outputs_ == 1 else None
        parts = [X, y] if weight is None else [X, y, weight]
        halves = train_test_split(
            *parts, random_state=self._random_state, test_size=self.validation_fraction, stratify=stratify
        )
        train, held = [*halves[0::2], None][:3], [*halves[1::2], None][:3]
        if held[0].shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        if is_classifier(self):
            held[1] = self._label_binarizer.inverse_transform(held[1])
        return train, held

    def _train(self, params: np.ndarray, train: Any, held: Any, incremental: bool) -> None:
        (X, y, weight), rows = train, train[0].shape[0]
        batch = min(200, rows) if self.batch_size == "auto" else min(self.batch_size, rows)
        if self.batch_size != "auto" and self.batch_size > rows:
            warnings.warn("`batch_size` is larger than the sample size and is clipped.", stacklevel=3)
        step = _Step(self, params, X, y, weight, batch)
        order = np.arange(rows)
        self.n_iter_ = 0
        try:
            for _ in range(self.max_iter):
                if self.shuffle:
                    # As sklearn.utils.shuffle draws it, without its checks.
                    order = order[self._random_state.permutation(rows)]
                self.loss_ = sum(step(order[s]) * (s.stop - s.start) for s in gen_batches(rows, batch)) / rows
                self.n_iter_ += 1
                self.t_ += rows
                self.loss_curve_.append(self.loss_)
                if self.verbose:
                    print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
                self._update_no_improvement_count(self.early_stopping, *held)
                if self._is_over() or incremental:
                    break
                if self.n_iter_ == self.max_iter:
                    warnings.warn(
                        f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the"
                        " optimization hasn't converged yet.",
                        ConvergenceWarning,
                        stacklevel=3,
                    )
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=3)
        if self.early_stopping:
            self.coefs_, self.intercepts_ = self._best_coefs, self._best_intercepts

    def _is_over(self) -> bool:
        """After an epoch: sets the learning rate of the next; whether there shall be none."""
        optimizer, sgd = self._optimizer, self.solver == "sgd"
        if sgd and self.learning_rate == "invscaling":
            _set_rate(optimizer, self.learning_rate_init / (self.t_ + 1) ** self.power_t)
        if self._no_improvement_count <= self.n_iter_no_change:
            return False
        what = "Validation score" if self.early_stopping else "Training loss"
        verb = f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs."
        if sgd and self.learning_rate == "adaptive" and optimizer.rate > 1e-6:
            _set_rate(optimizer, optimizer.rate / 5.0)
            self._no_improvement_count = 0
            if self.verbose:
                print(f"{verb} Setting learning rate to {optimizer.rate:f}")
            return False
        if self.verbose:
            print(f"{verb} Stopping.")
        return True


class _Step:
    """A training step of a batch, given by the numbers of its rows: the mean loss, with the penalty of the weights."""

    def __init__(self, of: Any, params: np.ndarray, X: Any, y: np.ndarray, weight: Any, batch: int) -> None:
        self.params, self.X, self.weight, self.alpha = params, X, weight, of.alpha
        self.optimizer, self.loss = of._optimizer, _LOSSES[of.out_activation_]
        sizes = of._sizes(X.shape[1])
        self.plan = of._plan(sizes, "identity", params.dtype, batch)
        # Squares count half, and of several outputs their gradient is the sum's and their value the mean's.
        squares = of.out_activation_ == "identity"
        self.factor, self.outputs = (0.5, int(sizes[-1])) if squares else (1.0, 1)
        self.y = (
            y.argmax(axis=1).astype(np.uint32)
            if of.out_activation_ == "softmax"
            else np.ascontiguousarray(y, params.dtype)
        )
        self.x = np.empty((batch, sizes[0]), params.dtype)
        self.grads, self.penalty = np.empty_like(params), np.empty_like(params)
        # 1 where there is a weight, 0 where there is a bias; and of the last batch's size alpha's share of each.
        self.is_weight = np.zeros_like(params)
        for l in range(len(sizes) - 1):
            self.is_weight[self.plan.mlp.weights_slice(l)] = 1
        self.decay, self.total, self.even = np.empty_like(params), None, np.empty(0, params.dtype)

    def __call__(self, rows: np.ndarray) -> float:
        n = len(rows)
        if issparse(self.X):
            x = _dense(self.X[rows], self.params.dtype)
        else:
            x = np.take(self.X, rows, axis=0, out=self.x[:n], mode="clip")
        if self.weight is None:
            total, weights = n, self.even
        else:
            weights = self.weight[rows]
            total = weights.sum()
            if total == 0:
                # scikit-learn's way with them.
                raise ZeroDivisionError("sample_weight: the weights of a batch sum to zero")
            weights *= self.factor / total
        if total != self.total:
            self.total = total
            if self.alpha:
                np.multiply(self.is_weight, self.alpha / total, out=self.decay)
            if self.weight is None:
                weights = self.even = np.full(n, self.factor / n, x.dtype)
        value, _ = self.plan.value_and_grad(self.params, x, self.loss, self.y[rows], weights=weights, out=self.grads)
        loss = value / self.outputs
        if self.alpha:
            np.multiply(self.params, self.decay, out=self.penalty)
            self.grads += self.penalty
            loss += 0.5 * float(self.params @ self.penalty)
        self.optimizer.step(self.params, self.grads)
        return float(loss)


def _set_rate(sgd: Optimizer, rate: float) -> None:
    """Changes the rate. scikit-learn's velocity is of parameters, ours of gradients: scaled, it stays what it is there."""
    steps, (velocity, nothing) = sgd.state()
    sgd.resume(steps, [velocity * velocity.dtype.type(sgd.rate / rate), nothing])
    sgd.rate = rate


def _dense(X: Any, dtype: Any) -> np.ndarray:
    """Rows of X, dense and of a type."""
    return (X.toarray() if issparse(X) else np.asarray(X)).astype(dtype, copy=False)


def _softmax(y: np.ndarray) -> np.ndarray:
    """The softmax of each row, in place."""
    y -= y.max(axis=1, keepdims=True)
    np.exp(y, out=y)
    y /= y.sum(axis=1, keepdims=True)
    return y


class MLPClassifier(_Fused, _Classifier):  # type: ignore[misc]
    __doc__ = f"scikit-learn's MLPClassifier by nablas: what differs is in `nablas.sklearn`.\n{_Classifier.__doc__}"

    _parameter_constraints = {**_Classifier._parameter_constraints, **_CONSTRAINTS}
    __init__ = _constructor(_Classifier)


class MLPRegressor(_Fused, _Regressor):  # type: ignore[misc]
    __doc__ = f"scikit-learn's MLPRegressor by nablas: what differs is in `nablas.sklearn`.\n{_Regressor.__doc__}"

    _parameter_constraints = {
        **_Regressor._parameter_constraints,
        **_CONSTRAINTS,
        "loss": [StrOptions({"squared_error"})],
    }
    __init__ = _constructor(_Regressor)
