"""What the kernels compute, written down in NumPy and float64."""

import numpy as np

SQRT2 = np.sqrt(2.0)


def _erf(x):
    from math import erf

    return np.vectorize(erf, otypes=[float])(x)


def _sigmoid(z):
    return 0.5 * (1.0 + np.tanh(0.5 * z))


def _normal(z):
    return np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)


def _softplus(z):
    return np.logaddexp(0.0, z)


def _gelu_tanh(z):
    u, du = np.sqrt(2 / np.pi) * (z + 0.044715 * z**3), np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * z**2)
    t = np.tanh(u)
    return 0.5 * z * (1 + t), 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * du


def _mish(z):
    t, s = np.tanh(_softplus(z)), _sigmoid(z)
    return z * t, t + z * (1 - t * t) * s


SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

# Name: value and derivative.
ACTIVATIONS = {
    "identity": lambda z: (z, np.ones_like(z)),
    "relu": lambda z: (np.maximum(z, 0), (z > 0) * 1.0),
    "leaky_relu:0.1": lambda z: (np.where(z > 0, z, 0.1 * z), np.where(z > 0, 1.0, 0.1)),
    "clipped_relu:1.5": lambda z: (np.clip(z, 0, 1.5), ((z > 0) & (z < 1.5)) * 1.0),
    "elu:0.7": lambda z: (np.where(z > 0, z, 0.7 * np.expm1(z)), np.where(z > 0, 1.0, 0.7 * np.exp(z))),
    "selu": lambda z: (
        SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(z)),
        SELU_SCALE * np.where(z > 0, 1.0, SELU_ALPHA * np.exp(z)),
    ),
    "sigmoid": lambda z: (_sigmoid(z), _sigmoid(z) * _sigmoid(-z)),
    "tanh": lambda z: (np.tanh(z), 1 - np.tanh(z) ** 2),
    "softplus": lambda z: (_softplus(z), _sigmoid(z)),
    "silu": lambda z: (z * _sigmoid(z), _sigmoid(z) * (1 + z * _sigmoid(-z))),
    "gelu": lambda z: (
        0.5 * z * (1 + _erf(z / SQRT2)),
        0.5 * (1 + _erf(z / SQRT2)) + z * _normal(z),
    ),
    "gelu_tanh": _gelu_tanh,
    "mish": _mish,
    "hard_swish": lambda z: (
        z * np.clip(z + 3, 0, 6) / 6,
        np.where(z <= -3, 0.0, np.where(z >= 3, 1.0, (2 * z + 3) / 6)),
    ),
    "exp": lambda z: (np.exp(z), np.exp(z)),
    "sin:2.5": lambda z: (np.sin(2.5 * z), 2.5 * np.cos(2.5 * z)),
    "softsign": lambda z: (z / (1 + np.abs(z)), 1 / (1 + np.abs(z)) ** 2),
}


def split(sizes, flat):
    """W and b of each layer of flat parameters."""
    layers, at = [], 0
    for n, m in zip(sizes, sizes[1:]):
        w = flat[at : at + m * n].reshape(m, n)
        at += m * n
        layers.append((w, flat[at : at + m]))
        at += m
    assert at == len(flat)
    return layers


def forward(sizes, names, flat, x):
    """A_L, and what the backward pass needs."""
    a, kept = x.astype(float), []
    for (w, b), name in zip(split(sizes, flat.astype(float)), names):
        value, derivative = ACTIVATIONS[name](a @ w.T + b)
        kept.append((a, derivative, w))
        a = value
    return a, kept


def backward(kept, dy):
    """The flat gradient, and dX."""
    parts, delta = [], dy.astype(float)
    for a, derivative, w in reversed(kept):
        delta = delta * derivative
        parts[:0] = [(delta.T @ a).ravel(), delta.sum(axis=0)]
        delta = delta @ w
    return np.concatenate(parts), delta


def _log_softmax(y):
    y = y - y.max(axis=1, keepdims=True)
    return y - np.log(np.exp(y).sum(axis=1, keepdims=True))


def loss(kind, reduction, y, t, delta=1.0):
    """The value and its gradient by y; t are classes where it has one axis."""
    y = y.astype(float)
    t = np.eye(y.shape[1])[t] if t.ndim == 1 else t.astype(float)
    r = y - t
    if kind == "mse":
        each, grad = r * r, 2 * r
    elif kind == "l1":
        each, grad = np.abs(r), np.sign(r)
    elif kind == "huber":
        small = np.abs(r) <= delta
        each, grad = np.where(small, 0.5 * r * r, delta * (np.abs(r) - 0.5 * delta)), np.clip(r, -delta, delta)
    elif kind == "bce_with_logits":
        each, grad = np.logaddexp(0, y) - t * y, _sigmoid(y) - t
    else:
        log_p = _log_softmax(y)
        each = -(t * log_p).sum(axis=1)
        grad = np.exp(log_p) * t.sum(axis=1, keepdims=True) - t
    count = each.size if reduction == "mean" else 1
    return each.sum() / count, grad / count


def close(got, expected, dtype, factor=200.0):
    """Refuses what differs by more than some roundings of the largest element."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == np.dtype(dtype) and got.shape == expected.shape
    scale = max(np.abs(expected).max(initial=0.0), 1e-30)
    error = np.abs(got - expected).max(initial=0.0) / scale
    assert error < factor * np.finfo(dtype).eps, f"{error / np.finfo(dtype).eps:.1f} roundings"
