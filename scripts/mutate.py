#!/usr/bin/env python3
"""Whether the tests would notice: puts one fault at a time into the library and demands that a test fails.

    scripts/mutate.py                all of tests/mutation/faults.toml; the table goes to docs/mutation.md
    scripts/mutate.py --resume       what an earlier run has not shown to be caught
    scripts/mutate.py --only TEXT    faults with TEXT in their file's name or description; no table
    scripts/mutate.py --check        builds nothing: whether each fault still applies
    scripts/mutate.py --list         the faults

Needs what building needs (scripts/packages.sh). Works in build-mutation/, on a copy of the tree. One fault at a time and
two jobs; 1 to 15 s each on two cores. Tests of an ISA that this CPU lacks run on an emulated one (scripts/emulate.sh), where
they take a minute and more for each fault. Exit status 0: each fault chosen applies, builds and was caught.

A fault is a piece of text that occurs exactly once in its file, and what it is replaced by. One that no longer applies is an
error: whoever changed that line decides what the fault is now. Each build first runs the tests without a fault, which must
pass. A fault whose tests crash or hang is caught as well; one that does not compile is an error."""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FAULTS = ROOT / 'tests/mutation/faults.toml'
TABLE = ROOT / 'docs/mutation.md'
WORK = ROOT / 'build-mutation'
COPIED = ['meson.build', 'meson_options.txt', 'include', 'kernels', 'dispatch', 'packaging', 'scripts', 'tests', 'tools',
          'bench', 'examples', 'README.md', 'LICENSE']
EXIT_SKIPPED = 77
TIMEOUT = 300  # seconds for one run of tests; without a fault they take 3 to 5 on a free core
EMULATED_TIMEOUT = 7200  # and on an emulated CPU some 15 minutes and more

# The programs that a fault's runs may name, beside ISAs (and none), which are runs of softfocus-tests.
TESTS = 'tests/softfocus-tests'
FIRST_CALL = 'tests/softfocus-test-first-call'
ACCURACY = 'tests/accuracy/softfocus-accuracy'
SUBNORMAL = 'tests/faults/softfocus-test-subnormal'


class Failure(Exception):
    """What ends this program, said in a sentence."""


class Fault:
    def __init__(self, group, entry):
        self.file = group['file']
        self.what, self.old, self.new = entry['what'], entry['old'], entry['new']
        self.isas = tuple(group['isas'])  # those built
        self.runs = entry.get('runs', group['runs'])
        self.filters = group.get('filters', [])
        text = json.dumps([self.file, self.what, self.old, self.new, self.isas, self.runs, self.filters])
        self.key = hashlib.sha256(text.encode()).hexdigest()[:16]

    def __str__(self):
        return f'{self.file}: {self.what}'

    def applied_to(self, text):
        count = text.count(self.old)
        if count != 1:
            raise Failure(f'{self}: no longer applies: its text occurs {count} times:\n{self.old}')
        if self.new in ('', self.old):
            raise Failure(f'{self}: changes nothing')
        return text.replace(self.old, self.new)


def read_faults():
    with FAULTS.open('rb') as file:
        groups = tomllib.load(file)['group']
    faults = [Fault(group, entry) for group in groups for entry in group['fault']]
    if len({fault.key for fault in faults}) != len(faults):
        raise Failure('a fault is there twice')
    return faults


def check_all(faults):
    """Reports every fault that does not apply, not the first alone."""
    stale = []
    for fault in faults:
        try:
            fault.applied_to((ROOT / fault.file).read_text())
        except Failure as failure:
            stale.append(str(failure))
    if stale:
        raise Failure('\n'.join(stale))


# ---- The copy and its builds -----------------------------------------------------------------------------------------

def run(command, **options):
    """(status, output) of a command that ends by itself."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, text=True, errors='replace', **options)
    return done.returncode, done.stdout


def end(process):
    """By SIGTERM first, at which emulate.sh ends its emulator."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def first_failure(command, timeout=TIMEOUT, **options):
    """Runs a test program until it says that a test failed, ends or hangs. What failed, or None."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               stdin=subprocess.DEVNULL, text=True, errors='replace', **options)
    hung = []
    timer = threading.Timer(timeout, lambda: (hung.append(True), end(process)))
    timer.start()
    started = 'its start'
    try:
        for line in process.stdout:
            if match := re.match(r'\[ RUN      \] (\S+)$', line):
                started = match[1]
            elif re.match(r'\[  FAILED  \] \S+/\S+$', line):
                return started
        process.wait()
    finally:
        timer.cancel()
        end(process)
    if hung:
        return f'{started} (hangs)'
    if process.returncode == EXIT_SKIPPED:
        raise Failure('this CPU lacks an ISA that the fault needs')
    return f'{started} (status {process.returncode})' if process.returncode != 0 else None


def emulated_arguments():
    """What tests for an emulated CPU are compiled with."""
    return run(['bash', '-c', f'. {ROOT}/scripts/packages.sh && printf %s "$emulated_arguments"'])[1]


class Build:
    """A copy of the tree with some ISAs, built. Compiling all of them for each fault would take most of the time."""

    def __init__(self, isas):
        self.isas = isas
        self.tree = WORK / '-'.join(isas) / 'tree'
        self.folder = WORK / '-'.join(isas) / 'build'
        self.emulated = []  # those of them that this CPU lacks

    def prepare(self):
        self.copy()
        if not (self.folder / 'build.ninja').exists():
            status, output = run(['meson', 'setup', self.folder, self.tree, '-Dbench=disabled', '-Dexamples=disabled',
                                  '-Dtools=disabled', '-Doptimization=1', '-Db_ndebug=true'])
            if status != 0:
                raise Failure(f'meson failed:\n{output}')
        self.make(TESTS, FIRST_CALL)
        self.emulated = [isa for isa in self.isas
                         if run([self.folder / TESTS, '--isa', isa, '--filter', 'golden'])[0] == EXIT_SKIPPED]
        if self.emulated:
            run(['meson', 'configure', self.folder, '-Dc_args=' + emulated_arguments()])

    def copy(self):
        """Files that have not changed keep their time, so that nothing is compiled for them."""
        for name in COPIED:
            source = ROOT / name
            files = [source] if source.is_file() else [path for path in source.rglob('*') if path.is_file()]
            for path in files:
                target = self.tree / path.relative_to(ROOT)
                content = self.without_other_isas(path.read_text()) if path == ROOT / 'meson.build' else None
                self.copy_file(path, target, content)

    @staticmethod
    def copy_file(path, target, content):
        new = content.encode() if content is not None else path.read_bytes()
        if target.exists() and target.read_bytes() == new:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(new)
        shutil.copymode(path, target)

    def without_other_isas(self, text):
        """meson.build with the rows of the ISA list that are wanted: "  ['avx2', …],"."""
        rows = re.findall(r"^  \['(\w+)', \[.*\n", text, re.MULTILINE)
        if not set(self.isas) <= set(rows):
            raise Failure(f'meson.build has rows for {rows}, not for all of {self.isas}')
        return re.sub(r"^  \['(\w+)', \[.*\n", lambda row: row[0] if row[1] in self.isas else '', text,
                      flags=re.MULTILINE)

    def make(self, *targets):
        status, output = run(['ninja', '-C', self.folder, '-j2', *targets])
        if status != 0:
            raise Failure(f'does not build:\n{output[-3000:]}')

    def test(self, name, filters):
        """What failed first in one run, or None."""
        if name == 'first-call':
            self.make(FIRST_CALL)
            for wish in (None, *self.isas, 'avx3', ''):
                environment = {} if wish is None else {'SOFTFOCUS_ISA': wish}
                if first_failure([self.folder / FIRST_CALL], env={**os.environ, **environment}):
                    return 'first-call' if wish is None else f'first-call-SOFTFOCUS_ISA={wish}'
            return None
        if name == 'accuracy':
            self.make(ACCURACY)
            failed = first_failure([self.folder / ACCURACY, '--sample', '200000'])
            return failed and 'accuracy of a sample'
        if name == 'subnormal':
            self.make(SUBNORMAL)
            return first_failure([self.folder / SUBNORMAL]) and 'arithmetic on subnormal numbers'
        self.make(TESTS)
        words = [word for text in filters for word in ('--filter', text)]
        command = [self.folder / TESTS, '--isa', name, *words]
        if name in self.emulated:
            return first_failure([ROOT / 'scripts/emulate.sh', name, *command], timeout=EMULATED_TIMEOUT,
                                 env={**os.environ, 'SOFTFOCUS_EMULATE_TIMEOUT': str(EMULATED_TIMEOUT)})
        return first_failure(command)

    def caught_by(self, fault):
        path = self.tree / fault.file
        sound = path.read_text()
        path.write_text(fault.applied_to(sound))
        try:
            for name in fault.runs:
                failed = self.test(name, fault.filters)
                if failed:
                    return failed
            return None
        finally:
            path.write_text(sound)


# ---- Runs ------------------------------------------------------------------------------------------------------------

def baseline(build, faults):
    """Without a fault every run must pass: else a failure says nothing. On an emulated CPU, of all tests that would take a
    quarter of an hour and more: see passes_without."""
    for name in dict.fromkeys(name for fault in faults for name in fault.runs if name not in build.emulated):
        failed = build.test(name, [])
        if failed:
            raise Failure(f'without a fault, {name} fails: {failed}')


def passes_without(build, failed, passed):
    """Whether the test that caught a fault passes without one, where `baseline` did not ask. `passed`: those known to."""
    isa = next((isa for isa in build.emulated if failed and f'/{isa}' in failed), None)
    if isa is None or failed in passed:
        return True
    if build.test(isa, [failed.split()[0]]) is None:  # without "(hangs)" or a status
        passed.add(failed)
    return failed in passed


def read_results():
    try:
        return json.loads((WORK / 'results.json').read_text())
    except FileNotFoundError:
        return {}


def work_through(faults, results):
    """Adds what caught each to `results`, kept after each one; returns the errors."""
    errors, passed = [], set()
    for isas in dict.fromkeys(fault.isas for fault in faults):
        build = Build(isas)
        mine = [fault for fault in faults if fault.isas == isas]
        print(f'building for {", ".join(isas)}, and running the tests without a fault', flush=True)
        build.prepare()
        baseline(build, mine)
        for fault in mine:
            start = time.monotonic()
            try:
                caught = build.caught_by(fault)
                if not passes_without(build, caught, passed):
                    raise Failure(f'{caught} fails without the fault, too')
                results[fault.key] = caught
            except Failure as failure:
                errors.append(f'{fault}: {failure}')
                print(f'ERROR    {fault}', flush=True)
                continue
            (WORK / 'results.json').write_text(json.dumps(results, indent=1))
            print(f'{"caught" if caught else "SURVIVED":8} {time.monotonic() - start:4.0f} s  {fault}'
                  f'{": " + caught if caught else ""}', flush=True)
    return errors


def commit():
    """Of the sources, with -dirty where they have changes that are not committed."""
    try:
        status, output = run(['git', '-C', ROOT, 'describe', '--always', '--dirty'])
    except FileNotFoundError:
        status = 1
    return output.strip() if status == 0 else 'unknown'


def table(faults, results, sources):
    lines = ['# Seeded faults', '',
             '<!-- Written by scripts/mutate.py. -->', '',
             'Each of these faults was put into the library by itself (`tests/mutation/faults.toml` has the texts); it was',
             'built and the tests were run, which must fail. `scripts/mutate.py` does it again: it takes some time and is',
             'no part of CI. Faults in a kernel run on AVX2 and, where those tests pass, on scalar; those of an ISA\'s',
             'header on that ISA. *Caught by* is the first test that failed; the run ends there.', '',
             f'{len(faults)} faults, {sum(1 for fault in faults if results.get(fault.key))} caught, in the sources of {sources}.']
    for file in dict.fromkeys(fault.file for fault in faults):
        mine = [fault for fault in faults if fault.file == file]
        lines += ['', f'## {file}', '', '| fault | caught by |', '|---|---|']
        for fault in mine:
            caught = results.get(fault.key)
            unseen = '**nothing**' if fault.key in results else 'not run yet'
            lines.append(f'| {fault.what} | {f"`{caught}`" if caught else unseen} |')
    lines += ['', (ROOT / 'tests/mutation/left_out.md').read_text().rstrip()]
    return '\n'.join(lines) + '\n'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--resume', action='store_true', help='leave out what is known to be caught')
    parser.add_argument('--only', metavar='TEXT', action='append', help='only faults with TEXT in them')
    parser.add_argument('--check', action='store_true', help='only whether each fault applies')
    parser.add_argument('--list', action='store_true', help='only list the faults')
    choice = parser.parse_args()
    faults = read_faults()
    chosen = [fault for fault in faults if not choice.only or any(text in str(fault) for text in choice.only)]
    if not chosen:
        raise Failure('no such fault')
    if choice.list:
        print('\n'.join(str(fault) for fault in chosen))
        return 0
    check_all(chosen)
    if choice.check:
        print(f'all {len(chosen)} faults apply')
        return 0
    results, sources = read_results(), f'commit {commit()}'
    if choice.resume:
        sources += ', or of an earlier one, where an earlier run had caught the fault already'
        chosen = [fault for fault in chosen if not results.get(fault.key)]
    else:
        results = {key: caught for key, caught in results.items() if key not in {fault.key for fault in chosen}}
    WORK.mkdir(exist_ok=True)
    errors = work_through(chosen, results)
    for error in errors:
        print(error)
    survivors = [fault for fault in faults if fault.key in results and not results[fault.key]]
    for fault in survivors:
        print(f'survived: {fault}')
    if not choice.only:
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(table(faults, results, sources))
    return 1 if errors or any(not results.get(fault.key) for fault in chosen) else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except Failure as reason:
        sys.exit(f'mutate.py: {reason}')
