#!/usr/bin/perl

# A stream ends while the operator's application holds its database, and its worker goes before it
# could tell of the end: the application hears of it all the same.  A worker that a reload has replaced
# waits, because nobody waits for it; for one that has waited long enough, or is killed, another one tells.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Process;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('sqlite3')->plan(8);

my $stagedoor = Test::Stagedoor->new($t, init => 0);
my $db        = $t->testdir() . '/site.db';

$t->secret('benw-key');
$t->may_hold_secrets('site.db');
$stagedoor->sql("CREATE TABLE users (key TEXT UNIQUE, username TEXT, started_at); INSERT INTO users VALUES ('benw-key', 'benw', NULL)", $db);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

stagedoor_db       %%TESTDIR%%/site.db;
stagedoor_query    "SELECT username FROM users WHERE key = :key";
stagedoor_on_start "UPDATE users SET started_at = :now WHERE username = :username";
stagedoor_on_stop  "UPDATE users SET started_at = NULL WHERE username = :username";

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

END

$t->run();

###############################################################################

my $lock = end_behind_a_lock();
wait_for(sub { 0 }, 2);
is(scalar $stagedoor->old_workers(), 1, 'a worker that quits waits for the lock');
$lock->kill();
ok(wait_for(sub { !is_live() }, 5), 'and then tells of the end');
wait_for(sub { 0 }, 1.5);
is(scalar $stagedoor->log_lines(text => qr/is gone/), 0, 'so that no other worker has to look after it');

$lock = end_behind_a_lock();
ok(wait_for(sub { $stagedoor->log_lines(level => 'warn', text => qr/stagedoor: 1 starts and ends of streams are not written down/) }, 20),
    'but not for ever, and says so');
ok(wait_for(sub { !$stagedoor->old_workers() }, 5), 'when it goes');
is(is_live(), 1, 'so the application does not know');
$lock->kill();
ok(wait_for(sub { !is_live() }, 5), 'until the worker that has replaced it tells');

my $c = live();
$lock = hold();
$c->close();
wait_for(sub { $stagedoor->log_lines(text => qr/stagedoor: publish ended: .*username: "benw"/) == 3 }, 5) or die "benw does not end\n";
$stagedoor->kill_worker($stagedoor->workers(1));
$stagedoor->workers(1);
$lock->kill();
ok(wait_for(sub { !is_live() }, 5), 'the end of a stream whose worker is killed behind it is told, too');

###############################################################################

# A stream goes live, its worker is replaced, the database is locked, and the stream ends.
sub end_behind_a_lock {
    my $c = live();
    $t->reload();
    my $process = hold();
    $c->close();
    return $process;
}

sub live {
    my $c = Test::RTMP->new()->ready();
    $c->publish('benw-key');
    wait_for(sub { is_live() }, 5) or die "benw does not go live\n";
    return $c;
}

sub is_live { return 0 + defined(($stagedoor->sql('SELECT started_at FROM users', $db))[0]{started_at}) }

# The application, in the middle of a transaction.
sub hold {
    my $process = Test::Process->start({ timeout => 60 }, qw(sqlite3 -batch -cmd), '.timeout 5000', $db,
        'BEGIN IMMEDIATE', ".shell echo 1 >$db.held; sleep 60");
    $t->waitforfile("$db.held", $process->pid()) or die $process->output();
    unlink "$db.held";
    return $process;
}
