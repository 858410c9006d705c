"""Prints Q32 and Q64 of kernels/src/act/gelu.rs, with their relative errors. Needs mpmath.

Q(t) = e^(x²/2)·Φ(−x)·(x + 4), t = (x − 4)/(x + 4), over 0 ≤ x ≤ 14.6 (f32) and 0 ≤ x ≤ 43 (f64): beyond,
e^(−x²/2) is 0 in that format.

    python3 tools/gelu_tail.py
"""

import mpmath as mp
from minimax import remez


def q(t):
    x = 4 * (1 + t) / (1 - t)
    return mp.exp(x * x / 2) * mp.erfc(x / mp.sqrt(2)) / 2 * (x + 4)


def main():
    for name, far, n in (("Q32", "0.57", 11), ("Q64", "0.83", 24)):
        low, high = mp.mpf(-1), mp.mpf(far)
        c = remez(q, lambda t: 1 / q(t), low, high, n)
        grid = [low + (high - low) * i / 1000 for i in range(1001)]
        error = max(abs(mp.polyval(c[::-1], t) / q(t) - 1) for t in grid)
        print(f"{name}: relative error {mp.nstr(error, 3)}")
        for v in c:
            print(f"    {mp.nstr(v, 12 if n == 11 else 20)},")


main()
