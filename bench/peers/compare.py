#!/usr/bin/env python3
"""softfocus and what a user would pick instead, on the same inputs in the same run. Started by run.sh, which
installs the peers and builds what this loads.

First each contender's result is held against float64; one that differs by more than the tolerance is named
and not timed. Then all are timed in turns, A B C A B C …, each turn with as many calls as fill a few
milliseconds, after one call that is not timed and once nobody's threads are at work (some spin, or clean up,
for a while after a call). What is reported is the median over the turns and half the
distance between the quartiles; a ratio is the median, over the turns, of the peer's time over softfocus's
in the same turn, so that a machine that slows down slows both.

One thread: one process, confined to one CPU before any package is loaded, and CPU time, which other
programs on the machine disturb least. All threads: another process, and wall time. All calls come from
Python: the time of an empty call is in the report.

Writes results.json, results.md and results.png to the output folder.
"""

import argparse
import ctypes
import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", required=True, help="libsoftfocus.so of a release build")
    parser.add_argument("--native", required=True,
                        help="the folder of libnative-THREADS.so: native.c and the peers in C")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--quick", action="store_true", help="a handful of shapes, fewer turns")
    parser.add_argument("--missing", action="append", default=[], metavar="NAME=REASON",
                        help="a peer that could not be installed")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="of the second run (all CPUs)")
    parser.add_argument("--only", default="", help="a regular expression: operations to measure")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)  # the child: measure with this many threads
    return parser.parse_args()


# ---- Measuring: in a process of its own for each number of threads -----------------------------------------


def seconds_of(call, calls, clock):
    begin = clock()
    for _ in range(calls):
        call()
    return (clock() - begin) / calls


def settle():
    """Waits until no thread of this process is at work, 50 ms at most."""
    for _ in range(50):
        begin = time.process_time()
        time.sleep(0.001)
        if time.process_time() - begin < 1e-4:
            return


def calls_for(call, seconds):
    """How many calls take about so long."""
    call()
    once = max(1e-7, min(seconds_of(call, 1, time.perf_counter) for _ in range(2)))
    return max(1, min(100_000, round(seconds / once)))


def quartiles(values):
    if len(values) < 2:
        return values[0], values[0], values[0]
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))


def measure_problem(problem, families, arguments, threads):
    """One result per contender: ours first."""
    import problems
    clock = time.process_time if threads == 1 else time.perf_counter
    results, running = [], []
    for family in families:
        name = family.name
        try:
            for contender in family.contenders(problem):
                name = contender.name
                difference = problems.worst_difference(contender.read(contender.call()),
                                                       contender.expected or problem.expected)
                result = {"contender": name, "difference": difference}
                results.append(result)
                if difference <= problems.TOLERANCE:
                    running.append((contender, result))
                else:
                    result["error"] = f"differs by {difference:.1e}"
        except Exception as reason:  # whatever a package raises, the others still run and the report says it
            results.append({"contender": name, "error": f"{type(reason).__name__}: {str(reason)[:200]}"})
    sample, turns = (0.004, 9) if arguments.quick else (0.02, 15)
    counts = [calls_for(contender.call, sample) for contender, _ in running]
    times = [[] for _ in running]
    for turn in range(turns):
        for i in range(len(running)):
            i = (i + turn) % len(running)  # each turn begins with another
            settle()
            running[i][0].call()
            times[i].append(seconds_of(running[i][0].call, counts[i], clock))
    for (_, result), calls, sampled in zip(running, counts, times):
        result["calls"] = calls
        result["seconds"] = quartiles(sampled)
        if results[0].get("seconds"):
            result["ratio"] = quartiles([theirs / ours for theirs, ours in zip(sampled, times[0])])
    return {"operation": problem.operation, "shape": problem.shape, "threads": threads, "results": results}


def measure(arguments):
    threads = arguments.measure
    if threads == 1:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import contenders
    import problems
    native = str(pathlib.Path(arguments.native) / f"libnative-{threads}.so")
    families, missing = contenders.families(threads, arguments.library, native)
    empty = ctypes.CDLL(None).getpid  # the cheapest call of C
    report = {"versions": {family.name: family.version for family in families}, "missing": missing,
              "empty_call_seconds": min(seconds_of(empty, 10_000, time.perf_counter) for _ in range(5)), "rows": []}
    for operation in problems.OPERATIONS:
        if re.search(arguments.only, operation):
            for shape in problems.shapes(operation, arguments.quick):
                row = measure_problem(problems.make(operation, shape), families, arguments, threads)
                print(describe(row), file=sys.stderr, flush=True)
                report["rows"].append(row)
    path = arguments.out / f"threads-{threads}.json"
    path.write_text(json.dumps(report))


def describe(row):
    words = [f"{row['threads']} thread(s)", row["operation"], "x".join(map(str, row["shape"]))]
    elements = row["shape"][0] * row["shape"][1] * row["shape"][2]
    for result in row["results"]:
        words.append(f"{result['contender']} " + (f"{1e9 * result['seconds'][1] / elements:.2f}" if "seconds" in result
                                                  else result["error"]))
    return ", ".join(words)


# ---- The report --------------------------------------------------------------------------------------------


def cpu():
    facts = dict(re.findall(r"^([^\t:]+)\t*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE))
    words = [facts.get("model name", "unknown")]
    if "cpu family" in facts:
        words.append(f"family {facts['cpu family']} model {facts['model']}")
    if "hypervisor" in facts.get("flags", ""):
        words.append("in a virtual machine")
    return ", ".join(words)


def run_child(threads):
    """This program again; what it printed goes through, what it found comes back."""
    done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--measure", str(threads)])
    if done.returncode != 0:
        sys.exit(f"compare.py: measuring with {threads} thread(s) ended with status {done.returncode}")


def load():
    """Programs that want a CPU, on average over the last minute."""
    return os.getloadavg()[0]


def shape_name(shape):
    outer, classes, inner = shape
    return f"{outer} × {classes}" + (f" × {inner}" if inner > 1 else "")


def columns(rows):
    """Contenders in the order in which they first appear."""
    return list(dict.fromkeys(result["contender"] for row in rows for result in row["results"]))


def cell(result, elements):
    if result is None:
        return ""
    if "seconds" not in result:
        return result["error"].replace("|", "/").replace("\n", " ")[:60]  # whole in results.json
    low, median, high = (1e9 * seconds / elements for seconds in result["seconds"])
    text = f"{median:.3g} ± {float(format((high - low) / 2, '.1g')):g}"
    if "ratio" in result and result["contender"] != "softfocus":
        text += f", {result['ratio'][1]:.1f}×"
    return text


def markdown(report):
    names = columns(report["rows"])
    lines = ["# softfocus and its peers", "",
             f"{report['cpu']}; {report['cpus']} CPUs; {report['date']}. The load (programs that want a CPU) was "
             f"{report['load'][0]:.1f} before this run, and {report['load'][1]:.1f} after it, itself included.", "",
             "Nanoseconds per element: median ± half the distance between the quartiles, then the time over "
             "softfocus's. Shapes are outer × classes (× inner). One thread: CPU time; more: wall time. An empty "
             f"call from Python takes {1e9 * report['empty_call_seconds']:.0f} ns, which is in each figure.", "",
             "| operation | shape | threads | " + " | ".join(names) + " |",
             "| :-- | :-- | --: |" + " --: |" * len(names)]
    for row in report["rows"]:
        found = {result["contender"]: result for result in row["results"]}
        elements = row["shape"][0] * row["shape"][1] * row["shape"][2]
        cells = [f"`{row['operation']}`", shape_name(row["shape"]), str(row["threads"])]
        lines.append("| " + " | ".join(cells + [cell(found.get(name), elements) for name in names]) + " |")
    lines += ["", "Versions: " + "; ".join(f"{name}: {version}" for name, version in report["versions"].items()) + ".",
              "",
              "Not measured:" if report["missing"] else "Every peer was there."]
    lines += [""] * bool(report["missing"]) + [f"- {name}: {reason}" for name, reason in report["missing"].items()]
    return "\n".join(lines) + "\n"


PLOT = """
set terminal pngcairo size 2000,{height} font "sans,11" noenhanced
set output "{path}"
set multiplot layout 1,{panels}
set logscale x
set grid x
set xlabel "times softfocus's time (1: as fast)"
set yrange [-1:{top}]
set ytics ({tics})
set key outside right top spacing 1.3
set lmargin 46
set arrow 1 from 1, graph 0 to 1, graph 1 nohead lw 2 lc rgb "black"
"""


def plot(report, path):
    """A row per operation and shape, a point per peer at its ratio; a panel per number of threads."""
    panels = list(dict.fromkeys(row["threads"] for row in report["rows"]))
    labels = list(dict.fromkeys((row["operation"], tuple(row["shape"])) for row in report["rows"]))
    labels.reverse()  # the first on top
    tics = ", ".join(f'"{operation} {shape_name(shape)}" {i}' for i, (operation, shape) in enumerate(labels))
    script = PLOT.format(path=path, height=120 + 30 * len(labels), panels=len(panels), top=len(labels), tics=tics)
    for threads in panels:
        blocks = {}
        for row in report["rows"]:
            if row["threads"] == threads:
                for result in row["results"]:
                    if "ratio" in result and result["contender"] != "softfocus":
                        where = labels.index((row["operation"], tuple(row["shape"])))
                        low, median, high = result["ratio"]
                        blocks.setdefault(result["contender"], []).append(f"{median} {where} {low} {high}")
        if not blocks:
            continue
        script += f'set title "{threads} thread{"s" if threads > 1 else ""}"\n'
        for i, points in enumerate(blocks.values()):
            script += f"$p{i} << END\n" + "\n".join(points) + "\nEND\n"
        script += "plot " + ", ".join(f'$p{i} using 1:2:3:4 with xerrorbars pt {i + 4} ps 1.4 title "{name}"'
                                      for i, name in enumerate(blocks)) + "\n"
    subprocess.run(["gnuplot"], input=script + "unset multiplot\n", text=True, check=True)


def main():
    arguments = parse_arguments()
    if arguments.measure:
        measure(arguments)
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    report = {"cpu": cpu(), "cpus": len(os.sched_getaffinity(0)), "load": [load()],
              "date": datetime.date.today().isoformat(), "quick": arguments.quick, "rows": [], "versions": {},
              "missing": dict(pair.split("=", 1) for pair in arguments.missing)}
    for threads in dict.fromkeys([1, arguments.threads]):
        run_child(threads)
        part = arguments.out / f"threads-{threads}.json"
        measured = json.loads(part.read_text())
        part.unlink()
        report["rows"] += measured["rows"]
        report["versions"].update(measured["versions"])
        report["missing"].update(measured["missing"])
        report["empty_call_seconds"] = measured["empty_call_seconds"]
    report["load"].append(load())
    (arguments.out / "results.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    (arguments.out / "results.md").write_text(markdown(report))
    plot(report, arguments.out / "results.png")
    print(f"written: {arguments.out}/results.md, results.json, results.png")
    wrong = [describe(row) for row in report["rows"] if "seconds" not in row["results"][0]]
    for row in wrong:
        print(f"softfocus did not pass: {row}", file=sys.stderr)
    return 1 if wrong or not report["rows"] else 0


if __name__ == "__main__":
    sys.exit(main())
