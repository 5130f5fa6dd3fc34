#!/usr/bin/perl

# A thousand publishes on four workers, two of which are killed meanwhile: each publish is
# counted once, whichever worker says so; one that a killed worker did not answer, at most
# once. The counters outlive workers and configurations.

use warnings;
use strict;

use List::Util qw(sum sum0);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { NAMES => 20, ROUNDS => 22, KILLS => { 6 => 1, 13 => 1 } };

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(29);

# Whoever is killed inside the registry is named by nginx.
$t->allow_alert(qr/shared memory zone "stagedoor" was locked by \d+/);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 4;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;
stagedoor_timeout 300ms;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;
            stagedoor_auth_delay 0;
            stagedoor_auth_limit off;
        }

        application takeover {
            live on;
            stagedoor on;
            stagedoor_duplicate takeover;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen       127.0.0.1:8080;
        location = /status { stagedoor_status json; }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my @names = map { "streamer$_" } 1 .. NAMES;
my %key = map { $_ => $stagedoor->add($_) } @names, 'banned';
$stagedoor->do(ban => 'banned');

$t->run();

###############################################################################

my %told = map { $_ => 0 } qw(accepted invalid_key inactive already_streaming unavailable too_many_attempts);
my %reason = (
    'Invalid stream key'                      => 'invalid_key',
    'Streaming is not allowed for this account' => 'inactive',
    'Already streaming'                       => 'already_streaming',
    'Temporarily unavailable, try again'      => 'unavailable',
);
my ($asked, $unanswered) = (0, 0);
my %client;

for my $round (1 .. ROUNDS) {
    $client{$_} //= Test::RTMP->new()->ready() for @names;
    my @others = map { Test::RTMP->new()->ready() } 1 .. 10;
    my $victim = KILLS->{$round} && ($stagedoor->workers(4))[0];

    # each name on its own connection, two of the others banned and the rest without a key
    my @all = (@client{@names}, @others);
    ask($client{$_}, $key{$_}) for @names;
    ask($others[$_], $_ < 2 ? $key{banned} : "nobody$_") for 0 .. $#others;
    $stagedoor->kill_worker($victim) if $victim;
    hear(@all);

    # who is live publishes once more
    my @live = grep { ($_->{last} // '') eq 'accepted' } @client{@names};
    ask($_, $key{$names[0]}) for @live;
    hear(@live);

    $_->close_stream() for grep { !$_->is_closed() } @live;
    $_->wait_status(2, qr/Unpublish/) for grep { !$_->is_closed() } @live;
    $_->close() for @others;
    for (grep { $client{$_}->is_closed() } @names) { delete $client{$_} }
    wait_for(sub { !live() }, 5) if $victim;
}

cmp_ok($asked, '>=', 1000, 'a thousand publishes');
note("$asked publishes, $unanswered of them unanswered");
cmp_ok($unanswered, '<=', 2 * (NAMES + 10), 'the workers that were killed left some unanswered');

my $status = $stagedoor->status();
my $counted = sum(@{$status->{publishes}}{qw(accepted refused withdrawn)});
cmp_ok($counted, '>=', $asked - $unanswered, 'each publish that was answered is counted');
cmp_ok($counted, '<=', $asked, 'and none twice');
my %counted = (accepted => $status->{publishes}{accepted}, %{$status->{refusals}});
for (sort keys %told) {
    cmp_ok($counted{$_}, '>=', $told{$_}, "$_: as often as clients were told");
    cmp_ok($counted{$_}, '<=', $told{$_} + $unanswered, 'or were about to be');
}
is($status->{publishes}{refused}, sum0(values %{$status->{refusals}}), 'each refusal has a reason');

# the rest without a death in between, exactly

my %before = %told;
my $lock = $stagedoor->lock_all();
my @late = map { Test::RTMP->new()->ready() } 1 .. 3;
ask($_, $key{$names[0]}) for @late;
hear(@late);
my $gone = Test::RTMP->new()->ready();
$gone->send_publish($key{$names[0]});
$gone->flush();
$gone->close_stream();
ok(wait_for(sub { $stagedoor->status()->{publishes}{withdrawn} == 1 }, 3), 'a publish that its client takes back is counted as that');
$lock->kill();
is($told{unavailable} - $before{unavailable}, 3, 'a database that does not answer');
my $then = $stagedoor->status();
is($then->{refusals}{unavailable} - $status->{refusals}{unavailable}, 3, 'is counted');
is($then->{store}{errors} - $status->{store}{errors}, 4, 'as its errors, too, with the one that was taken back');
is($then->{store}{answers} - $status->{store}{answers}, 4, 'and as answers that took that long');
cmp_ok($then->{store}{seconds} - $status->{store}{seconds}, '>=', 0.85, 'in seconds');

# every stream has ended, as its own client or the kernel told

my $ends = sum(values %{$then->{ends}});
cmp_ok(abs($then->{publishes}{accepted} - $ends), '<=', 2, 'each stream that was accepted has ended');

# a takeover is two streams, one of which has ended

my @two = map { my $c = Test::RTMP->new(app => 'takeover')->ready(); $c->publish($key{$names[0]}); wait_for(sub { 0 }, 1.1); $c } 1 .. 2;
my $now = $stagedoor->status();
is($now->{publishes}{accepted} - $then->{publishes}{accepted}, 2, 'a takeover: two streams');
is($now->{ends}{taken_over} - $then->{ends}{taken_over}, 1, 'of which one has ended');
is($now->{live}, 1, 'and one is live');
my $ends_now = sum(values %{$now->{ends}});
$two[1]->close_stream();
# the client is told a moment before it is counted
wait_for(sub { sum(values %{$stagedoor->status()->{ends}}) > $ends_now }, 3);

# all workers say the same, before and after a reload

my @said = map { counters($stagedoor->on_worker($_, sub { return $stagedoor->status() })) } $stagedoor->workers(4);
$t->reload();
push @said, map { counters($stagedoor->on_worker($_, sub { return $stagedoor->status() })) } $stagedoor->workers(4);
is(scalar @said, 8, 'four workers, before and after a reload');
is(scalar(grep { $_ eq $said[0] } @said), 8, 'say the same');

###############################################################################

sub live { return $stagedoor->status()->{live} }

sub ask {
    my ($client, $key) = @_;
    $asked++;
    delete $client->{last};
    $client->send_publish($key);
    return;
}

# What each of them was told, unless its worker was killed.
sub hear {
    for my $client (@_) {
        my $status = $client->wait_status(3);
        if (!$status) { $unanswered++; next }
        my $told = $status->{code} eq 'NetStream.Publish.Start' ? 'accepted' : $reason{$status->{description}};
        $told{$client->{last} = $told}++;
    }
    return;
}

sub counters {
    my ($status) = @_;
    delete @$status{qw(now)};
    return JSON::PP->new->canonical->encode($status);
}

###############################################################################
