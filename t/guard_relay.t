#!/usr/bin/perl

# Where nginx-rtmp is the client (pull), it reads what the other server says, and that is
# guarded as well. And what encoders and relays say among themselves passes.

use warnings;
use strict;

use IO::Socket::INET ();
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Encoder;
use Test::Nginx;
use Test::Proc          qw(children is_running spawn);
use Test::RTMP;
use Test::RTMP::AMF0    qw(amf_encode);
use Test::RTMP::Chunk   ();
use Test::RTMP::Hostile qw(deep);
use Test::Stagedoor     qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my ($stock, $t) = map { Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('ffmpeg')->has_daemon('gst-launch-1.0') } 1, 2;
$t->plan(12);

$stock->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;
worker_rlimit_core 0;

load_module %%RTMP_MODULE%%;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application hostile {
            live on;
            pull rtmp://127.0.0.1:8937/live name=pulled;
        }
    }
}

END

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
        listen 127.0.0.1:8936;

        application hostile {
            live on;
            pull rtmp://127.0.0.1:8937/live name=pulled;
        }

        application live {
            live on;
            stagedoor on;
            push rtmp://127.0.0.1:8936/pushed;
        }

        application turncoat {
            live on;
            pull rtmp://127.0.0.1:8938/live name=turned;
        }

        application guessed {
            live on;
            stagedoor on;
            pull rtmp://127.0.0.1:8939/live name=guessing;
        }

        application pushed {
            live on;
            meta copy;
        }

        application pulling {
            live on;
            pull rtmp://127.0.0.1:8936/pushed;
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
my @encoders  = qw(ffmpeg rtmp2sink rtmpsink);
my %key       = map { $_ => $stagedoor->add($_) } @encoders;

$stock->expect_alert(qr/exited on signal 11/);
$_->run() for $stock, $t;
my @m = (csid => 3, stream_id => 0, timestamp => 0);
my @upstreams = (
    hostile_server(port(8937), { @m, deep(20, 'object', '_result') }),
    hostile_server(port(8938),
        map { { @m, type => 20, fmt => 0, payload => $_ } } amf_encode('_result', 1, undef, {}),
        amf_encode('_result', 2, undef, {}), amf_encode('connect', 1, { app => 'live' })),
    hostile_server(port(8939),
        map { { @m, type => 20, fmt => 0, payload => $_ } } amf_encode('_result', 1, undef, {}),
        amf_encode('_result', 2, undef, {}), amf_encode('publish', 0, undef, $stagedoor->add('guess'), 'live')),
);
END { kill TERM => @upstreams if @upstreams }

###############################################################################

# encoders, relays and players: nothing that they say is refused

my @live = map { Test::Encoder->$_($key{$_}, port => port(8936), seconds => 30) } @encoders;
for my $encoder (@encoders) {
    my $stream = wait_for(sub {
        my ($stream) = grep { $_->{username} eq $encoder } @{$stagedoor->status()->{streams}};
        return $stream && $stream->{width} && $stream;
    }, 20);
    is($stream->{width}, 160, "$encoder: its metadata has been read");
}
my $player = Test::RTMP->new(port => port(8936), app => 'pulling')->ready();
$player->play('ffmpeg');
ok(wait_for(sub { $player->received('video') > 5 && $player->received('data') }, 20),
    'a stream that was pushed and pulled is played, with metadata');
is($stagedoor->status()->{messages_refused}, 0, 'no message was refused');

# a server that answers "connect" with what is too deep

my ($worker)       = $stagedoor->workers(1);
my ($stock_worker) = children($stock->read_file('nginx.pid') + 0);
my @players = map { Test::RTMP->new(port => port($_), app => 'hostile')->ready() } 8935, 8936;
$_->send_play('pulled') for @players;
ok(wait_for(sub { !is_running($stock_worker) }, 10), 'nginx-rtmp as it comes dies of it');
ok(wait_for(sub { $stagedoor->status()->{messages_refused} }, 10), 'with the guard it is refused');

# a server that wants another application for the stream that it sends: memory has the size that the first
# one's configuration says

my $refused = $stagedoor->status()->{messages_refused};
my $viewer  = Test::RTMP->new(port => port(8936), app => 'turncoat')->ready();
$viewer->send_play('turned');
ok(wait_for(sub { $stagedoor->status()->{messages_refused} > $refused }, 10), 'one that connects back is refused as well');

# a server that publishes to the one that pulls from it

my $asks = Test::RTMP->new(port => port(8936), app => 'guessed')->ready();
$asks->send_play('guessing');
ok(wait_for(sub { $stagedoor->log_lines(text => qr/publish refused: it came from a server of a relay/) }, 10),
    'one that publishes is refused, whatever the key');
is(grep({ $_->{username} eq 'guess' } @{$stagedoor->status()->{streams}}), 0, 'and is not live');

is_deeply([$stagedoor->workers(1)], [$worker], 'by the same worker');
is(grep({ !$_->running() } @live), 0, 'and the encoders go on');

$_->stop() for @live;

###############################################################################

# Takes connections one by one, and says the same to each.
sub hostile_server {
    my ($port, @messages) = @_;

    my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port", Listen => 5, ReuseAddr => 1)
        or die "Can't listen: $!\n";
    my $writer = Test::RTMP::Chunk::Writer->new();
    my $answer = $writer->message(csid => 2, type => 1, stream_id => 0, timestamp => 0, fmt => 0,
        payload => pack 'N', 65536);
    $writer->chunk_size(65536);
    $answer .= $writer->message(%$_) for @messages;
    return spawn(sub {
        while (my $client = $server->accept()) {
            read $client, my $hello, 1 + Test::RTMP::HANDSHAKE;
            print $client "\x03", "\0" x Test::RTMP::HANDSHAKE, substr $hello, 1;
            $client->flush();
            read $client, $hello, Test::RTMP::HANDSHAKE + 1;
            print $client $answer;
            $client->flush();
            read $client, $hello, 1 << 20;
        }
    });
}

###############################################################################
