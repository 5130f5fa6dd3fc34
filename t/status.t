#!/usr/bin/perl

# The status as JSON: what it says of a real stream is what ffprobe sees of it, whichever
# worker has the stream and whichever answers.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Answer qw(answer);
use Test::Encoder;
use Test::Nginx;
use Test::Player qw(hls_url inspect);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('ffmpeg')->has_daemon('ffprobe')->plan(38);

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
        stagedoor on;
        stagedoor_auth_delay 0;

        application live {
            live on;

            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_nested on;
            hls_fragment 1s;
            hls_playlist_length 60s;
        }

        application "a/b <i>" {
            live on;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen       127.0.0.1:8080;

        location /live/       { alias %%TESTDIR%%/hls/; }
        location = /status    { stagedoor_status json; }
        location = /elsewhere { stagedoor_status json playlist=https://cdn.example.com/$username-$app.m3u8; }
        location = /none      { stagedoor_status json playlist=off; }
        location = /page      { stagedoor_status; }
        location = /metrics   { stagedoor_status prometheus; }
        location = /closed    { stagedoor_status json; deny all; }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(benw other third);

$t->run();

###############################################################################

# nobody is live

my $answer = answer('GET', '/status');
is($answer->status(), 200, 'an answer');
is($answer->header('Content-Type'), 'application/json', 'of JSON');
is($answer->header('Cache-Control'), 'no-store', 'which nobody keeps');
is($answer->header('X-Content-Type-Options'), 'nosniff', 'and which is what it says');
my $empty = $stagedoor->status();
is_deeply([@$empty{qw(live bitrate streams)}], [0, 0, []], 'nobody is live');
cmp_ok($empty->{capacity}, '>', 3000, 'there is room for some thousands');

# one stream

my $encoder = Test::Encoder->ffmpeg($key{benw});
my $one = wait_for(sub {
    my $status = $stagedoor->status();
    my ($stream) = @{$status->{streams}};
    return $stream && $stream->{seconds} >= 6 && $status;
}, 15);
my ($stream) = @{$one->{streams}};
my $seen = inspect(hls_url('/live/benw/index.m3u8'));
is($stream->{username}, 'benw', 'a stream has its username');
is($stream->{app}, 'live', 'its application');
is($stream->{client_addr}, '127.0.0.1', 'its address');
is($stream->{worker}, $stagedoor->worker_of($encoder), 'and its worker');
my $session = $stagedoor->json('sessions')->[0];
is(substr($stream->{started_at}, 0, 22), substr($session->{started_at}, 0, 22), 'it began when the history says');
for my $kind (qw(video audio)) {
    is($stream->{"${kind}_codec"}, $seen->{$kind}{codec}, "its $kind codec is what ffprobe sees");
}
is("$stream->{width}x$stream->{height}", "$seen->{video}{width}x$seen->{video}{height}", 'and so is its size');
my @pts = @{$seen->{video}{pts}};
is($stream->{frame_rate}, sprintf('%.0f', $#pts / ($pts[-1] - $pts[0])), 'and its frame rate');

# What the encoder says it has sent, against what has arrived.
my ($sent, $rate) = sent($encoder);
my $now = $stagedoor->status()->{streams}[0];
cmp_ok($now->{bytes_in}, '>', $sent * 0.8, 'its bytes are those that the encoder sent');
cmp_ok($now->{bytes_in}, '<', $sent * 1.2 + 20_000, 'and RTMP\'s own');
cmp_ok($now->{bitrate}, '>', $rate * 0.6, 'its bitrate is the encoder\'s');
cmp_ok($now->{bitrate}, '<', $rate * 1.6, 'more or less');
is($one->{bitrate}, $stream->{bitrate}, 'and that of the whole server');
is($stream->{playlist}, '/live/benw/index.m3u8', 'its playlist');
is(answer('GET', $stream->{playlist})->status(), 200, 'is there');

# several, on both workers, in two applications

my ($w1, $w2) = $stagedoor->workers(2);
my $other = $stagedoor->client_on($w1, app => 'a/b <i>');
is($other->publish($key{other})->{code}, 'NetStream.Publish.Start', 'a stream in another application');
my $third = $stagedoor->client_on($w2);
is($third->publish($key{third})->{code}, 'NetStream.Publish.Start', 'and one on another worker');
for my $worker ($w1, $w2) {
    my $status = $stagedoor->on_worker($worker, sub { return $stagedoor->status() });
    is_deeply([map { "$_->{username} $_->{app} $_->{worker}" } @{$status->{streams}}],
        ["benw live $stream->{worker}", "other a/b <i> $w1", "third live $w2"], 'each worker knows all of them');
}
my ($silent) = grep { $_->{username} eq 'other' } @{$stagedoor->status()->{streams}};
is_deeply([@$silent{qw(video_codec audio_codec width height frame_rate)}], [(undef) x 5], 'what is not known is null');
is($silent->{playlist}, '/a%2Fb%20%3Ci%3E/other/index.m3u8', 'an application\'s name is one part of the path');
is_deeply([map { $_->{playlist} } @{$stagedoor->status('/elsewhere')->{streams}}],
    [map { "https://cdn.example.com/$_.m3u8" } 'benw-live', 'other-a%2Fb%20%3Ci%3E', 'third-live'], 'playlists elsewhere');
is_deeply([map { $_->{playlist} } @{$stagedoor->status('/none')->{streams}}], [(undef) x 3], 'or nowhere');

# ends

$encoder->stop();
$other->close_stream();
$third->abort();
ok(wait_for(sub { $stagedoor->status()->{live} == 0 }, 5), 'streams that have ended are gone');
my $ends = $stagedoor->status()->{ends};
is($ends->{closed_by_client} + $ends->{connection_lost}, 3, 'and counted');

# how to ask

like(answer('GET', '/page?format=json')->body(), qr/^\{"now":/, 'any location speaks any format');
like(answer('GET', '/metrics')->header('Content-Type'), qr{^text/plain; version=0\.0\.4}, 'its own unless asked');
is(answer('GET', '/status', headers => {@$_})->status(), 200, "and says how things are now, whatever $_->[0] says")
    for ['If-None-Match' => '*'], ['If-Match' => '"x"'];
my $head = answer('HEAD', '/status');
is($head->status() . $head->body(), '200', 'HEAD has no body');
is(join(' ', map { answer(@$_)->status() } [GET => '/status?format=xml'], [POST => '/status'], [OPTIONS => '/status'],
    [GET => '/closed']), '400 405 405 403', 'what is wrong, and who may not');

###############################################################################

# What ffmpeg reports last: bytes sent, and bits a second.
sub sent {
    my ($encoder) = @_;
    my ($kib, $kbits) = $encoder->stderr() =~ /.*size=\s*(\d+)\w* time=\S+ bitrate=\s*([\d.]+)kbits/s;
    return ($kib * 1024, $kbits * 1000);
}

###############################################################################
