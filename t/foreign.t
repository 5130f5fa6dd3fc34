#!/usr/bin/perl

# A database of the operator's own application, left as it is: its keys let in, its
# accounts rule over streams that are live, and it is told who is live, on whichever
# worker and however a stream ends.  With a rollback journal and with a log.

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

my @clients;
my $WORKERS = 4;
my $TIME    = qr/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('sqlite3')->plan(2 * 37);

my $stagedoor = Test::Stagedoor->new($t, init => 0);

for my $journal (qw(delete wal)) {
    note("journal mode $journal");
    my $site   = site($journal);
    my $schema = dump_schema($site);
    $t->run();
    my @workers = $stagedoor->workers($WORKERS);
    is_deeply([live($site)], [], 'who was live when nginx stopped is not any more');

    # in and out

    is(on($workers[0])->publish('benw-key')->{code}, 'NetStream.Publish.Start', 'a key of the application');
    like(soon_live($site, 'benw'), $TIME, 'which is told the time');
    is(on($workers[0])->play('benw')->{code}, 'NetStream.Play.Start', 'viewers see the username');
    is(refusal($workers[1], 'benw-key'), 'NetStream.Publish.BadName: Already streaming', 'one stream each');
    is(refusal($workers[1], 'nobodys-key'), 'NetStream.Publish.BadName: Invalid stream key', 'nobody\'s key');
    is(refusal($workers[1], 'gone-key'), 'NetStream.Publish.Denied: Streaming is not allowed for this account', 'an inactive account');
    is(refusal($workers[1], "benw-key' OR '1'='1"), 'NetStream.Publish.BadName: Invalid stream key', 'no SQL is made of a key');
    hang_up();
    is(soon_idle($site, 'benw'), 1, 'the application hears of the end');

    # rows that cannot be used

    for my $case (
        ["INSERT INTO keys VALUES ('twin-key', 1), ('twin-key', 2)", 'twin-key', 'more than one row'],
        ["INSERT INTO keys VALUES ('null-key', 9)", 'null-key', 'NULL for "username", expected text'],
        ["INSERT INTO keys VALUES ('dots-key', 8)", 'dots-key',
            'a "username" that cannot be one: a username cannot start with "." or "-"'],
        ["INSERT INTO keys VALUES ('odd-key', 7)", 'odd-key', 'text for "is_active", expected 1 or 0'],
    ) {
        my ($sql, $key, $why) = @$case;
        $stagedoor->sql($sql, $site->{db});
        is(refusal($workers[2], $key), 'NetStream.Failed: Temporarily unavailable, try again', "refused: $why");
        my $tag = Test::Stagedoor::key_tag($key);
        is(scalar $stagedoor->log_lines(level => 'warn', text => qr/gives stagedoor_query \Q$why\E\), app: "live", key: $tag/) >= 1, 1, 'and logged');
    }

    # the application changes its mind

    ends($site, $workers[1], 'zoe', "UPDATE users SET is_active = 0 WHERE name = 'zoe'",
        'Streaming is not allowed for this account', 'banned');
    $stagedoor->sql("UPDATE users SET is_active = 1 WHERE name = 'zoe'", $site->{db});
    ends($site, $workers[2], 'zoe', "UPDATE keys SET key = 'zoe-new' WHERE key = 'zoe-key'", 'Stream key was replaced', 'key replaced');
    is(refusal($workers[2], 'zoe-key'), 'NetStream.Publish.BadName: Invalid stream key', 'the old key is nobody\'s');
    is(on($workers[3])->publish('zoe-new')->{code}, 'NetStream.Publish.Start', 'the new one works');
    soon_live($site, 'zoe');
    hang_up();
    soon_idle($site, 'zoe');
    $stagedoor->sql("UPDATE keys SET key = 'zoe-key' WHERE key = 'zoe-new'", $site->{db});
    ends($site, $workers[0], 'zoe', "UPDATE users SET name = 'zora' WHERE name = 'zoe'", 'Stream key was replaced', 'key replaced', 'zora');
    $stagedoor->sql("INSERT INTO users VALUES (20, 'anna', 1, NULL); INSERT INTO keys VALUES ('anna-key', 20)", $site->{db});
    is(on($workers[0])->publish('anna-key')->{code}, 'NetStream.Publish.Start', 'a new account');

    # a takeover leaves the account live; a worker that dies does not

    soon_live($site, 'anna');
    wait_for(sub { 0 }, 1.1);
    my $heir = on($workers[1], 'takeover');
    is($heir->publish('anna-key')->{code}, 'NetStream.Publish.Start', 'a takeover by another worker');
    wait_for(sub { 0 }, 0.5);
    like(live_since($site, 'anna'), $TIME, 'is no end');
    $stagedoor->kill_worker($workers[1]);
    is(soon_idle($site, 'anna'), 1, 'a worker that dies is one');

    is(($stagedoor->sql('PRAGMA journal_mode', $site->{db}))[0]{journal_mode}, $journal, 'the journal is as it was');
    is(dump_schema($site), $schema, 'and the schema');
    is($stagedoor->log_lines(level => 'error', text => qr/stagedoor/), 0, 'no error in the log');
    $t->stop();
}

###############################################################################

# A client of this worker, until hang_up().
sub on {
    my ($worker, $app) = @_;
    my $c = $stagedoor->on_worker($worker, sub { Test::RTMP->new(app => $app // 'live')->ready() });
    push @clients, $c;
    return $c;
}

sub hang_up {
    $_->close() for splice @clients;
    return;
}

# What the answer to a key says.
sub refusal {
    my ($worker, $key) = @_;
    my $status = on($worker)->publish($key);
    return "$status->{code}: $status->{description}";
}

# Publishes, changes the database, and looks how the stream ends: what its publisher is
# told, that it is cut off within a second, what the log says and the application hears.
sub ends {
    my ($site, $worker, $username, $sql, $description, $reason, $renamed) = @_;
    my $c = on($worker);
    $c->publish("$username-key");
    soon_live($site, $username);
    $stagedoor->sql($sql, $site->{db});
    my $changed = time;
    my $status  = $c->wait_status(3, qr/^NetStream\.Publish\.(?!Start)/);
    is("$status->{code}: $status->{description}", "NetStream.Publish.Denied: $description", "$sql: the publisher is told");
    $c->closed_within(3);
    cmp_ok($c->times()->{closed} - $changed, '<', 1, 'and cut off within a second');
    is(scalar $stagedoor->log_lines(text => qr/publish ended: $reason, username: "$username"/) > 0, 1, 'the log says why');
    is(soon_idle($site, $renamed // $username), 1, 'and the application hears of it') unless $renamed;
    return;
}

# Since when the application takes somebody for live.
sub live_since {
    my ($site, $username) = @_;
    my ($row) = $stagedoor->sql("SELECT started_at FROM users WHERE name = '$username'", $site->{db});
    return $row->{started_at};
}

sub soon_live { my @who = @_; return wait_for(sub { live_since(@who) }, 5) }
sub soon_idle { my @who = @_; return wait_for(sub { !defined live_since(@who) }, 5) }

sub live {
    my ($site) = @_;
    my @rows;
    wait_for(sub { !(@rows = $stagedoor->sql('SELECT name FROM users WHERE started_at IS NOT NULL', $site->{db})) }, 5);
    return @rows;
}

sub dump_schema {
    my ($site) = @_;
    return join "\n", map { $_->{sql} // '' } $stagedoor->sql('SELECT sql FROM sqlite_schema ORDER BY name', $site->{db});
}

# The application's database, where somebody is live as nginx did not live to tell.
sub site {
    my ($journal) = @_;
    my $site = { db => $t->testdir() . "/$journal.db" };
    $t->may_hold_secrets("$journal.db$_") for '', '-wal', '-journal';
    $t->secret($_) for qw(benw-key zoe-key zoe-new anna-key nobodys-key gone-key twin-key null-key dots-key odd-key);
    $stagedoor->sql(<<"END", $site->{db});
PRAGMA journal_mode = $journal;
CREATE TABLE users (id INTEGER PRIMARY KEY, name, is_active, started_at);
CREATE TABLE keys (key TEXT, user_id INTEGER);
CREATE INDEX keys_key ON keys (key);
INSERT INTO users VALUES (1, 'benw', 1, NULL), (2, 'zoe', 1, '2020-01-01 00:00:00.000000'), (3, 'gone', 0, NULL),
    (7, 'odd', 'yes', NULL), (8, '../x', 1, NULL), (9, NULL, 1, NULL);
INSERT INTO keys VALUES ('benw-key', 1), ('zoe-key', 2), ('gone-key', 3);
END
    $t->write_file_expand('nginx.conf', <<"END");

%%TEST_GLOBALS%%

daemon off;

worker_processes $WORKERS;

stagedoor_db       $site->{db};
stagedoor_query    "SELECT u.name AS username, u.is_active FROM keys k JOIN users u ON u.id = k.user_id WHERE k.key = :key";
stagedoor_on_start "UPDATE users SET started_at = :now WHERE name = :username";
stagedoor_on_stop  "UPDATE users SET started_at = NULL WHERE name = :username";
stagedoor_on_boot  "UPDATE users SET started_at = NULL";

events {
}

rtmp {
    server {
        listen 127.0.0.1:8935;

        stagedoor on;
        stagedoor_auth_delay 0;

        application live {
            live on;
        }

        application takeover {
            live on;
            stagedoor_duplicate takeover;
        }
    }
}

END
    return $site;
}
