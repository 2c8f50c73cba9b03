#!/usr/bin/env python3
"""check_bench.py BENCH: the benchmark runs, and its report holds what it promises. Run by `meson test --suite bench`.

Times mean nothing here: each benchmark runs for a moment, on one shape.
"""
import json
import subprocess
import sys

SHAPE = "rows:1024/classes:1000"
COUNTERS = ["ns_per_element", "elements_per_second", "bytes_per_second", "speedup_over_scalar"]
CONTEXT = ["cpu_model", "compiler", "flags", "softfocus_version", "isa", "isas"]

checks = {"passed": 0, "failed": 0}


def check(name, right):
    checks["passed" if right else "failed"] += 1
    print(f"{'ok' if right else 'FAILED'}: {name}")


def run(*options):
    return subprocess.run([sys.argv[1], *options], stdin=subprocess.DEVNULL, capture_output=True, text=True)


report = run(f"--benchmark_filter={SHAPE}$", "--quick", "--benchmark_min_time=0.0001", "--benchmark_repetitions=1",
             "--benchmark_format=json")
sys.stderr.write(report.stderr)
check("it succeeds", report.returncode == 0)
report = json.loads(report.stdout)

for key in CONTEXT:
    check(f"context: {key}", bool(report["context"].get(key)))
found = {benchmark["name"]: benchmark for benchmark in report["benchmarks"]}
isas = report["context"]["isas"].split()
# A kernel that ran on one ISA must have run on all.
kernels = {name.split("/")[0] for name in found if name.split("/")[2] in isas}
check("the kernels are found", {"log_softmax", "softmax_focal_loss_with_grad"} <= kernels)
for kernel in sorted(kernels):
    for isa in isas:
        benchmark = found.get(f"{kernel}/f32/{isa}/{SHAPE}", {})
        check(f"{kernel} on {isa}",
              not benchmark.get("error_occurred") and all(benchmark.get(counter, 0) > 0 for counter in COUNTERS))
check("an unknown option is an error", run("--nonsense").returncode != 0)
check("a filter that chooses nothing is an error", run("--benchmark_filter=^nothing$").returncode != 0)

print(f"{checks['passed']} passed, {checks['failed']} failed, 0 skipped")
sys.exit(1 if checks["failed"] else 0)
