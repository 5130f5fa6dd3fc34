#!/usr/bin/perl

# The header lines of every kind of file, for every kind of answer, with the
# defaults and with every directive changed: exactly these and no others,
# whatever "expires" and "add_header" say beside them.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Answer qw(answer);
use Test::Nginx;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite stagedoor/);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    log_format sent '$uri $sent_http_cache_control; $sent_http_expires; $sent_http_content_type';
    access_log %%TESTDIR%%/sent.log sent;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        expires 12h;
        add_header Cache-Control must-revalidate always;
        add_header Expires never always;
        add_header Vary Accept-Language always;
        add_header X-Operator mine always;

        location /default/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
        }

        location /changed/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            stagedoor_hls_segment_cache 1h;
            stagedoor_hls_manifest_cache 2s;
            stagedoor_hls_error_cache 5s;
            stagedoor_hls_cors https://a.example https://b.example;

            if ($arg_deny) {
                return 403;
            }
        }

        location /default/denied/ {
            deny all;
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
        }

        location /any/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            stagedoor_hls_cors *;
            add_header Access-Control-Allow-Origin https://stale.example always;
        }

        location /one/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            stagedoor_hls_segment_cache max;
            stagedoor_hls_manifest_cache off;
            stagedoor_hls_error_cache off;
            stagedoor_hls_cors https://a.example;
        }

        location /off/ {
            alias %%TESTDIR%%/hls/;
        }
    }
}

END

my %KINDS = (
    'index.m3u8' => ['application/vnd.apple.mpegurl', 'manifest'],
    'index.mpd'  => ['application/dash+xml',          'manifest'],
    '1.ts'       => ['video/mp2t',                    'segment'],
    '1.m4s'      => ['video/iso.segment',             'segment'],
    '1.mp4'      => ['video/mp4',                     'segment'],
    '1.aac'      => ['audio/aac',                     'segment'],
    '1.vtt'      => ['text/vtt',                      'segment'],
    '1.m4v'      => ['video/mp4',                     'manifest'],
    '1.m4a'      => ['audio/mp4',                     'manifest'],
    '1.key'      => ['application/octet-stream',      'key'],
);

# What each kind of answer says about its freshness.
my %FRESH = (
    default => {
        segment  => ['Cache-Control: public, max-age=315360000, immutable', 'Expires: Thu, 31 Dec 2037 23:55:55 GMT'],
        manifest => ['Cache-Control: no-cache', 'Expires: -86400'],
        key      => ['Cache-Control: private, no-store'],
        error    => ['Cache-Control: max-age=1', 'Expires: +1'],
        failure  => ['Cache-Control: no-store'],
    },
    changed => {
        segment  => ['Cache-Control: public, max-age=3600, immutable', 'Expires: +3600'],
        manifest => ['Cache-Control: max-age=2', 'Expires: +2'],
        key      => ['Cache-Control: private, no-store'],
        error    => ['Cache-Control: max-age=5', 'Expires: +5'],
        failure  => ['Cache-Control: no-store'],
    },
);

# Who may read it: without CORS the operator's own lines stay.
my %CORS = (
    default => ['Vary: Accept-Language'],
    changed => [
        'Access-Control-Allow-Origin: https://b.example',
        'Access-Control-Expose-Headers: Content-Length, Content-Range, Date',
        'Vary: Accept-Language, Origin',
    ],
);

my %PREFLIGHT = (
    default => [],
    changed => [
        'Access-Control-Allow-Headers: Authorization, If-Modified-Since, If-None-Match, Range',
        'Access-Control-Allow-Methods: GET, HEAD, OPTIONS',
        'Access-Control-Max-Age: 86400',
    ],
);

my @METHODS = ('Allow: GET, HEAD, OPTIONS');

$t->plan(2 * 10 * keys(%KINDS) + 19);
$t->write_file("hls/benw/$_", $_ x 100) for keys %KINDS;
$t->run();

###############################################################################

for my $set (qw(default changed)) {
    for my $file (sort keys %KINDS) {
        my ($mime, $kind) = @{$KINDS{$file}};
        my $path   = "/$set/benw/$file";
        my $absent = $path =~ s/(\w+)\.(\w+)$/absent.$2/r;
        my $etag   = ask('GET', $path)->header('ETag');
        my @type   = ("Content-Type: $mime");
        my @fresh  = @{$FRESH{$set}{$kind}};

        told($set, ask('GET', $path), 200, @type, @fresh);
        told($set, ask('HEAD', $path), 200, @type, @fresh);
        told($set, ask('GET', $path, Range => 'bytes=1-5'), 206, @type, @fresh);
        told($set, ask('GET', $path, 'If-None-Match' => $etag), 304, @fresh);
        told($set, ask('GET', $absent), 404, html(), @{$FRESH{$set}{error}});
        told($set, ask('HEAD', $absent), 404, html(), @{$FRESH{$set}{error}});
        told($set, ask('GET', $set eq 'default' ? "/default/denied/benw/$file" : "$path?deny=1"),
            403, html(), @{$FRESH{$set}{error}});
        told($set, ask('POST', $path), 405, html(), @METHODS, @{$FRESH{$set}{failure}});

        # Here nginx has sent its filters round twice: once for 200, and then for 416.
        my $answer = ask('GET', $path, Range => 'bytes=99999-');
        is_deeply([$answer->status(), map { $answer->header($_) } qw(Cache-Control Expires)],
            [416, 'no-store', undef], "416, $set");

        told($set, ask('OPTIONS', $path, 'Access-Control-Request-Method' => 'GET'), 204,
            @METHODS, @{$FRESH{$set}{failure}}, @{$PREFLIGHT{$set}});
    }
}

# origins

my $answer = ask('GET', '/changed/benw/1.ts', Origin => 'https://c.example');
is($answer->header('Access-Control-Allow-Origin'), undef, 'an origin that is not in the list');
is($answer->header('Vary'), 'Accept-Language, Origin', 'is told apart by caches');
is(ask('GET', '/changed/benw/1.ts', Origin => 'https://A.example')->header('Access-Control-Allow-Origin'),
    'https://a.example', 'an origin in other letters');
$answer = ask('GET', '/any/benw/1.ts');
is($answer->header('Access-Control-Allow-Origin'), '*', 'every origin, in the place of add_header');
is($answer->header('Vary'), undef, 'needs no Vary');
is(ask('GET', '/any/benw/absent.ts')->header('Access-Control-Allow-Origin'), '*', 'a 404 may be read');
is(ask('GET', '/any/benw/1.bak')->header('Access-Control-Allow-Origin'), '*', 'and one for a wrong path');
is(ask('DELETE', '/any/benw/1.ts')->header('Access-Control-Allow-Origin'), '*', 'and a 405');
is(ask('OPTIONS', '/any/benw/absent.ts')->header('Access-Control-Allow-Origin'), '*', 'a preflight of what is absent');
$answer = ask('GET', '/one/benw/1.ts', Origin => 'https://c.example');
is($answer->header('Access-Control-Allow-Origin'), 'https://a.example', 'one origin is told to everybody');
is($answer->header('Vary'), 'Accept-Language', 'and needs no Vary');
is(ask('GET', '/one/benw/absent.ts')->header('Cache-Control'), 'no-cache', 'errors that are not kept');

# what is not ours

is(ask('GET', '/off/benw/1.ts')->header('Cache-Control'), 'max-age=43200 | must-revalidate',
    'without stagedoor_hls nginx is as it was');
is(ask('POST', '/off/benw/1.ts')->status(), 405, 'in its methods');
is(ask('GET', '/off/benw/1.ts')->header('Allow'), undef, 'and its headers');

# what nginx itself knows of it

is($t->find_in_file('sent.log', '/default/benw/1.ts public, max-age=315360000, immutable; Thu, 31 Dec 2037 23:55:55 GMT; video/mp2t') > 0,
    1, 'the access log has what was sent');

# older and newer HTTP

is(answer('GET', '/default/benw/1.ts', version => '1.0')->header('Cache-Control'),
    'public, max-age=315360000, immutable', 'HTTP/1.0');
unlike(http_get('/default/benw/index.m3u8'), qr/charset/, 'a playlist has no charset');
is(ask('GET', '/default/benw/1.ts')->body(), '1.ts' x 100, 'and the file is what it was');

###############################################################################

sub ask {
    my ($method, $path, %headers) = @_;
    return answer($method, $path, headers => { Origin => 'https://b.example', %headers });
}

sub html { return 'Content-Type: text/html' }

sub told {
    my ($set, $answer, $status, @lines) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @cors = grep { $status != 204 || !/Expose/ } @{$CORS{$set}};
    is($answer->status() . "\n" . $answer->told(),
        join("\n", $status, sort @lines, @cors, 'X-Operator: mine'), "$status, $set");
    return;
}

###############################################################################
