#!/usr/bin/env bash
# Fetches hls.js, for the browser test only, into objs/npm; does nothing when it is there.
set -euo pipefail

. "$(dirname "$0")/common.sh"

version=1.7.4
target=$objs/npm
installed=$target/node_modules/hls.js/package.json
! grep -qs "\"version\": \"$version\"" "$installed" || exit 0

say "fetching hls.js $version"
mkdir -p "$target"
quietly hls-js.log npm install --prefix "$target" --ignore-scripts --no-audit --no-fund --no-save "hls.js@$version"
