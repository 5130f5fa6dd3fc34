#!/usr/bin/env bash
# Checks the dependencies' licences, sources and duplicates, and known vulnerabilities where the
# advisory database can be reached. Builds cargo-deny (two minutes) where it is not installed.
set -euo pipefail

. "$(dirname "$0")/common.sh"

version=0.20.2
advisories=https://github.com/RustSec/advisory-db

cd "$root"
PATH=$PATH:$objs/cargo-tools/bin
command -v cargo-deny >/dev/null || {
    say "building cargo-deny $version"
    quietly cargo-deny.log cargo install cargo-deny --locked --version "$version" \
        --root "$objs/cargo-tools"
}

checks=(bans licenses sources)
if GIT_TERMINAL_PROMPT=0 timeout 20 git ls-remote --exit-code "$advisories" HEAD >/dev/null 2>&1; then
    checks+=(advisories)
else
    say "NOT CHECKED: known vulnerabilities ($advisories cannot be reached from here)"
fi
cargo deny --log-level warn check "${checks[@]}"
