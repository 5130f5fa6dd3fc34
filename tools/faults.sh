#!/usr/bin/env bash
# Runs the fault programme and prints its table; fails when anything was not as expected.
#
#   tools/faults.sh long|short
#
# long is what docs/security.md shows, short a sample of it for every change. What is run is in
# crates/faults (the store on a database that fails) and t/faults (nginx with a module that has
# hooks for tests). Rows are in objs/faults/results.tsv: subject, fault, how often, what was
# expected, what was seen, verdict, median and worst time to recover in ms.
set -euo pipefail

. "$(dirname "$0")/common.sh"

case ${1:-} in
    long) every=1 ;;
    short) every=20 ;;
    *) die "usage: tools/faults.sh long|short" ;;
esac

results=$objs/faults/results.tsv
rm -f "$results"
failed=0
"$objs/faults/stagedoor-faults" "$every" "$results" || failed=1
FAULTS=$1 FAULTS_RESULTS=$results prove -I "$root/t/lib" "$root"/t/faults/*.t || failed=1

awk -F '\t' '
    BEGIN {
        print "| what | fault | times | expected | seen | | back after, ms: median | worst |"
        print "|---|---|---:|---|---|---|---:|---:|"
    }
    {
        printf "| %s | %s | %s | %s | %s | %s | %s | %s |\n", $1, $2, $3, $4, $5, $6, $7, $8
        if ($2 !~ /^(after|counters)/) injected += $3
        if ($2 ~ /^kill -9/) kills += $3
        if ($8 != "-" && $8 > worst) worst = $8
        bad += $6 != "ok"
    }
    END {
        printf "\n%d faults injected, %d of them kills of workers; worst time to recover %d ms; ", injected, kills, worst
        printf "%d rows, %d not as expected\n", NR, bad
    }' "$results"
exit "$failed"
