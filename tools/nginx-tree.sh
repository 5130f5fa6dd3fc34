#!/usr/bin/env bash
# Makes the configured nginx tree that the module is compiled against, objs/nginx-src and
# objs/nginx-build, from Debian's nginx-dev; does nothing when it is there for the installed version.
set -euo pipefail

. "$(dirname "$0")/common.sh"

if [ -n "${NGINX_SOURCE_DIR:-}" ] || [ -n "${NGINX_BUILD_DIR:-}" ]; then
    [ -f "${NGINX_SOURCE_DIR:-}/src/core/nginx.h" ] ||
        die "NGINX_SOURCE_DIR is \"${NGINX_SOURCE_DIR:-}\"; expected the source directory of nginx"
    [ -f "${NGINX_BUILD_DIR:-}/ngx_auto_config.h" ] ||
        die "NGINX_BUILD_DIR is \"${NGINX_BUILD_DIR:-}\"; expected the directory that nginx's \
configure wrote, usually \"objs\" in the source directory"
    exit 0
fi

packaged=/usr/share/nginx/src
[ -f "$packaged/conf_flags" ] || die "nginx's source is not to be had from packages here \
($packaged/conf_flags is missing; on Debian 12 it comes from nginx-dev). Set these three:
    NGINX_SOURCE_DIR        the source of the nginx you run
    NGINX_BUILD_DIR         what its configure wrote, with the arguments that \"nginx -V\" shows
    NGINX_RTMP_SOURCE_DIR   the source of the nginx-rtmp you run"

version=$(dpkg-query -W -f='${Version}' nginx-dev)
stamp=$objs/nginx-build/debian-version
[ "$(cat "$stamp" 2>/dev/null)" != "$version" ] || exit 0

configure() (
    cd "$objs/nginx-src"
    # shellcheck disable=SC1091 # sets NGX_CONF_FLAGS
    . ./conf_flags
    # relative, so that the checkout can be moved
    ./configure "${NGX_CONF_FLAGS[@]}" --builddir=../nginx-build
)

say "configuring nginx $version"
rm -rf "$objs/nginx-src" "$objs/nginx-build"
cp -r "$packaged" "$objs/nginx-src"
quietly nginx-configure.log configure
echo "$version" >"$stamp"
