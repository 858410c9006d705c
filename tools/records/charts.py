"""The pictures of docs/plots: bars of training steps, a roofline, and curves of growth."""
import csv
import math

from .data import OURS, Record, ours_and_other
from .svg import BLUE, GREEN, GREY, INK, ORANGE, Axis, Svg, axes
from .tables import activation, network, threads, time


def pictures(folder, shown):
    """(path, text) of each: bars and a roofline of what documents show, curves for what lies there as CSV."""
    for kind, machine in shown:
        if kind == "readme":
            yield folder / f"steps-{machine}.svg", str(bars(Record(machine, "peers")))
        if kind == "steps" and "bandwidth" in Record(machine, "peers").about:
            yield folder / f"roofline-{machine}.svg", str(roofline(machine))
    for path in sorted(folder.glob("growth-*.csv")):
        yield path.with_suffix(".svg"), str(growth(path))


def bars(record):
    """Shares of the peak, nablas above the fastest other, a panel for each number of threads."""
    workloads = record.workloads()
    left, top, row, panel, gap = 190, 62, 46, 320, 50
    width = left + (panel + gap) * len(record.threads)
    svg = Svg(width, top + row * len(workloads) + 30, "Training steps: share of the FMA peak")
    svg.text(12, 22, "One training step: share of the FMA peak", bold=True, size=15)
    svg.text(12, 40, f"{record.about['name']}, {record.date}", fill=GREY)
    for n, (name, color) in enumerate(((OURS, BLUE), ("fastest other", ORANGE))):
        svg.rect(width - 220 + 80 * n, 13, 11, 11, color)
        svg.text(width - 204 + 80 * n, 23, name)
    for i, t in enumerate(record.threads):
        start = left + (panel + gap) * i
        axis = Axis(0, 100, start, start + panel)
        bottom = top + row * len(workloads)
        svg.text(axis.start, top - 6, threads(t), bold=True)
        for tick in axis.ticks():
            svg.line(axis(tick), top, axis(tick), bottom)
            svg.text(axis(tick), bottom + 16, f"{tick:.0f} %", "middle", GREY, 11)
        for n, (_, by_threads) in enumerate(workloads):
            y = top + row * n + 6
            for r, color in zip(ours_and_other(by_threads.get(t, [])), (BLUE, ORANGE)):
                if r:
                    end = axis(100 * record.share(r))
                    svg.rect(axis.start, y, end - axis.start, 16, color)
                    said = time(r.us()) if r.contender == OURS else f"{r.contender} {time(r.us())}"
                    inside = end - axis.start > 130
                    svg.text(end - 6 if inside else end + 6, y + 12, said, "end" if inside else "start",
                             "#ffffff" if inside else INK, 11)
                y += 17
    for n, (_, by_threads) in enumerate(workloads):
        first, y = next(iter(by_threads.values()))[0], top + row * n
        svg.text(left - 10, y + 19, network(first.dims), "end")
        svg.text(left - 10, y + 34, f"{activation(first.activation)}, batch {first.batch:,}", "end", GREY, 11)
    return svg


def traffic(row):
    """Bytes that must come and go: a step reads X, the cotangent and the parameters and writes their gradient; a
    product m×n×k reads A and B and writes C."""
    if row.source == "gemm":
        m, n, k = row.dims
        return 4 * (m * k + k * n + m * n)
    parameters = sum(a * b + b for a, b in zip(row.dims, row.dims[1:]))
    return 4 * (row.batch * (row.dims[0] + row.dims[-1]) + 2 * parameters)


def roofline(machine):
    """Rates by FLOP a byte, one thread, under the FMA peak and what each level of memory can deliver."""
    steps = Record(machine, "peers")
    sets = [[(r.gflops * 1e3 * r.min_us / traffic(r), r.gflops) for r in steps.rows if chosen(r)]]
    for source in ("sweep", "gemm"):
        try:
            rows = Record(machine, source).rows
        except LookupError:
            rows = []
        sets.append([(r.gflops * 1e3 * r.min_us / traffic(r), r.gflops) for r in rows if chosen(r)])
    svg = Svg(900, 470, "Roofline of training steps on one thread")
    points = sum(sets, [])
    x = Axis(min(0.25, *(p[0] for p in points)), 1.4 * max(p[0] for p in points), 60, 650, 10)
    y = Axis(min(1, *(p[1] for p in points)), 1.5 * steps.peak(1), 420, 60, 10)
    axes(svg, x, y, "FLOP a byte that must be moved", "")
    svg.text(12, 22, "Roofline, one thread, GFLOP/s", bold=True, size=15)
    svg.text(12, 40, f"{steps.about['name']}, {steps.date}", fill=GREY)
    roofs(svg, x, y, steps)
    for found, color in zip(sets[:0:-1], (GREEN, GREY)):
        for p in found:
            svg.circle(x(p[0]), y(p[1]), 3.5, color, 0.7)
    rows = [r for r in steps.rows if chosen(r)]
    for n, (p, r) in enumerate(zip(sets[0], rows), 1):
        svg.circle(x(p[0]), y(p[1]), 8, BLUE)
        svg.text(x(p[0]), y(p[1]) + 4, str(n), "middle", "#ffffff", 11, True)
        svg.circle(682, 66 + 30 * n, 8, BLUE)
        svg.text(682, 70 + 30 * n, str(n), "middle", "#ffffff", 11, True)
        svg.text(698, 65 + 30 * n, network(r.dims))
        svg.text(698, 78 + 30 * n, f"{activation(r.activation)}, batch {r.batch:,}", fill=GREY, size=10)
    for n, (found, color, name) in enumerate(zip(sets[1:], (GREY, GREEN), ("more shapes", "plain products"))):
        if found:
            svg.circle(682, 395 + 20 * n, 3.5, color)
            svg.text(698, 399 + 20 * n, name)
    return svg


def chosen(row):
    return row.contender == OURS and row.threads == 1


def roofs(svg, x, y, record):
    """The peak, and a slope for each level of memory."""
    peak = record.peak(1)
    for level, rate in record.about["bandwidth"]["GB/s"].items():
        ridge, low = peak / rate, max(x.low, y.low / rate)
        svg.polyline([(x(low), y(rate * low)), (x(ridge), y(peak))], INK, 1, "5 3")
        foot = max(2 * low, 3 * y.low / rate)
        turn = math.degrees(math.atan2(y(peak) - y(rate * foot), x(ridge) - x(foot)))
        svg.text(x(foot), y(rate * foot) - 5, f"{level} {rate} GB/s", "start", INK, 11, turn=turn)
    svg.line(x(peak / max(record.about["bandwidth"]["GB/s"].values())), y(peak), x.end, y(peak), INK, 1.5)
    svg.text(x.end, y(peak) - 6, f"FMA peak {peak:.0f}", "end", INK, 11)


def growth(path):
    """Three panels of what benches/growth.rs has written: time a sample, share of the peak, workspace."""
    with open(path, newline="", encoding="utf-8") as f:
        points = list(csv.DictReader(f))
    curve = path.stem.removeprefix("growth-")
    svg = Svg(1200, 400, f"Growth with the {curve}")
    lines = {}
    for p in points:
        lines.setdefault((p["network"], int(p["threads"])), []).append(p)
    networks = list(dict.fromkeys(name for name, _ in lines))
    style = {key: (dict(zip(networks, (BLUE, ORANGE, GREEN)))[key[0]], 1 if key[1] == 1 else 2.5) for key in lines}
    xs = [float(p[curve]) for p in points]
    panels = [("ns a sample", lambda p: float(p["ns_per_sample"]), None),
              ("share of the FMA peak, %", lambda p: 100 * float(p["fma_share"]), (0, 100)),
              ("workspace, KiB", lambda p: float(p["workspace_bytes"]) / 1024, None)]
    for n, (title, of, span) in enumerate(panels):
        values = [of(p) for p in points]
        low, high = span or (min(values) / 1.5, max(values) * 1.5)
        x = Axis(min(xs), max(xs), 60 + 395 * n, 60 + 395 * n + 320, 2)
        y = Axis(low, high, 310, 40, 0 if span else 10)
        axes(svg, x, y, curve, title)
        for key, line in lines.items():
            at = [(x(float(p[curve])), y(of(p))) for p in line]
            svg.polyline(at, *style[key])
            for place in at:
                svg.circle(*place, 2.5, style[key][0])
    step = 1160 / max(4, len(style))
    for n, ((name, t), (color, width)) in enumerate(style.items()):
        svg.line(40 + step * n, 380, 56 + step * n, 380, color, width)
        svg.text(61 + step * n, 384, f"{name}, {threads(t)}", size=11)
    return svg
