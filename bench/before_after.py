#!/usr/bin/env python3
"""before_after.py TURNS BEFORE.so AFTER.so [--isa ISA,..] [KERNEL:SHAPE,SHAPE ...]: what a change of the kernels does to speed.

TURNS is build/bench/softfocus-turns; BEFORE.so and AFTER.so are two builds of libsoftfocus.so. Both run in turns of some
milliseconds on one CPU, each in a process of its own, so that what other programs do to the machine meets both. Several
pairs of processes are started for each shape, since where a process's pages lie matters too. Prints for each kernel, ISA and
shape the median times in ns per element, the median of the ratios of neighbouring turns, before over after (above 1: faster
now), and the ratios' quartiles. A shape is ROWSxCLASSES or IMAGESxCLASSESxPIXELS. Without a kernel: every kernel at a few shapes.
The ISA "default" is the one that the library chooses: the best of this CPU, or what SOFTFOCUS_ISA says.

    git worktree add /tmp/before HEAD~ && meson setup /tmp/before/build /tmp/before --buildtype=release && ninja -C /tmp/before/build
    bench/before_after.py build/bench/softfocus-turns /tmp/before/build/libsoftfocus.so build/libsoftfocus.so log_softmax:1024x1000
"""
import argparse
import os
import statistics
import subprocess

KERNELS = ["log_softmax", "log_softmax_backward", "softmax_focal_loss", "softmax_focal_loss_with_grad", "sigmoid_focal_loss",
           "sigmoid_focal_loss_with_grad"]
SHAPES = "16384x8,3072x19,800x80,64x1000,1024x1000,32x50257,4x19x65536"
PAIRS, TURNS = 3, 12


def start(arguments, library, isa, kernel, shape):
    sizes = (shape.split("x") + ["1"])[:3]
    return subprocess.Popen([arguments.turns, kernel, isa, *sizes], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            env={**os.environ, "LD_PRELOAD": os.path.abspath(library)})


def turn(process):
    process.stdin.write("\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise SystemExit("before_after.py: softfocus-turns ended early")
    return float(line)


def compare(arguments, isa, kernel, shape):
    befores, afters = [], []
    for pair in range(PAIRS):
        before, after = (start(arguments, library, isa, kernel, shape) for library in (arguments.before, arguments.after))
        for i in range(TURNS):
            if (pair + i) % 2: # who goes first changes too
                befores.append(turn(before))
                afters.append(turn(after))
            else:
                afters.append(turn(after))
                befores.append(turn(before))
        for process in (before, after):
            process.stdin.close()
            process.wait()
    low, middle, high = statistics.quantiles([b / a for b, a in zip(befores, afters)], n=4)
    print(f"{kernel:28} {isa:7} {shape:12} {statistics.median(befores):8.4g} {statistics.median(afters):8.4g}  "
          f"{middle:.3f} ({low:.2f} to {high:.2f})", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("turns")
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("what", nargs="*", metavar="KERNEL:SHAPE,SHAPE", default=[f"{kernel}:{SHAPES}" for kernel in KERNELS])
    parser.add_argument("--isa", default="default", help="with commas between them (default: the best one of this CPU)")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(f"{'kernel':28} {'isa':7} {'shape':12} {'before':>8} {'after':>8}  ratio (quartiles)")
    for what in arguments.what:
        kernel, _, shapes = what.partition(":")
        for isa in arguments.isa.split(","):
            for shape in (shapes or SHAPES).split(","):
                compare(arguments, isa, kernel, shape)


main()
