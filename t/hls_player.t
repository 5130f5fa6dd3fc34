#!/usr/bin/perl

# Real players of a real stream: when the publisher ends they end by themselves,
# within two target durations.  Without stagedoor_hls they wait on for a stream
# that never comes back.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(sleep time);

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Encoder;
use Test::Nginx;
use Test::Player qw(hls_url playlist);
use Test::Process;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('ffmpeg')
    ->has_daemon('gst-launch-1.0')->plan(15);

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
            hls_fragment 1s;
            hls_playlist_length 20s;
            hls_fragment_naming system;
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
            stagedoor_hls on;
            stagedoor_hls_require_live on;
        }

        location /stock/ {
            alias %%TESTDIR%%/hls/;
            types {
                application/vnd.apple.mpegurl  m3u8;
                video/mp2t                     ts;
            }
            add_header Cache-Control no-cache;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');
$t->run();

###############################################################################

my $encoder = Test::Encoder->ffmpeg($key, seconds => 6, gop => 10);
my $list = wait_for(sub { my $list = playlist('/live/benw/index.m3u8'); $list && @{$list->{segments}} > 1 && $list }, 10);
ok($list, 'a stream is live') or diag($encoder->output());
my ($target) = $list->{text} =~ /^#EXT-X-TARGETDURATION:(\d+)/m;
note("target duration: $target");

my %player;
for my $way (qw(live stock)) {
    my $url = hls_url("/$way/benw/index.m3u8");
    $player{"ffmpeg $way"} = Test::Process->start({},
        qw(ffmpeg -nostdin -v error -nostats -progress - -i), $url, qw(-f null -));
    $player{"GStreamer $way"} = Test::Process->start({},
        qw(gst-launch-1.0 -q playbin video-sink=fakesink audio-sink=fakesink), "uri=$url");
}
sleep 1;
ok($player{$_}->running(), "$_ plays") for sort keys %player;

is($encoder->wait(20), 0, 'the publisher ends');
my $ended = time;

my %took;
wait_for(sub {
    $took{$_} //= time - $ended for grep { !$player{$_}->running() } sort keys %player;
    return 2 == grep { /live/ } keys %took;
}, 4 * $target);
for my $name ('ffmpeg live', 'GStreamer live') {
    is($player{$name}->exit_status(), 0, "$name ends by itself") or diag($player{$name}->output());
    note(sprintf '%s: after %.1f seconds', $name, $took{$name} // -1);
    cmp_ok($took{$name} // 99, '<=', 2 * $target, 'within two target durations');
}
my ($played) = $player{'ffmpeg live'}->stdout() =~ /.*out_time_us=(\d+)/s;
cmp_ok(($played // 0) / 1e6, '>', 3, 'and has played what there was');

# without it

sleep 0.1 while time < $ended + 4 * $target;
ok($player{$_}->running(), "$_ still waits") for 'ffmpeg stock', 'GStreamer stock';
unlike($t->read_file('hls/benw/index.m3u8'), qr/ENDLIST/, 'for what nginx-rtmp never writes');

# who comes late

my $late = Test::Process->run({ timeout => 10 }, qw(ffmpeg -nostdin -v error -i), hls_url('/live/benw/index.m3u8'), qw(-f null -));
is($late->exit_status(), 0, 'who comes while it lingers sees it from the start to the end');

###############################################################################
