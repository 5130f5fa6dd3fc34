#!/usr/bin/perl

# rtmp_auto_push hands a stream on to the other worker under the username, never
# under the key.
#
# The test itself takes the place of the other worker, and so sees every byte that
# is sent to it: where nginx-rtmp is a module that is loaded, as Debian's is, its
# workers make these sockets, but too late to ever accept from them.

use warnings;
use strict;

use IO::Select       ();
use IO::Socket::UNIX ();
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::RTMP::AMF0 qw(amf_decode amf_encode);
use Test::RTMP::Chunk;
use Test::RTMP::Media qw(video_frame);
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(11);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

rtmp_auto_push on;
rtmp_auto_push_reconnect 100ms;
rtmp_socket_dir %%TESTDIR%%;

events {
}

rtmp {
    access_log %%TESTDIR%%/rtmp.log;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;
            stagedoor_auth_delay 0;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');

$t->run();

my ($here) = $stagedoor->workers(2);    # slot 0; the other one is 1
my $path = $t->testdir() . '/nginx-rtmp.1';
unlink $path or die "Can't unlink $path: $!\n";
my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 5) or die "Can't listen: $!\n";

###############################################################################

# a stream

my $c = $stagedoor->client_on($here);
is($c->publish("$key?token=x")->{code}, 'NetStream.Publish.Start', 'a publish');
my $pushed = other_worker();
is($pushed->{connect}{app}, 'live', 'comes to the other worker, to the same application');
is_deeply($pushed->{publish}, ['benw', 'live'], 'under the username, without arguments');
$c->go_live(colour => 'rose');
read_more($pushed) for 1 .. 20;
my %rose = map { video_frame('rose', $_) => 1 } 0, 1;
my @video = grep { $_->{type} == 9 } @{$pushed->{messages}};
cmp_ok(grep({ $rose{$_->{payload}} } @video), '>=', 1, 'with its pictures');
unlike($pushed->{bytes}, qr/\Q$key\E|token/, 'the key is in none of its bytes');
unlike(join(' ', map { $_->{payload} } @{$pushed->{messages}}), qr/\Q$key\E|token/, 'nor in its messages');

# none that is not live

is($stagedoor->client_on($here)->publish($_)->{level}, 'error', 'a refusal')
    for $key, 'WrongKeyWrongKeyWrong123';
$listener->timeout(0.5);
ok(!$listener->accept(), 'is not handed on');

# the end

$c->close_stream();
ok(wait_for(sub { read_more($pushed); $pushed->{closed} }, 5), 'its end comes to the other worker');
is($stagedoor->log_lines(text => qr/relay: create push name='benw'/), 1, 'which was told of it once');

###############################################################################

sub client { return Test::RTMP->new()->ready() }

# Accepts as the other worker would, up to the publish.
sub other_worker {
    $listener->timeout(5);
    my $socket = $listener->accept() or die "nothing is pushed\n";
    my $other = {
        socket   => $socket,
        reader   => Test::RTMP::Chunk::Reader->new(),
        writer   => Test::RTMP::Chunk::Writer->new(),
        bytes    => '',
        messages => [],
    };

    # C0 and C1; S0, S1 and S2; C2 (specification, section 5.2)
    my $hello = take($socket, 1537);
    print $socket "\x03", "\0" x 1536, substr $hello, 1;
    $socket->flush();
    take($socket, 1536);

    wait_for(sub { read_more($other); $other->{publish} }, 5);
    return $other;
}

# Reads what has come within a moment, and answers commands.
sub read_more {
    my ($other) = @_;

    my $socket = $other->{socket};
    return wait_for(sub { 0 }, 0.05) unless IO::Select->new($socket)->can_read(0.05);
    sysread $socket, my $bytes, 65536 or return $other->{closed} = 1;
    $other->{bytes} .= $bytes;
    $other->{reader}->append($bytes);
    while (my $message = $other->{reader}->message()) {
        push @{$other->{messages}}, $message;
        my $payload = $message->{payload};
        $other->{reader}->chunk_size(unpack 'N', $payload) if $message->{type} == 1;
        command($other, amf_decode($payload))              if $message->{type} == 20;
    }
    return wait_for(sub { 0 }, 0.05);
}

sub command {
    my ($other, $name, $txn, $object, @values) = @_;
    my %answer = (connect => [{}, { code => 'NetConnection.Connect.Success' }], createStream => [undef, 1]);
    $other->{$name} = $name eq 'connect' ? $object : [@values];
    return unless $answer{$name};
    my $payload = amf_encode('_result', $txn, @{$answer{$name}});
    syswrite $other->{socket}, $other->{writer}->message(csid => 3, type => 20, stream_id => 0, timestamp => 0,
        payload => $payload, fmt => 0);
    return;
}

sub take {
    my ($socket, $length) = @_;
    my $taken = '';
    while (length $taken < $length) {
        sysread $socket, $taken, $length - length $taken, length $taken or die "cut off\n";
    }
    return $taken;
}

###############################################################################
