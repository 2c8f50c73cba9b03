#!/usr/bin/env python3
"""performance.py ROOFLINE.json PEERS NAME: docs/NAME.md, on standard output. Called by performance.sh.

PEERS is the folder that bench/peers/run.sh wrote, or empty; its picture is copied into docs/. What is said about single shapes
is in docs/performance-notes.md, which is kept by hand; the page ends with a link to it.
"""
import json
import pathlib
import re
import shutil
import statistics
import sys

DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"
IN_CACHE, OUT_OF_CACHE = 0.60, 0.85  # the shares of the roof that are aimed at
TOLERANCE = 1.2  # how far outside of its bounds an arithmetic roof may lie before it is named: noise
SHARED_SHAPE = "rows:1024/classes:1000"

# What is wanted: an operation, whether its classes must not be last, a peer, and how many times as fast.
WANTED = [("softmax_focal_loss_with_grad", False, "PyTorch", 8), ("log_softmax", True, "PyTorch", 3),
          ("sigmoid_focal_loss_with_grad", False, "torchvision", 15)]

METHOD = """
## What the roofs are

Two roofs are measured beside each kernel and shape, in the same run, without root and without hardware counters:

- **Arithmetic.** The kernels are written over a small vocabulary (`kernels/simd/`), whose words are one instruction or a few. A
  second copy of the kernels counts them (`bench/roof/counting.h`): the words that one call at this shape uses, on this ISA. The
  same words, in the same proportions, are then timed in an order in which none waits for the result of another, on data in
  registers and the L1 cache (`bench/roof/mix.c`): in 256 steps of up to 32 times the same word, or of
  up to 8, whichever is faster. So which words share an
  execution port, and how many run in one cycle, is measured and not looked up. Not counted are addresses, loops, constants, and
  words whose operands are the same each time, which a compiler hoists out of the loop.
  The figure should lie between the slowest kind of words alone and the sum of all kinds, one after the other; those that do not
  are named below.
- **Streaming.** As many bytes as a call must at least read and write, from as many tensors of the same size, with one addition
  at most: in the cache where they fit, and with plain or non-temporal stores, whichever is faster.

The roof is the slower of the two (bold), and a kernel's share is the roof's time over its own. The arithmetic roof is what was
reached, and not a proof: going from word to word costs the mix a few slots, and a compiler merges some words in the kernel (a mask
into the operation that uses it, a load into an addition). Shares of up to 120 % have been
seen, and a figure should be read as that uncertain. `sigmoid_focal_loss` without its gradient has more (140 %): the words of the
gradient are counted there, and the compiler leaves them out. What the words themselves are too many of does not show here, but against other libraries.

Times are CPU time of one thread, the median of the repetitions; roofs are medians of samples taken between them.
"""


def cpu():
    facts = dict(re.findall(r"^([^\t:]+)\t*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE))
    family = f", family {facts['cpu family']} model {facts['model']}" if "cpu family" in facts else ""
    virtual = ", in a virtual machine" if "hypervisor" in facts.get("flags", "") else ""
    return family + virtual


def size(text):
    number = int(text)
    return f"{number >> 20} MiB" if number >= 1 << 20 else f"{number >> 10} KiB"


class Report:
    def __init__(self, path):
        report = json.loads(pathlib.Path(path).read_text())
        self.context = report["context"]
        self.isas = self.context["isas"].split()
        self.rows = {}  # by kernel, ISA, shape
        for row in report["benchmarks"]:
            parts = row["run_name"].split("/", 3)
            median = row.get("aggregate_name") == "median" or row.get("repetitions", 1) <= 1
            if median and len(parts) == 4 and parts[2] in self.isas and not row.get("error_occurred"):
                self.rows[parts[0], parts[2], parts[3]] = row

    def kernels(self):
        return list(dict.fromkeys(kernel for kernel, _, _ in self.rows
                                  if kernel != "word" and not kernel.startswith("stream_")))


def table(heads, aligned, rows):
    lines = ["| " + " | ".join(heads) + " |", "| " + " | ".join(":--" if side == "l" else "--:" for side in aligned) + " |"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def memory_table(report):
    rows = []
    for isa in report.isas:
        for stream, name in [("stream_read", "read"), ("stream_copy", "copy"), ("stream_copy_nt", "copy, non-temporal")]:
            cells = [report.rows.get((stream, isa, f"level:{level}")) for level in ["L1", "L2", "L3", "DRAM"]]
            if any(cells):
                rows.append([isa, name] + [f"{1e-9 * cell['bytes_per_second']:.0f}" if cell else "" for cell in cells])
    return table(["ISA", "GB/s", "L1", "L2", "L3", "DRAM"], "llrrrr", rows)


WORDS = ["vf_add", "vf_mul", "vf_mul_add", "vf_max", "vf_less", "vf_select", "vi_add", "vi_shift_left", "vi_lookup", "vf_div",
         "vd_add", "vd_widen", "vf_load", "vf_store"]


def word_table(report):
    rows = []
    for word in WORDS:
        cells = [report.rows.get(("word", isa, word)) for isa in report.isas]
        rows.append([f"`{word}`"] + [f"{1 / cell['ns_per_element']:.1f}" if cell else "" for cell in cells])
    return table(["10^9 elements/s"] + report.isas, "l" + "r" * len(report.isas), rows)


def shape_name(shape):
    return " × ".join(re.findall(r":(\d+)", shape))


def kernel_table(report, isa):
    rows, missed, doubtful = [], [], []
    for (kernel, by, shape), row in report.rows.items():
        if by != isa or kernel not in report.kernels():
            continue
        arithmetic, streaming = row["arithmetic_ns_per_element"], row["streaming_ns_per_element"]
        share, bound = row["roof_share"], arithmetic >= streaming
        cells = [f"{arithmetic:.3g}", f"{streaming:.3g}"]
        cells[0 if bound else 1] = f"**{cells[0 if bound else 1]}**"
        rows.append([f"`{kernel}`", shape_name(shape), f"{row['ns_per_element']:.3g}", *cells, f"{100 * share:.0f} %",
                     f"{1e-9 * row['bytes_per_second']:.1f}", f"{row['speedup_over_scalar']:.1f}"])
        if share < (IN_CACHE if bound else OUT_OF_CACHE):
            missed.append(f"`{kernel}` {shape_name(shape)}: {100 * share:.0f} % of the "
                          f"{'arithmetic' if bound else 'streaming'} roof")
        if not row["arithmetic_from"] / TOLERANCE < arithmetic < row["arithmetic_to"] * TOLERANCE:
            doubtful.append(f"`{kernel}` {shape_name(shape)}: {arithmetic:.3g} ns, not in {row['arithmetic_from']:.3g} to "
                            f"{row['arithmetic_to']:.3g}")
    heads = ["kernel", "shape", "ns/element", "arithmetic", "streaming", "share of the roof", "GB/s", "× scalar"]
    return table(heads, "llrrrrrr", rows), missed, doubtful


def isa_table(report):
    rows = []
    for kernel in report.kernels():
        cells = [report.rows.get((kernel, isa, SHARED_SHAPE)) for isa in report.isas]
        if any(cells):
            rows.append([f"`{kernel}`"] + [f"{cell['ns_per_element']:.3g} ({100 * cell['roof_share']:.0f} %)" if cell else ""
                                           for cell in cells])
    return table(["kernel"] + report.isas, "l" + "r" * len(report.isas), rows)


def peers_report(folder):
    """What bench/peers/run.sh measured; `rows`: operation, shape, threads and results."""
    path = pathlib.Path(folder or "-", "results.json")
    return json.loads(path.read_text()) if path.exists() else {"rows": []}


def peer_shape(row):
    outer, classes, inner = row["shape"]
    return f"{outer} × {classes}" + (f" × {inner}" if inner > 1 else "")


def peers(folder, name):
    path = pathlib.Path(folder or "-", "results.md")
    if not path.exists():
        return "Not measured in this run: `bench/peers/run.sh` does it."
    report, parts = peers_report(folder), []
    if report["quick"]:  # of all shapes it is large, and small to read
        shutil.copy(path.parent / "results.png", DOCS / f"{name}-peers.png")
        parts = [f"![Times over softfocus's]({name}-peers.png)"]
    close = [f"- `{row['operation']}` {peer_shape(row)}, {row['threads']} thread{'s' * (row['threads'] > 1)}: "
             f"{result['contender']}, {statistics.median(result['ratio']):.2f} times softfocus's"
             for row in report["rows"] for result in row["results"]
             if result["contender"] != "softfocus" and statistics.median(result["ratio"]) < 1.1]
    return "\n\n".join(parts + [path.read_text().partition("\n")[2].strip(), "Times below 1.1 of softfocus's:",
                                "\n".join(close) or "None."])


def roof_share(report, kernel, shape):
    """Of the benchmark's shape that is this one, or has as many classes and, but for a tenth, as many rows."""
    outer, classes, inner = shape
    for (by_kernel, isa, text), row in report.rows.items():
        numbers = [int(number) for number in re.findall(r":(\d+)", text)]
        same = numbers[1:] == ([classes] if inner == 1 else [classes, inner])
        if by_kernel == kernel and isa == report.context["isa"] and same and abs(numbers[0] - outer) * 10 <= outer:
            return row["roof_share"]
    return None


def possible(report, folder):
    """What is wanted against what softfocus would be at its roof."""
    rows = []
    for operation, planes, peer, times in WANTED:
        for row in peers_report(folder)["rows"]:
            ratios = [result["ratio"] for result in row["results"] if result["contender"] == peer]
            share = roof_share(report, operation, row["shape"])
            wanted = row["operation"] == operation and row["threads"] == 1 and not (planes and row["shape"][2] == 1)
            if not wanted or not ratios or not share:
                continue
            ratio = statistics.median(ratios[0])
            rows.append([f"`{operation}`", peer_shape(row), peer, f"{times}",
                         f"{ratio:.1f}" + ("" if ratio < times else " (reached)"), f"{100 * share:.0f} %",
                         f"{ratio / share:.1f}" + (" (less)" if ratio / share < times else "")])
    if not rows:
        return "Not measured in this run."
    return table(["operation", "shape", "peer", "wanted", "measured", "share of the roof", "at the roof"], "lllrrrr", rows)


def flags(context):
    """Those that all kernels share, and those of the ISA that was measured."""
    shared, *own = context["flags"].split("; ")
    return " ".join([shared] + [part.partition(" ")[2] for part in own if part.startswith(context["isa"] + ":")])


def main():
    report, folder, name = Report(sys.argv[1]), sys.argv[2], sys.argv[3]
    context, best = report.context, report.context["isa"]
    rows, missed, doubtful = kernel_table(report, best)
    caches = ", ".join(f"L{level} {size(context[f'cache_l{level}'])}" for level in (1, 2, 3))
    print(f"""# Performance{"" if name == "performance" else f" ({name})"}

Written by `scripts/performance.sh`; not by hand. `softfocus bench --roofline DIR` makes the same figures for your machine, and
`softfocus bench --compare A.json B.json` compares two.

{context['cpu_model']}{cpu()}; caches: {caches}; {context['date'][:10]}. softfocus {context['softfocus_version']}, {context['compiler']},
{flags(context)}. Load (programs that wanted a CPU) at the start: {context['load_avg'][0]:.1f} on {context['num_cpus']} CPUs.

![Roofs, times by number of classes, times by ISA]({name}.svg)
{METHOD}
## Every kernel and shape on {best}

Shapes are rows × classes, or images × classes × pixels. Times in ns per element. Losses: gamma 2, alpha 0.25, the mean.

{rows}

## By ISA, 1024 × 1000

ns per element, and the share of the roof.

{isa_table(report)}

## Other libraries

{peers(folder, name)}

## What is wanted, and what is possible

How many times as fast as another library each of these should be, what was measured in turns with it, and what it would be if
softfocus took no longer than its roof, the slower of arithmetic and streaming: where that is less than what is wanted, only
other arithmetic would do. As uncertain as the roofs are (above).

{possible(report, folder)}

## What this CPU can do

{memory_table(report)}

Streams of half of a level's size, or four times the last. Words of the vocabulary, each by itself:

{word_table(report)}

## Below the aim

The aim is {100 * IN_CACHE:.0f} % of the arithmetic roof, or {100 * OUT_OF_CACHE:.0f} % of the streaming one where that is the lower.
{''.join(f'{chr(10)}- {line}' for line in missed) or chr(10) + 'Nothing is.'}

Arithmetic roofs that lie outside of their bounds by more than a factor of {TOLERANCE}, so that a share means little:
{''.join(f'{chr(10)}- {line}' for line in doubtful) or chr(10) + 'None.'}

## Why

[performance-notes.md](performance-notes.md): what single shapes wait for, and what was tried.""")
    return 0


sys.exit(main())
