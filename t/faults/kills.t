#!/usr/bin/perl

# Workers that are killed while streams begin, end, are taken over and come back on all of them;
# every other one in the middle of a change of the live registry.  A name is never live twice, and
# is free again for the encoder that comes back.

use warnings;
use strict;

use List::Util qw(sum);
use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Test::Faults qw(KILL is_long row);
use Test::Faults::Load ();
use Test::Nginx;
use Test::Proc qw(is_running);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { WORKERS => 4, LOADERS => 3, NAMES => 4 };

my $KILLS = is_long() ? 1000 : 40;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(6);

# Whoever is killed inside the registry is named by nginx.
$t->allow_alert(qr/shared memory zone "stagedoor" was locked by \d+/);
$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 4;

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
        listen 127.0.0.1:8080;

        location /status {
            stagedoor_status;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $faults    = Test::Faults->new($t);
my @names     = map { "streamer$_" } 1 .. LOADERS * NAMES;
my %key       = map { $_ => $stagedoor->add($_) } @names;
port(8935);

$faults->run();

###############################################################################

my $load = Test::Faults::Load->new($t, \%key, LOADERS);

my %kills = (anywhere => 0, inside => 0);
my $switched;
my $until = time + 1200;
while ($kills{anywhere} + $kills{inside} < $KILLS && time < $until) {
    $switched = time                         if $kills{inside} < $KILLS / 2;
    $kills{inside} < $KILLS / 2 ? kill_inside() : kill_anywhere();
}
$t->stop_daemons();

# what the encoders saw

my ($accepted, $twice, @back) = $load->seen();
my %seconds = (inside => [], anywhere => []);
push @{$seconds{$_->[0] < $switched ? 'inside' : 'anywhere'}}, $_->[1] for @back;

for my $how (['inside', 'kill -9 of a worker in the middle of a change of the live registry'], ['anywhere', 'kill -9 of a worker at any moment']) {
    row(
        subject  => 'nginx', fault => $how->[1], injected => $kills{$how->[0]},
        expected => 'the encoders are back within 2 s each; no name is live twice',
        seen     => scalar @{$seconds{$how->[0]}} . " came back, $accepted streams in all, $twice names live twice",
        ok       => $kills{$how->[0]} == $KILLS / 2 && !$twice && @{$seconds{$how->[0]}} > $KILLS / 8
            && !grep({ $_ > 2 } @{$seconds{$how->[0]}}),
        seconds  => $seconds{$how->[0]},
    );
}

# what is left of it

my %live;
wait_for(sub {
    for my $name (grep { !$live{$_} } @names) {
        my $c = Test::RTMP->new()->ready();
        $live{$name} = $c if $c->publish($key{$name})->{code} eq 'NetStream.Publish.Start';
    }
    return keys %live == @names;
}, 10);
my $refused = grep { (Test::RTMP->new()->ready()->publish($key{$_})->{description} // '') eq 'Already streaming' } @names;
row(
    subject  => 'nginx', fault => 'after all kills', injected => $KILLS,
    expected => 'every name can be live, and once',
    seen     => keys(%live) . ' of ' . @names . " names live, $refused of them refused a second time",
    ok       => keys %live == @names && $refused == @names,
);

$_->close() for values %live;
wait_for(sub { !@{$stagedoor->status()->{streams}} }, 5);
my ($in, $out) = counted();
my $rows_open;
wait_for(sub { !($rows_open = grep { $_->{is_live} } @{$stagedoor->json('list')}) }, 10);
row(
    subject  => 'nginx', fault => 'counters and history after all kills', injected => $KILLS,
    expected => 'as many ends as streams, but for one a kill at most; no row is left open',
    seen     => "$in accepted, $out ended, $rows_open rows open",
    ok       => abs($in - $out) <= $KILLS && $in >= $accepted - $KILLS
            && $in <= $accepted + @names * $KILLS && !$rows_open,
);
is(scalar $stagedoor->log_lines(level => 'error'), 0, 'no error in the log');
is(scalar $stagedoor->workers(WORKERS), WORKERS, 'all workers are there');

###############################################################################

sub kill_inside {
    my $before = $faults->fired();
    $faults->arm('registry', KILL, 1 + int rand 40);
    $faults->fires($before, 10) or die "the live registry is not used\n";
    my $pid = $faults->fired_in();
    $t->expect_kill(1);
    $kills{inside}++;
    wait_for(sub { !is_running($pid) }, 5);
    return wait_for(sub { 0 }, 0.03 + rand 0.1);
}

sub kill_anywhere {
    my @workers = $stagedoor->workers();
    return wait_for(sub { 0 }, 0.02) unless @workers;
    $stagedoor->kill_worker($workers[rand @workers]);
    $kills{anywhere}++;
    return wait_for(sub { 0 }, 0.05 + rand 0.15);
}

# Streams that began and that ended.
sub counted {
    my $status = $stagedoor->status();
    return ($status->{publishes}{accepted}, sum(values %{$status->{ends}}));
}

###############################################################################
