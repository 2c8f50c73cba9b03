#!/usr/bin/env python3
"""check_instructions.py [--update] PROGRAM COMPILER: no kernel needs more instructions than instructions.txt says.

Counts by callgrind, which do not depend on the machine or on what else it does; of the ISAs that valgrind knows, which has
no AVX-512. Run by `meson test --suite instructions`, and skipped, with the reason, where valgrind is missing or the table has
no rows of this compiler (such as "gcc 12"): another compiler makes other code.

A count that rose by more than TOLERANCE is a failure. One that fell by as much is not, but the table should then be brought up
to date, so that the gain is kept:

    bench/check_instructions.py --update BUILD/bench/softfocus-instructions "gcc 12"

PROGRAM must come from a release build.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

TABLE = pathlib.Path(__file__).resolve().parent / "instructions.txt"
TOLERANCE = 0.03
SKIPPED = 77


def skip(reason):
    print(f"skipped: {reason}\n0 passed, 0 failed, 1 skipped")
    sys.exit(SKIPPED)


def read_table():
    """Instructions per element by (compiler, kernel, ISA, shape)."""
    rows = {}
    for line in TABLE.read_text().splitlines():
        if line and not line.startswith("#"):
            family, major, kernel, isa, shape, instructions = line.split()
            rows[f"{family} {major}", kernel, isa, shape] = float(instructions)
    return rows


def write_table(rows):
    head = [line for line in TABLE.read_text().splitlines() if line.startswith("#")]
    lines = [" ".join(row) + f" {count:.3f}" for row, count in sorted(rows.items())]
    TABLE.write_text("\n".join(head + lines) + "\n")


def count(program):
    """Instructions per element by (kernel, ISA, shape)."""
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(["valgrind", "--quiet", "--tool=callgrind", "--collect-atstart=no",
                              f"--callgrind-out-file={folder}/out", program], capture_output=True, text=True)
        if ran.returncode != 0:
            sys.exit(f"{program} under valgrind: status {ran.returncode}\n{ran.stderr}")
        rows = [line.split() for line in ran.stdout.splitlines()]
        counts = {}
        for number, (kernel, isa, shape, elements) in enumerate(rows, 1):
            dump = pathlib.Path(folder, f"out.{number}").read_text()
            total = int(re.search(r"^(?:summary|totals): (\d+)", dump, re.MULTILINE).group(1))
            counts[kernel, isa, shape] = total / int(elements)
        return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="rewrite the compiler's rows of the table")
    parser.add_argument("program", metavar="PROGRAM")
    parser.add_argument("compiler", metavar="COMPILER", help="its name and major version, in one argument")
    arguments = parser.parse_args()
    update, program, compiler = arguments.update, arguments.program, arguments.compiler
    if not shutil.which("valgrind"):
        skip("valgrind is not installed")
    table = read_table()
    expected = {row[1:]: value for row, value in table.items() if row[0] == compiler}
    if not expected and not update:
        skip(f"instructions.txt has no rows of {compiler}")
    counts = count(program)
    if update:
        table = {row: value for row, value in table.items() if row[0] != compiler}
        write_table({**table, **{(compiler, *row): value for row, value in counts.items()}})
        print(f"{TABLE}: {len(counts)} rows of {compiler}")
        return 0
    passed = failed = 0
    for row in sorted(counts.keys() | expected.keys()):
        was, now = expected.get(row), counts.get(row)
        name = " ".join(row)
        if was is None or now is None:
            print(f"FAILED: {name}: {'not in the table' if was is None else 'not measured'}; --update the table")
            failed += 1
        elif now > was * (1 + TOLERANCE):
            print(f"FAILED: {name}: {now:.3f} instructions per element, {was:.3f} in the table")
            failed += 1
        else:
            passed += 1
            if now < was * (1 - TOLERANCE):
                print(f"better: {name}: {now:.3f} instructions per element, {was:.3f} in the table; --update it")
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed or not passed else 0


sys.exit(main())
