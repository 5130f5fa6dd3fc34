#!/usr/bin/perl

# The history of sessions: each stream has a row with its start, its end and why it
# ended, whatever became of its client, its worker or the whole server; the command
# tells the same.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Proc qw(wait_exit);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('sqlite3')->plan(29);

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
            stagedoor_auth_delay 0;
        }

        application other {
            live on;
            stagedoor on;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(anna benw carl dora);

$t->run();

###############################################################################

# a stream that runs

is_deeply([rows()], [], 'no session yet');
my $c = publish('benw', app => 'other');
my ($row) = wait_for_rows(1);
is("$row->{username} $row->{app}", 'benw other', 'a stream has its row');
like($row->{client_addr}, qr/^127\.0\.0\.1\b/, 'with the address of its client');
like($row->{started_at}, qr/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/, 'its start');
cmp_ok(abs seconds_ago($row->{started_at}), '<', 3, 'which was now');
is($row->{stopped_at} // $row->{end_reason}, undef, 'and no end');
is_deeply([map { "$_->{username} $_->{is_live}" } @{$stagedoor->json('list')}], ['anna 0', 'benw 1', 'carl 0', 'dora 0'], 'list: who is live');
is($stagedoor->json('show', 'benw')->{sessions}[0]{started_at}, $row->{started_at}, 'show: since when');

# why it ends

Test::RTMP::wait_until(sub { 0 }, 0.2);
$c->close_stream();
is(end_of(1), 'closed by client', 'closeStream');
($row) = rows();
cmp_ok($row->{stopped_at}, 'gt', $row->{started_at}, 'the end comes after the start');
publish_on($c, 'benw');
$c->delete_stream();
is(end_of(2), 'closed by client', 'publish again and deleteStream, on the same connection');
$c->close();
publish('benw')->close();
is(end_of(3), 'connection lost', 'a client that goes without a word');
publish('benw')->abort();
is(end_of(4), 'connection lost', 'one that resets its connection');
is($stagedoor->json('list')->[1]{is_live}, JSON::PP::false(), 'list: not live any more');

# what is refused has no row

for my $name ('nobody', 'x' x 300, '') { Test::RTMP->new()->ready()->publish($name) }
$stagedoor->do('ban', 'anna');
Test::RTMP->new()->ready()->publish($key{anna});
$c = publish('benw');
Test::RTMP->new()->ready()->publish($key{benw});
$c->close_stream();
end_of(5);
is(scalar rows(), 5, 'a publish that is refused has no row');

# a worker dies

$c = publish('carl');
wait_for_rows(6);
$stagedoor->kill_worker($stagedoor->worker_of($c));
is(end_of(6), 'crash', 'the death of its worker');

# the server stops

$c = publish('benw');
wait_for_rows(7);
kill TERM => $stagedoor->master();
is(end_of(7), 'server shutdown', 'a fast shutdown');
wait_exit(delete $t->{nginx}, 5);
$t->run();
is(end_of(7), 'server shutdown', 'which a new start leaves alone');
$c = publish('benw');
wait_for_rows(8);
kill QUIT => $stagedoor->master();
ok(wait_for(sub { $stagedoor->old_workers() }, 3), 'a graceful shutdown waits for its streams');
$c->close_stream();
is(end_of(8), 'closed by client', 'which end by themselves');
$c->close();
wait_exit(delete $t->{nginx}, 5);

# the whole server dies

$t->run();
my %live = map { $_ => publish($_) } qw(benw carl dora);
wait_for_rows(11);
$stagedoor->kill_server();
is(grep({ $_->{is_live} } @{$stagedoor->json('list')}), 3, 'kill -9 of the whole server leaves rows open');
$t->run();
is(end_of($_), 'crash', 'the next start closes them') for 9 .. 11;
is(grep({ $_->{is_live} } @{$stagedoor->json('list')}), 0, 'list: nobody is live');

# what the command says of it all

my @sessions = reverse @{$stagedoor->json('sessions')};
is_deeply([map { [@$_{qw(username app client_addr started_at stopped_at end_reason)}] } @sessions],
    [map { [@$_{qw(username app client_addr started_at stopped_at end_reason)}] } rows()], 'sessions: the same rows');
is_deeply([map { $_->{started_at} } @{$stagedoor->json('show', 'carl')->{sessions}}],
    [map { $_->{started_at} } @{$stagedoor->json('sessions', 'carl')}], 'show: the same, of one streamer');
is_deeply([grep { $_->{duration} < 0 || $_->{duration} > 5 } @sessions], [], 'durations are right');
is_deeply([grep { $_->{stopped_at} lt $_->{started_at} } rows()], [], 'every session ends after it began');

###############################################################################

sub rows {
    return $stagedoor->sql('select username, sessions.* from sessions
        join streamers on streamers.id = streamer_id order by started_at');
}

# Rows are written a moment after the fact.
sub wait_for_rows {
    my ($count) = @_;
    my @rows;
    wait_for(sub { @rows = rows(); @rows >= $count }, 3);
    return @rows;
}

# Why the session with that number ended.
sub end_of {
    my ($number) = @_;
    my $reason;
    wait_for(sub { $reason = ((rows())[$number - 1] // {})->{end_reason} }, 3);
    return $reason;
}

sub publish {
    my ($name, %arg) = @_;
    return publish_on(Test::RTMP->new(%arg)->ready(), $name);
}

sub publish_on {
    my ($client, $name) = @_;
    my $status = $client->publish($key{$name});
    die "$name: $status->{code}\n" if $status->{code} ne 'NetStream.Publish.Start';
    return $client;
}

sub seconds_ago {
    my ($at) = @_;
    return time - ($stagedoor->sql("select cast(strftime('%s', '$at') as integer) as s"))[0]{s};
}

###############################################################################
