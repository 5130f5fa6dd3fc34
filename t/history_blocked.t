#!/usr/bin/perl

# Streams start and end while the history cannot be written: the database is locked
# by another process for five seconds, then its disk is full.  Nobody waits for
# it, and the rows come afterwards, in order and with the right times.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $STREAMS = 6;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('sqlite3')->has_daemon('mount');
my $disk = $t->testdir() . '/db';
mkdir $disk;
plan(skip_all => 'needs a file system of its own: only root can mount one')
    if $> != 0 || system 'mount', '-t', 'tmpfs', '-o', 'size=1m,mode=0755', 'tmpfs', $disk;
$t->plan(20);

$t->write_file_expand('nginx.conf', <<'CONF');

%%TEST_GLOBALS%%

daemon off;

worker_processes 4;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;
        }
    }
}

CONF

my $stagedoor = Test::Stagedoor->new($t);
my @names = map { "s$_" } 1 .. $STREAMS;
my %key = map { $_ => $stagedoor->add($_) } @names, 'zoe';

$t->run();

###############################################################################

# one that goes on all the while

my $zoe = Test::RTMP->new()->ready();
$zoe->publish($key{zoe});
my $player = $stagedoor->on_worker($stagedoor->worker_of($zoe), sub { Test::RTMP->new()->ready() });
$player->play('zoe');
$zoe->go_live();
wait_for(sub { rows() == 1 }, 3);

blocked('locked for five seconds', 5, sub {
    my $lock = $stagedoor->lock_writes();
    return sub { $lock->kill() };
});
is($stagedoor->log_lines(level => 'warn', text => qr/history/), 0, 'a lock is nothing to speak of');

blocked('on a disk that is full', 1.5, sub {
    open my $fh, '>', "$disk/ballast" or die "ballast: $!\n";
    my $block = 'x' x 1024;
    1 while syswrite $fh, $block;
    close $fh;
    return sub { unlink "$disk/ballast" };
});
ok($stagedoor->log_lines(text => qr/session history is not written: .*stagedoor\.db" .*full/), 'a full disk is in the log');
ok(wait_for(sub { $stagedoor->log_lines(level => 'notice', text => qr/session history is written again/) }, 2), 'and its end');

is(($stagedoor->sql('PRAGMA integrity_check'))[0]{integrity_check}, 'ok', 'the database is sound');
ok(!$zoe->is_closed(), 'the other stream goes on');
my @got = map { $_->{timestamp} } $player->received('video');
is(scalar(grep { $got[$_] - $got[$_ - 1] > 110 } 2 .. $#got), 0, 'and lost no frame');
$_->close() for $zoe, $player;

###############################################################################

# Streams that start and end while it cannot be written.
sub blocked {
    my ($what, $seconds, $block) = @_;

    my $before = rows();
    my $began  = time;
    my $unblock = $block->();
    my ($worst, @order) = (0);
    while (time - $began < $seconds) {
        for my $name (@names) {
            my $c = Test::RTMP->new()->ready();
            my $sent = time;
            my $status = $c->publish($key{$name}) // {};
            push @order, $name if ($status->{code} // '') eq 'NetStream.Publish.Start';
            $worst = time - $sent if time - $sent > $worst;
            $c->send_media(0.3);
            $c->close_stream();
            $c->wait_status(2, qr/Unpublish/);
            $c->close();
        }
        wait_for(sub { 0 }, 0.3);
    }
    my $blocked = time;
    cmp_ok(scalar @order, '>=', 2 * @names, "$what: streams start and end");
    cmp_ok($worst, '<', 0.5, "$what: without waiting") or diag($worst);
    is(rows(), $before, "$what: nothing is written");
    $unblock->();
    ok(wait_for(sub { rows() == $before + @order && !open_rows() }, 4), "$what: afterwards every row is")
        or diag(rows() - $before . ' of ' . @order);
    my @rows = $stagedoor->sql("SELECT username, worker, started_at, stopped_at, end_reason FROM sessions JOIN streamers ON streamers.id = streamer_id ORDER BY sessions.id LIMIT -1 OFFSET $before");
    is_deeply([map { $_->{username} } sort { $a->{started_at} cmp $b->{started_at} } @rows], \@order, "$what: the times are those of the streams");
    is_deeply([grep { $_->{stopped_at} lt $_->{started_at} || $_->{end_reason} ne 'closed by client' } @rows], [], "$what: the ends, too");
    my %of;
    push @{$of{$_->{worker}}}, $_->{started_at} for @rows;
    is_deeply([grep { "@{$of{$_}}" ne join ' ', sort @{$of{$_}} } keys %of], [], "$what: each worker's in order");
    return;
}

sub rows { return ($stagedoor->sql('SELECT count(*) AS n FROM sessions'))[0]{n} }

# All but that of zoe.
sub open_rows { return ($stagedoor->sql('SELECT count(*) AS n FROM sessions WHERE stopped_at IS NULL'))[0]{n} - 1 }

END {
    my $status = $?;
    $t->stop() if $t;
    system 'umount', '-l', $disk if $disk;
    $? = $status;
}

###############################################################################
