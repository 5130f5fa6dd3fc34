#!/usr/bin/perl

# Adaptive streaming: an ffmpeg that nginx-rtmp starts makes the renditions, and
# publishes them into an application that asks for no key.

use warnings;
use strict;

use List::Util qw(uniq);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Encoder;
use Test::Nginx;
use Test::Player qw(colours hls_url inspect playlist);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('ffmpeg')->has_daemon('ffprobe')->plan(12);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;    # ffmpeg plays from the worker of the publisher

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    access_log %%TESTDIR%%/rtmp.log;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;

            exec ffmpeg -nostdin -loglevel error -i rtmp://127.0.0.1:8935/live/$name
                -c copy -f flv rtmp://127.0.0.1:8935/renditions/$name_high
                -c:v libx264 -preset ultrafast -tune zerolatency -threads 1 -g 5 -s 80x60 -b:v 50k
                -c:a copy -f flv rtmp://127.0.0.1:8935/renditions/$name_low
                2>>%%TESTDIR%%/ffmpeg.log;
        }

        application renditions {
            live on;
            allow publish 127.0.0.1;
            deny publish all;

            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_nested on;
            hls_fragment 500ms;
            hls_playlist_length 60s;
            hls_variant _low BANDWIDTH=100000;
            hls_variant _high BANDWIDTH=300000;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /live/ {
            alias %%TESTDIR%%/hls/;
        }
    }
}

END

$t->expect_alert(qr/unknown process \d+ exited on signal 9/);    # how nginx-rtmp ends what it started

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');

$t->run();

###############################################################################

my $encoder = Test::Encoder->ffmpeg($key, colour => 'magenta', seconds => 20);

my %size = (low => '80x60', high => '160x120');
for my $rendition (sort keys %size) {
    my $path = "/live/benw_$rendition";
    my $list = wait_for(sub { my $list = playlist("$path/index.m3u8"); $list && @{$list->{segments}} > 1 && $list }, 15);
    ok($list, "$rendition: playlist") or diag($encoder->output());
    my $seen = inspect(hls_url("$path/index.m3u8"));
    is("$seen->{video}{width}x$seen->{video}{height}", $size{$rendition}, "$rendition: size");
    is_deeply([uniq(colours(hls_url("$path/$list->{segments}[0]")))], ['magenta'], "$rendition: pictures");
}
my $master = playlist('/live/benw.m3u8');
is(join(' ', sort map { s{.*/live/}{}r } @{$master->{segments}}), 'benw_high/index.m3u8 benw_low/index.m3u8',
    'the master playlist has both');
is($stagedoor->log_lines(text => qr/publish accepted/), 1, 'one publish needed a key');

# the end

is($encoder->stop(), 255, 'the encoder ends');
ok($stagedoor->wait_for_ends('benw'), 'its stream too');
ok(wait_for(sub { $t->find_in_file('rtmp.log', qr/ PUBLISH "renditions" "benw_/) == 2 }, 5), 'and its renditions');
$encoder = Test::Encoder->ffmpeg($key, colour => 'cyan', seconds => 20);
ok(wait_for(sub { $encoder->running() && cyan() }, 15), 'a second stream has its own renditions');
$encoder->stop();
$stagedoor->wait_for_ends('benw');

###############################################################################

# Whether the low rendition shows the second stream's pictures.
sub cyan {
    my $list = playlist('/live/benw_low/index.m3u8') or return;
    my ($last) = reverse @{$list->{segments}} or return;
    return grep { $_ eq 'cyan' } colours(hls_url("/live/benw_low/$last"));
}

###############################################################################
