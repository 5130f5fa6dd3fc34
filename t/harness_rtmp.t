#!/usr/bin/perl

# The RTMP client of the harness, with nginx-rtmp as it comes: what it sees here
# is what stock nginx-rtmp does.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::RTMP::AMF0 qw(amf_decode amf_encode raw);
use Test::RTMP::Media;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp/)->plan(31);

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
        }
    }
}

END

$t->run();

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

my $second = Test::RTMP->new()->ready();
$status = $second->publish('perl');
is($status->{code}, 'NetStream.Publish.BadName', 'a second publisher of the name is refused');
is($status->{level}, 'error', 'with an error');
$second->abort();

# a player

my $player = Test::RTMP->new()->ready();
is($player->play('perl')->{code}, 'NetStream.Play.Start', 'play');
$c->go_live(colour => 'azure');
ok(Test::RTMP::wait_until(sub { $player->received('video') > 3 }, 3), 'a live client sends in real time');
is(($player->received('video'))[-1]{payload} eq Test::RTMP::Media::video_frame('azure', 0)
    || ($player->received('video'))[-1]{payload} eq Test::RTMP::Media::video_frame('azure', 1), 1,
    'and the player has its picture');
$c->stop_media();
$c->close_stream();
is($c->wait_status(2, qr/Unpublish/)->{code}, 'NetStream.Unpublish.Success', 'closeStream');
is($c->publish('perl')->{code}, 'NetStream.Publish.Start', 'publish again on the same connection');
my $before = $player->received('video');
$c->send_media(1, colour => 'rose');
ok(Test::RTMP::wait_until(sub { $player->received('video') >= $before + 10 }, 3), 'its media begins again');
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
Test::RTMP::wait_until(sub { !grep { !$_->statuses() } @clients });
my @codes = map { map { $_->{code} } $_->statuses() } @clients;
is(grep({ $_ eq 'NetStream.Publish.Start' } @codes), 1, 'of twelve at once one is live');
is(grep({ $_ eq 'NetStream.Publish.BadName' } @codes), 11, 'and eleven are refused');
$_->close() for @clients;

###############################################################################

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
