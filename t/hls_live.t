#!/usr/bin/perl

# stagedoor_hls_require_live serves streams that are live, and for
# stagedoor_hls_linger those that were; $stagedoor_stream and $stagedoor_live say
# so to the rest of nginx.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Answer qw(answer);
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http auth_basic auth_request map rewrite rtmp stagedoor/)->plan(44);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    map $stagedoor_live $state {
        1        on-air;
        0        off-air;
        default  unknown;
    }

    log_format stream '$uri stream=$stagedoor_stream live=$stagedoor_live';
    access_log %%TESTDIR%%/stream.log stream;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        add_header X-Stream $stagedoor_stream always;
        add_header X-State  $state always;

        stagedoor_hls_require_live on;
        stagedoor_hls_linger 2s;

        location /live/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
        }

        location /long/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            stagedoor_hls_linger 1h;
        }

        location /no-linger/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            stagedoor_hls_linger 0;
        }

        location /always/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            stagedoor_hls_require_live off;
        }

        location /password/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            auth_basic closed;
            auth_basic_user_file %%TESTDIR%%/htpasswd;
        }

        location /asked/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            stagedoor_hls_require_live off;
            auth_request /ask;
        }

        location = /ask {
            add_header X-Asked $stagedoor_stream:$stagedoor_live always;
            if ($stagedoor_stream = guest) {
                return 403;
            }
            return 204;
        }

        location /if/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            stagedoor_hls_require_live off;
            if ($stagedoor_live = 0) {
                return 410;
            }
        }

        location ~ ^/regex/(?<who>[^/]+)/(.+)$ {
            alias %%TESTDIR%%/hls/$who/$2;
            stagedoor_hls on;
            stagedoor_hls_stream $who;
        }

        location /outer/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;

            location ~ \.ts$ {
                root %%TESTDIR%%/outer;
                stagedoor_hls_segment_cache 7s;
            }
        }

        location /off/ {
            alias %%TESTDIR%%/hls/;
        }
    }
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(benw guest);
$t->write_file("hls/$_", '#EXTM3U')
    for qw(benw/index.m3u8 benw/1.ts benw/hd/index.m3u8 benw.m3u8 benw-17.ts benw-2.m3u8 guest/index.m3u8);
$t->write_file('outer/outer/benw/1.ts', 'outer');
$t->write_file('htpasswd', "benw:{PLAIN}password\n");
$t->run();

my @files = qw(benw/index.m3u8 benw/1.ts benw/hd/index.m3u8 benw.m3u8 benw-17.ts);

###############################################################################

# before anybody is live

is(status("/live/$_"), 404, "$_ of a stream that is not live") for @files;
is(status('/no-linger/benw/1.ts'), 404, 'nor without linger');
is(status('/always/benw/1.ts'), 200, 'without stagedoor_hls_require_live it is there');
is(status('/if/benw/1.ts'), 410, '$stagedoor_live in "if"');
my $answer = answer('GET', '/live/benw/1.ts');
is($answer->header('X-Stream'), 'benw', '$stagedoor_stream in the answer');
is($answer->header('X-State'), 'off-air', '$stagedoor_live in a map');
is($answer->header('Cache-Control'), 'max-age=1', 'the refusal is kept for a moment');
is(answer('GET', '/live/benw/1.ts')->body(), answer('GET', '/live/benw/absent.ts')->body(),
    'what is there and what is not look the same');
is(status('/password/benw/1.ts'), 401, 'who may not watch is not told who is live');
$answer = answer('GET', '/off/benw/1.ts');
is($answer->header('X-State'), 'unknown', 'without stagedoor_hls there is no stream');
is($answer->header('X-Stream'), undef, 'nor its name');

# live

my $c = Test::RTMP->new()->ready();
is($c->publish($key{benw})->{code}, 'NetStream.Publish.Start', 'live');
is(status("/live/$_"), 200, "$_ of a live stream") for @files;
is(status('/no-linger/benw/1.ts'), 200, 'without linger too');
is(status('/regex/benw/1.ts'), 200, 'stagedoor_hls_stream');
is(status('/if/benw/1.ts'), 200, '$stagedoor_live in "if"');
is(status('/password/benw/1.ts'), 401, 'a live stream still has its password');
is(status('/live/benw-2.m3u8'), 404, 'another stream is not live');
is(status('/live/guest/index.m3u8'), 404, 'nor is anybody else');
is(status('/live/BENW/1.ts'), 404, 'a name is told apart by its letters');
is(status('/asked/benw/1.ts'), 200, 'auth_request');
is(status('/asked/guest/index.m3u8'), 403, 'sees $stagedoor_stream of the request it is asked about');
$answer = answer('GET', '/live/benw/1.ts');
is($answer->header('X-State'), 'on-air', '$stagedoor_live');
$answer = answer('GET', '/outer/benw/1.ts');
is($answer->body(), 'outer', 'a location inside another');
is($answer->header('Cache-Control'), 'public, max-age=7, immutable', 'takes over what it does not say');
is(status('/outer/guest/1.ts'), 404, 'with its prefix');

# linger

$c->delete_stream();
ok(wait_for(sub { status('/no-linger/benw/1.ts') == 404 }, 2), 'a stream ends');
my $ended = time;
is(status('/live/benw/1.ts'), 200, 'and lingers');
like(answer('GET', '/live/benw/index.m3u8')->body(), qr/ENDLIST/, 'closed');
is(answer('GET', '/live/benw/1.ts')->header('X-State'), 'off-air', 'but is not live');
ok(wait_for(sub { status('/live/benw/1.ts') == 404 }, 4), 'until its time is over');
my $lingered = time - $ended;
ok($lingered > 1.5 && $lingered < 3, 'after stagedoor_hls_linger') or diag($lingered);
is(status('/long/benw/1.ts'), 200, 'each location has its own');
like(answer('GET', '/always/benw/index.m3u8')->body(), qr/ENDLIST/,
    'without stagedoor_hls_require_live a playlist that was closed stays closed');

is($t->find_in_file('stream.log', qr{^/live/benw/1\.ts stream=benw live=1$}) > 0, 1, 'the access log has both');
is($t->find_in_file('stream.log', qr{^/off/benw/1\.ts stream=- live=-$}), 1, 'or neither');

###############################################################################

sub status { return answer('GET', $_[0])->status() }

###############################################################################
