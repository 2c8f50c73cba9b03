#!/usr/bin/env python3
"""Measures what README.md says was measured, and rewrites its tables between their marker comments.

    scripts/update-readme.py [BUILD]        all tables, with the programs in the folder BUILD (default: build)
    scripts/update-readme.py --only speed   one of them: accuracy, easy or speed
    scripts/update-readme.py --print        prints the tables and leaves README.md as it is

    --cpu NAME        what the tables call this CPU, before its family and model (default: what the kernel calls it)
    --check COMMAND   one more `softfocus check` to take accuracy from, under an emulator; may be repeated. NEON's, and
                      AVX-512's where the CPU has none:
                      --check 'scripts/emulate.sh neon build-aarch64-tools/tools/softfocus check'
                      --check 'scripts/emulate.sh avx512 build/tools/softfocus check --isa avx512'

Run by hand on an idle machine: about two minutes, as long again for NEON, and half an hour for AVX-512 in Bochs (on
busy cores). It needs a build with -Dtools=enabled and -Dbench=enabled, and NumPy (for `easy`). A table whose
measurement fails is left alone, and the exit status is then 1.
"""

import argparse
import json
import pathlib
import platform
import re
import shlex
import subprocess
import sys
import tempfile

README = pathlib.Path(__file__).resolve().parent.parent / "README.md"


def output_of(command):
    """What a command prints, however it ends: `check` answers 1 where a bound is broken, and still prints its table."""
    run = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    if run.returncode not in (0, 1):
        raise RuntimeError(f"{shlex.join(str(word) for word in command)} ended with status {run.returncode}")
    return run.stdout


def markdown(head, rows, words):
    """A table whose first `words` columns are words and whose others are numbers."""
    lines = [head, [":--"] * words + ["--:"] * (len(head) - words)] + rows
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cpu(name):
    """The CPU's name, family and model: virtual machines often hide the first and show the others."""
    info = pathlib.Path("/proc/cpuinfo")
    facts = dict(re.findall(r"^([^\t:]+)\t*: (.*)$", info.read_text(), re.MULTILINE)) if info.exists() else {}
    words = [name or facts.get("model name", platform.machine())]
    if "cpu family" in facts and "model" in facts:
        words.append(f"family {facts['cpu family']} model {facts['model']}")
    if "hypervisor" in facts.get("flags", ""):
        words.append("in a virtual machine")
    return ", ".join(words)


# ---- Accuracy: softfocus check -------------------------------------------------------------------------------------


def accuracy(arguments):
    own = [arguments.build / "tools" / "softfocus", "check"]
    results, isas = {}, []
    for command in [own] + [shlex.split(command) for command in arguments.check]:
        report = json.loads(output_of([*command, "--json"]))
        if not report["ok"]:
            raise RuntimeError(f"{report['failed']} of {report['runs']} runs are out of bounds: no table of that")
        for result in report["results"]:
            key = (result["kernel"], result["output"], result["unit"])
            results.setdefault(key, {}).setdefault(result["isa"], result)
        # Best first, as in each report, and what a CPU lacks is better than what it has.
        names = report["unsupported_isas"] + list(dict.fromkeys(result["isa"] for result in report["results"]))
        for name, after in reversed(list(zip(names, names[1:] + [None]))):
            if name not in isas:
                isas.insert(isas.index(after) if after else len(isas), name)
    isas = [isa for isa in isas if any(isa in found for found in results.values())]
    rows = [[f"`{kernel}`", f"`{name}`" + (" (eps)" if unit == "eps" else "")]
            + ["{worst:.2f} of {bound:g}".format(**found[isa]) if isa in found else "" for isa in isas]
            for (kernel, name, unit), found in results.items()]
    cases = sum(result["cases"] for found in results.values() for result in found.values())
    return (markdown(["kernel", "output", *isas], rows, 2)
            + f"\n\n{cases} outputs compared, none out of bounds. {cpu(arguments.cpu)}"
            + ("; emulated: " + ", ".join(f"`{command}`" for command in arguments.check)
               if arguments.check else "") + ".")


# ---- Easy examples: softfocus focal-loss against the usual formula in float32 ---------------------------------------

EASY_ROWS, EASY_CLASSES, EASY_GAMMA = 200_000, 10, 2


def usual_focal_loss(np, logits, target):
    """The usual formula, each step a float32 array operation: ce = cross_entropy; pt = exp(-ce); (1 - pt)^gamma ce."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    ce = -np.take_along_axis(log_probs, target, axis=1)[:, 0]
    return (np.float32(1) - np.exp(-ce)) ** np.float32(EASY_GAMMA) * ce


def true_focal_loss(np, logits, target):
    """In float64, from the sum without the target, which loses nothing where p is near 1."""
    z = logits.astype(np.float64)
    e = np.exp(z - np.take_along_axis(z, target, axis=1))
    np.put_along_axis(e, target, 0.0, axis=1)
    rest = e.sum(axis=1)
    return (rest / (1 + rest)) ** EASY_GAMMA * np.log1p(rest)


def ulp_errors(np, values, true):
    """In units in the last place of the correctly rounded float32, subnormals included."""
    rounded = np.abs(true.astype(np.float32))
    unit = np.spacing(np.maximum(rounded, np.finfo(np.float32).tiny)).astype(np.float64)
    return np.abs(values.astype(np.float64) - true) / unit


def short(number):
    """Two digits that matter, without an exponent."""
    return f"{float(f'{number:.2g}'):,.10g}"


def easy(arguments):
    import numpy as np

    logits = np.random.default_rng(1).normal(0, 20, (EASY_ROWS, EASY_CLASSES)).astype(np.float32)
    target = logits.argmax(axis=1)[:, None]
    true = true_focal_loss(np, logits, target)
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/{name}.npy" for name in ("logits", "targets", "loss")]
        np.save(files[0], logits)
        np.save(files[1], target[:, 0].astype(np.int64))
        output_of([arguments.build / "tools" / "softfocus", "focal-loss", *files[:2], "-o", files[2], "--reduction=none",
                   f"--gamma={EASY_GAMMA}", "--alpha=1"])
        ours = np.load(files[2])
    with np.errstate(under="ignore"):
        contenders = {"the usual formula in float32 (NumPy)": usual_focal_loss(np, logits, target), "softfocus": ours}
    rows = []
    counted = true > 1e-30
    for name, values in contenders.items():
        errors = ulp_errors(np, values, true)[counted]
        zeros = np.count_nonzero(values[counted] == 0) / np.count_nonzero(counted)
        rows.append([name, short(np.median(errors)), short(errors.max()), f"{100 * zeros:.1f} %"])
    return markdown(["", "median error, ulp", "worst error, ulp", "exactly 0"], rows, 1)


# ---- Speed: softfocus-bench ----------------------------------------------------------------------------------------

FEW, MIDDLE, MANY, IMAGES = ("rows:65536/classes:2", "rows:65536/classes:91", "rows:1024/classes:1000",
                             "images:4/classes:19/pixels:65536")
PROBLEMS = (
    [("log_softmax", shape) for shape in (FEW, MIDDLE, MANY, IMAGES)]
    + [("log_softmax_backward", MANY), ("softmax_focal_loss", MANY)]
    + [("softmax_focal_loss_with_grad", shape) for shape in (FEW, MIDDLE, MANY, IMAGES)]
    + [("sigmoid_focal_loss", MANY), ("sigmoid_focal_loss_with_grad", MANY)])
PEER = "onednn"


def shape_words(shape):
    numbers = re.findall(r"\d+", shape)
    return " × ".join(numbers) + (" (NCHW)" if len(numbers) == 3 else "")


def medians(arguments):
    """Benchmark name -> its medians, and the context of the run."""
    names = "|".join(f"{kernel}/f32/([a-z0-9]+/)?{shape}" for kernel, shape in PROBLEMS)
    command = [arguments.build / "bench" / "softfocus-bench", f"--benchmark_filter=^({PEER}_)?({names})$",
               "--benchmark_min_time=0.05", "--benchmark_repetitions=7", "--benchmark_report_aggregates_only=true",
               "--benchmark_format=json"]
    report = json.loads(output_of(command))
    return ({b["run_name"]: b for b in report["benchmarks"] if b.get("aggregate_name") == "median"}, report["context"])


def optimization(context):
    """Of the kernels that the CPU runs."""
    own = next(part for part in context["flags"].split("; ") if part.startswith(context["isa"] + ":"))
    return own.split()[-1]


def speed(arguments):
    found, context = medians(arguments)
    isas = [isa for isa in context["isas"].split() if isa != "scalar"]
    best = isas[0] if isas else "scalar"
    rows = []
    for kernel, shape in PROBLEMS:
        ns = {isa: found[f"{kernel}/f32/{isa}/{shape}"]["ns_per_element"] for isa in [*isas, "scalar"]}
        speedup = {isa: found[f"{kernel}/f32/{isa}/{shape}"]["speedup_over_scalar"] for isa in isas}
        peer = found.get(f"{PEER}_{kernel}/f32/{shape}", {}).get("ns_per_element")
        rows.append([f"`{kernel}`", shape_words(shape)] + [f"{ns[isa]:.2f} ({speedup[isa]:.1f})" for isa in isas]
                    + [f"{ns['scalar']:.2f}", f"{peer:.2f} ({peer / ns[best]:.1f})" if peer else ""])
    head = ["kernel", "shape", *isas, "scalar", f"oneDNN (vs {best})"]
    return (markdown(head, rows, 2) + f"\n\n{cpu(arguments.cpu)}; {context['compiler']}, {optimization(context)}; "
            f"softfocus {context['softfocus_version']}.")


# ---- README.md -----------------------------------------------------------------------------------------------------

TABLES = {"accuracy": accuracy, "easy": easy, "speed": speed}


def replaced(text, name, table):
    begin, end = f"<!-- {name}: written by scripts/update-readme.py -->\n", f"<!-- end of {name} -->\n"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise RuntimeError(f"README.md does not have the markers of {name} once each")
    return text[:text.index(begin) + len(begin)] + "\n" + table + "\n\n" + text[text.index(end):]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--only", choices=TABLES)
    parser.add_argument("--print", action="store_true")
    parser.add_argument("--cpu", metavar="NAME")
    parser.add_argument("--check", metavar="COMMAND", action="append", default=[])
    arguments = parser.parse_args()
    failed = False
    for name in [arguments.only] if arguments.only else TABLES:
        print(f"measuring {name}", file=sys.stderr)
        try:
            table = TABLES[name](arguments)
            if arguments.print:
                print(f"{table}\n")
            else:
                README.write_text(replaced(README.read_text(), name, table))
        except (OSError, ImportError, KeyError, ValueError, RuntimeError) as problem:
            print(f"update-readme.py: {name}: {problem!r}", file=sys.stderr)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
