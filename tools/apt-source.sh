# shellcheck shell=bash
# Debian's source packages, through apt with lists of their own below objs/, so that the system's apt
# configuration stays as it is. Read after common.sh.

# apt_source DIRECTORY OPTION … PACKAGE=VERSION: downloads a source package into DIRECTORY, which is
# made anew. The options are those of "apt-get source".
apt_source() {
    local directory=$1
    shift
    rm -rf "$directory"
    mkdir -p "$directory"/{sources,lists/partial,cache/archives/partial}
    apt_lists "$directory/sources"
    # a list without sources (a third party's) is no reason to stop: what counts is the next command
    apt_get "$directory" update || true
    (cd "$directory" && apt_get "$directory" source --download-only "$@")
}

# deb822 (debian.sources) and classic (sources.list) both
apt_lists() {
    local list
    shopt -s nullglob
    for list in /etc/apt/sources.list.d/*.sources; do
        sed 's/^Types:.*/Types: deb-src/' "$list" >"$1/${list##*/}"
    done
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ ! -f "$list" ] || sed -nE 's/^deb(-src)?([[:space:]])/deb-src\2/p' "$list" | sort -u \
            >"$1/${list##*/}.list"
    done
}

apt_get() {
    local directory=$1
    shift
    apt-get -q \
        -o Dir::Etc::sourcelist=/dev/null \
        -o Dir::Etc::sourceparts="$directory/sources" \
        -o Dir::State::lists="$directory/lists" \
        -o Dir::Cache="$directory/cache" \
        -o APT::Sandbox::User="$(id -un)" \
        "$@"
}
