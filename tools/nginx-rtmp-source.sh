#!/usr/bin/env bash
# Fetches the source of the installed nginx-rtmp into objs/nginx-rtmp; does nothing when it is there.
# No binary package has the headers.
set -euo pipefail

. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/apt-source.sh"

if [ -n "${NGINX_RTMP_SOURCE_DIR:-}" ]; then
    [ -f "$NGINX_RTMP_SOURCE_DIR/ngx_rtmp_version.h" ] ||
        die "NGINX_RTMP_SOURCE_DIR is \"$NGINX_RTMP_SOURCE_DIR\"; expected the source directory of \
nginx-rtmp"
    exit 0
fi

version=$(dpkg-query -W -f='${source:Version}' libnginx-mod-rtmp 2>/dev/null) ||
    die "nginx-rtmp's source is not to be had from packages here. Set NGINX_RTMP_SOURCE_DIR to the \
source of the nginx-rtmp you run."
target=$objs/nginx-rtmp
stamp=$target/debian-version
[ "$(cat "$stamp" 2>/dev/null)" != "$version" ] || exit 0

work=$objs/apt
rm -rf "$target"
mkdir -p "$target"

fetch() {
    apt_source "$work" --tar-only "libnginx-mod-rtmp=$version" &&
        tar -xf "$work"/libnginx-mod-rtmp_*.orig.tar.* --strip-components=1 -C "$target" &&
        test -f "$target/ngx_rtmp_version.h" && return
    echo "Set NGINX_RTMP_SOURCE_DIR to a directory with the source of nginx-rtmp $version instead."
    return 1
}

say "fetching the source of nginx-rtmp $version"
quietly nginx-rtmp-source.log fetch
rm -rf "$work"
echo "$version" >"$stamp"
