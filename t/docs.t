#!/usr/bin/perl

# The documentation and what it is about say the same: every text that the module may write to the log
# is in docs/log.md, and every one there is written; the manual page has every directive.

use warnings;
use strict;
use utf8;

use Test::More;

binmode $_, ':encoding(UTF-8)' for map { Test::More->builder->$_ } qw(output failure_output todo_output);

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

# Files whose texts the log gets; those of the command are its own.
my @sources = grep { !/(?:^|\/)(?:tests|fixture)\b|\/store\/(?:admin|source)/ }
    split /\n/, `find src crates/core/src/store crates/core/src/store.rs crates/core/src/publish.rs \\
        crates/core/src/key.rs crates/core/src/guard.rs crates/core/src/limit.rs crates/core/src/throttle.rs crates/core/src/registry/handover.rs crates/core/src/status/playlist.rs -name '*.rs'`;

# What is no line of a log: names of callbacks, what a directive expects and the reasons of the
# history, which stand in one; what nginx puts behind its own; the command's advice; a media type; an error that is not told.
my $other = qr{^(?:
      a\ live\ stream's\ check$ | the\ path\ of\ a\ file$
    | an?\ (?:size|time|name|rate|SQL)[ ] | "…"\ or[ ] | "[a-z]+"(?:\ or|,)[ ]
    | "burst="\  | nothing\ behind\ "off"$ | one\ INSERT,
    | closed\ by\ client$ | sending\ response\ to\ client$
    | permission\ denied,\ try | the\ system\ gave\ no\ random
    | text/plain;
    | there\ is\ no\ memory\ for\ the\ answer$
)}x;

my %written   = map { $_ => 1 } map { texts($_) } @sources;
my @sentences = grep { tr/ // >= 2 && (() = /\b[a-zA-Z]{2,}\b/g) >= 3 && $_ !~ $other } sort keys %written;
my %told      = map { $_ => 1 } slurp('docs/log.md') =~ /^\| `([^`]+)` \|/mg;

cmp_ok(scalar @sentences, '>', 60, 'the sources have texts');
is(join("\n", grep { !$told{$_} } @sentences), '', 'docs/log.md has every text of the log');
is(join("\n", sort grep { !$written{$_} } keys %told), '', 'and no other');

my $manual = `tools/directives-man.pl 0 <docs/directives.md`;
is($?, 0, 'the manual page is made');
my @named = map { split /, / } "$manual" =~ /^\.SS (stagedoor.*)/mg;
my %named = map { $_ => 1 } @named;
my %taken = map { $_ => 1 } map { slurp($_) =~ /c"(stagedoor(?:_[a-z_]+)?)"/g } grep { /^src/ } @sources;
is_deeply([sort grep { !$named{$_} } grep { !variable($_) } keys %taken], [], 'with every directive');
is_deeply([sort grep { !$taken{$_} } @named], [], 'and no other');

my ($version) = slurp('Cargo.toml') =~ /^version = "(.*)"/m;
is((slurp('debian/changelog') =~ /^\S+ \((\S+)\)/)[0], $version, 'the package has the version of the crates');
is(join(' ', grep { $_ ne $version } map { slurp($_) =~ /libnginx-mod-stagedoor_([\d.]+)_/g } 'README.md', 'docs/operations.md'),
    '', 'and so has its name where it is told');

done_testing();

###############################################################################

# The string literals of a file, as docs/log.md writes them.
sub texts {
    my ($file) = @_;
    my $source = slurp($file) =~ s/#\[cfg\(test\)\]\s*mod.*//sr;
    $source =~ s{^\s*//.*|\s//[ /].*}{}gm;
    $source =~ s/\bguard\(\s*"[^"]*"|'\\?"'|\bb"(?:[^"\\]|\\.)*"//g;
    my @texts;
    while ($source =~ /"((?:[^"\\]|\\.)*)"/gs) {
        my $text = $1 =~ s/\\\n\s*//gr =~ s/\\"/"/gr =~ s/\{\{/\x01/gr =~ s/\}\}/\x02/gr =~ s/\{[^}]*\}/…/gr;
        $text =~ tr/\x01\x02/{}/;
        $text =~ s/: $/: …/;
        push @texts, $text unless $text =~ /\n|^(?:SELECT|INSERT|UPDATE|DELETE|CREATE|PRAGMA|BEGIN|WITH)\b| ORDER BY /;
    }
    return @texts;
}

sub variable { return $_[0] =~ /^stagedoor_(?:stream|live)$/ }

sub slurp {
    my ($file) = @_;
    open my $fh, '<:encoding(UTF-8)', $file or die "Can't open $file: $!\n";
    local $/;
    return scalar <$fh>;
}

###############################################################################
