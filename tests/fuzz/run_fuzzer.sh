#!/usr/bin/env bash
# Runs one fuzzer for a time. Called by tests/fuzz/meson.build and scripts/fuzz.sh:
#     run_fuzzer.sh PROGRAM CORPUS FOLDER SECONDS [SEED]
# Starts from CORPUS, which it leaves as it is, and from what earlier runs kept in FOLDER/corpus; what it finds goes to
# FOLDER, and is run again by PROGRAM FILE. Says how many inputs it tried. Fails on a finding.
set -euo pipefail
program=$1 corpus=$2 folder=$3 seconds=$4 seed=${5:-0} # 0: another one each time

mkdir -p "$folder/corpus"
log=$folder/log
# 20 s and 2 GB are far beyond any input's needs. -close_fd_mask is left alone: findings are printed on standard error.
status=0
"$program" -seed="$seed" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 -entropic=0 \
    -artifact_prefix="$folder/" "$folder/corpus" "$corpus" >"$log" 2>&1 || status=$?
if [ $status -ne 0 ]; then
    tail -n 60 "$log"
    echo "$program found something (status $status): $folder"
    exit 1
fi
executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
kept=$(find "$folder/corpus" -type f | wc -l)
echo "$(basename "$program"): $executed inputs in $seconds s, no finding; $kept inputs kept in $folder/corpus"
[ "$executed" -gt 0 ]
