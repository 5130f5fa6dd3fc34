#!/usr/bin/perl

# What publishers send comes to players byte by byte, however it is cut into chunks, packets, reads and
# writes: the module reads ahead of nginx-rtmp, and sends what nginx-rtmp has queued at once.

use warnings;
use strict;

use Digest::MD5 qw(md5_hex);
use Socket qw(SOL_SOCKET SO_RCVBUF);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(22);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    access_log off;
    max_message 2m;
    server {
        listen 127.0.0.1:8935;
        chunk_size 4096;

        application live {
            live on;
            stagedoor on;
        }

    }

    server {
        listen 127.0.0.1:8936;
        chunk_size 128;

        application small {
            live on;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $seed = $ENV{TRANSFER_SEED} // time;
srand $seed;
diag("TRANSFER_SEED=$seed") if $ENV{TRANSFER_SEED};
my %key = map { $_ => $stagedoor->add($_) } map {"user$_"} 0 .. 5;
$t->run();

###############################################################################

# Each has chunks of its own size, and packets that are cut elsewhere.
my @kinds = (
    { chunk => 128,    split => undef },
    { chunk => 4096,   split => undef },
    { chunk => 4096,   split => sub { 1 + int rand 20_000 } },
    { chunk => 1000,   split => sub { rand() < 0.5 ? 1 + int rand 40 : 1 + int rand 9000 } },
    { chunk => 65_536, split => undef },
    { chunk => 16_402, split => sub { 16_402 + int rand 3 } },
);
my (@publishers, @players);
for my $index (0 .. $#kinds) {
    my $c = Test::RTMP->new()->ready();
    is($c->publish($key{"user$index"})->{code}, 'NetStream.Publish.Start', "chunks of $kinds[$index]{chunk} bytes");
    $c->set_chunk_size($kinds[$index]{chunk});
    $c->{split} = $kinds[$index]{split};
    push @publishers, $c;
    for my $is_slow (0, 1) {
        my $player = Test::RTMP->new(timeout => 20);
        setsockopt $player->{socket}, SOL_SOCKET, SO_RCVBUF, 32_768 if $is_slow;
        $player->ready();
        $player->send_play("user$index");
        push @players, { c => $player, of => $index, is_slow => $is_slow };
    }
}
Test::RTMP::wait_until(sub { !grep { !$_->{c}->statuses() } @players }, 5) or die "not all play\n";

my @sent = map { [] } @publishers;
for my $round (1 .. 30) {
    $_->{c}{deaf} = $_->{is_slow} && $round % 15 ? 1 : 0 for @players;
    for my $index (0 .. $#publishers) {
        # all sizes, and now and then exactly what a chunk has; of two, more than a slow player's connection holds
        my @sizes = map { (int rand 60, int rand 5000, 4091, 4092, int rand 100_000, $kinds[$index]{chunk} - 5)[rand 6] } 0 .. rand 3;
        for my $size (@sizes, $index % 3 == 1 ? 200_000 : ()) {
            my ($kind, $type) = rand() < 0.7 ? (video => "\x17\x01\0\0\0") : (audio => "\xaf\x01");
            my $body = $type . join '', map { chr int rand 256 } 1 .. 64;
            $body = substr $body x (1 + $size / 64), 0, $size + 5;
            push @{$sent[$index]}, [$kind, $round * 40, md5_hex($body)];
            $kind eq 'video' ? $publishers[$index]->send_video($body, $round * 40) : $publishers[$index]->send_audio($body, $round * 40);
        }
    }
    Test::RTMP::pump(0.01);
}
$_->{c}{deaf} = 0 for @players;
for my $player (@players) {
    my $sent = $sent[$player->{of}];
    my $came = sub { [map { [$_->[0], $_->[1]{timestamp}, md5_hex($_->[1]{payload})] } map { my $kind = $_; map { [$kind, $_] } $player->{c}->received($kind) } qw(audio video)] };
    Test::RTMP::wait_until(sub { @{$came->()} >= @$sent }, 20);
    my $expected = [map { my $kind = $_; grep { $_->[0] eq $kind } @$sent } qw(audio video)];
    is_deeply($came->(), $expected, ($player->{is_slow} ? 'a slow player' : 'a player') . " of user$player->{of} gets it all");
}

# a session that ends within what was read ahead of it

my $bad = Test::RTMP->new(port => port(8936), app => 'small')->ready();
$bad->publish('anybody');
my $writer = $bad->{writer};
my $picture = sub { $writer->message(csid => 6, type => 9, stream_id => 1, timestamp => $_[0], payload => "\x17\x01\0\0\0" . 'x' x 900) };
$bad->raw($picture->(0) . "\x3f\xff\xff" x 200 . $picture->(40));
ok($bad->closed_within(5), 'a session that sends what is no RTMP ends');
my $video = "\x17\x01\0\0\0" . 'y' x 9000;
my $before = $players[2]{c}->received('video');
$publishers[1]->send_video($video, 5000);
Test::RTMP::wait_until(sub { $players[2]{c}->received('video') > $before }, 5);
is(md5_hex(($players[2]{c}->received('video'))[-1]{payload}), md5_hex($video), 'and nothing of it is in the next one');

# commands between pictures

my $c = $publishers[0];
$c->send_video($video, 6000) for 1 .. 3;
ok($c->create_stream(), 'a command behind pictures is answered');
$c->delete_stream();
$c->send_video($video, 7000) for 1 .. 3;
is($c->publish($key{user0})->{code}, 'NetStream.Publish.Start', 'and so is a publish behind what is dropped');

###############################################################################
