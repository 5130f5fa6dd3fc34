#!/usr/bin/perl

# An application's own database, whose workers are killed while streams begin, end and are taken
# over: what it was told is true again when the killing is over.

use warnings;
use strict;

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

my $KILLS = is_long() ? 200 : 20;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('sqlite3')->plan(3);

$t->allow_alert(qr/shared memory zone "stagedoor" was locked by \d+/);
$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 4;

stagedoor_db %%TESTDIR%%/db/site.db;
stagedoor_query "SELECT name AS username FROM users WHERE key = :key";
stagedoor_on_start "UPDATE users SET live_since = :now WHERE name = :username";
stagedoor_on_stop "UPDATE users SET live_since = NULL WHERE name = :username";
stagedoor_on_boot "UPDATE users SET live_since = NULL";

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

END

my $stagedoor = Test::Stagedoor->new($t, init => 0);
my $faults    = Test::Faults->new($t);
my $db        = $t->testdir() . '/db/site.db';
my %key       = map { ("streamer$_" => "key-of-streamer$_") } 1 .. 12;
$t->secret(values %key)->may_hold_secrets('db/*');
$stagedoor->sql('CREATE TABLE users (name TEXT, key TEXT UNIQUE, live_since TEXT); '
    . join(' ', map { "INSERT INTO users VALUES ('$_', '$key{$_}', '2020-01-01');" } keys %key), $db);
port(8935);

$faults->run();

###############################################################################

my $load = Test::Faults::Load->new($t, \%key, 3);
for my $kill (1 .. $KILLS) {
    my $before = $faults->fired();
    $faults->arm('registry', KILL, 1 + int rand 40);
    $faults->fires($before, 10) or die "the live registry is not used\n";
    $t->expect_kill(1);
    my $pid = $faults->fired_in();
    wait_for(sub { !is_running($pid) }, 5);
    wait_for(sub { 0 }, 0.05 + rand 0.2);
}
$t->stop_daemons();
my $over = time;
is(soon(''), '', 'nobody is live any more, and the application knows');
my @seconds = time - $over;

my @half = sort((sort keys %key)[0 .. 5]);
my @clients = map { my $c = Test::RTMP->new()->ready(); $c->publish($key{$_}); $c } @half;
my $told = soon(join ' ', @half);
my ($accepted, $twice) = $load->seen();
row(
    subject  => q(nginx, an application's database), fault => 'kill -9 of a worker in the middle of a change of the live registry',
    injected => $KILLS, expected => 'what was told is true within 3 s of the last one; no name is live twice',
    seen     => "$accepted streams in all, $twice names live twice, told of: $told",
    ok       => $told eq join(' ', @half) && !$twice && $seconds[0] < 3, seconds => \@seconds,
);
$_->close() for @clients;
is(soon(''), '', 'nor afterwards');

###############################################################################

# Who is live, as the application sees it, as soon as that is these.
sub soon {
    my ($names) = @_;
    my $told;
    wait_for(sub {
        $told = join ' ', sort map { $_->{name} } $stagedoor->sql('SELECT name FROM users WHERE live_since IS NOT NULL', $db);
        return $told eq $names;
    }, 6);
    return $told;
}

###############################################################################
