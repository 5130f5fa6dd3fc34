#!/usr/bin/perl

# The RTMP client, the encoders and the player of the harness, with nginx-rtmp
# as it comes: what they see here is what stock nginx-rtmp does.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Encoder;
use Test::Nginx;
use Test::Player qw(colours hls_url inspect playlist);
use Test::RTMP;
use Test::RTMP::AMF0 qw(amf_decode amf_encode raw);
use Test::RTMP::Media;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp/)->has_daemon('ffmpeg')->has_daemon('ffprobe')
    ->has_daemon('gst-launch-1.0')->has_daemon('sqlite3')->plan(64);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

load_module %%RTMP_MODULE%%;

events {
}

rtmp {
    access_log %%TESTDIR%%/rtmp.log;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;

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
        root         %%TESTDIR%%/hls;
    }
}

END

$t->run();

my $stagedoor = Test::Stagedoor->new($t, init => 0);

###############################################################################

# AMF0

is_deeply([amf_decode(amf_encode('text', 1.5, undef, \1, { a => [1, 'b'] }))],
    ['text', 1.5, undef, 1, { a => [1, 'b'] }], 'amf comes back as it went');
is(amf_encode('1'), "\x02\x00\x011", 'a string of digits is a string');
is(amf_encode('x' x 65536), "\x0c\x00\x01\x00\x00" . 'x' x 65536, 'a long string');
is(amf_encode(raw("\x06")), "\x06", 'raw bytes');
is(eval { amf_decode("\x02\x00\x05abc"); 1 }, undef, 'amf that is cut off is refused');

# chunks, also in any pieces

for my $size (1, 128, 65536) {
    is(chunked($size, 1, [0, 9, 'a' x 1000], [40, 9, 'b' x 1000], [80, 9, 'c' x 1000], [90, 8, 'd']),
        '0:9:1000 40:9:1000 80:9:1000 90:8:1', "chunks of $size bytes");
}
is(chunked(128, 7, [0xfffffe, 9, 'a' x 300], [0xffffff, 9, 'b' x 300], [0x1ffffff, 9, 'c' x 300]),
    '16777214:9:300 16777215:9:300 33554431:9:300', 'extended timestamps');
is(chunked(128, 7, map { [$_ * 0x1000000, 9, 'a' x 300] } 0 .. 3),
    '0:9:300 16777216:9:300 33554432:9:300 50331648:9:300', 'extended deltas');

# a publisher

my $c = Test::RTMP->new();
is($c->connect()->{name}, '_result', 'connect');
is($c->create_stream(), 1, 'createStream');
my $status = $c->publish('perl');
is($status->{code}, 'NetStream.Publish.Start', 'publish');
is($status->{level}, 'status', 'level of the status');
cmp_ok($c->times()->{status} - $c->times()->{publish}, '<', 1, 'times are taken');
is($stagedoor->worker_of($c), ($stagedoor->workers(1))[0], 'the worker that has its connection');

my $second = Test::RTMP->new()->ready();
$status = $second->publish('perl');
is($status->{code}, 'NetStream.Publish.BadName', 'a second publisher of the name is refused');
is($status->{level}, 'error', 'with an error');
$second->abort();

# its pictures

ok($c->send_media(3, colour => 'orange'), 'three seconds of media at once');
my $list = wait_for(sub { my $list = playlist('/perl/index.m3u8'); $list && @{$list->{segments}} >= 4 && $list });
cmp_ok(@{$list->{segments} // []}, '>=', 4, 'have their segments at once');
is_deeply([frequent(colours(hls_url("/perl/$list->{segments}[0]")))], ['orange'], 'in their colour');
my $seen = inspect(hls_url('/perl/index.m3u8'));
is($seen->{video}{codec}, 'h264', 'the video');
is($seen->{video}{width} . 'x' . $seen->{video}{height}, '32x32', 'its size');
cmp_ok($seen->{video}{frames}, '>=', 20, 'its frames');
is($seen->{audio}{codec}, 'aac', 'the sound');
cmp_ok($seen->{audio}{frames}, '>=', 80, 'its frames');

# a player

my $player = Test::RTMP->new()->ready();
is($player->play('perl')->{code}, 'NetStream.Play.Start', 'play');
$c->go_live(colour => 'azure');
ok(wait_for(sub { $player->received('video') > 3 }, 3), 'a live client sends in real time');
is(($player->received('video'))[-1]{payload} eq Test::RTMP::Media::video_frame('azure', 0)
    || ($player->received('video'))[-1]{payload} eq Test::RTMP::Media::video_frame('azure', 1), 1,
    'and the player has its picture');
$c->stop_media();
$c->close_stream();
is($c->wait_status(2, qr/Unpublish/)->{code}, 'NetStream.Unpublish.Success', 'closeStream');
is($c->publish('perl-again')->{code}, 'NetStream.Publish.Start', 'publish again on the same connection');
$c->delete_stream();
$c->close();

# arbitrary pieces, chunk sizes, raw bytes

for my $split (1, 7, sub { 1 + int rand 100 }) {
    $c = Test::RTMP->new(split => $split)->ready();
    my $pieces = ref $split ? 'random size' : "$split bytes";
    is($c->publish("pieces-$pieces")->{code}, 'NetStream.Publish.Start', "a client in pieces of $pieces");
    $c->close();
}
$c = Test::RTMP->new()->ready();
$c->set_chunk_size(4096);
$c->release_stream('fmle');
$c->fc_publish('fmle');
is($c->publish('fmle')->{code}, 'NetStream.Publish.Start', 'FMLE style, in large chunks');
ok(!$c->closed_within(0.1), 'a connection that stays');
$c->raw("\x3f" . "\xff" x 64);
ok($c->closed_within(2), 'one that nginx-rtmp closes, after a chunk stream it does not have');

# many at once

my @clients = map { Test::RTMP->new()->ready() } 1 .. 12;
$_->send_publish('crowd') for @clients;
wait_for(sub { !grep { !$_->statuses() } @clients });
my @codes = map { map { $_->{code} } $_->statuses() } @clients;
is(grep({ $_ eq 'NetStream.Publish.Start' } @codes), 1, 'of twelve at once one is live');
is(grep({ $_ eq 'NetStream.Publish.BadName' } @codes), 11, 'and eleven are refused');
$_->close() for @clients;

# encoders

my %colour = (ffmpeg => 'red', rtmp2sink => 'lime', rtmpsink => 'blue');
my %encoder = map { $_ => Test::Encoder->$_($_, colour => $colour{$_}) } sort keys %colour;
for my $name (sort keys %encoder) {
    my $list = wait_for(sub { my $list = playlist("/$name/index.m3u8"); $list && @{$list->{segments}} > 1 && $list }, 15);
    ok($list, "$name: segments") or diag($encoder{$name}->output());
    my $seen = inspect(hls_url("/$name/index.m3u8"));
    is("$seen->{video}{codec} $seen->{video}{width}x$seen->{video}{height} $seen->{audio}{codec}",
        'h264 160x120 aac', "$name: plays");
    is_deeply([frequent(colours(hls_url("/$name/$list->{segments}[0]")))], [$colour{$name}], "$name: colour");
    ok($stagedoor->worker_of($encoder{$name}), "$name: its worker is known");
}
my %refused = map { $_ => Test::Encoder->$_('ffmpeg') } sort keys %colour;
for my $name (sort keys %refused) {
    ok(wait_for(sub { $refused{$name}->output() =~ /Already publishing/ }, 10), "$name: says why it is refused");
}
isnt($refused{$_}->wait(5) // 0, 0, "$_: fails then") for qw(ffmpeg rtmp2sink);    # librtmp waits to be closed
is(defined $_->stop() && !$_->running(), 1, 'an encoder is stopped') for map { $encoder{$_} } sort keys %encoder;

# configurations

is(($stagedoor->config_test())[0], 0, 'a configuration that is right');
$t->write_file('wrong.conf', "events { }\nnonsense;\n");
like(join(' ', $stagedoor->config_test('wrong.conf')), qr/^1 .*nonsense.*wrong\.conf:2/s, 'one that is not');

# a worker's death

my ($worker) = $stagedoor->workers(1);
$stagedoor->kill_worker($worker);
isnt(($stagedoor->workers(1))[0], $worker, 'after a kill there is a new worker');
is($stagedoor->log_lines(level => 'alert', text => qr/$worker exited on signal 9/), 1, 'its death is in the log');

# the database

$stagedoor->sql('create table t (a); insert into t values (1), (2)');
is_deeply([$stagedoor->sql('select a from t')], [{ a => 1 }, { a => 2 }], 'sql');

###############################################################################

# The colours that make out the most of a list.
sub frequent {
    my %count;
    $count{$_}++ for @_;
    return grep { $count{$_} > @_ / 2 } keys %count;
}

# What a reader makes of messages [timestamp, type, payload] that come byte by
# byte, or in pieces of another size.
sub chunked {
    my ($size, $piece, @messages) = @_;

    my ($writer, $reader) = map { $_->new() } qw(Test::RTMP::Chunk::Writer Test::RTMP::Chunk::Reader);
    $_->chunk_size($size) for $writer, $reader;
    my $bytes = join '', map {
        $writer->message(csid => 70, stream_id => 1, timestamp => $_->[0], type => $_->[1], payload => $_->[2])
    } @messages;

    my @seen;
    for my $part (unpack "(a$piece)*", $bytes) {
        $reader->append($part);
        while (my $message = $reader->message()) {
            push @seen, join ':', @$message{qw(timestamp type)}, length $message->{payload};
        }
    }
    return "@seen";
}

###############################################################################
