#!/usr/bin/env python3
"""What the test runs come to. Called by test.sh.

    report.py HOW=BUILD...            one line per ISA with how it ran and how many tests passed, then the sum of all tests
    report.py HOW:ISA=OUTPUT ...      the same; OUTPUT holds what softfocus-tests --isa ISA printed, run outside meson: all of
                                      them, or several with a part each
    report.py --unrun BUILD           the ISAs that this build has tests for and this machine could run none of

HOW is a word such as native or qemu; BUILD is a folder in which `meson test` has run. A program that ends with
"N passed, N failed, N skipped" counts as that many tests, any other as one. Tests that were skipped in one run and passed in
a later one (AVX-512, natively and then emulated) are not counted as skipped. The exit status is 0 if nothing failed and every
ISA of dispatch/isa.def ran something. The last line is the sum.
"""
import json
import pathlib
import re
import sys

COUNTS = re.compile(r"(\d+) passed, (\d+) failed, (\d+) skipped")
ISA_LIST = pathlib.Path(__file__).parent.parent / "dispatch" / "isa.def"


class Run:
    """One program's tests: of one ISA, or of none."""

    def __init__(self, how, name, isa, output, result):
        self.how, self.name, self.isa = how, name, isa
        found = COUNTS.findall(output)
        if found:
            self.passed, self.failed, self.skipped = map(int, found[-1])
        else:
            self.passed, self.failed, self.skipped = int(result == "OK"), 0, int(result == "SKIP")
        # It crashed, timed out, or says one thing and returns another.
        if result not in ("OK", "SKIP") and self.failed == 0:
            self.failed = 1


def runs_of_build(how, folder):
    log = pathlib.Path(folder) / "meson-logs" / "testlog.json"
    if not log.exists():
        yield Run(how, f"{folder}: it did not build, or its tests did not start", None, "", "no result")
        return
    for line in log.read_text().splitlines():
        test = json.loads(line)
        command = test["command"]
        isa = command[command.index("--isa") + 1] if "--isa" in command else None
        yield Run(how, test["name"], None if isa == "none" else isa, test.get("stdout") or "", test["result"])


def runs(argument):
    how, _, source = argument.partition("=")
    how, _, isa = how.partition(":")
    if not isa:
        return list(runs_of_build(how, source))
    output = pathlib.Path(source).read_text(errors="replace").rstrip()
    whole = COUNTS.fullmatch(output.rpartition("\n")[2])
    return [Run(how, isa, isa, output, "OK" if whole else "no result")]


def all_isas():
    isas = re.findall(r"^ISA\((\w+)", ISA_LIST.read_text(), re.MULTILINE)
    if not isas:
        sys.exit(f"report.py: no ISA in {ISA_LIST}")
    return isas


def sum_line(how, runs):
    failed = sum(run.failed for run in runs)
    return f"{how} {sum(run.passed for run in runs)} passed" + (f" {failed} FAILED" if failed else "")


def isa_lines(every):
    """One line per ISA, and whether each ran something."""
    good = True
    for isa in all_isas():
        mine = [run for run in every if run.isa == isa]
        ran = [run for run in mine if run.passed + run.failed > 0]
        if any(run.passed for run in ran):
            how = ", ".join(sum_line(how, [run for run in ran if run.how == how])
                            for how in dict.fromkeys(run.how for run in ran))
        else:
            how = "ran NOTHING" if not ran else "passed NOTHING"
            good = False
        print(f"{isa:8} {how}")
    return good


def report(arguments):
    every = [run for argument in arguments for run in runs(argument)]
    print()
    good = isa_lines(every)
    for run in every:
        if run.failed:
            print(f"FAILED: {run.name} ({run.how})")
    passed = sum(run.passed for run in every)
    failed = sum(run.failed for run in every) + (0 if good else 1)
    ran_elsewhere = {run.isa for run in every if run.isa and run.passed}
    skipped = sum(run.skipped for run in every if run.isa not in ran_elsewhere or run.passed)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


def unrun(folder):
    every = [run for run in runs_of_build("", folder) if run.isa]
    ran = {run.isa for run in every if run.passed + run.failed > 0}
    print(*sorted({run.isa for run in every} - ran))
    return 0


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--unrun":
        sys.exit(unrun(sys.argv[2]))
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(report(sys.argv[1:]))
