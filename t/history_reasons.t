#!/usr/bin/perl

# Why a stream ended, with four workers: each stream has one row with the right
# reason and the right times, whatever ended it, a whole server among it.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(time);
use Time::Local qw(timegm);

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Proc qw(wait_exit);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $STREAMS = 8;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('sqlite3')->plan(43);

$t->write_file_expand('nginx.conf', <<'END');

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
            stagedoor_duplicate takeover;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my @names = map { "s$_" } 1 .. $STREAMS;
my %key = map { $_ => $stagedoor->add($_) } @names;

$t->run();

###############################################################################

# one by one

my %c = go_live();
my %ended;
ends('s1', 'closed by client', 'closeStream', sub { $c{s1}->close_stream() });
ends('s2', 'connection lost', 'a client that is gone', sub { $c{s2}->abort() });
ends('s3', 'kicked', 'kick', sub { is($stagedoor->do('kick', 's3'), "s3 is off the air\n", 'the command says when it is done') });
ends('s4', 'banned', 'ban', sub { $stagedoor->do('ban', 's4') });
ends('s5', 'key replaced', 'rotate', sub { $key{s5} = $stagedoor->rotate('s5') });
wait_for(sub { 0 }, 1);
my $taker = Test::RTMP->new()->ready();
ends('s6', 'taken over', 'a takeover', sub { $taker->publish($key{s6}) });
is($stagedoor->run('kick', 's1')->exit_status(), 1, 'nobody kicks who is not live');
like($stagedoor->run('kick', 's1')->stderr(), qr/^stagedoor: the streamer "s1" is not live\n\z/, 'and is told so');
is(Test::RTMP->new()->ready()->publish($key{s3})->{code}, 'NetStream.Publish.Start', 'a kick leaves the key good');
$stagedoor->do('unban', 's4');
is(open_rows(), 3, 'two of them are still live, and the one that took over');
$_->close() for values %c, $taker;
is(wait_for(sub { !open_rows() }, 3), 1, 'until they go');
is($stagedoor->run('kick', 's7')->exit_status(), 1, 'nobody is live');

# a worker dies, the server stops, the server dies

for my $end (
    ['the death of a worker', 'crash', sub {
        my ($c) = @_;
        my $worker = $stagedoor->worker_of($c->{s1});
        my %on = map { $_ => $stagedoor->worker_of($c->{$_}) == $worker } @names;
        $stagedoor->kill_worker($worker);
        is(wait_for(sub { 0 == grep { $on{$_} && !last_row($_)->{stopped_at} } @names }, 3), 1, 'the streams of a dead worker are closed');
        is_deeply([grep { !$on{$_} && last_row($_)->{stopped_at} } @names], [], 'and no others');
        kill KILL => my @rest = grep { $_ != $worker } $stagedoor->workers();
        $t->expect_kill(scalar @rest);
    }],
    ['nginx -s stop', 'server shutdown', sub { ended('TERM') }, 1],
    ['nginx -s quit', 'closed by client', sub {
        my ($c) = @_;
        kill QUIT => $stagedoor->master();
        ok(wait_for(sub { $stagedoor->old_workers() }, 3), 'nginx -s quit waits for the streams');
        is(open_rows(), $STREAMS, 'which go on');
        $_->close_stream() for values %$c;
        $_->wait_status(2, qr/Unpublish/) for values %$c;
        $_->close() for values %$c;
        wait_exit(delete $t->{nginx}, 5);
    }, 1],
    ['a reload', 'closed by client', sub {
        my ($c) = @_;
        $t->reload();
        is(open_rows(), $STREAMS, 'a reload lets the streams go on');
        is($stagedoor->run('kick', 's1')->exit_status(), 0, 'in reach of the command');
        is(last_row('s1')->{end_reason}, 'kicked', 'which ends one');
        $_->close_stream() for values %$c;
        $_->wait_status(2, qr/Unpublish/) for map { $c->{$_} } @names[1 .. $#names];
        $_->close() for values %$c;
    }],
    ['kill -9 of the server', 'crash', sub {
        $stagedoor->kill_server();
        is(open_rows(), $STREAMS, 'kill -9 of the server leaves rows open until the next start');
    }, 1],
) {
    my ($name, $reason, $action, $restart) = @$end;
    wait_for(sub { !open_rows() }, 3);
    my %client = go_live();
    my %before = map { $_ => last_row($_)->{id} } @names;
    my $began  = time;
    $action->(\%client);
    $t->run() if $restart;
    is(wait_for(sub { !open_rows() }, 4), 1, "$name: no row is left open");
    my @rows = map { last_row($_) } @names;
    my @reasons = grep { $_ ne $reason && $_ ne 'kicked' } map { $_->{end_reason} } @rows;
    is_deeply(\@reasons, [], "$name: $reason");
    is_deeply([grep { seconds($_->{stopped_at}) < $began - 0.01 || seconds($_->{stopped_at}) > time } @rows], [], "$name: the times are right");
    $_->close() for values %client;
}
is(($stagedoor->sql('SELECT count(*) AS n FROM sessions'))[0]{n}, 6 * $STREAMS + 2, 'one row a stream');

###############################################################################

# All of them; the history knows.
sub go_live {
    my %client = map { $_ => Test::RTMP->new()->ready() } @names;
    for my $name (@names) {
        wait_for(sub {
            my $status = $client{$name}->publish($key{$name}) // {};
            return 1 if ($status->{code} // '') eq 'NetStream.Publish.Start';
            $client{$name} = Test::RTMP->new()->ready();
            return 0;
        }, 4) or die "$name can't publish\n";
    }
    wait_for(sub { open_rows() == @names }, 3) or die "rows are missing\n";
    return %client;
}

sub ends {
    my ($name, $reason, $what, $action) = @_;
    my ($row, $began) = (last_row($name), time);
    $action->();
    my $sql = "SELECT * FROM sessions WHERE id = $row->{id}";
    wait_for(sub { ($row) = $stagedoor->sql($sql); $row->{stopped_at} }, 3);
    is($row->{end_reason}, $reason, "$what: $reason");
    my $took = seconds($row->{stopped_at} // $row->{started_at}) - $began;
    ok($took > -0.01 && $took < 1.2, "$what: at the right time") or diag("after $took s");
    return;
}

sub ended {
    my ($signal) = @_;
    kill $signal => $stagedoor->master();
    wait_exit(delete $t->{nginx}, 5);
    return;
}

sub open_rows { return ($stagedoor->sql('SELECT count(*) AS n FROM sessions WHERE stopped_at IS NULL'))[0]{n} }

sub last_row {
    my ($name) = @_;
    return ($stagedoor->sql("SELECT sessions.* FROM sessions JOIN streamers ON streamers.id = streamer_id WHERE username = '$name' ORDER BY sessions.id DESC LIMIT 1"))[0];
}

sub seconds {
    my ($time) = @_;
    my ($year, $month, $day, $hour, $minute, $second) = split /[- :]/, $time;
    return timegm(0, $minute, $hour, $day, $month - 1, $year) + $second;
}

###############################################################################
