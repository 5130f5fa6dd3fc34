#!/usr/bin/perl

# Streams that end with rtmp_auto_push on. nginx-rtmp leaves a name of a stream that has ended where an empty one comes
# behind it, clears the timer of a push that is being tried again when its session publishes anew, and has the
# worker's own socket share a connection with another one, which a reload frees twice. With the module no
# worker dies of it, and streams go on.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

# memory that is freed is overwritten: a worker that reads it dies
$ENV{MALLOC_PERTURB_} = 165;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(10);

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
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application open {
            live on;
        }

        application keyed {
            live on;
            stagedoor on;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(benw carol);
$t->run();
my @workers = $stagedoor->workers(2);
my ($here) = @workers;

###############################################################################

# an empty name behind another one

my @clients = map { client('open') } 1 .. 6;
$clients[0]->publish('name');
$clients[0]->close_stream();
for (@clients) {
    $_->send_publish('');
    $_->create_stream();    # answered behind that
    $_->close();
}
wait_for(sub { 0 }, 1);
is_deeply([$stagedoor->workers(2)], \@workers, 'an empty name behind another one takes no worker down');

# another stream while the push of the former one is tried again, as the socket of the other worker is gone

unlink $t->testdir() . '/nginx-rtmp.1' or die "unlink: $!\n";
my $client = client('keyed');
for (1 .. 10) {
    my $tries = tries();
    $client->publish($key{benw});
    wait_for(sub { tries() > $tries }, 5) or die "the push is not tried again\n";
    $client->close_stream();
}
is($client->publish($key{benw})->{code}, 'NetStream.Publish.Start', 'a session publishes again and again');
$client->go_live();
ok(pictures(player('benw')), 'its stream is live');
is_deeply([$stagedoor->workers(2)], \@workers, 'and no worker dies');
$client->close();

# a reload

$client = client('keyed');
is($client->publish($key{carol})->{code}, 'NetStream.Publish.Start', 'a stream begins');
$client->go_live();
my $player = player('carol');
ok(pictures($player), 'and is live');
$t->reload();
my @new = $stagedoor->workers(2);
ok(pictures($player, 20), 'behind a reload it goes on');
is_deeply([$stagedoor->old_workers()], [$here], 'in the worker that it was in');
$_->close() for $client, $player;
ok(wait_for(sub { !$stagedoor->old_workers() }, 5), 'which ends with it');
is_deeply([$stagedoor->workers(2)], \@new, 'the new ones stay');

###############################################################################

sub client { my ($app) = @_; return $stagedoor->client_on($here, app => $app) }

sub player {
    my ($name) = @_;
    my $player = client('keyed');
    $player->send_play($name);
    return $player;
}

# Whether some, or so many more, come.
sub pictures {
    my ($player, $count) = @_;
    my $before = () = $player->received('video');
    return wait_for(sub { $player->received('video') > $before + ($count // 3) }, 5);
}

# Pushes to the other worker that did not begin.
sub tries { return $t->find_in_file('error.log', qr/auto_push: connect failed/) }

###############################################################################
