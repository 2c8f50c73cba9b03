# What the other scripts share, sourced by them: installing Debian packages, and saying what happens.
# shellcheck shell=bash

say()
{
    printf '\n== %s\n' "$*"
}

die()
{
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

as_root()
{
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root, and sudo is not here: $*"
    fi
}

# is_installed PACKAGE or PACKAGE:ARCHITECTURE. dpkg-query answers for every architecture of an unqualified name.
is_installed()
{
    local architecture
    architecture=$(dpkg --print-architecture)
    [[ $1 != *:* ]] || architecture=${1#*:}
    dpkg-query -W -f='${Architecture} ${db:Status-Status}\n' "${1%:*}" 2>/dev/null |
        grep -qxE "($architecture|all) installed"
}

# need_packages PACKAGE…: installs those that are missing. PACKAGE:arm64 also makes apt know that architecture.
need_packages()
{
    local package missing=()
    command -v dpkg-query >/dev/null || die "not a Debian machine; install by hand what these packages hold: $*"
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing with apt: ${missing[*]}"
    if [[ " ${missing[*]}" == *:arm64* ]] && ! dpkg --print-foreign-architectures | grep -qx arm64; then
        as_root dpkg --add-architecture arm64
    fi
    as_root apt-get update -q </dev/null
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null
}

# need_build FOLDER ARGUMENTS…: configures FOLDER with these arguments of meson, or again if they have changed, and
# builds all of it, or the targets in build_targets.
build_targets=()
need_build()
{
    local folder=$1 wanted
    shift
    wanted="$* CC=${CC:-} CXX=${CXX:-}"
    if [ "$(cat "$folder/configured-with" 2>/dev/null)" != "$wanted" ]; then
        rm -rf "$folder"
        meson setup "$folder" "$@" </dev/null || return 1
        printf '%s\n' "$wanted" >"$folder/configured-with"
    fi
    ninja -C "$folder" "${build_targets[@]}"
}

# The two fuzzers, in build-fuzz/, with clang. Comparisons are not traced: decode.c makes calls from any bytes, so that there is
# nothing to guess, and it costs half the speed. debugoptimized: a fuzzer wants speed, and a finding a readable trace.
# What UndefinedBehaviorSanitizer finds is a trap, whose trace says the line, and debugging information is of lines alone: both are for
# the time that clang takes, 17 s in place of 41 for a kernel. scripts/sanitize.sh says what it finds.
# SOFTFOCUS_STREAM_BYTES (kernels/kernels.h): so that results of 2 KB and more go past the caches; SOFTFOCUS_ROW_PIECE: so
# that a row of 8192 classes and more has several pieces, and threads share it.
# lundef: the sanitizers' symbols come with programs.
# shellcheck disable=SC2034
fuzz_packages=(clang llvm)
need_fuzzers()
{
    local build_targets=(tests/fuzz/softfocus-fuzz-kernels tests/fuzz/softfocus-fuzz-npy)
    CC=clang CXX=clang++ need_build build-fuzz --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false \
        '-Dc_args=-fsanitize=fuzzer-no-link -fno-sanitize-coverage=trace-cmp -fsanitize-undefined-trap-on-error -gline-tables-only -DSOFTFOCUS_STREAM_BYTES=2048 -DSOFTFOCUS_ROW_PIECE=1024' \
        -Dtests=enabled -Dtools=disabled \
        -Dbench=disabled -Dexamples=disabled
}

# For an emulated CPU (tests/tests.h): results go past the caches from 384 KB on, and not from 6 MB, threads share rows of
# 16384 classes, and not of 131072, and logits take less to draw (tests/cases/random.h). scripts/mutate.py takes this from
# here.
# shellcheck disable=SC2034
emulated_arguments='-DSOFTFOCUS_STREAM_BYTES=393216 -DSOFTFOCUS_ROW_PIECE=2048 -DSOFTFOCUS_CHEAP_NORMALS'

# The tests for it, in build-emulate/.
need_emulated_tests()
{
    local build_targets=(tests/softfocus-tests)
    say "building in build-emulate"
    CC=gcc CXX=g++ need_build build-emulate --buildtype=release --werror -Dtests=enabled -Dtools=disabled -Dbench=disabled \
        -Dexamples=disabled "-Dc_args=$emulated_arguments"
}

# What building, testing and the benchmark need on the machine itself.
# shellcheck disable=SC2034
native_packages=(gcc g++ libc6-dev meson ninja-build pkg-config cmake python3 libsleef-dev libcmocka-dev libmpfr-dev
    libjansson-dev libbenchmark-dev libdnnl-dev python3-numpy help2man gnuplot-nox valgrind libpthreadpool-dev libtbb-dev
    abigail-tools)
# shellcheck disable=SC2034
arm64_packages=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static libsleef-dev:arm64 libcmocka-dev:arm64 libmpfr-dev:arm64
    libgomp1:arm64)
