#!/usr/bin/env bash
# Installs the Debian packages that a step needs and that are missing; does nothing when none is.
#
#   tools/packages.sh build|demo|test|bench|browser|check|deb|machine|source|fuzz …
#
# What the operator supplies through NGINX_SOURCE_DIR, NGINX_BUILD_DIR and NGINX_RTMP_SOURCE_DIR is
# not installed.
set -euo pipefail

. "$(dirname "$0")/common.sh"

# the C interface; libclang-cpp, which comes with other packages, is another library
has_libclang() { compgen -G '/usr/lib/llvm-*/lib/libclang[.-][0-9s]*' >/dev/null; }

# Debian's python3 leaves out what environments need; another one in the PATH may have it
has_venv() { python3 -c 'import ensurepip, venv, sqlite3' 2>/dev/null; }

wanted() {
    case $1 in
        build)
            [ -n "${NGINX_BUILD_DIR:-}" ] || echo nginx nginx-dev
            [ -n "${NGINX_RTMP_SOURCE_DIR:-}" ] || echo libnginx-mod-rtmp xz-utils
            echo gcc libc6-dev
            # bindgen reads nginx's headers with it, whichever version is there
            has_libclang || echo libclang-14-dev
            ;;
        demo) echo nginx libnginx-mod-rtmp ffmpeg ;;
        test)
            echo nginx libnginx-mod-{rtmp,stream} openssl perl sqlite3 curl ffmpeg gstreamer1.0-tools \
                gstreamer1.0-plugins-{base,good,bad,ugly} gstreamer1.0-libav chromium
            has_venv || echo python3 python3-venv
            ;;
        bench) echo wrk tcpdump iproute2 ;;
        browser)
            echo chromium
            command -v npm >/dev/null || echo npm
            ;;
        check) echo binutils perl shellcheck ;;
        deb) echo debhelper lintian man-db po-debconf ;;
        machine) echo ffmpeg mmdebstrap perl systemd-container ;;
        source) echo gcc libc6-dev make binutils dpkg-dev patch libpcre2-dev libssl-dev zlib1g-dev ;;
        fuzz) echo g++ ;; # libFuzzer is C++
        *) die "unknown step \"$1\"; expected build, demo, test, bench, browser, check, deb, machine, source or fuzz" ;;
    esac
}

command -v cargo >/dev/null || die "Rust is missing; see https://rustup.rs/"

# Where there is no apt the operator installs things; what is missing then shows by itself.
command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || exit 0

missing=()
for step in "$@"; do
    for package in $(wanted "$step"); do
        state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || missing+=("$package")
    done
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "these packages are missing; install them as root:
    apt-get install --no-install-recommends ${missing[*]}"
    as_root=(sudo)
fi

say "installing ${missing[*]}"
apt_get() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "$@"; }
quietly apt-update.log apt_get -q update
quietly apt-install.log apt_get -q -y --no-install-recommends install "${missing[@]}"
