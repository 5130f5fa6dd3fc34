#!/usr/bin/perl

# Workers that are killed while guesses come in leave nothing locked, nobody locked out
# for longer than the limit says, and nobody with more attempts than it allows.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);
use Test::Storm;

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { KILLS => 10, BURST => 10 };

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(6);

# Whoever is killed inside the zone is named by nginx.
$t->allow_alert(qr/shared memory zone "stagedoor" was locked by \d+/);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
    worker_connections 2048;
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        stagedoor on;
        stagedoor_auth_delay 0;

        application live  { live on; stagedoor_auth_limit 1r/m; }
        application quick { live on; stagedoor_auth_limit 5r/s; }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen 127.0.0.1:8080;
        location = /status { stagedoor_status json; }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');
$t->secret(my $wrong = 'a-wrong-stream-key');

$t->run();

###############################################################################

my $began = time;
my @storms = map {
    Test::Storm->start(port => port(8935), from => '127.0.0.9', key => $wrong, count => 10_000, app => $_)
} qw(live quick);
for (1 .. KILLS) {
    my $seen = refused();
    wait_for(sub { refused() > $seen + 50 }, 2);
    $stagedoor->kill_worker(($stagedoor->workers(2))[0]);
}
is($_->wait(60), 0, 'a storm of guesses') for @storms;
my $took = time - $began;

my %refused = %{$stagedoor->status()->{refusals}};
note(sprintf '%.1f s, %d looked up, %d not', $took, @refused{qw(invalid_key too_many_attempts)});
# What a worker had out when it died is not told to anybody, and counts all the same.
cmp_ok($refused{invalid_key}, '<=', 2 * BURST + $took * (5 + 1 / 60), 'over ' . KILLS . ' deaths no more than the limit are told that they are wrong');
cmp_ok($refused{too_many_attempts}, '>=', 1000, 'all others are refused');

is(publish('127.0.0.2'), 'live', 'who comes from elsewhere is let in');
ok(wait_for(sub { publish('127.0.0.9') eq 'live' }, 5), 'and the address itself, when attempts are back');

###############################################################################

sub refused {
    my $status = eval { $stagedoor->status() } // return 0;
    return $status->{refusals}{too_many_attempts};
}

sub publish {
    my ($from) = @_;
    my $client = Test::RTMP->new(from => $from, app => 'quick')->ready();
    my $status = $client->publish($key) // return 'nothing';
    return $status->{description} if $status->{level} eq 'error';
    $client->close();
    $stagedoor->wait_for_ends('benw');
    return 'live';
}

###############################################################################
