#!/usr/bin/perl

# The playlist of a stream that has ended is closed with #EXT-X-ENDLIST on its
# way out, as an entity of its own; the file stays as it is, and publishing
# again opens it.

use warnings;
use strict;

use IO::Uncompress::Gunzip qw(gunzip);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Answer qw(answer);
use Test::Nginx;
use Test::Process;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_v2 gzip rtmp stagedoor/)->has_daemon('curl')->plan(57);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;

            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_nested on;
            hls_fragment 500ms;
            hls_playlist_length 60s;
            hls_fragment_naming system;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    sendfile   on;
    aio        threads;

    server {
        listen       127.0.0.1:8080;
        listen       127.0.0.1:8081 http2;
        server_name  localhost;

        location /live/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
        }

        location /gzip/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            gzip on;
            gzip_http_version 1.0;
            gzip_min_length 0;
            gzip_types application/vnd.apple.mpegurl;
        }

        location /direct/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            directio 1;
        }

        location /cached/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            open_file_cache max=100;
        }

        location ~ ^/regex/(?<stream>[^/]+)/(?<file>.+)$ {
            alias %%TESTDIR%%/hls/$stream/$file;
            stagedoor_hls on;
            stagedoor_hls_stream $stream;
        }

        location ~ ^/nameless/(?<name>.+)$ {
            alias %%TESTDIR%%/hls/$name;
            stagedoor_hls on;
        }

        location /symlinks/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            disable_symlinks on;
        }

        location /off/ {
            alias %%TESTDIR%%/hls/;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');
my $end = "#EXT-X-ENDLIST\n";
my $list = '/live/benw/index.m3u8';
$t->run();

###############################################################################

# while it is live

my $c = publish();
my $open = answer('GET', $list);
answer('GET', '/cached/benw/index.m3u8') for 1 .. 10;
is($open->status(), 200, 'a live playlist');
is($open->body(), file(), 'is the file');
unlike($open->body(), qr/ENDLIST/, 'and open');

# its end

my %by_hand = (
    'master.m3u8' => "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nindex.m3u8\n",
    'vod.m3u8'    => "#EXTM3U\n#EXTINF:1,\n1.ts\n$end",
    'text.m3u8'   => 'no playlist',
    'empty.m3u8'  => '',
);
$t->write_file("hls/benw/$_", $by_hand{$_}) for keys %by_hand;
$c->delete_stream();
ok(wait_for(sub { answer('GET', $list)->body() =~ /ENDLIST/ }, 5), 'when the stream ends its playlist is closed');

my $closed = answer('GET', $list);
my $full   = file() . $end;
is($closed->body(), $full, 'with one line more than the file');
unlike(file(), qr/ENDLIST/, 'which stays as it is');
is($closed->header('Content-Length'), length $full, 'Content-Length');
is($closed->header('Content-Type'), 'application/vnd.apple.mpegurl', 'Content-Type');
is($closed->header('Cache-Control'), 'no-cache', 'Cache-Control');
isnt($closed->header('ETag'), answer('GET', '/off/benw/index.m3u8')->header('ETag'), 'ETag is not that of the file');
is($closed->header('Last-Modified'), undef, 'there is no Last-Modified');
is(join(' ', $closed->doubled()), '', 'no header is doubled');

my $head = answer('HEAD', $list);
is($head->status(), 200, 'HEAD');
is($head->header('Content-Length'), length $full, 'has the length');
is($head->body(), '', 'and no body');

# conditional requests

my $file = answer('GET', '/off/benw/index.m3u8');
is(status('If-None-Match' => $file->header('ETag')), 200, 'who has the open one gets the closed one');
is(status('If-None-Match' => $open->header('ETag')), 200, 'and who has an earlier one');
is(status('If-Modified-Since' => $file->header('Last-Modified')), 200, 'by date as well');
is(status('If-None-Match' => $closed->header('ETag')), 304, 'who has the closed one gets nothing');
is(status('If-Match' => $file->header('ETag')), 412, 'the file is another entity');

# ranges

my $tail = answer('GET', $list, headers => { Range => 'bytes=-15' });
is($tail->status(), 206, 'a range');
is($tail->body(), $end, 'of the end');
is($tail->header('Content-Range'), sprintf('bytes %d-%d/%d', length(file()), length($full) - 1, length $full),
    'Content-Range');
is(answer('GET', $list, headers => { Range => 'bytes=0-6' })->body(), '#EXTM3U', 'a range of the start');
like(answer('GET', $list, headers => { Range => 'bytes=0-6,-15' })->body(), qr/\r\n#EXTM3U\r\n.*\r\n$end\r\n/s,
    'two ranges');
is(answer('GET', $list, headers => { Range => 'bytes=0-6', 'If-Range' => $closed->header('ETag') })->status(), 206,
    'If-Range of the closed one');
is(answer('GET', $list, headers => { Range => 'bytes=0-6', 'If-Range' => $file->header('ETag') })->status(), 200,
    'If-Range of the open one');
is(answer('GET', $list, headers => { Range => 'bytes=99999-' })->status(), 416, 'a range behind the end');

# protocols

is(answer('GET', $list, version => '1.0')->body(), $full, 'HTTP/1.0');
my $both = http("GET $list HTTP/1.1\r\nHost: a\r\n\r\nGET $list HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
is(() = $both =~ /\Q$full\E/g, 2, 'two requests on a connection');
my $h2 = curl('--http2-prior-knowledge', '-i', 'http://127.0.0.1:' . port(8081) . $list);
like($h2, qr/^HTTP\/2 200/, 'HTTP/2');
like($h2, qr/\Q$full\E$/, 'has the same');
my $gzip = answer('GET', '/gzip/benw/index.m3u8', version => '1.0', headers => { 'Accept-Encoding' => 'gzip' });
is($gzip->header('Content-Encoding'), 'gzip', 'gzip');
gunzip(\$gzip->body(), \my $unzipped);
is($unzipped, $full, 'has the same');
is($gzip->header('ETag'), 'W/' . $closed->header('ETag'), 'under a weak tag');

# configurations

is(answer('GET', '/direct/benw/index.m3u8')->body(), $full, 'directio');
is(answer('GET', '/cached/benw/index.m3u8')->body(), $full, 'open_file_cache, which still has the open one');
is(answer('GET', '/symlinks/benw/index.m3u8')->body(), $full, 'disable_symlinks');
symlink 'index.m3u8', $t->testdir() . '/hls/benw/link.m3u8';
is(answer('GET', '/symlinks/benw/link.m3u8')->status(), 403, 'is respected');
is(answer('GET', '/live/benw/link.m3u8')->body(), $full, 'where it is on');
is(answer('GET', '/regex/benw/index.m3u8')->body(), $full, 'a regular expression with stagedoor_hls_stream');
is(answer('GET', '/nameless/benw/index.m3u8')->body(), file(), 'one without does not know the stream');
is(answer('GET', '/off/benw/index.m3u8')->body(), file(), 'without stagedoor_hls');

# what is not to be closed

is(answer('GET', "/live/benw/$_")->body(), $by_hand{$_}, "$_ stays as it is") for sort keys %by_hand;
is(answer('GET', '/live/benw/absent.m3u8')->status(), 404, 'a playlist that is not there');
like($full, qr/^(\d+\.ts)$/m, 'a playlist with segments');
my ($segment) = $full =~ /^(\d+\.ts)$/m;
is(answer('GET', "/live/benw/$segment")->header('Cache-Control'), 'public, max-age=315360000, immutable',
    'which stay as they are');

# reload

$t->reload();
is(answer('GET', $list)->body(), $full, 'after a reload it is still closed');

# publishing again

$c = publish();
my $again = answer('GET', $list);
unlike($again->body(), qr/ENDLIST/, 'publishing again takes the end back');
is(status('If-None-Match' => $closed->header('ETag')), 200, 'for those who have the closed one');
is($again->body(), file(), 'and the file goes out again');

# other ends

$c->abort();
ok(wait_for(sub { answer('GET', $list)->body() =~ /ENDLIST/ }, 5), 'a connection that is lost ends the stream');

$c = publish();
unlike(answer('GET', $list)->body(), qr/ENDLIST/, 'live again');
$stagedoor->kill_worker($stagedoor->worker_of($c));
ok(wait_for(sub { answer('GET', $list)->body() =~ /ENDLIST/ }, 5), 'the death of its worker ends it too');

###############################################################################

# A client that is live, with a playlist that has all of its segments.
sub publish {
    my $before = listed();
    my $c = Test::RTMP->new()->ready();
    $c->publish($key)->{code} eq 'NetStream.Publish.Start' or die "not published\n";
    $c->send_media(3);
    wait_for(sub { listed() >= $before + 5 }, 5) or die "no playlist\n";
    return $c;
}

# How many segments the playlist has; three seconds make five, and the sixth at their end.
sub listed {
    return 0 unless -e $t->testdir() . '/hls/benw/index.m3u8';
    return scalar(() = file() =~ /^#EXTINF/mg);
}

sub file { return $t->read_file('hls/benw/index.m3u8') }

sub status {
    my (%headers) = @_;
    return answer('GET', $list, headers => \%headers)->status();
}

sub curl { return Test::Process->run({ timeout => 5 }, qw(curl -s), @_)->stdout() =~ s/\r//gr }

###############################################################################
