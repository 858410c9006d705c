"""Prints the minimax polynomials of kernels/src/math, with their errors. Needs mpmath.

    python3 tools/minimax.py [exp | log | erf | trig]

Each is the polynomial P of a given length for which the largest |w·(f − P)| over an interval is least
(Remez' exchange), with coefficients of the working format: the leading ones are rounded one after another,
the others fitted anew each time to what is left, and the best of these polynomials is printed.
"""

import functools
import math
import random
import sys

import mpmath as mp

mp.mp.dps = 50
BITS = {"f32": 24, "f64": 53}
TINY = mp.mpf(10) ** -8


def rounded(x, bits):
    if x == 0:
        return x
    m, e = mp.frexp(x)
    return mp.ldexp(mp.nint(mp.ldexp(m, bits)), e - bits)


def remez(f, w, low, high, n):
    """The n coefficients, lowest first."""
    middle, half = (low + high) / 2, (high - low) / 2
    points = [middle - half * mp.cos(mp.pi * i / n) for i in range(n + 1)]
    if low < 0:  # weights may vanish at 0
        points = [x if abs(x) > half / 100 else half / 100 for x in points]
    size = 40 * n
    grid = [middle - half * mp.cos(mp.pi * (mp.mpf(i) + 0.5) / size) for i in range(size)]
    grid = [low, *grid, high]
    fs, ws = [f(x) for x in grid], [w(x) for x in grid]
    for _ in range(12):
        a, b = mp.matrix(n + 1, n + 1), mp.matrix(n + 1, 1)
        for i, x in enumerate(points):
            for j in range(n):
                a[i, j] = x**j
            a[i, n] = (-1) ** i / w(x)
            b[i] = f(x)
        solution = mp.lu_solve(a, b)
        c = [solution[j] for j in range(n)]
        error = [ws[k] * (fs[k] - mp.polyval(c[::-1], grid[k])) for k in range(len(grid))]
        # The extremum between each two changes of sign.
        extrema, k = [], 0
        while k < len(grid):
            j = best = k
            while j < len(grid) and (error[j] >= 0) == (error[k] >= 0):
                best = j if abs(error[j]) > abs(error[best]) else best
                j += 1
            extrema.append(best)
            k = j
        while len(extrema) > n + 1:
            extrema.pop(0 if abs(error[extrema[0]]) < abs(error[extrema[-1]]) else -1)
        largest = max(abs(e) for e in error)
        if len(extrema) < n + 1 or largest - abs(solution[n]) < largest / 1000:
            break
        points = [grid[k] for k in extrema]
    return c


def fit(f, w, low, high, n, bits, fixed=()):
    """The coefficients and the largest weighted error."""
    low, high = mp.mpf(low), mp.mpf(high)
    grid = [low + (high - low) * (i + mp.mpf("0.49")) / 400 for i in range(400)]
    leading, best = [mp.mpf(c) for c in fixed], None
    for _ in range(6):
        k = len(leading)
        if k >= n:
            break

        def rest(x):
            x = x if abs(x) > TINY else TINY
            return (f(x) - mp.polyval(leading[::-1], x) if k else f(x)) / x**k

        def weight(x):
            x = x if abs(x) > mp.mpf("1e-3") or low >= 0 or not k else mp.mpf("1e-3")
            return abs(w(x if x != 0 else TINY) * x**k)

        try:
            c = remez(rest, weight, low, high, n - k)
        except ZeroDivisionError:  # too little is left to fit
            break
        whole = leading + [rounded(v, bits) for v in c]
        error = max(abs(w(x) * (f(x) - mp.polyval(whole[::-1], x))) for x in grid)
        if best is None or error < best[1]:
            best = whole, error
        leading.append(rounded(c[0], bits))
    return best


def polished(c, f, w, low, high, bits):
    """Coefficients near c with a smaller error: random steps of units in the last place, kept when they help."""
    grid = [low + (high - low) * (1 - math.cos(math.pi * (i + 0.5) / 160)) / 2 for i in range(160)] + [high]
    sample = [(float(x), float(f(mp.mpf(x))), float(w(mp.mpf(x)))) for x in grid]

    def error(c):
        return max(abs(w * (f - functools.reduce(lambda p, a: p * x + a, reversed(c), 0.0))) for x, f, w in sample)

    rng = random.Random(1)
    c = [float(v) for v in c]
    best = error(c)
    for _ in range(9000):
        d = list(c)
        for _ in range(rng.choice((1, 2, 2, 3, 3, 4))):
            i = rng.randrange(len(d))
            d[i] += rng.choice((-1, 1)) * rng.choice((1, 1, 2, 3, 6, 12, 30)) * 2.0 ** (math.frexp(d[i])[1] - bits)
        if (e := error(d)) < best:
            c, best = d, e
    return c, best


def q(r):
    return mp.expm1(r) / r if r != 0 else mp.mpf(1)


def log_rest(f):
    return (mp.log1p(f) - f) / f**2 if abs(f) > 1e-9 else -mp.mpf(1) / 2 + f / 3


def sin_rest(z):
    return (1 - mp.sin(mp.sqrt(z)) / mp.sqrt(z)) / z


def cos_rest(z):
    return (mp.cos(mp.sqrt(z)) - 1) / z


def erf_near(z):
    return mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1


REACH = mp.log(2) / 2 * mp.mpf("1.01")  # of a reduced argument, with what rounding may add
QUARTER = (mp.pi / 4 * mp.mpf("1.01")) ** 2
SLACK = mp.mpf("1e-4")

# (group, name, f, weight, low, high, {format: length}, fixed coefficients)
FITS = [
    ("exp", "Q", q, lambda r: 1 / q(r), -REACH, REACH, {"f32": 6, "f64": 11}, (1,)),
    ("exp", "FINE", q, lambda r: 1 / q(r), -REACH, REACH, {"f32": 7, "f64": 12}, (1,)),
    (
        "log",
        "R",
        log_rest,
        lambda f: f**2 / mp.log1p(f) if abs(f) > TINY else TINY,
        mp.sqrt(0.5) - 1 - SLACK,
        mp.sqrt(2) - 1 + SLACK,
        {"f32": 9, "f64": 19},
        (),
    ),
    (
        "log",
        "ABOVE",
        log_rest,
        lambda f: f**2 / mp.log1p(f) if abs(f) > TINY else TINY,
        0,
        1 + SLACK,
        {"f32": 9, "f64": 21},
        (),
    ),
    ("erf", "NEAR", erf_near, lambda z: mp.sqrt(z) / mp.erf(mp.sqrt(z)), "1e-7", 1, {"f32": 7, "f64": 13}, ()),
    ("erf", "FAR", lambda x: mp.log(8 * mp.erfc(x)), lambda x: mp.erfc(x) / mp.erf(x), 1, 4, {"f32": 7}, ()),
    ("erf", "FAR", lambda x: mp.log(8 * mp.erfc(x)), lambda x: mp.erfc(x) / mp.erf(x), 1, 6, {"f64": 18}, ()),
    (
        "trig",
        "SIN",
        sin_rest,
        lambda z: z * mp.sqrt(z) / mp.sin(mp.sqrt(z)),
        "1e-6",
        QUARTER,
        {"f32": 3, "f64": 6},
        (),
    ),
    ("trig", "COS", cos_rest, lambda z: z / mp.cos(mp.sqrt(z)), "1e-6", QUARTER, {"f32": 4, "f64": 7}, ("-0.5",)),
]


def main():
    wanted = sys.argv[1:] or ["exp", "log", "erf", "trig"]
    for group, name, f, w, low, high, lengths, fixed in FITS:
        for kind, n in lengths.items() if group in wanted else ():
            c, error = fit(f, w, low, high, n, BITS[kind], fixed)
            if name == "ABOVE" and kind == "f32":  # rounding costs it a bit that a search gets back
                c, error = polished(c, f, w, low, high, BITS[kind])
            print(f"{group} {name} {kind}: error 2^{mp.nstr(mp.log(error, 2), 4)}")
            for v in c:
                print("    " + mp.nstr(mp.mpf(v), 9 if kind == "f32" else 17))


if __name__ == "__main__":
    main()
