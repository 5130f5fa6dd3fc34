#!/usr/bin/env bash
# Checks what an operator gets: the module is stripped, below 3 MB, and exports nginx's module tables
# and modules and nothing else (SQLite, for one, must not meet another copy of itself inside nginx), and
# has no hooks for tests (src/ffi/hook.rs).
#
#   tools/check-module.sh MODULE.so
set -euo pipefail

. "$(dirname "$0")/common.sh"

module=$1
limit=$((3 * 1024 * 1024))

size=$(stat -c %s "$module")
[ "$size" -lt "$limit" ] || die "$module is $size bytes; at most $limit are allowed"

if readelf -S --wide "$module" | grep -qE ' \.(symtab|debug_)'; then
    die "$module is not stripped"
fi

exported=$(nm -D --defined-only "$module" | awk '{ print $NF }')
others=$(grep -vxE 'ngx_modules|ngx_module_names|ngx_module_order|ngx_(rtmp_|http_)?stagedoor_([a-z]+_)?module' \
    <<<"$exported" || true)
[ -z "$others" ] || die "$module exports ${others//$'\n'/ }"
grep -qx ngx_modules <<<"$exported" || die "$module has no nginx module table"

if grep -qaE 'STAGEDOOR_TEST|test-hooks' "$module"; then
    die "$module has hooks for tests"
fi

say "$module: $size bytes, stripped, without hooks for tests, exports ${exported//$'\n'/ }"
