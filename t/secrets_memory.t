#!/usr/bin/perl

# A worker forgets keys: once a publish is decided, no part of its key is in the memory
# of the worker, and so in no core of it, however the encoder sent it.

use warnings;
use strict;

use Digest::SHA qw(sha256_hex);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Encoder;
use Test::Nginx;
use Test::Proc qw(in_memory);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

# So many characters of a key in a row are found.
use constant PART => 8;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('ffmpeg')->has_daemon('gst-launch-1.0')->plan(50);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    access_log %%TESTDIR%%/rtmp.log;

    server {
        listen 127.0.0.1:8935;
        stagedoor on;
        stagedoor_auth_limit off;

        application live  { live on; stagedoor_auth_delay 0; }
        application held  { live on; stagedoor_auth_delay 1m; }
        application tight { live on; stagedoor_auth_delay 0; stagedoor_auth_limit 1r/m burst=1; }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(benw mia zoe ffm gst obs);
$stagedoor->do(ban => 'mia');
my $number = 0;

$t->run();

my ($worker) = $stagedoor->workers(1);

###############################################################################

my $canary = Test::RTMP->new(tc_url => 'rtmp://localhost/canary-in-memory')->ready();
cmp_ok(scalar(in_memory($worker, 'canary-in-memory')), '>=', 1, 'what is in memory is found');

# a stream from the first command to the last, in whatever pieces it comes

my %pieces = (
    'a message at a time'      => {},
    'all messages at once'     => { split => 1 << 16 },
    'seven bytes at a time'    => { split => 7 },
);
for my $how (sort keys %pieces) {
    for my $size (0, 4_096, 60_000) {
        my $what = $how . ($size ? ", in chunks of $size" : '');
        my $c = Test::RTMP->new(%{$pieces{$how}});
        $c->handshake();
        $c->set_chunk_size($size) if $size;
        $c->connect();
        $c->release_stream($key{benw});
        $c->fc_publish($key{benw});
        $c->create_stream();
        is($c->publish("$key{benw}?token=$key{obs}" . '&x' x 80)->{code}, 'NetStream.Publish.Start', $what);
        forgotten('live', @key{qw(benw obs)});
        $c->fc_unpublish($key{benw});
        $c->close_stream();
        $stagedoor->wait_for_ends('benw');
        forgotten('ended', @key{qw(benw obs)});
        $c->close();
    }
}

# publishes that are refused

my $live = Test::RTMP->new()->ready();
$live->publish($key{zoe});
$live->send_publish($key{benw});
$live->wait_status(3, qr/BadName/);
forgotten('a second publish of a session', @key{qw(zoe benw)});
for my $key (wrong(), wrong() . "\n", wrong() . 'x' x 300, $key{mia}, $key{zoe}) {
    my $c = Test::RTMP->new()->ready();
    $c->publish($key);
    forgotten('refused', $key);
    $c->send_publish($key);
    $c->closed_within(3);
    forgotten('and closed', $key);
}

my @wrong = map { wrong() } 1 .. 4;
my $held = Test::RTMP->new(app => 'held')->ready();
$held->send_publish($wrong[0]);
wait_for(sub { $stagedoor->log_lines(text => qr/app: "held"/) == 1 }, 3);
forgotten('an answer that is held back', $wrong[0]);
my $gone = Test::RTMP->new(app => 'held')->ready();
$gone->send_publish($wrong[1]);
$gone->flush();
$gone->abort();
Test::RTMP->new(app => 'tight')->ready()->publish($_) for @wrong[2, 3];
forgotten('a client that left, and too many attempts', @wrong[1 .. 3]);

# encoders

my %encoder = (ffm => 'ffmpeg', gst => 'rtmp2sink', obs => 'rtmpsink');
for my $name (sort keys %encoder) {
    my $run = $encoder{$name};
    my $encoder = Test::Encoder->$run($key{$name}, seconds => 2, timeout => 15);
    ok(wait_for(sub { $stagedoor->log_lines(text => qr/accepted, username: "$name"/) }, 10), "$run is live");
    forgotten("live by $run", $key{$name});
    $encoder->wait(15);
    $stagedoor->wait_for_ends($name);
    forgotten("ended by $run", $key{$name});
}

###############################################################################

# A key that nobody has, and no other test has tried.
sub wrong {
    my $key = substr sha256_hex('wrong' . ++$number . $$), 0, 24;
    $t->secret($key);
    return $key;
}

# Asserts that no part of these keys is in the worker's memory, nor their digest as text.
sub forgotten {
    my ($when, @keys) = @_;
    my %part;
    for my $key (@keys) {
        $part{$_} = 'key'    for map { substr $key, $_, PART } 0 .. length($key) - PART;
        $part{$_} = 'digest' for map { substr sha256_hex($key), 8 + $_, PART } 0 .. 64 - 8 - PART;
    }
    delete $part{'x' x PART};
    # A message may be answered while it is handled; the second answer comes after all of that.
    $canary->create_stream() for 1 .. 2;
    my @found = in_memory($worker, keys %part);
    return is(join(', ', map { "$part{$_->[1]} in $_->[0]" } @found), '', "forgotten: $when");
}

###############################################################################
