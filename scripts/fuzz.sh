#!/usr/bin/env bash
# Fuzzes the public functions, on every ISA of this CPU against the oracle, and the .npy reader:
#     scripts/fuzz.sh [SECONDS]      for each fuzzer; 30 if not given, 3600 for an hour's run
# Builds with clang, libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer in build-fuzz/. Inputs that reach new code
# are kept in build-fuzz/tests/fuzz/found-*/corpus for the next run; a finding is a file beside them, and a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
. scripts/packages.sh

seconds=${1:-30}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || die "not a number of seconds: $seconds"
need_packages "${native_packages[@]}" "${fuzz_packages[@]}"

say "building in build-fuzz/"
need_fuzzers

failed=0
for name in kernels npy; do
    say "fuzzing $name for $seconds seconds"
    tests/fuzz/run_fuzzer.sh \
        "build-fuzz/tests/fuzz/softfocus-fuzz-$name" "tests/fuzz/corpus/$name" "build-fuzz/tests/fuzz/found-$name" \
        "$seconds" || failed=1
done
exit $failed
