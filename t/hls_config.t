#!/usr/bin/perl

# HLS directives that are wrong are refused with a line that says what was
# expected; a server without nginx-rtmp serves HLS all the same, and what it
# cannot know is refused, too.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Answer qw(answer);
use Test::Nginx;
use Test::Stagedoor;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite stagedoor/)->plan(68);
my $stagedoor = Test::Stagedoor->new($t, init => 0);

###############################################################################

# values

my %expected = (
    stagedoor_hls                => '"on" or "off"',
    stagedoor_hls_stream         => 'a name with variables in it, such as "$1"',
    stagedoor_hls_segment_cache  => '"max" or a time in whole seconds such as "10s" or "1h"',
    stagedoor_hls_manifest_cache => '"off" or a time in whole seconds such as "10s" or "1h"',
    stagedoor_hls_error_cache    => '"off" or a time in whole seconds such as "10s" or "1h"',
    stagedoor_hls_cors           => '"off", "*" or origins such as "https://tv.example.com", without a path',
    stagedoor_hls_require_live   => '"on" or "off"',
    stagedoor_hls_linger         => 'a time such as "30s", or 0',
);
my %wrong = (
    stagedoor_hls                => ['yes', 'ON', "''"],
    stagedoor_hls_stream         => ["''"],
    stagedoor_hls_segment_cache  => ['off', '-1', '500ms', '1x', "''"],
    stagedoor_hls_manifest_cache => ['max', '-1', '1.5s', "''"],
    stagedoor_hls_error_cache    => ['max', 'x'],
    stagedoor_hls_cors           => ['null', 'example.com', 'https://example.com/', "''", 'https://*.example.com'],
    stagedoor_hls_require_live   => ['maybe'],
    stagedoor_hls_linger         => ['-1', 'long', "''"],
);
my %right = (
    stagedoor_hls                => 'on',
    stagedoor_hls_stream         => '$arg_stream',
    stagedoor_hls_segment_cache  => '1h',
    stagedoor_hls_manifest_cache => '2s',
    stagedoor_hls_error_cache    => '0',
    stagedoor_hls_cors           => 'https://a.example http://b.example:8080',
    stagedoor_hls_require_live   => 'off',
    stagedoor_hls_linger         => '500ms',
);
for my $name (sort keys %expected) {
    for my $value (@{$wrong{$name}}) {
        is(refused("location / { $name $value; }"),
            "\"$name\" directive has the value \"@{[$value =~ tr/'//dr]}\", expected $expected{$name}", "$name $value");
    }
    is(refused("location / { $name $right{$name}; $name $right{$name}; }"), "\"$name\" directive is duplicate", "$name twice");
    is(refused("location / { $name; }"), "invalid number of arguments in \"$name\" directive", "$name without a value");
    is(accepted("$name $right{$name}; location / { $name $right{$name}; }"), 1, "$name in a server and a location");
}
is(accepted('', join ' ', map { "$_ $right{$_};" } sort keys %right), 1, 'all of them in http {}');
is(refused('location / { stagedoor_hls_cors * https://a.example; }'),
    "\"stagedoor_hls_cors\" directive has the value \"*\", expected $expected{stagedoor_hls_cors}", 'everybody and somebody');
is(refused('location / { stagedoor_hls_cors https://a.example off; }'),
    "\"stagedoor_hls_cors\" directive has the value \"off\", expected $expected{stagedoor_hls_cors}", 'somebody and nobody');
is(refused('location / { if ($uri) { stagedoor_hls on; } }'), '"stagedoor_hls" directive is not allowed here', 'in "if"');
is(refused('location / { stagedoor_hls_stream $nothing; }'), 'unknown "nothing" variable', 'an unknown variable');

# the list of live streams

my $none = 'needs the list of live streams, and this server has none; add "stagedoor on" to an application of rtmp {}, '
    . 'or "stagedoor_zone SIZE" to the main context';
my $live = "stagedoor_hls on;\nstagedoor_hls_require_live on;";
like(refused("location / { $live }"), qr/^"stagedoor_hls_require_live on" in \S+nginx\.conf:\d+ \Q$none\E$/,
    'stagedoor_hls_require_live without one');
is(accepted("location / { $live }", '', 'stagedoor_zone 1m;'), 1, 'with one');
is(accepted('stagedoor_hls_require_live on; location / { }'), 1, 'where stagedoor_hls is off it needs none');
is(refused('location / { add_header X-Live $stagedoor_live; }'), "the variable \"\$stagedoor_live\" $none",
    '$stagedoor_live without one');
is(accepted('location / { add_header X-Live $stagedoor_live; }', '', 'stagedoor_zone 1m;'), 1, 'with one');
is(accepted('location / { stagedoor_hls on; add_header X-Stream $stagedoor_stream; }'), 1, '$stagedoor_stream needs none');

my $no_stream = qr/^"stagedoor_hls_require_live on" in \S+nginx\.conf:\d+ needs "stagedoor_hls_stream" in each location/;
for my $location ('~ ^/live/', '= /live/1.ts', '@live') {
    like(refused("location $location { $live }", '', 'stagedoor_zone 1m;'), $no_stream, "location $location has no stream");
}
is(accepted("location ~ ^/live/(\\w+) { $live stagedoor_hls_stream \$1; }", '', 'stagedoor_zone 1m;'), 1, 'but by stagedoor_hls_stream');
is(accepted("location /live/ { $live location ~ ts { } }", '', 'stagedoor_zone 1m;'), 1, 'or by the location around it');

# a server without nginx-rtmp and without any list

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

load_module %%STAGEDOOR_MODULE%%;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /live/ {
            stagedoor_hls on;
            add_header X-Stream $stagedoor_stream;
        }
    }
}

END

$t->write_file('live/benw/index.m3u8', "#EXTM3U\n");
$t->run();

my $answer = answer('GET', '/live/benw/index.m3u8');
is($answer->body(), "#EXTM3U\n", 'without nginx-rtmp a playlist is the file');
is($answer->header('Content-Type'), 'application/vnd.apple.mpegurl', 'of its type');
is($answer->header('Cache-Control'), 'no-cache', 'with its headers');
is($answer->header('X-Stream'), 'benw', 'and its stream');

###############################################################################

sub config {
    my ($server, $http, $main) = map { $_ // '' } @_[0 .. 2];
    $t->write_file_expand('wrong/nginx.conf', <<"END");
load_module %%STAGEDOOR_MODULE%%;
pid %%TESTDIR%%/wrong/nginx.pid;
$main
events { }
http {
    %%TEST_GLOBALS_HTTP%%
    $http
    server { listen 127.0.0.1:8080;
    $server } }
END
    return $stagedoor->config_test($t->testdir() . '/wrong/nginx.conf');
}

sub accepted {
    my ($status, $said) = config(@_);
    return $status == 0 && $said !~ /\[\w+\]/ ? 1 : "$status: $said";
}

# What nginx -t says, without the place.
sub refused {
    my ($status, $said) = config(@_);
    my @lines = map { s/ in \S+nginx\.conf:\d+$//r } $said =~ /^nginx: \[emerg\] (.*)/mg;
    return $status == 1 ? join '; ', @lines : "$status: $said";
}

###############################################################################
