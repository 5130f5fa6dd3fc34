#!/usr/bin/env bash
# Builds the Debian package into objs/deb/ and checks it with lintian.
#
#   tools/deb.sh [REVISION]     REVISION goes behind the version, such as "+2"
set -euo pipefail

. "$(dirname "$0")/common.sh"

export DEB_OUT=$objs/deb DEB_REVISION=${1:-}
# files in the package are root's, whoever builds
export DEB_RULES_REQUIRES_ROOT=no

cd "$root"
# of an earlier version
[ -n "$DEB_REVISION" ] || rm -rf "$DEB_OUT"
mkdir -p "$DEB_OUT"
quietly deb-clean.log debian/rules clean
quietly deb.log debian/rules binary
version=$(dpkg-parsechangelog -S Version)$DEB_REVISION
deb=$DEB_OUT/libnginx-mod-stagedoor_${version}_$(dpkg --print-architecture).deb
[ -f "$deb" ] || die "$deb was not built"
lintian --allow-root --fail-on error,warning "$deb"
quietly deb-clean.log debian/rules clean
say "${deb#"$root"/}: $(stat -c %s "$deb") bytes"
