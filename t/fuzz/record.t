#!/usr/bin/perl

# Writes down what ffmpeg, GStreamer's rtmp2sink, librtmp and a player send, for the fuzzers
# (fuzz/sessions): their first bytes, to an application that wants no key, under a name
# that stands for one.  "make fuzz-record" runs it.

use warnings;
use strict;

use IO::Select       ();
use IO::Socket::INET ();
use Test::More;

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Test::Encoder;
use Test::Nginx;
use Test::Process;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

# The handshake, the commands and the first pictures.
use constant BYTES => 6_500;

# As long as a key; the fuzzers put others in its place (crates/fuzz-net/src/recording.rs).
use constant NAME => 'THIS-IS-NOT-A-STREAM-KEY';

my $sessions = '../fuzz/sessions';
my @encoders = qw(ffmpeg rtmp2sink rtmpsink);
my $t = Test::Nginx->new()->has(qw/rtmp/)->has_daemon('ffmpeg')->has_daemon('gst-launch-1.0')
    ->plan(@encoders + 2);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application door {
            live on;
        }
    }
}

END

$t->run();

###############################################################################

my %media = (app => 'door', port => port(8936), colour => 'red', seconds => 20);

for my $encoder (@encoders) {
    $t->run_daemon(\&record, "$sessions/$encoder.bin");
    wait_for_proxy();
    my $process = Test::Encoder->$encoder(NAME, %media);
    ok(wait_for(sub { -s "$sessions/$encoder.bin" == BYTES }, 15), $encoder) or diag($process->output());
    $process->stop();
    $t->stop_daemons();
}

my $streamer = Test::RTMP->new(app => 'door')->ready();
is($streamer->publish('benw')->{code}, 'NetStream.Publish.Start', 'a stream to play');
$streamer->go_live(colour => 'red');
$t->run_daemon(\&record, "$sessions/player.bin");
wait_for_proxy();
my $player = Test::Process->start({}, qw(ffmpeg -nostdin -loglevel error -i),
    'rtmp://127.0.0.1:' . port(8936) . '/door/benw', qw(-t 2 -f null -));
ok(wait_for(sub { defined $player->exit_status() }, 30), 'a player');

###############################################################################

# A connection to the server, through which one client goes; what it sends is written down.
sub record {
    my ($file) = @_;
    open my $out, '>:raw', $file or die "$file: $!\n";
    $out->autoflush();
    my $listener = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', LocalPort => port(8936), Listen => 1, ReuseAddr => 1) or die "$!\n";
    my $client = $listener->accept();
    my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port(8935)) or die "$!\n";
    my $left   = BYTES;
    my $select = IO::Select->new($client, $server);
    while (1) {
        for my $from ($select->can_read()) {
            sysread($from, my $bytes, 65536) or return;
            if ($from == $client) {
                print $out substr $bytes, 0, $left;
                $left -= length $bytes > $left ? $left : length $bytes;
            }
            syswrite $from == $client ? $server : $client, $bytes;
        }
    }
}

# It listens; a connection that came and went would be the one that it records.
sub wait_for_proxy {
    my $port = sprintf '%04X', port(8936);
    return wait_for(sub {
        open my $fh, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!\n";
        return grep { /^\s*\d+: 0100007F:$port \S+ 0A/ } <$fh>;
    }, 5);
}
