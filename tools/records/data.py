"""What is in a record, and where records lie. benches/record/README.md says what the columns mean."""
import csv
import dataclasses
import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECORDS = ROOT / "benches" / "record"
OURS = "nablas"
BEFORE = "nablas-before"


@dataclasses.dataclass
class Row:
    """One contender on one workload; its fields are the columns of a record."""

    source: str
    workload: str
    dims: tuple
    batch: int
    activation: str
    dtype: str
    isa: str
    threads: int
    pace: str
    contender: str
    version: str
    min_us: float
    median_us: float
    gflops: float
    peak_gflops: float

    def case(self):
        """What was to be computed, by whomever."""
        return self.source, self.workload, self.threads, self.pace

    def key(self):
        """What no other row of a record has."""
        return (*self.case(), self.dtype, self.isa, self.contender)

    def us(self):
        """The time that counts: the best sample of a loop, the median of single steps."""
        return self.median_us if self.pace == "cold" else self.min_us

    def rate(self):
        """GFLOP/s in that time."""
        return self.gflops * self.min_us / self.us()


COLUMNS = [field.name for field in dataclasses.fields(Row)]


def read(path):
    """The rows of a record."""
    number = lambda text: float(text) if text else None
    with open(path, newline="", encoding="utf-8") as f:
        rows = [Row(**line) for line in csv.DictReader(f)]
    for r in rows:
        r.dims = tuple(map(int, r.dims.split("-")))
        r.batch, r.threads = int(r.batch), int(r.threads)
        for name in ("min_us", "median_us", "gflops", "peak_gflops"):
            setattr(r, name, number(getattr(r, name)))
    return rows


def write(path, rows):
    """Writes rows to a record, in place of those that it has of the same keys."""
    new = {r.key() for r in rows}
    old = [r for r in read(path) if r.key() not in new] if path.exists() else []
    path.parent.mkdir(parents=True, exist_ok=True)
    number = lambda x: "" if x is None else f"{x:.6g}"
    with open(path, "w", newline="", encoding="utf-8") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(COLUMNS)
        for r in old + rows:
            cells = dataclasses.asdict(r) | {"dims": "-".join(map(str, r.dims))}
            out.writerow(number(c) if c is None or isinstance(c, float) else c for c in cells.values())


class Record:
    """The newest rows of one source and pace that a machine has."""

    def __init__(self, machine, source, pace="hot"):
        folder = RECORDS / machine
        self.about = json.loads((folder / "machine.json").read_text(encoding="utf-8"))
        found = []
        for path in folder.glob("*.csv"):
            rows = [r for r in read(path) if (r.source, r.pace) == (source, pace)]
            if rows:
                found.append((path.stem[:10], path, rows))
        if not found:
            raise LookupError(f"{machine} has no record of {source}, {pace}")
        self.date = max(date for date, _, _ in found)
        newest = [(path, rows) for date, path, rows in found if date == self.date]
        if len(newest) > 1:
            raise LookupError(f"{source}, {pace} of one day: " + ", ".join(str(path) for path, _ in newest))
        self.path, self.rows = newest[0]
        self.commit = self.path.stem[11:]
        self.threads = sorted({r.threads for r in self.rows})

    def peak(self, threads):
        """The highest FMA rate of these rows' rounds."""
        return max((r.peak_gflops for r in self.rows if r.threads == threads and r.peak_gflops), default=None)

    def share(self, row):
        """Of the FMA peak."""
        return row.rate() / self.peak(row.threads)

    def workloads(self):
        """The rows by workload, in the order of the record: [(name, {threads: [rows]})]."""
        out = {}
        for r in self.rows:
            out.setdefault(r.workload, {}).setdefault(r.threads, []).append(r)
        return list(out.items())


def ours_and_other(rows):
    """nablas's row and the fastest other's, None where there is none."""
    ours = next((r for r in rows if r.contender == OURS), None)
    others = [r for r in rows if not r.contender.startswith(OURS)]
    return ours, min(others, key=Row.us, default=None)
