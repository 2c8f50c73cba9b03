#!/usr/bin/env bash
# Writes docs/performance.md, its tables and its pictures, from measurements on this machine:
#     scripts/performance.sh [--no-peers | --peers FOLDER | --all-peers] [--name NAME]
# Builds in build-performance/, then runs
#   softfocus bench --roofline     every kernel and shape on the best ISA, one shape on all ISAs, beside the roofs
#   bench/peers/run.sh --quick     other libraries on a handful of shapes; --all-peers: on all of them (a quarter of an
#                                  hour more); --peers: takes the results of an earlier run from FOLDER; --no-peers: none
#   --name: docs/NAME.md in place of it, of another CPU
# Some eight minutes. Nothing else should run meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
. scripts/packages.sh

peers=build-performance/peers
name=performance
peer_options=(--quick)
while [ $# -gt 0 ]; do
    case $1 in
        --no-peers) peers= ;;
        --all-peers) peer_options=() ;;
        --peers) peers=$2; peer_options=(none); shift ;;
        --name) name=$2; shift ;;
        --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
        *) die "unknown option $1 (--help says which there are)" ;;
    esac
    shift
done

need_packages "${native_packages[@]}"
say "building in build-performance/"
need_build build-performance --buildtype=release -Dtools=enabled -Dbench=enabled -Dtests=disabled -Dexamples=disabled

if [ -n "$peers" ] && [ "${peer_options[*]}" != none ]; then
    say "other libraries"
    bench/peers/run.sh --out "$peers" "${peer_options[@]}"
fi

say "kernels and roofs"
isa=$(build-performance/tools/softfocus info --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["chosen"])')
build-performance/tools/softfocus bench --roofline build-performance/roofline \
    --filter "^(stream_|word/)|/f32/$isa/|rows:1024/classes:1000\$" -- --benchmark_min_time=0.01 --benchmark_repetitions=5

cp build-performance/roofline/roofline.svg "docs/$name.svg"
scripts/performance.py build-performance/roofline/roofline.json "$peers" "$name" >build-performance/performance.md
mv build-performance/performance.md "docs/$name.md"
say "written: docs/$name.md and its pictures"
