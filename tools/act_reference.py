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
    "elu:1": (-0.396781229636327, -12.809345693575),
    "selu": (-0.3342969224906219, -708.82102269887),
    "sigmoid": (-37.789712799547424, 1.824726821882457),
    "tanh": (0.2049371807482553, -1.324575378780995),
    "softplus": (0.0003602850995297313, -5.542101375347195),
    "silu": (-1.8882785314023676, -4.796219719445312),
    "gelu": (-37.284209108453915, -0.5315992732671577),
    "gelu_tanh": (-3.3823116158500692, -1.2076735652784467),
    "mish": (-14.511624184587397, -0.8564483792392268),
    "exp": (3.866172024978441,),
    "hard_swish": (1.3716574502206318, 0.5064189239060382),
    "softsign": (442.2449260412516, -0.6156484701441453),
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
