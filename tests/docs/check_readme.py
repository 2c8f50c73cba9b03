#!/usr/bin/env python3
"""The test `readme`: what README.md shows is what is there.

    check_readme.py SOURCE_DIR C_COMPILER…

The example is the file it names, to the byte, and what it prints is what the test example-minimal expects; the other
C block compiles; each linked file and each script that is named exists; and the markers that scripts/update-readme.py
looks for are there, with a table in between.
"""
import pathlib
import re
import subprocess
import sys

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARKER = re.compile(r"<!-- (\w+): written by scripts/update-readme\.py -->\n(.*?)<!-- end of \1 -->\n", re.DOTALL)

source = pathlib.Path(sys.argv[1])
compiler = sys.argv[2:]
readme = (source / "README.md").read_text()
problems = []


def check(good, problem):
    if not good:
        problems.append(problem)


blocks = [text for language, text in FENCE.findall(readme) if language == "c"]
example = (source / "examples/minimal/minimal.c").read_text()
check(len(blocks) == 2, f"two blocks of C are expected, not {len(blocks)}")
check(example in blocks, "no block of C is examples/minimal/minimal.c")
output = (source / "examples/minimal/expected.txt").read_text()
check(f"\n```\n{output}```\n" in readme, "what the example prints is not examples/minimal/expected.txt")

# The other block: declarations, then statements after /* … */.
for block in blocks:
    if block == example:
        continue
    declarations, _, statements = block.partition("/* … */\n")
    program = (f"#include <softfocus/softfocus.h>\n{declarations}void example(void);\n"
               f"void example(void)\n{{\n{statements}(void)context;\n}}\n")
    run = subprocess.run([*compiler, "-std=c11", "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Werror", "-fsyntax-only",
                          f"-I{source}/include", "-xc", "-"], input=program, text=True, capture_output=True)
    check(statements and run.returncode == 0, f"a block of C does not compile:\n{run.stderr}")

found = 0
for page in ("README.md", "CONTRIBUTING.md", "NEWS.md"):
    text = (source / page).read_text()
    links = re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r"\b(scripts/[\w./-]*\w)", text)
    found += len(links)
    for link in links:
        check(link.startswith("https://") or (source / link).exists(), f"{page}: {link} is not there")
check(found > 20, f"only {found} links and scripts were recognised")

tables = dict(MARKER.findall(readme))
check(sorted(tables) == ["accuracy", "easy", "speed"], f"the measured tables are {sorted(tables)}")
for name, table in tables.items():
    check(table.count("\n|") > 2, f"the table {name} is empty")

print(*problems, sep="\n")
print(f"{0 if problems else 1} passed, {1 if problems else 0} failed, 0 skipped")
sys.exit(1 if problems else 0)
