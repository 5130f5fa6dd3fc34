#!/usr/bin/perl

# An answer that is not the file that was asked for, though its status is 200, is
# not kept as the file would be; and one in parts keeps the type that says so.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Answer qw(answer);
use Test::Nginx;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http stagedoor/)->plan(13);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /live/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            stagedoor_hls_cors *;
            error_page 404 =200 /live/slate/0.ts;

            if ($request_method = POST) {
                return 200 "thank you";
            }
        }

        location /proxied/ {
            stagedoor_hls on;
            proxy_pass http://127.0.0.1:8080/plain/;
        }

        location /plain/ {
            alias %%TESTDIR%%/hls/;
        }

        location ~ ^/named/(?<who>.+)/index.m3u8$ {
            alias %%TESTDIR%%/hls/none;
            stagedoor_hls on;
            stagedoor_hls_stream $who;
            add_header X-Stream "stream $stagedoor_stream" always;
        }
    }
}

END

mkdir $t->testdir() . "/$_" for qw(hls hls/benw hls/slate);
$t->write_file('hls/benw/1.ts', join '', map { chr(65 + $_ % 26) } 0 .. 187);
$t->write_file('hls/slate/0.ts', 'a slate');

$t->run();

###############################################################################

my $there = answer('GET', '/live/benw/1.ts');
is($there->header('Cache-Control'), 'public, max-age=315360000, immutable', 'a segment is kept');

my $slate = answer('GET', '/live/benw/2.ts');
is($slate->status(), 200, 'one that is not there is stood in for');
is($slate->body(), 'a slate', 'by another');
is($slate->header('Cache-Control'), 'no-store', 'which is not kept in its place');
is($slate->header('Access-Control-Allow-Origin'), '*', 'and may be read by the same pages');

my $post = answer('POST', '/live/benw/1.ts', headers => { 'Content-Length' => 0 });
is($post->status(), 200, 'the answer to another method');
is($post->header('Cache-Control'), 'no-store', 'is not kept as the file');

my $one = answer('GET', '/proxied/benw/1.ts', headers => { Range => 'bytes=0-9' });
is($one->header('Content-Type'), 'video/mp2t', 'a part, through a proxy, has the type of the segment');
my $parts = answer('GET', '/proxied/benw/1.ts', headers => { Range => 'bytes=0-9,20-29' });
is($parts->status(), 206, 'several parts');
like($parts->header('Content-Type'), qr{^multipart/byteranges; boundary=}, 'have the type of parts');

my $evil = answer('GET', '/named/benw%0d%0aX-Evil:%201/index.m3u8');
is($evil->status(), 404, 'a name with a line break');
is($evil->header('X-Evil'), undef, 'makes no line of its own');
is(answer('GET', '/named/benw/index.m3u8')->header('X-Stream'), 'stream benw', 'as one without may');

###############################################################################
