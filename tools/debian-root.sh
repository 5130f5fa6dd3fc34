#!/usr/bin/env bash
# Leaves a bare Debian with systemd in objs/debian-root.tar, for the package's tests; does nothing
# when it is there. What apt needs in it to install nginx and nginx-rtmp is fetched, too: the tests'
# machine has no network. "make clean" removes it.
set -euo pipefail

. "$(dirname "$0")/common.sh"

release=bookworm
target=$objs/debian-root.tar
[ ! -f "$target" ] || exit 0

make_root() {
    # shellcheck disable=SC2016 # mmdebstrap's shell expands it
    mmdebstrap --variant=minbase --include=systemd,systemd-sysv,dbus,man-db,sudo,logrotate,sqlite3,curl,jq \
        --skip=cleanup/apt,cleanup/reproducible \
        --customize-hook='echo localhost >"$1/etc/hostname" && echo 127.0.0.1 localhost >"$1/etc/hosts"' \
        --customize-hook='chroot "$1" apt-get clean' \
        --customize-hook='chroot "$1" apt-get -q -y -o APT::Install-Recommends=true --download-only install adduser nginx libnginx-mod-rtmp libnginx-mod-stream' \
        "$release" "$target.new.tar" && mv "$target.new.tar" "$target"
}

[ "$(id -u)" -eq 0 ] || die "the package's tests boot a Debian of their own, which only root can"
say "fetching a bare Debian $release"
quietly debian-root.log make_root
