#!/usr/bin/perl

# A clock that is set back and forth under live streams: they go on, streamers come and go, take
# over and are banned, and nobody stays live in the history who is not.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Test::Faults qw(is_long row);
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my @JUMPS = is_long() ? (-3600, 3600, -86_400, 86_400, -1, 1, -400 * 86_400, 400 * 86_400, -59, 0) : (-3600, 3600, 0);

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(5);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    access_log %%TESTDIR%%/rtmp.log;

    server {
        listen 127.0.0.1:8935;

        application live {
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
my $faults    = Test::Faults->new($t)->preload();
my ($key, $live_key) = map { $stagedoor->add($_) } qw(benw live);

$faults->run();

###############################################################################

my $live = Test::RTMP->new()->ready();
is($live->publish($live_key)->{code}, 'NetStream.Publish.Start', 'a stream that is live all the while');
$live->go_live(fps => 2);

my (@seconds, @wrong);
for my $jump (@JUMPS) {
    my $before = client();
    starts($before) or push @wrong, "before $jump s: no start";
    wait_for(sub { 0 }, 1.1);
    $faults->clock($jump);
    my $jumped = time;
    wait_for(sub { 0 }, 0.3);
    my $heir = client();
    starts($heir) or push @wrong, "$jump s: no takeover";
    push @seconds, time - $jumped - 0.3;
    $before->closed_within(3) or push @wrong, "$jump s: the old stream is still there";
    $stagedoor->do('ban', 'benw');
    $heir->closed_within(3) or push @wrong, "$jump s: a ban does not end it";
    $stagedoor->do('unban', 'benw');
    wait_for(sub { ($stagedoor->json('show', 'benw')->{is_live} // 1) == JSON::PP::false() }, 5) or push @wrong, "$jump s: a row is open";
    $stagedoor->status()->{live} == 1 or push @wrong, "$jump s: the registry has more than one stream";
}
diag($_) for @wrong;
row(
    subject  => 'nginx', fault => 'the clock is set back and forth, by a second up to 400 days', injected => scalar @JUMPS,
    expected => 'streams start, take over and end as ever; no row stays open; live streams go on',
    seen     => @wrong . ' wrong', ok => !@wrong && !$live->is_closed(), seconds => \@seconds,
);
$live->close();

# a worker that dies in another time than its streams began in

$faults->clock(-7200);
my $lost = client();
starts($lost);
wait_for(sub { $stagedoor->json('show', 'benw')->{is_live} }, 3);
$stagedoor->kill_worker($stagedoor->worker_of($lost));
my $died = time;
my $is_back = wait_for(sub { my $c = eval { client() } or return 0; my $started = starts($c); $c->close(); $started }, 5);
@seconds = time - $died;
my $is_closed = wait_for(sub { !grep { !defined $_->{stopped_at} } @{$stagedoor->json('sessions')} }, 5);
row(
    subject  => 'nginx', fault => 'kill -9 of a worker while the clock is two hours slow', injected => 1,
    expected => 'the encoder is back within 2 s; no row stays open',
    ok       => $is_back && $is_closed && $seconds[0] < 2, seconds => \@seconds,
);
is($stagedoor->log_lines(level => 'error'), 0, 'no error in the log');
ok(!(grep { $_->{duration} < 0 } @{$stagedoor->json('sessions')}), 'no stream has ended before it began');

###############################################################################

sub client { return Test::RTMP->new()->ready() }

sub starts { my ($c) = @_; my $status = $c->publish($key); return $status && $status->{code} eq 'NetStream.Publish.Start' }

###############################################################################
