#!/usr/bin/perl

# What is configured by hand without Stagedoor, "expires max" for segments and
# "expires -1d" for playlists, is what stagedoor_hls sends: byte for byte, with
# "public" and "immutable" added for segments.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Answer qw(answer);
use Test::Nginx;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http stagedoor/)->plan(18);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    types {
        application/vnd.apple.mpegurl  m3u8;
        video/mp2t                     ts;
    }

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /stock/ {
            alias %%TESTDIR%%/hls/;

            location ~ ^/stock/(?<file>.+\.ts)$ {
                alias %%TESTDIR%%/hls/$file;
                expires max;
            }

            location ~ ^/stock/(?<file>.+\.m3u8)$ {
                alias %%TESTDIR%%/hls/$file;
                expires -1d;
            }
        }

        location /stagedoor/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
        }

        location /time/stock/ {
            alias %%TESTDIR%%/hls/;
            expires 90s;
        }

        location /time/stagedoor/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            stagedoor_hls_segment_cache 90s;
            stagedoor_hls_manifest_cache 90s;
        }
    }
}

END

$t->write_file("hls/benw/$_", $_) for qw(index.m3u8 1.ts);
$t->run();

###############################################################################

for my $range (undef, 'bytes=0-1') {
    my $status = $range ? 206 : 200;

    my ($stock, $ours) = both('', 'benw/1.ts', $range);
    is($stock->header('Cache-Control'), 'max-age=315360000', "expires max, $status");
    is($ours->header('Cache-Control'), 'public, ' . $stock->header('Cache-Control') . ', immutable',
        'the same max-age, and more');
    is($ours->header('Expires'), $stock->header('Expires'), 'the same Expires');

    ($stock, $ours) = both('', 'benw/index.m3u8', $range);
    is($stock->header('Cache-Control'), 'no-cache', "expires -1d, $status");
    is($ours->told(), $stock->told(), 'the same lines');
    is($ours->header('Expires'), $stock->header('Expires'), 'the same Expires');

    ($stock, $ours) = both('/time', 'benw/index.m3u8', $range);
    is($ours->header('Cache-Control'), $stock->header('Cache-Control'), "expires 90s, $status");
    is($ours->header('Expires'), $stock->header('Expires'), 'the same Expires');

    is($ours->header('ETag'), $stock->header('ETag'), 'the same entity');
}

###############################################################################

# Answers of one second, in which both have the same time.
sub both {
    my ($prefix, $file, $range) = @_;
    my %headers = $range ? (Range => $range) : ();
    for (1 .. 20) {
        my @answers = map { answer('GET', "$prefix/$_/$file", headers => \%headers) } qw(stock stagedoor);
        return @answers if $answers[0]->header('Date') eq $answers[1]->header('Date');
    }
    die "no two answers within a second\n";
}

###############################################################################
