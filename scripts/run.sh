#!/usr/bin/env bash
# From a fresh clone to the library at work, with one command:
#     scripts/run.sh
# installs with apt what is missing, builds in build-run/, shows what this CPU offers, trains the classifiers of
# examples/imbalanced on real data (a short run), and times every kernel on one shape against scalar code and oneDNN.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
. scripts/packages.sh

need_packages "${native_packages[@]}"

say "building in build-run/"
need_build build-run --buildtype=release -Dtools=enabled -Dbench=enabled -Dexamples=enabled

say "softfocus info"
build-run/tools/softfocus info

say "examples/imbalanced: cross-entropy and focal loss on real data (--quick; results in build-run/imbalanced/)"
build-run/examples/imbalanced --quick --out build-run/imbalanced

say "softfocus bench, 1024 rows of 1000 classes"
build-run/tools/softfocus bench --quick --filter 'rows:1024/classes:1000$'

cat <<'TEXT'

Next: build-run/tools/softfocus --help, build-run/examples/imbalanced (the whole run), scripts/test.sh (all tests).
TEXT
