#!/usr/bin/env bash
# Checks that no dependency declares a newer Rust than Cargo.toml's rust-version. That our own code
# calls nothing newer of the standard library is clippy's to say (incompatible_msrv). Neither is a build
# with that Rust, for which another toolchain would have to be fetched.
set -euo pipefail

. "$(dirname "$0")/common.sh"

cd "$root"
cargo metadata --locked --format-version 1 | perl -MJSON::PP -we '
    my @packages = @{ JSON::PP->new()->decode(join "", <STDIN>)->{packages} };
    my %own  = map { $_->{name} => $_->{rust_version} } grep { !$_->{source} } @packages;
    my $most = minor($own{stagedoor});
    my @newer = grep { $_->{rust_version} && minor($_->{rust_version}) > $most } @packages;
    print "rust-version is $own{stagedoor}, but $_->{name} $_->{version} wants $_->{rust_version}\n" for @newer;
    printf "rust-version %s: declared, clippy and %d dependencies agree; not built with it\n",
        $own{stagedoor}, @packages - keys %own unless @newer;
    exit !!@newer;

    sub minor { return (split /\./, shift)[1] }
'
