#!/usr/bin/perl

# What the message guard is for, shown on nginx-rtmp as it comes: one client without a key
# takes a worker down, with all streams on it, by one message.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Proc          qw(children cpu_seconds is_running);
use Test::RTMP;
use Test::RTMP::Hostile qw(deep hostile resident @OPENINGS @TYPES);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my @hostile = hostile();
my $t = Test::Nginx->new()->has(qw/rtmp/)->plan(2 * @TYPES + @OPENINGS + @hostile);

$t->write_file_expand('nginx.conf', <<'END');

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
        application live { live on; }
    }
}

END

$t->expect_alert(qr/worker process \d+ exited on signal 11/);
$t->expect_kill(scalar grep { $_->{does} eq 'hangs' } @hostile);
$t->run();

###############################################################################

# AMF in AMF, in every type of message

for my $type (@TYPES) {
    ok(dies(sub { $_[0]->message(deep($type, 'object')) }, 0), "type $type, before connect");
    ok(dies(sub { $_[0]->message(deep($type, 'object')) }, 1), "type $type, connected");
}
for my $opening (@OPENINGS) {
    ok(dies(sub { $_[0]->message(deep(18, $opening)) }, 1), "made of $opening");
}

# what else there is

my %effect = (dies => \&dies, hangs => \&hangs, grows => \&grows, leaks => \&leaks);
for my $hostile (@hostile) {
    my ($name, $does, $send) = @$hostile{qw(name does send)};
    dies(sub { $_[0]->message(deep(20, 'object')) });    # the next has no memory of those before
    ok($effect{$does}->($send, !$hostile->{early}), "$name: the worker $does");
}

###############################################################################

sub worker {
    my $worker;
    Test::RTMP::wait_until(sub { ($worker) = grep { is_running($_) } children($t->read_file('nginx.pid') + 0) });
    return $worker;
}

# A client that has sent it.
sub client {
    my ($send, $connected) = @_;
    my $client = Test::RTMP->new(timeout => 10);
    $connected ? $client->connect() : $client->handshake();
    $send->($client);
    $client->flush();
    return $client;
}

sub dies {
    my ($send, $connected) = @_;
    my $worker = worker();
    my $client = client($send, $connected);
    return Test::RTMP::wait_until(sub { !is_running($worker) }, 10);
}

# It is at it for a second of its own time, and has to be killed.
sub hangs {
    my ($send, $connected) = @_;
    my $worker = worker();
    my $before = cpu_seconds($worker);
    my $client = client($send, $connected);
    my $hangs = Test::RTMP::wait_until(sub { cpu_seconds($worker) - $before > 1 }, 10);
    kill KILL => $worker;
    Test::RTMP::wait_until(sub { !is_running($worker) }, 5);
    return $hangs;
}

# By more than a message may have (max_message is 1 MB), and the client is still there.
sub grows {
    my ($send, $connected) = @_;
    my $worker = worker();
    my $before = resident($worker);
    my $client = client($send, $connected);
    return Test::RTMP::wait_until(sub { resident($worker) - $before > 3000 }, 10) && !$client->is_closed();
}

# It has not given it back when nobody is there any more.
sub leaks {
    my ($send, $connected) = @_;
    my $worker = worker();
    my $before = resident($worker);
    my $client = client($send, $connected);
    my $grown  = Test::RTMP::wait_until(sub { resident($worker) - $before > 20_000 }, 10);
    $client->close();
    Test::RTMP->new()->ready()->close();
    return $grown && resident($worker) - $before > 20_000;
}

###############################################################################
