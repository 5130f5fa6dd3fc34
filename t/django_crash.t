#!/usr/bin/perl

# Deaths, with Stagedoor in front of a Django site's database: what a worker or the whole
# server leaves as live is live no longer, and its streamer gets in again.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Django;
use Test::Nginx;
use Test::Proc qw(wait_exit);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor django/)->plan(14);

my $site = Test::Django->for_example($t, 'django');
my $stagedoor = Test::Stagedoor->new($t, init => 0);
my %key;
@key{qw(benw carl)} = $site->add(qw(benw carl));

$t->run();

###############################################################################

# a worker dies

my ($first, $second) = $stagedoor->workers(2);
my $benw = live('benw', $first);
my $carl = live('carl', $second);
$stagedoor->kill_worker($first);
ok(wait_for(sub { live_are('carl') }, 5), 'kill -9 of a worker: its stream is live no longer');
$benw = live('benw');
ok(live_are(qw(benw carl)), 'and again when its streamer comes back');
ok(!$carl->is_closed(), 'the stream of the other worker goes on');

# the whole server dies

$stagedoor->kill_server();
ok(live_are(qw(benw carl)), 'kill -9 of the server: the database still has its streams');
$t->run();
ok(wait_for(sub { live_are() }, 5), 'the next start clears them');
$benw = live('benw');

# a reload is no start

$t->reload();
$carl = live('carl');
ok(live_are(qw(benw carl)), 'a reload leaves live streams live');
$_->close() for $benw, $carl;
ok(wait_for(sub { live_are() }, 5), 'until they end');

# nginx stops

$benw = live('benw');
kill TERM => $stagedoor->master();
wait_exit(delete $t->{nginx}, 10);
ok(live_are(), 'a stop of nginx leaves nobody live');

###############################################################################

# A stream that the database has, on a worker if given.
sub live {
    my ($username, $worker) = @_;
    my $client = $worker ? $stagedoor->client_on($worker, app => 'app') : Test::RTMP->new(app => 'app')->ready();
    is($client->publish($key{$username})->{code}, 'NetStream.Publish.Start', "$username publishes");
    wait_for(sub { grep { $_ eq $username } $site->live() }, 5);
    return $client;
}

sub live_are { my (@usernames) = @_; return "@{[$site->live()]}" eq "@usernames" }

###############################################################################
