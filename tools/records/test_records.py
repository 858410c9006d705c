"""python3 -m unittest discover -s tools/records -t tools"""
import pathlib
import tempfile
import unittest

from records import data, harness, svg, tables

RESULTS = {
    "workloads": {"ffn": {"dims": [768, 3072, 768], "batch": 2048, "act": "gelu", "gflop": 48.3}},
    "versions": {"ours": "nablas 0.1.0 avx512", "openblas": "OpenBLAS 0.3.34.481.3 DYNAMIC_ARCH", "peak": "a loop"},
    "steps": {"ffn": {
        "2": {"ours": {"min_ms": 200.0, "median_ms": 210.0, "gflops": 241.6}, "peak": {"min_ms": 0.3, "gflops": 340.0}},
        "1": {"ours": {"min_ms": 400.0, "median_ms": 420.0, "gflops": 120.8}, "mkl": {"error": "not there"},
              "openblas": {"min_ms": 380.0, "median_ms": 440.0, "gflops": 127.2}, "peak": {"gflops": 170.0}},
    }},
}


class Records(unittest.TestCase):
    def rows(self):
        return list(harness.rows(RESULTS, {}, "peers", "hot", "abc1234", ""))

    def test_results_become_rows(self):
        rows = self.rows()
        self.assertEqual([(r.threads, r.contender) for r in rows], [(1, "nablas"), (1, "OpenBLAS"), (2, "nablas")])
        ours, other = rows[:2]
        self.assertEqual((ours.version, other.version, ours.isa), ("abc1234", "0.3.34", "avx512"))
        self.assertEqual((ours.dims, ours.batch, ours.activation), ((768, 3072, 768), 2048, "gelu_tanh"))
        self.assertEqual((ours.min_us, ours.median_us, ours.peak_gflops), (400e3, 420e3, 170.0))

    def test_a_record_keeps_rows_and_replaces_those_of_the_same_key(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "machine" / "2026-01-01-abc1234.csv"
            rows = self.rows()
            data.write(path, rows)
            self.assertEqual(data.read(path), rows)
            rows[2].min_us = 199e3
            data.write(path, rows[2:])
            self.assertEqual(data.read(path), rows)

    def test_pace_says_which_time_counts(self):
        ours, other = self.rows()[:2]
        self.assertEqual(tables.ours_and_other([ours, other]), (ours, other))
        self.assertLess(other.us(), ours.us())
        ours.pace = other.pace = "cold"
        self.assertLess(ours.us(), other.us())
        self.assertAlmostEqual(ours.rate(), 120.8 * 400 / 420)

    def test_words(self):
        times = [tables.time(us) for us in (0.4, 16.72, 999.4, 999.6, 1.61e6)]
        self.assertEqual(times, ["0.4 µs", "16.7 µs", "999 µs", "1 ms", "1.61 s"])
        self.assertEqual(tables.network((2, *[20] * 9, 1)), "2→20→…→20→1 (9 of 20)")
        self.assertEqual(tables.ahead([1.2, 0.8]), "Bold: another is ahead, in 1 of 2 cells, by 25 % at most.")

    def test_marks_are_found_and_their_content_replaced(self):
        tables.KINDS["test"] = lambda machine: [machine]
        text, shown = "a\n<!-- record: test some-cpu -->\nold\n<!-- end -->\nb\n", []
        once = tables.fill(text, shown)
        self.assertEqual(once, "a\n<!-- record: test some-cpu -->\n\nsome-cpu\n\n<!-- end -->\nb\n")
        self.assertEqual((tables.fill(once, []), shown), (once, [("test", "some-cpu")]))

    def test_axes(self):
        axis = svg.Axis(1, 100, 0, 200, 10)
        self.assertEqual((axis(1), axis(10), axis(100)), (0, 100, 200))
        self.assertEqual(axis.ticks(), [1, 2, 5, 10, 20, 50, 100])


if __name__ == "__main__":
    unittest.main()
