#!/usr/bin/env bash
# Builds the library and runs all its tests, on every ISA, whatever this machine's CPU has:
#     scripts/test.sh [--emulate-avx512] [--with-clang]
#   natively, built with gcc: in build-test/
#   AVX-512 on an emulated CPU where this one has none (scripts/emulate.sh), or with --emulate-avx512 in any case: in
#   build-emulate/
#   NEON, cross-built, under qemu-user: in build-aarch64/
#   (of what is emulated results go past the caches, and rows are shared by threads, where they are smaller)
#   with --with-clang natively once more, built with clang, in build-clang/; and half a minute of each fuzzer, in build-fuzz/
# Installs with apt what is missing for that. Ends with one line per ISA, how it ran and what passed, and the sum of all
# tests; an ISA that ran nothing is a failure. Every run is done though an earlier one failed; the exit status is 0 if
# nothing did.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
. scripts/packages.sh

emulate_avx512=no
with_clang=no
for option; do
    case $option in
        --emulate-avx512) emulate_avx512=yes ;;
        --with-clang) with_clang=yes ;;
        --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
        *) die "unknown option $option (--help says which there are)" ;;
    esac
done

packages=("${native_packages[@]}" "${arm64_packages[@]}")
[ $with_clang = no ] || packages+=(clang libomp-dev "${fuzz_packages[@]}")
need_packages "${packages[@]}"

results=() # HOW=FOLDER or HOW:ISA=OUTPUT, for report.py
status=0

# build_and_test HOW FOLDER MESON_ARGUMENTS…
build_and_test()
{
    local how=$1 folder=$2
    shift 2
    say "$how: building in $folder"
    results+=("$how=$folder")
    rm -f "$folder"/meson-logs/testlog.json
    if ! need_build "$folder" --buildtype=release --werror -Dtests=enabled "$@"; then
        status=1
        return 0
    fi
    say "$how: testing"
    meson test -C "$folder" --print-errorlogs </dev/null || status=1
}

# emulate HOW ISA: its tests from build-emulate/ on emulated CPUs, beside what this script does next, since an emulator takes
# long and one core alone: as many as there are cores, with a part of the tests each. await_emulators shows what they said.
emulate()
{
    local how=$1 isa=$2 parts part output
    parts=$(nproc)
    say "$isa: testing on $parts emulated CPU(s) ($how), in the background"
    for part in $(seq "$parts"); do
        output=build-emulate/$how-$isa-$part.log
        # A status after the counts tells report.py that they are not the whole story.
        { scripts/emulate.sh "$isa" build-emulate/tests/softfocus-tests --isa "$isa" --part "$part/$parts" </dev/null ||
            echo "ended with status $?"; } >"$output" 2>"$output.errors" &
        emulators+=($!)
        results+=("$how:$isa=$output")
    done
}

await_emulators()
{
    local i
    for i in "${!emulators[@]}"; do
        say "waiting for the emulated CPU"
        wait "${emulators[i]}" || status=1
        unset "emulators[i]"
    done
    for i in "${results[@]}"; do
        [[ $i != *:*=* ]] || cat "${i#*=}.errors" "${i#*=}"
    done
}

# The suite `fuzz`: scripts/fuzz.sh is the long run.
fuzz()
{
    say "fuzzing"
    results+=("fuzz=build-fuzz")
    rm -f build-fuzz/meson-logs/testlog.json
    if need_fuzzers; then
        meson test -C build-fuzz --no-rebuild --suite fuzz --print-errorlogs </dev/null || status=1
    else
        status=1
    fi
}

emulators=()
trap '[ ${#emulators[@]} -eq 0 ] || kill "${emulators[@]}" 2>/dev/null || true' EXIT

CC=gcc CXX=g++ build_and_test native build-test -Dtools=enabled -Dbench=enabled -Dexamples=enabled -Dadaptors=enabled

emulated=$(scripts/report.py --unrun build-test)
if [ $emulate_avx512 = yes ] && [[ " $emulated " != *' avx512 '* ]]; then
    emulated="$emulated avx512"
fi
[ -z "$emulated" ] || need_emulated_tests || status=1 # and there is nothing to run
for isa in $emulated; do
    emulate bochs "$isa"
done

# The library and its tests alone: Debian's arm64 packages beside the host's are kept few. An emulated CPU, too.
build_and_test qemu build-aarch64 --cross-file packaging/cross-aarch64.ini \
    -Dtools=disabled -Dbench=disabled -Dexamples=disabled "-Dc_args=$emulated_arguments"

if [ $with_clang = yes ]; then
    CC=clang CXX=clang++ build_and_test 'native (clang)' build-clang -Dtools=enabled -Dbench=enabled -Dexamples=enabled \
        -Dadaptors=enabled
    fuzz
fi

await_emulators
say "results"
if [ $status -ne 0 ]; then
    echo "Some step failed: see above."
fi
scripts/report.py "${results[@]}" || status=1
exit $status
