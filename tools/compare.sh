#!/usr/bin/env bash
# Runs the callback arrangement and Stagedoor through the same cases, in front of the same Django site,
# and prints what each does: the table in docs/migrating.md. Fails where that says something else.
set -euo pipefail

. "$(dirname "$0")/common.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

for kind in callback stagedoor; do
    perl -I "$root/t/lib" "$root/t/compare_$kind.t" >"$work/$kind" || status=$?
    sed -n 's/^# cell: \(.*\) | \(.*\)/\1\t\2/p' "$work/$kind" >"$work/$kind.cells"
done

say '| case | callbacks | Stagedoor |'
say '|---|---|---|'
paste "$work/callback.cells" <(cut -f 2 "$work/stagedoor.cells") | sed 's/\t/ | /g; s/^/| /; s/$/ |/'
exit "$status"
