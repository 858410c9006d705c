"""Records of measurements, and what the documentation shows of them.

    python3 tools/record.py add RESULTS.json --machine xeon-emerald-rapids --date 2026-11-28 --commit dfb081b
    python3 tools/record.py docs
    python3 tools/record.py check

`add` converts the results of an outside harness into rows of benches/record/MACHINE/DATE-COMMIT.csv; rows of the same
workloads that are there already are replaced. `docs` makes the tables between the marks of README.md and docs/*.md and the
pictures of docs/plots anew, from the newest records. `check` fails if they are not what `docs` would make.
benches/record/README.md says more. Python's standard library is enough.
"""
import argparse
import json
import pathlib
import sys

from records import charts, data, harness, tables


def add(options):
    """Converts a result file."""
    results = json.loads(options.results.read_text(encoding="utf-8"))
    workloads = json.loads(options.workloads.read_text(encoding="utf-8")) if options.workloads else {}
    pace = "cold" if options.cold else "hot"
    rows = list(harness.rows(results, workloads, options.source, pace, options.commit, options.before))
    folder = data.RECORDS / options.machine
    if not (folder / "machine.json").exists():
        sys.exit(f"{folder / 'machine.json'} is missing: say what machine it is")
    path = folder / f"{options.date}-{options.commit}.csv"
    data.write(path, rows)
    print(f"{len(rows)} rows: {path.relative_to(data.ROOT)}")


def made():
    """(path, text) of every file that comes from records."""
    shown = []
    for path in [data.ROOT / "README.md", *sorted((data.ROOT / "docs").glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        yield path, tables.fill(text, shown)
    yield from charts.pictures(data.ROOT / "docs" / "plots", sorted(set(shown)))


def docs(_):
    """Writes what has changed."""
    for path, text in made():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(data.ROOT))


def check(_):
    """Fails if `docs` would change anything."""
    stale = [path for path, text in made() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{path.relative_to(data.ROOT)} is not what the newest records give: python3 tools/record.py docs")
    sys.exit(bool(stale))


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    new = commands.add_parser("add", help="convert a result file into rows of a record")
    new.add_argument("results", type=pathlib.Path, help="JSON: tools/records/harness.py says what is in it")
    new.add_argument("--machine", required=True, help="a folder of benches/record")
    new.add_argument("--date", required=True, help="of the measurement, YYYY-MM-DD")
    new.add_argument("--commit", required=True, help="that was measured, abbreviated")
    new.add_argument("--before", default="", help="the commit of the older build, if there was one")
    new.add_argument("--source", default="peers", help="peers: the ten workloads; sweep: many shapes")
    new.add_argument("--cold", action="store_true", help="single steps after pauses, not loops")
    new.add_argument("--workloads", type=pathlib.Path, help="JSON: {NAME: {dims, batch, act}}, if RESULTS has none")
    new.set_defaults(run=add)
    commands.add_parser("docs", help="make tables and pictures anew").set_defaults(run=docs)
    commands.add_parser("check", help="fail if they are stale").set_defaults(run=check)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
