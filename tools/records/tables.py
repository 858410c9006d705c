"""The tables of the documentation, from records. A document says where one goes, and which:

    <!-- record: KIND MACHINE -->
    …
    <!-- end -->
"""
import re
import textwrap

from .data import OURS, Record, ours_and_other

MARKS = re.compile(r"(<!-- record: ([\w-]+) ([\w-]+) -->\n).*?(<!-- end -->)", re.S)
ACTIVATIONS = {"relu": "ReLU", "silu": "SiLU", "gelu_tanh": "GELU (tanh)"}
# Below, another counts as no faster: what the harness cannot tell apart.
NOISE = 1.03


def fill(text, documents):
    """A document's text with its tables made anew; what it shows of records is noted in `documents`."""

    def block(found):
        kind, machine = found[2], found[3]
        documents.append((kind, machine))
        return found[1] + "\n" + "\n".join(KINDS[kind](machine)) + "\n\n" + found[4]

    return MARKS.sub(block, text)


def number(x):
    """Three digits, no exponent."""
    return f"{x:.3g}" if x < 1000 else f"{x:,.0f}"


def time(us):
    """Microseconds as they are read best."""
    scale, unit = (1, "µs") if us < 999.5 else (1e3, "ms") if us < 999.5e3 else (1e6, "s")
    return f"{number(us / scale)} {unit}"


def network(dims):
    """The feature counts, long runs of one count cut short."""
    inner = dims[1:-1]
    if len(inner) > 4 and len(set(inner)) == 1:
        return f"{dims[0]}→{inner[0]}→…→{inner[0]}→{dims[-1]} ({len(inner)} of {inner[0]})"
    return "→".join(map(str, dims))


def activation(name):
    return ACTIVATIONS.get(name, name)


def threads(n):
    return "1 thread" if n == 1 else f"{n} threads"


def wrap(text):
    return textwrap.wrap(text, 119, break_long_words=False, break_on_hyphens=False)


def listed(items):
    items = list(items)
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def caption(record):
    """Where and when, the peak, and who the others are."""
    about = record.about
    peaks = ", ".join(f"{record.peak(t):.1f} on {threads(t)}" for t in record.threads)
    others = {}
    for r in record.rows:
        if not r.contender.startswith("nablas"):
            others[r.contender] = f"{r.contender} {r.version}".strip()
    return (f"{about['name']}, {about['where']}, {record.date}, commit {record.commit}. FMA peak in GFLOP/s: {peaks}. "
            f"Others: {listed(others.values())}.")


def table(head, numeric, rows):
    """Markdown lines; the columns from `numeric` on stand to the right."""
    line = lambda cells: "| " + " | ".join(cells) + " |"
    return [line(head), "|" + "|".join("---:" if n in numeric else "---" for n in range(len(head))) + "|", *map(line, rows)]


def ahead(ratios):
    """How often others are ahead, in words."""
    behind = [r for r in ratios if round(r, 2) < 1]
    if not behind:
        return f"No other is ahead in any of {len(ratios)} cells."
    most = 100 / min(behind) - 100
    return f"Bold: another is ahead, in {len(behind)} of {len(ratios)} cells, by {most:.0f} % at most."


def compared(record, workloads, ratio=True):
    """A row for each network: nablas and the fastest other, by number of threads. And the ratios."""
    head, numeric, out, ratios = ["network", "batch", "activation"], {1}, [], []
    for t in record.threads:
        head += [threads(t), "of the peak", "fastest other"] + (["ratio"] if ratio else [])
        numeric |= set(range(len(head) - (4 if ratio else 3), len(head)))
    for _, by_threads in workloads:
        first = next(iter(by_threads.values()))[0]
        cells = [network(first.dims), f"{first.batch:,}", activation(first.activation)]
        for t in record.threads:
            ours, other = ours_and_other(by_threads.get(t, []))
            if not ours or not other:
                cells += ["–"] * (4 if ratio else 3)
                continue
            quotient = other.us() / ours.us()
            ratios.append(quotient)
            bold = "**" if round(quotient, 2) < 1 else ""
            cells += [time(ours.us()), f"{100 * record.share(ours):.0f} %",
                      f"{bold}{other.contender} {time(other.us())}{bold}"]
            cells += [f"{bold}{quotient:.2f}{bold}"] if ratio else []
        out.append(cells)
    return table(head, numeric, out), ratios


def steps(machine, source="peers", pace="hot", ratio=True):
    """Training steps with ratios."""
    record = Record(machine, source, pace)
    lines, ratios = compared(record, record.workloads(), ratio)
    return [*wrap(caption(record)), "", *lines, "", *wrap(ahead(ratios))]


def ratios_of(by_threads):
    """The fastest other's time ÷ nablas's, for each number of threads that both have."""
    pairs = map(ours_and_other, by_threads.values())
    return [other.us() / ours.us() for ours, other in pairs if ours and other]


def sweep(machine):
    """Of many shapes, those where another is ahead."""
    record = Record(machine, "sweep")
    ratios = sorted(sum((ratios_of(by_threads) for _, by_threads in record.workloads()), []))
    slow = [w for w in record.workloads() if min(ratios_of(w[1]), default=1) * NOISE < 1]
    slow.sort(key=lambda w: min(ratios_of(w[1])))
    behind = sum(r * NOISE < 1 for r in ratios)
    text = (f"{caption(record)} In {behind} of {len(ratios)} cells (a shape on a number of threads) the fastest other is ahead "
            f"by more than {100 * NOISE - 100:.0f} %; the median of all ratios is {ratios[len(ratios) // 2]:.2f}.")
    return [*wrap(text), "", *(compared(record, slow)[0] if slow else [])] + more_threads(record)


def more_threads(record):
    """The shapes that take longer on all threads than on one."""
    least, most = record.threads[0], record.threads[-1]
    slower = []
    for _, by_threads in record.workloads():
        one, all_of_them = (ours_and_other(by_threads.get(t, []))[0] for t in (least, most))
        if one and all_of_them and all_of_them.us() > NOISE * one.us():
            slower.append((all_of_them.us() / one.us(), one))
    if most == least:
        return []
    slower.sort(key=lambda s: -s[0])
    shapes = ", ".join(f"{network(o.dims)} at batch {o.batch:,} ({r:.2f} times)" for r, o in slower)
    text = f"On {threads(most)}, {len(slower)} shapes take more than {100 * NOISE - 100:.0f} % longer than on one"
    return ["", *wrap(text + (f": {shapes}." if slower else "."))]


def products(machine):
    """Plain products, every contender: median, and the best sample's share of the peak."""
    record = Record(machine, "gemm")
    names = list(dict.fromkeys(r.contender for r in record.rows))
    rows = []
    for _, by_threads in record.workloads():
        for t, found in by_threads.items():
            of = {r.contender: r for r in found}
            shown = [f"{time(of[n].median_us)} ({100 * record.share(of[n]):.0f} %)" if n in of else "–" for n in names]
            rows.append(["×".join(map(str, found[0].dims)) + f", {threads(t)}", *shown])
    return [*wrap(caption(record)), "", *table(["m×n×k", *names], range(1, len(names) + 1), rows)]


# What each is, in the table of a framework: rows of its source have contenders of these names.
STEP = {f"{OURS} train_step": "`train_step`"}
ARMS = {
    "candle": {f"{OURS}, W and b apart": "three lines", OURS: "flattened"} | STEP,
    "burn": {OURS: "three lines"} | STEP,
}


def framework(machine, source):
    """Steps in a framework alone, and what nablas' module takes there: times, and how many times as fast it is."""
    try:
        record = Record(machine, source)
    except LookupError:
        return [f"There is no record of {source} on this machine yet."]
    arms = {c: name for c, name in ARMS[source].items() if any(r.contender == c for r in record.rows)}
    head = ["network", "batch", "activation", "threads", source, *arms.values()]
    rows = []
    for _, by_threads in record.workloads():
        for t, found in by_threads.items():
            of = {r.contender: r for r in found}
            alone = of[source].us()
            cells = [network(found[0].dims), f"{found[0].batch:,}", activation(found[0].activation), str(t), time(alone)]
            rows.append(cells + [f"{time(of[c].us())} ({alone / of[c].us():.1f}×)" if c in of else "–" for c in arms])
    return [*wrap(caption(record)), "", *table(head, {1, *range(3, len(head))}, rows)]


def from_python(machine, source):
    """Steps from Python, every contender: times, and how many times as fast as PyTorch it is."""
    record = Record(machine, source)
    names = list(dict.fromkeys(r.contender for r in record.rows))
    names.sort(key=lambda name: (name != "torch", not name.startswith(OURS), name))
    rows = []
    for _, by_threads in record.workloads():
        for t, found in by_threads.items():
            of = {r.contender: r for r in found}
            cells = [network(found[0].dims), f"{found[0].batch:,}", activation(found[0].activation), str(t)]
            alone = of["torch"].us()
            for c in names:
                ratio = alone / of[c].us() if c in of else 0
                shown = f" ({ratio:.{1 if ratio > 2 else 2}f}×)" if c != "torch" else ""
                cells.append(f"{time(of[c].us())}{shown}" if ratio else "–")
            rows.append(cells)
    head = ["network", "batch", "activation", "threads", *names]
    return [*wrap(caption(record)), "", *table(head, {1, *range(3, len(head))}, rows)]


KINDS = {
    "python-step": lambda machine: from_python(machine, "python-step"),
    "python-grad": lambda machine: from_python(machine, "python-grad"),
    "candle": lambda machine: framework(machine, "candle"),
    "burn": lambda machine: framework(machine, "burn"),
    "readme": lambda machine: steps(machine, ratio=False),
    "steps": steps,
    "cold": lambda machine: steps(machine, pace="cold"),
    "mlp": lambda machine: steps(machine, source="mlp"),
    "sweep": sweep,
    "products": products,
}
