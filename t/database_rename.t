#!/usr/bin/perl

# A database is replaced by rename while nginx has the former one open with a log
# beside it, and somebody opens the new one who never had the former open: the
# workers of a reload, the command, the successor of a worker that died; or only one
# of two workers knew of a fault before.  Each time the new database is the one
# that answers, sound and with nothing of the former, and a stream that is live
# all the while goes on.

use warnings;
use strict;

use File::Copy qw(copy);
use JSON::PP   ();
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('sqlite3')->plan(29);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

user nobody nogroup;
worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;
            stagedoor_auth_delay 0;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $db = $stagedoor->db();
my $backup = $t->testdir() . '/backup.db';
my ($live_key, $key) = map { $stagedoor->add($_) } qw(live benw);
$stagedoor->add("u$_") for 1 .. 60;
$stagedoor->sql(".backup '$backup'");
$stagedoor->give_to('nobody', 'db');

$t->run();
$stagedoor->workers(2);

my $live = Test::RTMP->new()->ready();
is($live->publish($live_key)->{code}, 'NetStream.Publish.Start', 'a stream goes live');
$live->go_live();

my $round = 0;

###############################################################################

check('reload', sub {
    $t->reload();
    wait_for(sub { 1 == $stagedoor->old_workers() }, 5); # the one that has the live stream
});

check('command', sub {
    is($stagedoor->run('ban', 'u3')->exit_status(), 0, 'command: a streamer is banned');
});
is($stagedoor->json('show', 'u3')->{is_active}, JSON::PP::false, 'command: and still is after the publishes');

# the worker without the stream that is live; its successor opens blindly
check('kill', sub {
    my $carrier = $stagedoor->worker_of($live);
    my ($worker) = grep { $_ != $carrier } $stagedoor->workers(2);
    $stagedoor->kill_worker($worker);
});

check('fault', sub { }, sub {
    $stagedoor->sql('PRAGMA user_version = 99');
    select undef, undef, undef, 0.1; # it is looked at 20 times a second
    my ($worker) = $stagedoor->workers(2);
    my $c = $stagedoor->client_on($worker);
    is($c->publish($key)->{code}, 'NetStream.Failed', 'fault: one worker has seen it');
    $c->close();
});

ok(!$live->is_closed(), 'the live stream is still there');
$live->close_stream();
ok($live->wait_status(2, qr/Unpublish/), 'and ends when it wants');
is($stagedoor->log_lines(text => qr/corrupt|malformed|was replaced|not an SQLite/), 0, 'no damage in the log');

# what is written is in the database itself soon after

$stagedoor->add('last');
ok(wait_for(sub { -z "$db-wal" || !-e "$db-wal" }, 4), 'the log of an idle database is empty');
copy($db, "$backup.idle") or die "copy: $!\n";
is(($stagedoor->sql("SELECT count(*) AS n FROM streamers WHERE username = 'last'", "$backup.idle"))[0]{n}, 1,
    'because the database holds all of it');

###############################################################################

# Puts the backup in the place of a database that has more in its log, and has
# somebody open it blindly.
sub check {
    my ($name, $open, $before) = @_;

    my $evil = $stagedoor->add('late' . $round++);
    $stagedoor->add("z$round-$_") for 1 .. 30;
    $stagedoor->do('ban', 'u7');
    ok(-s "$db-wal", "$name: the former database has a log");
    $before->() if $before;

    copy($backup, "$db.new") or die "copy: $!\n";
    $stagedoor->give_to('nobody', 'db');
    rename "$db.new", $db or die "rename: $!\n";
    $open->();
    my @workers = $stagedoor->workers(2);

    is(publish($evil, @workers), 'NetStream.Publish.BadName', "$name: a key that the new database does not hold");
    is(publish($key, @workers), 'NetStream.Publish.Start', "$name: one that it holds");
    ok(!grep({ /late|^z/ } map { $_->{username} } @{$stagedoor->json('list')}), "$name: nothing of the former is in it");
    is(($stagedoor->sql('PRAGMA integrity_check'))[0]{integrity_check}, 'ok', "$name: it is sound");
    return;
}

# What these workers tell the streamer; a stream that is accepted ends again.
sub publish {
    my ($key, @workers) = @_;
    my %said;
    for my $worker (@workers) {
        my $c = $stagedoor->client_on($worker);
        my $code = $c->publish($key)->{code};
        $said{$code} = 1;
        $c->close_stream() if $code eq 'NetStream.Publish.Start';
        $c->wait_status(2, qr/Unpublish/) if $code eq 'NetStream.Publish.Start';
        $c->close();
    }
    return join ', ', sort keys %said;
}

###############################################################################
