#!/usr/bin/env bash
# Runs the fuzz targets of fuzz/ one after the other, and prints how many inputs each has tried.
#
#   tools/fuzz.sh run [TARGET …]    FUZZ_SECONDS (3600) altogether; an input that a target fails on is
#                                   left in fuzz/artifacts/TARGET, and the command to run it is printed
#   tools/fuzz.sh keep              takes what the runs have found into fuzz/corpus, as little of it as
#                                   reaches the same code
set -euo pipefail

. "$(dirname "$0")/common.sh"

version=0.13.2
seconds=${FUZZ_SECONDS:-3600}
found=$objs/fuzz/corpus

# What fuzzers are built with is part of the compiler, but not of what is promised to stay.
export RUSTC_BOOTSTRAP=1
# The code of ours is all safe Rust: what AddressSanitizer would find, the language excludes.
build=(--sanitizer none)

PATH=$PATH:$objs/cargo-tools/bin
command -v cargo-fuzz >/dev/null || {
    say "building cargo-fuzz $version"
    quietly cargo-fuzz.log cargo install cargo-fuzz --locked --version "$version" \
        --root "$objs/cargo-tools"
}
cd "$root/fuzz"
mapfile -t targets < <(cargo fuzz list)

run() {
    [ $# -gt 0 ] || set -- "${targets[@]}"
    local each=$((seconds / $#)) target log failed=0
    [ "$each" -gt 0 ] || each=1
    quietly cargo-fuzz-build.log cargo fuzz build "${build[@]}"
    for target in "$@"; do
        mkdir -p "$found/$target" "artifacts/$target"
        log=$objs/fuzz/$target.log
        local options=(-max_total_time="$each" -print_final_stats=1 -timeout=10 -rss_limit_mb=2048)
        [ ! -e "dict/$target.dict" ] || options+=(-dict="dict/$target.dict")
        # what is found goes into the first directory
        if cargo fuzz run "${build[@]}" "$target" "$found/$target" "corpus/$target" -- \
            "${options[@]}" >"$log" 2>&1; then
            say "$target: $(figures "$log")"
        else
            failed=1
            tail -n 30 "$log" >&2
            say "$target: FAILED; its input is in fuzz/artifacts/$target, all of the output in $log"
        fi
    done
    return "$failed"
}

# Of a target's log: inputs, seconds, and how many places of the code they have reached.
figures() {
    awk '/^stat::number_of_executed_units:/ { inputs = $2 }
        /^Done .* runs in / { seconds = $5 }
        { for (i = 1; i < NF; i++) if ($i == "cov:") places = $(i + 1) }
        END { printf "%d inputs in %d s, %d places reached\n", inputs, seconds, places }' "$1"
}

keep() {
    local target
    for target in "${targets[@]}"; do
        [ -d "$found/$target" ] || continue
        quietly "fuzz-merge-$target.log" cargo fuzz run "${build[@]}" "$target" \
            "corpus/$target" "$found/$target" -- -merge=1
        say "$target: $(find "corpus/$target" -type f | wc -l) inputs kept"
    done
    du -sh --apparent-size corpus
}

case ${1:-run} in
    run) run "${@:2}" ;;
    keep) keep ;;
    *) die "unknown step \"$1\"; expected run or keep" ;;
esac
