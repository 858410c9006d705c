"""Writes kernels/tests/data/act_f64.csv: correctly rounded activations and their derivatives.

Needs mpmath. Each row: the activation, then as the hexadecimal bits of doubles z and those nearest to g(z) and
g'(z). Magnitudes below the normal numbers are left out.

    python3 tools/act_reference.py > kernels/tests/data/act_f64.csv
"""

import random
import struct

import mpmath as mp

mp.mp.prec = 1300


def sigmoid(z):
    return 1 / (1 + mp.exp(-z))


def normal(z):
    return mp.erfc(-z / mp.sqrt(2)) / 2


def gelu_tanh(z):
    c, cube = 2 * mp.sqrt(2 / mp.pi), mp.mpf("0.044715")
    s = sigmoid(c * (z + cube * z**3))
    return z * s, s + z * s * (1 - s) * c * (1 + 3 * cube * z**2)


def mish(z):
    t = mp.tanh(mp.log(1 + mp.exp(z)))
    return z * t, t + z * (1 - t**2) * sigmoid(z)


def selu(z):
    scale = mp.mpf("1.0507009873554804934193349852946")
    alpha = mp.mpf("1.6732632423543772848170429916717")
    if z > 0:
        return scale * z, scale
    return scale * alpha * mp.expm1(z), scale * alpha * mp.exp(z)


def hard_swish(z):
    if abs(z) < 3:
        return z * (z + 3) / 6, (2 * z + 3) / 6
    return (z, mp.mpf(1)) if z > 0 else (mp.mpf(0), mp.mpf(0))


ACTIVATIONS = {
    "elu:1": lambda z: (z, mp.mpf(1)) if z > 0 else (mp.expm1(z), mp.exp(z)),
    "selu": selu,
    "sigmoid": lambda z: (sigmoid(z), sigmoid(z) * sigmoid(-z)),
    "tanh": lambda z: (mp.tanh(z), 1 / mp.cosh(z) ** 2),
    "softplus": lambda z: (mp.log(1 + mp.exp(z)), sigmoid(z)),
    "silu": lambda z: (z * sigmoid(z), sigmoid(z) * (1 + z * sigmoid(-z))),
    "gelu": lambda z: (z * normal(z), normal(z) + z * mp.npdf(z)),
    "gelu_tanh": gelu_tanh,
    "mish": mish,
    "exp": lambda z: (mp.exp(z), mp.exp(z)),
    "hard_swish": hard_swish,
    "softsign": lambda z: (z / (1 + abs(z)), 1 / (1 + abs(z)) ** 2),
}

# Where tools/numerics saw the largest errors of the kernels among 10⁸ arguments: of the value, of the derivative.
WORST = {
    "elu:1": (-0.3972331214346549, -67.57155453384303),
    "selu": (-0.3340262072842736, -708.8295141167462),
    "sigmoid": (-37.82559293058954, -1.8210877668340621),
    "tanh": (-0.20526441623845948, -1.7008048436516159),
    "softplus": (6.54594695489965e-09, -6.237247047488639),
    "silu": (-15.94020828415621, -14.536814023548892),
    "gelu": (-37.33943313012356, -0.5123496940875307),
    "gelu_tanh": (-1.8347435262806957, -1.2010673482398448),
    "mish": (-14.528915975970705, -0.8514132938993951),
    "exp": (3.8653266453620274,),
    "hard_swish": (1.3706041908545967, 0.5447828084775888),
    "softsign": (2.774445111910077e-11, 1.7929288811814847),
}


def bits(x):
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def inputs(rng):
    for limit, n in ((3, 60), (12, 50), (38, 40), (300, 20), (700, 20)):
        for _ in range(n):
            yield rng.uniform(-limit, limit)
    for _ in range(20):
        yield rng.choice((-1, 1)) * 2 ** rng.uniform(-60, 0)


def main():
    rng = random.Random(1)
    print("# activation, z, g(z), g'(z); see tools/act_reference.py")
    for name, function in ACTIVATIONS.items():
        for z in (*inputs(rng), *WORST[name]):
            value, derivative = function(mp.mpf(z))
            if all(mp.mpf("2.3e-308") < abs(x) < mp.mpf("1e300") for x in (value, derivative)):
                print(f"{name},{bits(z):016x},{bits(float(value)):016x},{bits(float(derivative)):016x}")


main()
