#!/usr/bin/perl

# A worker without a descriptor left: whoever comes is turned away, streams that are live go on, and
# publishing works again within a second of there being some; a worker that starts without any
# begins to answer as soon as it can.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Test::Faults qw(is_long row);
use Test::Nginx;
use Test::Proc qw(children);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $ROUNDS = is_long() ? 20 : 3;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('prlimit')->plan(4);

$t->allow_alert(qr/\(24: Too many open files\)|(?:accept4?|socket|open|eventfd|unlinkat?|epoll)\w*\(.*\) failed|worker_connections are not enough|no connection left|could not respawn|cannot be respawned|sendmsg|channel/);
$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
    worker_connections 512;
}

rtmp {
    access_log %%TESTDIR%%/rtmp.log;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;

            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_nested on;
            hls_fragment 1s;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen 127.0.0.1:8080;

        location /status {
            stagedoor_status;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $faults    = Test::Faults->new($t);
my ($key, $live_key) = map { $stagedoor->add($_) } qw(benw live);

$faults->run();

###############################################################################

my ($worker) = $stagedoor->workers(1);
my $live = Test::RTMP->new()->ready();
is($live->publish($live_key)->{code}, 'NetStream.Publish.Start', 'a stream that is live all the while');
$live->go_live(fps => 2);

# What is open stays open, and nothing can be opened any more, but for so many.

my (@seconds, %said, @wrong);
for my $round (1 .. $ROUNDS) {
    limit($worker, free($worker, $round % 4));
    $said{publish($key)}++ for 1 .. 3;
    $stagedoor->add("streamer$round");    # the database changes: live streams are looked at again
    wait_for(sub { 0 }, 0.6);
    $said{publish($key)}++;
    limit($worker, 1024);
    my $mended = time;
    wait_for(sub { publish($key) eq 'NetStream.Publish.Start' }, 5) or push @wrong, "round $round: no start";
    push @seconds, time - $mended;
}
diag($_) for @wrong;
row(
    subject  => 'nginx', fault => 'no descriptor left in the worker, or up to three', injected => $ROUNDS,
    expected => 'refused or not accepted; live streams go on; back within 1 s',
    seen     => join(', ', map { "$said{$_} $_" } sort keys %said),
    ok       => !@wrong && !$live->is_closed() && !grep({ !/^(?:nothing|NetStream\.(?:Failed|Publish\.Start))$/ } keys %said)
        && !grep({ $_ > 1 } @seconds) && ($stagedoor->workers(1))[0] == $worker,
    seconds  => \@seconds,
);
ok(wait_for(sub { $stagedoor->status()->{live} == 1 }, 5), 'no other stream is left in the registry');
$live->close();

# A worker whose limit is there from the start.

my $master = $stagedoor->master();
my ($met, $tried, $gone) = (0, 0, 0);
@seconds = ();
@wrong   = ();
for my $spare (2 .. 14) {
    my ($old) = $stagedoor->workers(1);
    limit($master, free($master, $spare));
    $stagedoor->kill_worker($old);
    wait_for(sub { grep { $_ != $old } $stagedoor->workers() }, 0.5);
    wait_for(sub { 0 }, 0.2);
    limit($master, 1024);
    $tried++;
    if (!children($master)) {    # nginx itself needs more, and does not try again
        $gone++;
        kill HUP => $master;
        $stagedoor->workers(1);
        next;
    }
    $met++ if publish($key) ne 'NetStream.Publish.Start';
    limit($_, 1024) for $stagedoor->workers(1);
    my $mended = time;
    wait_for(sub { publish($key) eq 'NetStream.Publish.Start' }, 5) or push @wrong, "$spare to spare: no start";
    push @seconds, time - $mended;
}
diag($_) for @wrong;
row(
    subject  => 'nginx', fault => 'a worker starts with 2 to 14 descriptors to spare', injected => $tried,
    expected => 'it refuses, and answers within 2 s of there being more',
    seen     => "$gone times nginx itself did not start the worker, $met times publishes were refused at first",
    ok       => !@wrong && $met > 0 && !grep({ $_ > 2 } @seconds), seconds => \@seconds,
);

###############################################################################

sub limit { my ($pid, $files) = @_; system('prlimit', '--pid', $pid, "--nofile=$files:4096") == 0 or diag("prlimit of $pid failed"); return }

# The limit that leaves so many descriptors to a process: they are numbers, the lowest free one first.
sub free {
    my ($pid, $spare) = @_;
    my %open = map { m{(\d+)$} => 1 } glob "/proc/$pid/fd/*";
    return (grep { !$open{$_} } 0 .. 4096)[$spare];
}

sub publish {
    my ($key) = @_;
    my $c = eval { Test::RTMP->new(timeout => 1)->ready() } or return 'nothing';
    my $status = $c->publish($key);
    $c->close();
    return $status ? $status->{code} : 'nothing';
}

###############################################################################
