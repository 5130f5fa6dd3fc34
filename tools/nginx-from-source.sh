#!/usr/bin/env bash
# Builds an nginx of the tests' own from source, with nginx-rtmp as a dynamic module, into
# objs/nginx-VERSION/FLAVOUR; does nothing when it is there.
#
#   tools/nginx-from-source.sh 1.22|1.28 plain|asan|changed
#
#   1.22      Debian 12's source package, with its patches
#   1.28      the source inside the crate nginx-src, the version that tools/nginx-src/Cargo.lock names
#   plain     as a distribution builds it
#   asan      with AddressSanitizer and UndefinedBehaviorSanitizer (gcc's), and with pools that allocate
#             each piece by itself, so that a step beyond one is seen
#   changed   only nginx-rtmp, with a field more in two of its structures: one that Stagedoor has to
#             refuse
set -euo pipefail

. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/apt-source.sh"

version=$1
flavour=$2
top=$objs/nginx-$version
build=$top/$flavour
jobs=$(nproc)

"$root/tools/nginx-rtmp-source.sh"
rtmp=${NGINX_RTMP_SOURCE_DIR:-$objs/nginx-rtmp}

# What the tests need, chosen as Debian does, but for what takes further libraries; the paths are
# below the prefix, which is the test's directory.
flags=(
    --with-compat
    --with-debug
    --with-pcre-jit
    --with-threads
    --with-http_ssl_module
    --with-http_v2_module
    --with-http_stub_status_module
    --with-http_realip_module
    --with-http_auth_request_module
    --with-http_dav_module
    --with-http_slice_module
    --with-http_addition_module
    --with-http_flv_module
    --with-http_gunzip_module
    --with-http_gzip_static_module
    --with-http_mp4_module
    --with-http_random_index_module
    --with-http_secure_link_module
    --with-http_sub_module
    --with-stream=dynamic
    --with-stream_ssl_module
    --with-stream_ssl_preread_module
    --with-stream_realip_module
)

# Not looked for in C code, because nginx and nginx-rtmp do it everywhere, knowingly and harmlessly
# where they run here:
#   alignment          x86 and ARM load unaligned words; nginx-rtmp puts its shared buffers behind a
#                      4-byte count (ngx_rtmp_shared.c), nginx reads HTTP/2 frames in place
#   nonnull-attribute  copying no bytes from nowhere, as ngx_pstrdup() of an empty string does
#   vla-bound          ngx_rtmp_amf.c, line 192: a name buffer of no bytes for an object that is skipped
sanitize='-fsanitize=address,undefined -fno-sanitize=alignment,nonnull-attribute,vla-bound'

case $flavour in
    plain | changed) ;;
    asan)
        flags+=(
            --with-cc-opt="-g -O1 -fno-omit-frame-pointer -DNGX_DEBUG_PALLOC=1 $sanitize"
            # nodelete: a report at the very end still finds the names of what a module did
            --with-ld-opt="$sanitize -Wl,-z,nodelete"
            --add-module="$root/tools/sanitizers"
        )
        ;;
    *) die "unknown flavour \"$flavour\"; expected plain, asan or changed" ;;
esac

# fetch_VERSION leaves nginx's source in $top/src.
fetch_1.22() {
    local package
    # the installed version, or, where it is superseded or its successor not everywhere yet, another
    for package in $(dpkg-query -W -f='nginx=${source:Version}' nginx) nginx nginx/bookworm; do
        apt_source "$top/apt" "$package" &&
            # with Debian's patches
            dpkg-source --extract "$top"/apt/nginx_*.dsc "$top/src" &&
            rm -rf "$top/apt" && return
    done
    return 1
}

fetch_1.28() {
    local manifest=$root/tools/nginx-src/Cargo.toml target crate
    target=$(rustc -vV | sed -n 's/^host: //p')
    crate=$(cargo metadata --locked --format-version 1 --filter-platform "$target" \
        --manifest-path "$manifest" | grep -o '"manifest_path":"[^"]*/nginx-src-[^"]*"' | cut -d '"' -f 4) &&
        cp -r "${crate%/Cargo.toml}/nginx" "$top/src"
}

# What the build depends on, so that a change builds anew.
inputs() {
    cat "$0" "$root"/tools/sanitizers/* "$root/tools/nginx-src/Cargo.lock" "$rtmp/ngx_rtmp.h"
    dpkg-query -W -f='${Version}' nginx libnginx-mod-rtmp libssl-dev 2>/dev/null || true
}

# change STRUCTURE FIELD: a copy of nginx-rtmp with something in front of that field.
change() {
    local where=$build/$1-source
    cp -r "$rtmp" "$where"
    sed -i "s/^    $2.*/    ngx_uint_t changed_here[2];\n&/" "$where/ngx_rtmp.h"
    ! cmp -s "$rtmp/ngx_rtmp.h" "$where/ngx_rtmp.h" || die "$rtmp/ngx_rtmp.h has no \"$2\""
}

# configure DIRECTORY NGINX-RTMP: below the flavour's directory, with a relative path, as make wants it
configure() (
    cd "$top/src" || return
    configure=./configure
    [ -x "$configure" ] || configure=auto/configure
    "$configure" "${flags[@]}" --builddir="../$flavour$1" --add-dynamic-module="$2"
)

compile() {
    if [ "$flavour" != changed ]; then
        configure '' "$rtmp" &&
            make -j "$jobs" -C "$top/src" -f "../$flavour/Makefile" binary modules
        return
    fi
    local structure
    for structure in main_conf session; do
        configure "/$structure" "$build/$structure-source" &&
            make -j "$jobs" -C "$top/src" -f "../changed/$structure/Makefile" \
                "../changed/$structure/ngx_rtmp_module.so" || return
    done
}

stamp=$(inputs | sha256sum)
[ "$(cat "$build/stamp" 2>/dev/null)" != "$stamp" ] || exit 0
if [ ! -d "$top/src" ]; then
    say "fetching the source of nginx $version"
    rm -rf "$top"
    mkdir -p "$top"
    quietly "nginx-$version-source.log" "fetch_$version"
    grep -q "define NGINX_VERSION *\"${version//./\\.}\\." "$top/src/src/core/nginx.h" || {
        rm -rf "$top/src"
        die "the source that was fetched is of another nginx than $version (1.22 is Debian 12's)"
    }
fi
say "building nginx $version, $flavour"
rm -rf "$build"
mkdir -p "$build"
if [ "$flavour" = changed ]; then
    change main_conf 'ngx_array_t  *events\[NGX_RTMP_MAX_EVENT\];'
    change session 'ngx_str_t  *app;'
fi
quietly "nginx-$version-$flavour.log" compile
echo "$stamp" >"$build/stamp"
