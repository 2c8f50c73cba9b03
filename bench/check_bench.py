#!/usr/bin/env python3
"""check_bench.py BENCH TURNS LIBRARY: the benchmark runs, and its report holds what it promises; before_after.py compares LIBRARY
with itself. Run by `meson test --suite bench`.

Times mean nothing here: each benchmark runs for a moment, on one shape. What the roofs count (roof/words.def) is held against
the kernels.
"""
import json
import pathlib
import re
import subprocess
import sys

SHAPE = "rows:1024/classes:1000"
COUNTERS = ["ns_per_element", "elements_per_second", "bytes_per_second", "speedup_over_scalar",
            "arithmetic_ns_per_element", "streaming_ns_per_element", "roof_share", "operations_per_element"]
CONTEXT = ["cpu_model", "compiler", "flags", "softfocus_version", "isa", "isas", "cache_l1", "cache_l2", "cache_l3"]

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
        # Whether the roof lies between them is a matter of time, which scripts/performance.py looks at.
        check(f"{kernel} on {isa}: its arithmetic roof has bounds",
              0 < benchmark.get("arithmetic_from", 0) <= benchmark.get("arithmetic_to", 0))

limits = run("--roof", "--benchmark_filter=^(stream|word)", "--benchmark_min_time=0.0001", "--benchmark_repetitions=1",
             "--benchmark_format=json")
check("--roof succeeds", limits.returncode == 0)
limits = {benchmark["name"]: benchmark for benchmark in json.loads(limits.stdout)["benchmarks"]}
for isa in isas:
    for name in ["stream_read/f32/{}/level:L1", "stream_copy/f32/{}/level:DRAM", "word/f32/{}/vf_mul_add"]:
        name = name.format(isa)
        check(name, limits.get(name, {}).get("ns_per_element", 0) > 0)

before_after = subprocess.run([pathlib.Path(__file__).resolve().parent / "before_after.py", *sys.argv[2:4], sys.argv[3],
                               "softmax_focal_loss_with_grad:64x10,2x3x20", "--isa", "scalar,default"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
sys.stderr.write(before_after.stderr)
check("before_after.py succeeds", before_after.returncode == 0)
check("before_after.py has a row for each shape",
      [line.split()[:3] for line in before_after.stdout.splitlines()[1:]]
      == [["softmax_focal_loss_with_grad", isa, shape] for isa in ("scalar", "default") for shape in ("64x10", "2x3x20")])

# Every word that a kernel uses is counted, but for those that cost nothing.
FREE = {"vf_set1", "vi_set1", "vd_set1", "vf_bits", "vf_from_bits", "vf_load_table", "vi_lane_numbers",
        "vf_stream_end"}
COUNTED_AS_ANOTHER = {"vf_stream"}
BENCH = pathlib.Path(__file__).resolve().parent
KERNELS = BENCH.parent / "kernels"
listed = set(re.findall(r"^WORD\(\w+, \d+, \w+, (\w+),", (BENCH / "roof" / "words.def").read_text(), re.MULTILINE))
counted = set(re.findall(r"^#define (v[fimd]_\w+)\(", (BENCH / "roof" / "counting.h").read_text(), re.MULTILINE))
counted -= COUNTED_AS_ANOTHER
vocabulary = set(re.findall(r"\b(v[fimd]_\w+)\(", (KERNELS / "simd" / "scalar.h").read_text()))
used = {word for file in [*KERNELS.glob("*.c"), *KERNELS.glob("*.h")]
        for word in re.findall(r"\b(v[fimd]_\w+)\(", file.read_text())}
missing = sorted((used & vocabulary) - listed - FREE - COUNTED_AS_ANOTHER)
check(f"every word of the kernels is in words.def: {' '.join(missing) or 'yes'}", not missing)
check(f"words.def and counting.h have the same words: {' '.join(sorted(listed ^ counted)) or 'yes'}", listed == counted)

check("an unknown option is an error", run("--nonsense").returncode != 0)
check("a filter that chooses nothing is an error", run("--benchmark_filter=^nothing$").returncode != 0)

print(f"{checks['passed']} passed, {checks['failed']} failed, 0 skipped")
sys.exit(1 if checks["failed"] else 0)
