#!/usr/bin/env bash
# Which lines and branches of kernels/ and dispatch/ the tests reach, on the ISAs of this CPU:
#     scripts/coverage.sh
# Builds with gcc, without optimisation, in build-coverage/; runs the tests of the kernels and of the dispatcher; writes the
# table of docs/coverage.md, with the commit that it is of, and build-coverage/lines.html, line by line. The page's text says
# what is missed and why.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
. scripts/packages.sh
[ $# -eq 0 ] || die "takes no arguments"
commit=$(git describe --always --dirty 2>/dev/null) || commit=unknown

need_packages "${native_packages[@]}" gcovr
say "building in build-coverage/"
# Counts of several threads at once are added atomically.
CC=gcc need_build build-coverage --buildtype=debug -Doptimization=0 -Db_coverage=true -Dc_args=-fprofile-update=atomic \
    -Dtests=enabled -Dtools=disabled -Dbench=disabled -Dexamples=disabled

say "testing"
find build-coverage -name '*.gcda' -delete
meson test -C build-coverage --suite kernels --suite dispatch --print-errorlogs </dev/null

say "docs/coverage.md"
report() # FORMAT…: of what is compiled into the library
{
    gcovr --root . --object-directory build-coverage --filter 'kernels/' --filter 'dispatch/' --exclude-throw-branches \
        "$@" build-coverage
}
report --json build-coverage/coverage.json --html-details build-coverage/lines.html >/dev/null
python3 - "$commit" <<'END'
import json
import re
import sys
from collections import Counter
from pathlib import Path


def ranges(numbers):
    """1, 2, 3, 7 as "1-3, 7"."""
    runs = []
    for n in sorted(numbers):
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return ', '.join(f'{a}' if a == b else f'{a}-{b}' for a, b in runs)


def share(reached, all_of_them):
    return f'{reached} of {all_of_them} ({100 * reached / all_of_them:.1f} %)' if all_of_them else '-'


total, rows = Counter(), []
for file in sorted(json.load(open('build-coverage/coverage.json'))['files'], key=lambda file: file['file']):
    lines = {line['line_number']: line for line in file['lines'] if not line.get('gcovr/noncode')}
    missed = [n for n, line in lines.items() if line['count'] == 0]
    branches = [(n, branch['count']) for n, line in lines.items() if line['count'] for branch in line['branches']]
    untaken = {n for n, count in branches if count == 0}
    counts = Counter(lines=len(lines), reached=len(lines) - len(missed), branches=len(branches),
                     taken=sum(1 for _, count in branches if count))
    total += counts
    rows.append((file['file'], counts, ranges(missed), ranges(untaken)))
text = [f'Of the sources of commit {sys.argv[1]}.', '',
        '| file | lines | branches | lines missed | lines with a branch not taken |', '|---|---|---|---|---|']
for name, counts, missed, untaken in [*rows, ('all', total, '', '')]:
    text.append(f'| {name} | {share(counts["reached"], counts["lines"])} | {share(counts["taken"], counts["branches"])} '
                f'| {missed} | {untaken} |')
path = Path('docs/coverage.md')
old = path.read_text()
new = re.sub(r'(<!-- table: written by scripts/coverage.sh -->\n)(.*?)(<!-- end -->)',
             lambda found: found[1] + '\n'.join(text) + '\n' + found[3], old, flags=re.DOTALL)
assert old.count('<!-- table:') == 1 and '<!-- end -->' in old, 'docs/coverage.md has lost the place of its table'
path.write_text(new)
print(f'lines: {share(total["reached"], total["lines"])}, branches: {share(total["taken"], total["branches"])}')
END
