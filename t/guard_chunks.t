#!/usr/bin/perl

# The message guard, with messages cut into chunks of every size from 1 to 128 bytes: those
# that are too deep are refused, those that encoders send are not.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::RTMP::Hostile qw(deep unharmed @OPENINGS @TYPES);
use Test::Stagedoor;

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant SIZES => 128;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(@TYPES + 6);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
        }

        # With keys somewhere, answers do not wait for the client's ACK.
        application keyed {
            live on;
            stagedoor on;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen       127.0.0.1:8080;

        location = /status { stagedoor_status; }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);

$t->run();

###############################################################################

my ($worker) = $stagedoor->workers(1);
my $streamer = Test::RTMP->new()->ready();
is($streamer->publish('stream')->{code}, 'NetStream.Publish.Start', 'a stream is live');
my $player = Test::RTMP->new()->ready();
$player->play('stream');
$streamer->go_live(colour => 'azure', fps => 25);

# what encoders send

is(scalar(grep { publishes($_) } 1 .. SIZES), SIZES, 'metadata passes in chunks of any size');

# what they do not; how it is nested, and whether somebody is connected, goes round

for my $type (@TYPES) {
    my $closed = grep { is_closed(($_ + $type) % 2, $_, deep($type, $OPENINGS[$_ % @OPENINGS])) } 1 .. SIZES;
    is($closed, SIZES, "type $type");
}

is($stagedoor->status()->{messages_refused}, @TYPES * SIZES, 'each was refused, and nothing else');
is_deeply([$stagedoor->workers(1)], [$worker], 'the worker is the same');
ok(unharmed($streamer, $player), 'each picture of the stream has reached the player');
ok(!$streamer->is_closed(), 'and it goes on');

###############################################################################

sub publishes {
    my ($size) = @_;
    my $client = Test::RTMP->new();
    $client->handshake();
    $client->shrink_chunks($size);
    $client->ready();
    my $status = $client->publish("size-$size");
    $client->send_media(0.2);
    my $deleted = $client->close_stream() && $client->wait_status(5, qr/Unpublish/);
    return $status->{code} eq 'NetStream.Publish.Start' && $deleted;
}

sub is_closed {
    my ($connected, $size, %message) = @_;
    my $client = Test::RTMP->new();
    $connected ? $client->connect() : $client->handshake();
    $client->shrink_chunks($size);
    $client->message(%message);
    return $client->closed_within(5);
}

###############################################################################
