"""Lists the register-tile loops of a binary: python3 tools/tile_loops.py target/release/examples/digits

For every innermost loop of packed FMAs: FMAs a turn, instructions a turn, vector loads, broadcasts, moves between
vector registers, and accesses to the stack, which are spills. docs/PERFORMANCE.md keeps the figures. Needs objdump.
"""
import collections
import re
import subprocess
import sys

LINE = re.compile(r"^\s+([0-9a-f]+):\s+(\S+)\s*(.*)$")


def instructions(binary):
    out = subprocess.run(["objdump", "-d", "--no-show-raw-insn", binary], capture_output=True, text=True, check=True)
    for line in out.stdout.split("\n"):
        if m := LINE.match(line):
            yield int(m[1], 16), m[2], m[3]


def loops(code):
    """Bodies of the backward jumps that contain no other jump."""
    at = {address: i for i, (address, _, _) in enumerate(code)}
    for i, (address, op, args) in enumerate(code):
        target = re.match(r"^([0-9a-f]+) ", args)
        if op.startswith("j") and op != "jmp" and target:
            start = at.get(int(target[1], 16))
            if start is not None and start < i and not any(o.startswith(("j", "call")) for _, o, _ in code[start:i]):
                yield code[start : i + 1]


def main():
    shapes = collections.Counter()
    for body in loops(list(instructions(sys.argv[1]))):
        for register in ("zmm", "ymm"):
            fma = [(o, a) for _, o, a in body if re.match(r"vfmadd\d+p[sd]", o) and register in a]
            if len(fma) < 8 or len(fma) * 2 < len(body) - len(fma):
                continue
            kind = "f32" if fma[0][0].endswith("s") else "f64"
            loads = sum(1 for _, o, a in body if o.startswith("vmovup") and "(" in a.split(",%")[0])
            casts = sum(1 for _, o, _ in body if "broadcast" in o)
            moves = sum(1 for _, o, a in body if o.startswith("vmova") and "(" not in a)
            spills = sum(1 for _, _, a in body if "rsp" in a or "rbp)" in a and "%" in a and register in a)
            shapes[(register, kind, len(fma), len(body), loads, casts, moves, spills)] += 1
    print("regs type FMAs instructions loads broadcasts moves spills loops")
    for key, n in sorted(shapes.items(), reverse=True):
        print("%4s %4s %4d %12d %5d %10d %5d %6d %5d" % (*key, n))


main()
