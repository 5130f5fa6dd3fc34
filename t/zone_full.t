#!/usr/bin/perl

# The smallest zone, filled with live streams: the next publish is refused with a
# line that says what to do, nobody is disturbed, and as many get in as end.  A
# stream takes at most 512 bytes of shared memory.

use warnings;
use strict;

use Digest::SHA qw(sha256_hex);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant ZONE => 32 * 1024;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('sqlite3')->plan(15);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;
stagedoor_zone 32k;

events {
}

rtmp {
    access_log %%TESTDIR%%/rtmp.log;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = add(400);
my @names = sort keys %key;

$t->run();

###############################################################################

my (@live, $status);
while (@names) {
    my $c = Test::RTMP->new()->ready();
    $status = $c->publish($key{$names[0]});
    last if $status->{code} ne 'NetStream.Publish.Start';
    push @live, [$c, shift @names];
}

note(scalar(@live) . ' streams, ' . ZONE / (@live || 1) . ' bytes each');
cmp_ok(scalar @live, '>=', ZONE / 512, 'a stream takes at most 512 bytes of the zone');
cmp_ok(scalar @names, '>', 0, 'then the zone is full');
is($status->{code}, 'NetStream.Failed', 'a publish is refused');
is($status->{description}, 'Temporarily unavailable, try again', 'and its streamer told to try again');
my $taken = @live;
is($stagedoor->log_lines(level => 'warn', text => qr/publish refused: .*all $taken places of the live registry are taken; make stagedoor_zone larger, username: "\Q$names[0]\E"/), 1, 'the log says what to do');

# also to others, and again and again

my @refused = map { Test::RTMP->new()->ready()->publish($key{$_})->{code} } @names[0 .. 19];
is(grep({ $_ eq 'NetStream.Failed' } @refused), 20, 'so are twenty others');
is(Test::RTMP->new()->ready()->publish($key{$live[0][1]})->{description}, 'Already streaming', 'who is live is still known');
is(grep({ $_->[0]->is_closed() } @live), 0, 'nobody is disturbed');
my $player = $stagedoor->client_on($stagedoor->worker_of($live[0][0]));
$player->play($live[0][1]);
$live[0][0]->send_media(1);
ok(wait_for(sub { $player->received('video') >= 10 }, 3), 'a stream still reaches its players');

# places that become free

for my $end (1 .. 3) { (splice @live, rand @live, 1)->[0]->close() }
my $in = 0;
wait_for(sub { $in = grep { $_ } map { publish($_) } 1 .. 4; $in >= 3 }, 3);
is($in, 3, 'three end, and three get in');
is(scalar @live, $taken, 'the zone is full again');

# a worker that dies frees the places of all its streams

my $worker = $stagedoor->worker_of($live[0][0]);
my @lost = grep { $stagedoor->worker_of($_->[0]) == $worker } @live;
$stagedoor->kill_worker($worker);
ok(wait_for(sub { $stagedoor->log_lines(text => qr/worker $worker is gone; @{[scalar @lost]} of its streams/) }, 3), 'a worker dies with its streams');
@live = grep { !$_->[0]->closed_within(0.01) } @live;
cmp_ok(scalar @live, '<', $taken, 'and their places are free');
$in = 0;
for (1 .. @lost + 1) { $in++ if publish() }
is($in, scalar @lost, 'so many get in');
is(scalar $stagedoor->log_lines(level => 'error'), 0, 'no error in the log');

###############################################################################

# Streamers, by one statement: the command would take a second for each dozen.
sub add {
    my ($count) = @_;
    my %key = map { sprintf('streamer%03d', $_) => sprintf('%03d-%s', $_, 'k' x 20) } 1 .. $count;
    $t->secret(values %key);
    $stagedoor->sql('insert into streamers (username, key_sha256, created_at, key_changed_at) values '
        . join ', ', map { "('$_', x'" . sha256_hex($key{$_}) . "', '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000')" } sort keys %key);
    return %key;
}

# The next streamer goes live, or not.
sub publish {
    my $c = Test::RTMP->new()->ready();
    return 0 if $c->publish($key{$names[0]})->{code} ne 'NetStream.Publish.Start';
    push @live, [$c, shift @names];
    return 1;
}

###############################################################################
