#!/usr/bin/env python3
"""test_bench_cli.py SOFTFOCUS: `softfocus bench --roofline` and `--compare`, on reports made up here. Run by `meson test`.

A stand-in that prints a report takes softfocus-bench's place; the roofs themselves are bench/check_bench.py's concern.
"""
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else "softfocus"


def row(name, ns, **more):
    return {"name": name, "run_name": name, "run_type": "iteration", "repetitions": 9, "ns_per_element": ns,
            "bytes_per_second": 8e9 / ns, "roof_share": 0.5, "arithmetic_ns_per_element": ns / 2,
            "streaming_ns_per_element": ns / 4, "operations_per_element": 20.0, **more}


def repeated(name, times):
    rows = [row(name, ns) for ns in times]
    return rows + [{**row(name, sorted(times)[len(times) // 2]), "run_type": "aggregate", "aggregate_name": "median",
                    "name": name + "_median"}]


def report(rows, **context):
    return {"context": {"softfocus_version": "9.9.9", "cpu_model": "A CPU", "compiler": "cc 1", "flags": "-O3", "isa": "avx2",
                        "num_cpus": 2, "cache_l1": "32768", **context}, "benchmarks": rows}


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w") as file:
            file.write(text if isinstance(text, str) else json.dumps(text))
        os.chmod(self.path(name), mode)
        return self.path(name)

    def run_it(self, *arguments, stdin=None, **environment):
        return subprocess.run([PROGRAM, "bench", *arguments], capture_output=True, text=True, timeout=100, input=stdin,
                              cwd=self.folder, env={**os.environ, **environment})

    def fails(self, status, pattern, *arguments, **environment):
        ran = self.run_it(*arguments, **environment)
        self.assertEqual(ran.returncode, status)
        self.assertEqual(ran.stdout, "")
        self.assertRegex(ran.stderr.splitlines()[0], "^softfocus( bench)?: .*" + pattern)
        if status == 1:
            self.assertEqual(ran.stderr.count("\n"), 1)


class Compare(Case):
    def compare(self, first, second):
        ran = self.run_it("--compare", self.write("a.json", first), self.write("b.json", second))
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        return ran.stdout

    def verdict(self, first, second):
        """The last columns of the only row."""
        name = "log_softmax/f32/avx2/rows:8/classes:10"
        line = self.compare(report(repeated(name, first)), report(repeated(name, second))).splitlines()[-1]
        return re.split(r"  +", line)

    def test_machines(self):
        rows = repeated("log_softmax/f32/avx2/rows:8/classes:10", [1.0])
        text = self.compare(report(rows), report(rows, cpu_model="Another", num_cpus=8))
        self.assertIn("cpu_model\n  A: A CPU\n  B: Another\nnum_cpus\n  A: 2\n  B: 8\n", text)
        self.assertNotIn("compiler", text)
        self.assertIn("nothing differs", self.compare(report(rows), report(rows)))
        ran = self.run_it("--compare", "-", self.path("b.json"), stdin=json.dumps(report(rows)))
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        self.assertIn("nothing differs", ran.stdout)

    def test_rows(self):
        names = ["log_softmax/f32/avx2/rows:8/classes:10", "log_softmax/f32/other/rows:8/classes:10",
                 "onednn_log_softmax/f32/rows:8/classes:10"]
        first = report([r for name in names for r in repeated(name, [1.0] * 3)])
        second = report([r for name in names[1:] for r in repeated(name, [2.0] * 3)] + repeated("b/f32/avx2/x:1", [1.0]))
        lines = [re.split(r"  +", line) for line in self.compare(first, second).splitlines()[-2:]]
        self.assertEqual([line[:6] for line in lines],
                         [["log_softmax", "rows:8/classes:10", "other", "1", "2", "2.000"],
                          ["log_softmax", "rows:8/classes:10", "onednn", "1", "2", "2.000"]])
        self.assertEqual(lines[0][-2:], ["50 %", "50 %"])

    def test_significance(self):
        """Against the distribution of U over all orders of seven and five values, none equal."""
        first, second = [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0], [2.2, 3.2, 4.2, 5.2, 6.2]
        def u(a, b):
            smaller = sum(x < y for x in a for y in b)
            return min(smaller, len(a) * len(b) - smaller)
        every = first + second
        orders = [u([every[i] for i in chosen], [every[i] for i in range(12) if i not in chosen])
                  for chosen in itertools.combinations(range(12), 7)]
        p = sum(order <= u(first, second) for order in orders) / len(orders)
        found = self.verdict(first, second)
        self.assertEqual(found[6], "no difference" if p >= 0.05 else "A is faster")
        self.assertAlmostEqual(float(found[7]), p, places=4)

    def test_ties(self):
        """Against the normal approximation, with the variance of the ranks as they are."""
        first, second = [1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0], [3.0, 3.0, 4.0, 5.0, 5.0, 6.0, 6.0]
        every = sorted(first + second)
        ranks = {x: statistics.mean(i for i, y in enumerate(every) if y == x) for x in every}
        variance = statistics.variance(ranks[x] for x in every) * len(first) * len(second) / len(every)
        distance = abs(sum(ranks[x] for x in first) - statistics.mean(ranks[x] for x in every) * len(first)) - 0.5
        p = 2 * statistics.NormalDist().cdf(-distance / variance**0.5)
        self.assertAlmostEqual(float(self.verdict(first, second)[7]), p, places=4)

    def test_verdicts(self):
        fast, slow = [1 + i / 100 for i in range(7)], [2 + i / 100 for i in range(7)]
        self.assertEqual(self.verdict(fast, slow)[6:8], ["A is faster", "0.0006"])
        self.assertEqual(self.verdict(slow, fast)[6:8], ["B is faster", "0.0006"])
        self.assertEqual(self.verdict(fast, fast)[6], "no difference")  # with ties: the normal approximation
        self.assertEqual(self.verdict([1.0] * 9, [2.0] * 9)[6], "A is faster")
        self.assertEqual(self.verdict([1.0] * 9, [1.0] * 9)[6:8], ["no difference", "1.0000"])
        self.assertEqual(self.verdict(fast[:3], slow[:3])[6:8], ["too few runs", "3, 3"])
        self.assertEqual(self.verdict(fast[:4], slow[:4])[6], "A is faster")

    def test_errors(self):
        good = self.write("good.json", report(repeated("log_softmax/f32/avx2/rows:8/classes:10", [1.0])))
        other = self.write("other.json", report(repeated("log_softmax/f32/avx2/rows:9/classes:10", [1.0])))
        self.fails(1, "no benchmark in common", "--compare", good, other)
        self.fails(1, "cannot be read as JSON: line 1", "--compare", good, self.write("x", "hello"))
        self.fails(1, "no report of softfocus-bench", "--compare", good, self.write("y", {"context": {}}))
        self.fails(1, "no report of softfocus-bench", "--compare", self.write("z", []), good)
        for arguments in [[self.path("missing"), good], [good, self.path("missing")]]:
            self.fails(1, "missing: No such file or directory$", "--compare", *arguments)
        self.fails(1, "Is a directory", "--compare", good, self.folder)
        self.fails(1, "standard input: it cannot be read as JSON", "--compare", "-", good, stdin="")
        self.fails(2, "cannot both be read from standard input", "--compare", "-", "-")
        self.fails(2, "--compare: two reports are expected", "--compare", good)


class Roofline(Case):
    FILES = ["roofline.html", "roofline.json", "roofline.svg"]

    def stand_in(self, chosen=""):
        """Reports the benchmarks whose names match."""
        rows = []
        for kernel in ["log_softmax", "sigmoid_focal_loss"]:
            for isa, ns in [("scalar", 4.0), ("avx2", 0.5)]:
                rows += repeated(f"{kernel}/f32/{isa}/rows:1024/classes:1000", [ns])
        rows += repeated("log_softmax/f32/avx2/rows:64/classes:21", [0.7])
        rows += repeated("onednn_log_softmax/f32/rows:1024/classes:1000", [1.0])
        for level in ["L1", "L2", "L3", "DRAM"]:
            rows += repeated(f"stream_copy/f32/avx2/level:{level}", [0.1])
        rows += repeated("word/f32/avx2/vf_mul_add", [0.02])
        for entry in rows[-2:]:
            entry["elements_per_second"] = 5e10
        rows = [entry for entry in rows if re.search(chosen, entry["run_name"])]
        self.write("report.json", report(rows, cpu_model="A <CPU>"))
        script = f'#!/bin/sh\necho "$@" >"{self.folder}/arguments"; cat "{self.folder}/report.json"'
        return self.write("bench", script, 0o755)

    def test_files(self):
        out = self.path("out")
        ran = self.run_it("--roofline", out, SOFTFOCUS_BENCH=self.stand_in())
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        self.assertEqual(sorted(os.listdir(out)), self.FILES)
        with open(self.path("arguments")) as file:
            self.assertIn("--roof", file.read().split())
        with open(out + "/roofline.json") as file:
            self.assertEqual(json.load(file)["context"]["cpu_model"], "A <CPU>")
        with open(out + "/roofline.html") as file:
            page = file.read()
        self.assertIn("softfocus 9.9.9 on A &lt;CPU>", page)
        self.assertIn("<svg", page)
        self.assertNotRegex(page, r"(src|href)=\"(?!#)")  # no other file
        self.assertIn("<td>sigmoid_focal_loss</td><td>rows:1024/classes:1000</td><td>avx2</td><td>0.5</td>"
                      "<td class=\"lower\">0.25</td><td>0.125</td><td>50 %</td>", page)
        self.assertIn("copy, L2", page)
        for title in self.TITLES:
            self.assertIn(title, page)

    TITLES = ["operations of avx2", "by number of classes", "by ISA"]

    def test_panels_are_those_that_were_measured(self):
        for chosen, drawn in [("^log_softmax/f32/avx2/rows:1024", [0, 1, 2]), ("/scalar/", [2]), ("/avx2/rows:64/", [0, 1]),
                              ("^(stream|word)", [0]), ("^nothing$", [])]:
            with self.subTest(chosen):
                out = self.path("out")
                ran = self.run_it("--roofline", out, SOFTFOCUS_BENCH=self.stand_in(chosen))
                self.assertEqual((ran.returncode, ran.stderr), (0, ""))
                self.assertEqual(sorted(os.listdir(out)), self.FILES)
                with open(out + "/roofline.html") as file:
                    page = file.read()
                self.assertEqual([i for i, title in enumerate(self.TITLES) if title in page], drawn)
                self.assertEqual("No kernel was measured" in page, not drawn)

    def test_any_name_of_a_folder(self):
        bench = self.stand_in()
        for name in ["-x", "it's", "a\nb", 'q"`id`', "--"]:
            with self.subTest(name):
                ran = self.run_it("--roofline=" + name, SOFTFOCUS_BENCH=bench)
                self.assertEqual((ran.returncode, ran.stderr), (0, ""))
                self.assertEqual(sorted(os.listdir(self.path(name))), self.FILES)

    def test_errors(self):
        bench, out = self.stand_in(), self.path("out")
        self.fails(1, "gnuplot, which was not found", "--roofline", out, SOFTFOCUS_BENCH=bench, PATH=self.folder)
        self.fails(1, "Not a directory", "--roofline", self.write("file", "") + "/x", SOFTFOCUS_BENCH=bench)
        self.fails(1, "Not a directory", "--roofline", self.path("file"), SOFTFOCUS_BENCH=bench)
        self.fails(1, "'': No such file", "--roofline", "", SOFTFOCUS_BENCH=bench)
        self.fails(1, "File name too long", "--roofline", "x/" * 2045, SOFTFOCUS_BENCH=bench)
        os.makedirs(out + "/roofline.svg")
        self.fails(1, "roofline.svg: Is a directory", "--roofline", out, SOFTFOCUS_BENCH=bench)
        self.assertEqual(os.listdir(out), ["roofline.svg"])
        os.rmdir(out + "/roofline.svg")
        with open(out + "/roofline.json", "w") as file:
            ran = subprocess.run([PROGRAM, "bench", "--roofline", out], stdout=file, stderr=subprocess.PIPE, text=True,
                                 env={**os.environ, "SOFTFOCUS_BENCH": bench})
        self.assertEqual((ran.returncode, ran.stderr),
                         (1, f"softfocus: {out}/roofline.json: standard output is this file, too\n"))
        self.assertFalse(os.path.exists(self.path("arguments")))  # nothing was timed before
        for script, pattern in [("exit 3", "gnuplot ended with exit status 3"), ("echo '<svg>'", "no whole picture")]:
            self.write("gnuplot", "#!/bin/sh\n" + script, 0o755)
            out = self.path(pattern)
            self.fails(1, pattern + ".*only roofline.json is written", "--roofline", out, SOFTFOCUS_BENCH=bench,
                       PATH=self.folder + ":" + os.environ["PATH"])
            self.assertEqual(os.listdir(out), ["roofline.json"])
        os.unlink(self.path("gnuplot"))
        out = self.path("made")
        failing = self.write("failing", "#!/bin/sh\nexit 4", 0o755)
        self.fails(1, "ended with exit status 4", "--roofline", out, SOFTFOCUS_BENCH=failing)
        self.assertFalse(os.path.exists(out))


if __name__ == "__main__":
    unittest.main(verbosity=2)
