#!/usr/bin/env bash
# Leaves promtool in objs/, which checks metrics; does nothing when one is there or installed. Only the
# file is taken out of Debian's package: installing that would start a Prometheus on this machine.
set -euo pipefail

. "$(dirname "$0")/common.sh"

command -v promtool >/dev/null || [ -x "$objs/promtool" ] && exit 0
command -v apt-get >/dev/null || exit 0 # what needs it will say so

work=$objs/apt-promtool
rm -rf "$work"
mkdir -p "$work"

fetch() (
    cd "$work"
    apt-get -q -o APT::Sandbox::User="$(id -un)" download prometheus &&
        dpkg-deb -x prometheus_*.deb . && install -m 755 usr/bin/promtool "$objs/promtool"
)

say "fetching promtool"
quietly promtool.log fetch
rm -rf "$work"
