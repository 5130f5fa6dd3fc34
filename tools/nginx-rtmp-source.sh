#!/usr/bin/env bash
# Fetches the source of the installed nginx-rtmp into objs/nginx-rtmp; does nothing when it is there.
# No binary package has the headers. The sources come through apt with lists of their own below
# objs/, so that the system's apt configuration stays as it is.
set -euo pipefail

. "$(dirname "$0")/common.sh"

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
rm -rf "$work" "$target"
mkdir -p "$work"/{sources,lists/partial,cache/archives/partial} "$target"

# deb822 (debian.sources) and classic (sources.list) both
shopt -s nullglob
for list in /etc/apt/sources.list.d/*.sources; do
    sed 's/^Types:.*/Types: deb-src/' "$list" >"$work/sources/${list##*/}"
done
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ ! -f "$list" ] || sed -nE 's/^deb(-src)?([[:space:]])/deb-src\2/p' "$list" | sort -u \
        >"$work/sources/${list##*/}.list"
done

apt_get() {
    apt-get -q \
        -o Dir::Etc::sourcelist=/dev/null \
        -o Dir::Etc::sourceparts="$work/sources" \
        -o Dir::State::lists="$work/lists" \
        -o Dir::Cache="$work/cache" \
        -o APT::Sandbox::User="$(id -un)" \
        "$@"
}

fetch() (
    # a list without sources (a third party's) is no reason to stop: what counts is the next command
    apt_get update || true
    cd "$work"
    apt_get source --download-only --tar-only "libnginx-mod-rtmp=$version" &&
        tar -xf libnginx-mod-rtmp_*.orig.tar.* --strip-components=1 -C "$target" &&
        test -f "$target/ngx_rtmp_version.h" && exit
    echo "Set NGINX_RTMP_SOURCE_DIR to a directory with the source of nginx-rtmp $version instead."
    exit 1
)

say "fetching the source of nginx-rtmp $version"
quietly nginx-rtmp-source.log fetch
rm -rf "$work"
echo "$version" >"$stamp"
