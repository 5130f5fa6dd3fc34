#!/usr/bin/perl

# rtmp_auto_push with session_relay, where the pushes of a session outlive its stream: when one ends then, nginx-rtmp
# sets a timer that it clears with the session's next stream. With the module no worker dies of it.

use warnings;
use strict;

use IO::Socket::UNIX ();
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(4);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

rtmp_auto_push on;
rtmp_socket_dir %%TESTDIR%%;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            session_relay on;
            stagedoor on;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');
$t->run();
my @workers = $stagedoor->workers(2);

# the test takes the place of the other worker
my $path = $t->testdir() . '/nginx-rtmp.1';
unlink $path or die "unlink: $!\n";
my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 5) or die "$path: $!\n";
$listener->timeout(5);

###############################################################################

my $client = $stagedoor->client_on($workers[0]);
is($client->publish($key)->{code}, 'NetStream.Publish.Start', 'a stream begins');
my $push = $listener->accept();
ok($push, 'and is pushed to the other worker');
$client->close_stream();
$client->create_stream();    # answered behind that
close $_ or die "close: $!\n" for $push, $listener;
unlink $path;
$client->create_stream();
is($client->publish($key)->{code}, 'NetStream.Publish.Start', 'the next one begins when that has gone');
$client->close_stream();
$client->publish($key);
$client->close();
wait_for(sub { 0 }, 0.5);
is_deeply([$stagedoor->workers(2)], \@workers, 'no worker dies');

###############################################################################
