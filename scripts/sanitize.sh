#!/usr/bin/env bash
# The tests under the sanitizers and valgrind:
#     scripts/sanitize.sh [address] [thread] [valgrind]      all three if none is named
#   address    all tests, with AddressSanitizer and UndefinedBehaviorSanitizer (clang), in build-san-address/
#   thread     concurrent first calls, concurrent calls, tasks on threads and calls beside fork, with ThreadSanitizer
#              (clang), in build-san-thread/
#   valgrind   uninitialised reads: the kernels on each ISA that valgrind knows (not AVX-512), the first call, the reader of
#              .npy files, with memcheck, in build-san-valgrind/
# Ends with a line per step: what ran and how many tests passed. Fails if any failed, or none ran. Each builds all of its
# own: 2 minutes of CPU time for address and thread, 1 for valgrind. The tests then take 1.5, 0.5 and 5: docs/fuzzing.md.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
. scripts/packages.sh

case ${1:-} in --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;; esac
steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=(address thread valgrind)
for step in "${steps[@]}"; do
    [[ $step =~ ^(address|thread|valgrind)$ ]] || die "unknown step $step (--help says which there are)"
done
need_packages "${native_packages[@]}" clang llvm libomp-dev valgrind

results=()
failed=0

# note WHAT PASSED STATUS SECONDS
note()
{
    local verdict=passed
    if [ "$3" -ne 0 ] || [ "$2" -eq 0 ]; then
        verdict='passed, and the rest FAILED'
        failed=1
    fi
    results+=("$(printf '%-44s %4d %s (%d s)' "$1" "$2" "$verdict" "$4")")
}

# meson_tests WHAT FOLDER ARGUMENTS…: of meson test.
meson_tests()
{
    local what=$1 folder=$2 status=0 start=$SECONDS log
    shift 2
    say "$what"
    log=$folder/$(tr -c 'a-z0-9\n' - <<<"$what").log
    meson test -C "$folder" --no-rebuild --print-errorlogs --timeout-multiplier 10 "$@" </dev/null >"$log" 2>&1 || status=$?
    [ "$status" -eq 0 ] || cat "$log"
    note "$what" "$(sed -n 's/^Ok: *\([0-9]*\).*/\1/p' "$log")" "$status" $((SECONDS - start))
}

# program WHAT COMMAND…: one that ends with "N passed", or counts as one test.
program()
{
    local what=$1 status=0 start=$SECONDS output passed
    shift
    say "$what"
    output=$("$@" 2>&1 </dev/null) || status=$?
    passed=$(sed -n 's/^\([0-9]*\) passed,.*/\1/p' <<<"$output")
    [ "$status" -eq 0 ] || tail -n 60 <<<"$output"
    [ "$status" -ne 0 ] || : "${passed:=1}"
    note "$what" "${passed:-0}" "$status" $((SECONDS - start))
}

# lundef: the sanitizers' symbols come with programs, not with the shared library.
sanitized=(--buildtype=debugoptimized -Db_lundef=false -Dtests=enabled -Dadaptors=enabled -Dbench=disabled
    -Dexamples=disabled)

address()
{
    say "building in build-san-address/"
    CC=clang CXX=clang++ need_build build-san-address "${sanitized[@]}" -Db_sanitize=address,undefined -Dtools=enabled
    # Not install: it builds afresh, without them. LLVM's OpenMP leaks what it has at the end.
    echo 'leak:libomp' >build-san-address/leaks
    LSAN_OPTIONS=suppressions=$PWD/build-san-address/leaks \
        UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 meson_tests 'ASan and UBSan' build-san-address \
        --no-suite install
}

thread()
{
    say "building in build-san-thread/"
    CC=clang CXX=clang++ need_build build-san-thread "${sanitized[@]}" -Db_sanitize=thread -Dtools=disabled
    # TSan itself would end the child of a fork beside threads.
    export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:die_after_fork=0
    # Not first-call: its threads spin on an atomic, whose writers then wait for ever under TSan.
    meson_tests 'TSan: first calls and concurrent calls' build-san-thread concurrent
    program 'TSan: tasks on threads' \
        build-san-thread/tests/softfocus-tests --filter same_bits_by_tasks --filter same_bits_by_mode
    meson_tests 'TSan: fork, environment' build-san-thread fork environment
    # Not openmp, pthreadpool and tbb: Debian's libraries are not instrumented, and what they wait with, unseen, is a race.
}

memcheck()
{
    local isa build=build-san-valgrind
    local check=(valgrind --quiet --error-exitcode=99 --track-origins=yes --leak-check=no)
    # What decides the path. Not the floating-point modes: valgrind knows no FTZ and no DAZ.
    local filters=(--filter /sizes --filter /layouts --filter /options --filter /logits --filter same_bits_by_tasks)
    say "building in $build/"
    need_build $build --buildtype=debugoptimized -Dtests=enabled -Dtools=disabled -Dbench=disabled -Dexamples=disabled
    for isa in scalar sse avx2; do
        program "memcheck: $isa" "${check[@]}" $build/tests/softfocus-tests --isa $isa "${filters[@]}"
    done
    program 'memcheck: the contract' "${check[@]}" $build/tests/softfocus-tests --isa none --filter contract
    program 'memcheck: the first call' "${check[@]}" $build/tests/softfocus-test-first-call
    # Not the kernels' corpus, which has those modes.
    program 'memcheck: the corpus of npy' "${check[@]}" "$build/tests/fuzz/softfocus-replay-npy" tests/fuzz/corpus/npy
}

for step in "${steps[@]}"; do
    case $step in
        address) address ;;
        thread) thread ;;
        valgrind) memcheck ;;
    esac
done
say "results"
printf '%s\n' "${results[@]}"
exit $failed
