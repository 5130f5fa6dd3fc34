#!/usr/bin/perl

# The answer to a wrong key is held back, to each client by a timer of its own:
# one worker goes on serving everybody else meanwhile.

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

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(22);

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

        application live {
            live on;
        }

        application soon {
            live on;
            stagedoor_auth_delay 300ms;
        }

        application now {
            live on;
            stagedoor_auth_delay 0;
        }

        application long {
            live on;
            stagedoor_auth_delay 1m;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(benw mia zoe);
$stagedoor->do(ban => 'mia');

$t->run();

###############################################################################

# how long: no answer comes early, and they come in the order of the delays

my %at = (live => 1, soon => 0.3, now => 0);
my %client = map { $_ => Test::RTMP->new(app => $_)->ready() } keys %at;
$client{$_}->send_publish('wrong') for qw(live soon now);
wait_for(sub { !grep { !$_->statuses() } values %client }, 5);
my %status = map { $_ => ($client{$_}->statuses())[0] } keys %client;
for my $app (sort keys %at) {
    is($status{$app}{description}, 'Invalid stream key', "$app: refused");
    cmp_ok($status{$app}{at} - $client{$app}->times()->{publish}, '>=', $at{$app} - 0.005, "$app: not before its time");
}
is(join(' ', sort { $status{$a}{at} <=> $status{$b}{at} } keys %status), 'now soon live', 'the shorter the sooner');

# whom: wrong keys alone, nobody else; one minute is longer than any client here waits

my @held = map { Test::RTMP->new(app => 'long')->ready() } 1 .. 20;
$_->send_publish('wrong') for @held;
my $live = Test::RTMP->new(app => 'long')->ready();
is($live->publish($key{benw})->{code}, 'NetStream.Publish.Start', 'a good key is let in while twenty wait');
is(told($key{mia}), 'Streaming is not allowed for this account', 'an inactive streamer is told at once');
is(told($key{benw}), 'Already streaming', 'who is live already is told at once');
rename $stagedoor->db(), $stagedoor->db() . '.away' or die;
is(told($key{zoe}), 'Temporarily unavailable, try again', 'who cannot be answered is told at once');
rename $stagedoor->db() . '.away', $stagedoor->db() or die;
my $player = Test::RTMP->new(app => 'long')->ready();
is($player->play('benw')->{code}, 'NetStream.Play.Start', 'a player is served');
$live->send_media(1);
ok(wait_for(sub { $player->received('video') >= 10 }, 3), 'and gets its pictures');
is(grep({ $_->statuses() } @held), 0, 'the twenty wait');

# clients that do something meanwhile

$_->close() for @held[0 .. 9];
$_->abort() for @held[10 .. 18];
$held[19]->send_publish($key{zoe});
ok(!$held[19]->wait_status(0.3), 'a good key behind a wrong one does not shorten the wait');
is(told($key{zoe}, 'now'), undef, 'clients that left while they waited disturb nobody');

for my $close (qw(close_stream delete_stream)) {
    my $client = Test::RTMP->new()->ready();
    my $refusals = refusals();
    $client->send_publish('wrong');
    wait_for(sub { refusals() > $refusals }, 3);
    $client->$close();
    my $status = $client->wait_status(5);
    is($status->{description}, 'Invalid stream key', "$close while it waits: refused");
    cmp_ok($status->{at} - $client->times()->{publish}, '>=', 0.995, 'not before its time');
    ok($client->closed_within(3), 'and closed');
}

###############################################################################

# Refusals that were decided, also those that are held back.
sub refusals { return scalar $stagedoor->log_lines(level => 'warn', text => qr/publish refused/) }

# What a client is told of an error, undef when it is live.
sub told {
    my ($key, $app) = @_;
    my $client = Test::RTMP->new(app => $app // 'long')->ready();
    my $status = $client->publish($key) // { level => 'error', description => 'nothing' };
    return $status->{level} eq 'error' ? $status->{description} : undef;
}

###############################################################################
