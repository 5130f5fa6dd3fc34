# shellcheck shell=bash
# What the scripts beside this one share: where the checkout is, and how they speak.

# shellcheck disable=SC2034 # used by the scripts that read this file
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
objs=$root/objs
PATH=$PATH:/usr/sbin:/sbin # where an ordinary user's PATH lacks nginx
mkdir -p "$objs"

say() { printf '%s\n' "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# quietly LOG COMMAND …: the output goes to objs/LOG, and to the terminal only when COMMAND fails.
quietly() {
    local log=$objs/$1
    shift
    if ! "$@" >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        die "failed: $* (all of its output is in $log)"
    fi
}
