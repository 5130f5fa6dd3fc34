#!/usr/bin/env bash
# Builds the module against an nginx of the tests' own (tools/nginx-from-source.sh), and runs tests on
# it. "make build" comes first: the command stagedoor does not depend on nginx.
#
#   tools/test-nginx.sh VERSION plain|asan TEST …
#
# TEST_JOBS says how many tests run at once.
set -euo pipefail

. "$(dirname "$0")/common.sh"

version=$1
flavour=$2
shift 2
build=$objs/nginx-$version/$flavour

cd "$root"
tools/nginx-from-source.sh "$version" "$flavour"

export NGINX_SOURCE_DIR=$objs/nginx-$version/src NGINX_BUILD_DIR=$build
export NGINX_RTMP_SOURCE_DIR=${NGINX_RTMP_SOURCE_DIR:-$objs/nginx-rtmp}

# One directory a flavour: most of what is compiled is the same for every nginx.
compile() {
    local host made
    host=$(rustc -vV | sed -n 's/^host: //p')
    export CARGO_TARGET_DIR=$root/target/nginx-$flavour
    case $flavour in
        plain)
            made=$CARGO_TARGET_DIR/release
            cargo build --locked --release -p stagedoor || return
            ;;
        asan)
            made=$CARGO_TARGET_DIR/$host/asan
            # A stable compiler has sanitizers, too, but wants to be told that one means it. gcc's
            # runtime, which nginx brings, serves the module as well: both speak version 8 of it.
            # Named by its host, cargo compiles build scripts without all of this.
            env RUSTC_BOOTSTRAP=1 \
                RUSTFLAGS='-Zsanitizer=address -Cforce-frame-pointers=yes -Clink-arg=-Wl,-z,nodelete' \
                "CFLAGS_${host//-/_}=-fsanitize=address,undefined -fno-omit-frame-pointer -g1" \
                cargo build --locked --profile asan --target "$host" -p stagedoor || return
            nm -D "$made/libngx_stagedoor_module.so" | grep __asan_report_load8 >/dev/null || {
                echo "the module was built, but without AddressSanitizer"
                return 1
            }
            ;;
    esac
    install -m 644 "$made/libngx_stagedoor_module.so" "$build/ngx_stagedoor_module.so"
}

say "building the module for nginx $version, $flavour"
quietly "module-$version-$flavour.log" compile
install -m 755 "$objs/stagedoor" "$build/stagedoor"
for tool in promtool django-venv django.sqlite3; do ln -sfn "$objs/$tool" "$build/$tool"; done

# the other one, for tests of what must not work
export TEST_NGINX_OTHER_BINARY=${TEST_NGINX_BINARY:-nginx}
export TEST_NGINX_OTHER_MODULES=${TEST_NGINX_MODULES:-/usr/lib/nginx/modules}
export TEST_NGINX_OTHER_OBJS=$objs
export TEST_NGINX_CHANGED=$objs/nginx-$version/changed

export TEST_NGINX_BINARY=$build/nginx TEST_NGINX_MODULES=$build STAGEDOOR_OBJS=$build
say "testing on $("$build/nginx" -v 2>&1), $flavour"
exec prove -I t/lib -j "${TEST_JOBS:-2}" "$@"
