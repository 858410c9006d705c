"""Writes kernels/tests/data/math_f64.csv: correctly rounded values of the elementary functions.

Needs mpmath. Each row: the function, then as the hexadecimal bits of a double x and the double nearest to
f(x), then f(x) less that double in units in its last place.

    python3 tools/math_reference.py > kernels/tests/data/math_f64.csv
"""

import random
import struct

import mpmath as mp

mp.mp.prec = 2400  # enough for sin of the largest double, and for sech² far out


def bits(x):
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def double(b):
    return struct.unpack("<d", struct.pack("<Q", b))[0]


def rounded(v):
    """The double nearest to v, and v less it in ULP."""
    if v == 0:
        return 0.0, 0.0
    exponent = max(int(mp.floor(mp.log(abs(v), 2))), -1022)
    unit = mp.ldexp(1, exponent - 52)
    n = mp.nint(v / unit)  # to even
    if abs(n) * unit >= mp.ldexp(1, 1024):
        return float("inf") if v > 0 else float("-inf"), 0.0
    return float(n * unit), float(v / unit - n)


def sigmoid(x):
    return 1 / (1 + mp.exp(-x))


FUNCTIONS = {
    "Exp": (mp.exp, -760, 715),
    "Expm1": (mp.expm1, -45, 715),
    "Log1p": (mp.log1p, -1, 1e6),
    "Tanh": (mp.tanh, -25, 25),
    "TanhDerivative": (lambda x: mp.sech(x) ** 2, -380, 380),
    "Sigmoid": (sigmoid, -750, 45),
    "SigmoidDerivative": (lambda x: sigmoid(x) * sigmoid(-x), -750, 750),
    "Erf": (mp.erf, -6.5, 6.5),
    "Sin": (mp.sin, -1e4, 1e4),
    "Cos": (mp.cos, -1e4, 1e4),
}

# Some close to multiples of π/2; the second is the closest of all doubles.
HARD = [1.5707963267948966, 6381956970095103.0 * 2.0**797, 22.0, 355.0, 1e30, 1e300, 1.7e308]

# Where tools/numerics saw the largest errors of the kernels among 10⁸ arguments.
WORST = {
    "Exp": 3.8653266453620274,
    "Expm1": 0.34794466499294563,
    "Log1p": 0.44943495072106104,
    "Tanh": -0.20526441623845948,
    "TanhDerivative": -1.7008048436516159,
    "Sigmoid": -37.82559293058954,
    "SigmoidDerivative": -1.8210877668340621,
    "Erf": 0.9937713053316687,
    "Sin": 0.7873558441486908,
    "Cos": -14.929450171466637,
}


def arguments(name, low, high, rng):
    yield from (rng.uniform(max(low, -2), min(high, 2)) for _ in range(70))
    yield from (rng.uniform(low, high) for _ in range(80))
    for _ in range(30):  # small ones, of both signs
        yield rng.choice((-1, 1)) * 2.0 ** rng.uniform(-60, -1)
    yield from (5e-324, -5e-324, 1e-310, 2.0**-54, -(2.0**-54))
    if name == "Log1p":
        yield from (10.0 ** rng.uniform(0, 308) for _ in range(30))
        yield from (2.0**-k - 1 for k in (1, 2, 10, 40, 53))
    if name in ("Sin", "Cos"):
        yield from HARD
        yield from (rng.uniform(-1e12, 1e12) for _ in range(80))
        yield from (rng.choice((-1, 1)) * 2.0 ** rng.uniform(0, 1023) for _ in range(80))
        yield from (float(k * mp.pi / 2) for k in (1, 2, 3, 7, 1000, 123456789, 10**15))
    yield WORST[name]


def main():
    rng = random.Random(2026)
    print("# function, x, f(x) rounded, the rest in ULP; see tools/math_reference.py")
    for name, (f, low, high) in FUNCTIONS.items():
        for x in arguments(name, low, high, rng):
            value, rest = rounded(f(mp.mpf(x)))
            print(f"{name},{bits(x):x},{bits(value):x},{rest:.3f}")


if __name__ == "__main__":
    main()
