#!/usr/bin/perl

# The encoders that streamers use: each is live with its key, each shows its
# streamer why it is refused.

use warnings;
use strict;

use List::Util qw(uniq);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Encoder;
use Test::Nginx;
use Test::Player qw(colours hls_url inspect playlist);
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('ffmpeg')->has_daemon('ffprobe')
    ->has_daemon('gst-launch-1.0')->plan(31);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

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

            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_nested on;
            hls_fragment 500ms;
            hls_playlist_length 60s;
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

my $stagedoor = Test::Stagedoor->new($t);
my %colour = (ffmpeg => 'red', rtmp2sink => 'lime', rtmpsink => 'blue');
my @encoders = sort keys %colour;
my %key = map { $_ => $stagedoor->add("user-of-$_") } @encoders;
my $banned = $stagedoor->add('banned');
$stagedoor->do(ban => 'banned');

$t->run();

###############################################################################

# a good key

my %live = map { $_ => Test::Encoder->$_($key{$_}, colour => $colour{$_}, seconds => 20) } @encoders;
for my $encoder (@encoders) {
    my $path = "/live/user-of-$encoder/index.m3u8";
    my $list = wait_for(sub { my $list = playlist($path); $list && @{$list->{segments}} > 1 && $list }, 15);
    ok($list, "$encoder: a playlist under the username") or diag($live{$encoder}->output());
    my $seen = inspect(hls_url($path));
    is("$seen->{video}{codec} $seen->{video}{width}x$seen->{video}{height} $seen->{audio}{codec}",
        'h264 160x120 aac', "$encoder: plays");
    is_deeply([uniq(colours(hls_url("/live/user-of-$encoder/$list->{segments}[0]")))], [$colour{$encoder}],
        "$encoder: its own pictures");
}

# refusals

refused('a wrong key', 'Invalid stream key', map { $_ => 'WrongKeyWrongKeyWrong123' } @encoders);
refused('banned', 'Streaming is not allowed for this account', map { $_ => $banned } @encoders);
refused('live already', 'Already streaming', %key);

# the end

is(grep({ !$_->running() } values %live), 0, 'who is live was not disturbed');
$_->stop() for values %live;
ok($stagedoor->wait_for_ends("user-of-$_"), "$_: its end is noted") for @encoders;

###############################################################################

# Two assertions an encoder: that it shows the text, that its connection is gone.
sub refused {
    my ($what, $text, %keys) = @_;

    my %process = map { $_ => Test::Encoder->$_($keys{$_}, seconds => 20) } @encoders;
    for my $encoder (@encoders) {
        ok(wait_for(sub { $process{$encoder}->output() =~ /\Q$text\E/ }, 10), "$encoder, $what: told why")
            or diag($process{$encoder}->output());
        ok(wait_for(sub { !$stagedoor->worker_of($process{$encoder}) }, 5), "$encoder, $what: closed");
    }
    $_->stop() for values %process;
    return;
}

###############################################################################
