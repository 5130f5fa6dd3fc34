#!/usr/bin/perl

# A publish that waits for its answer, because the database is locked: whatever its
# client does meanwhile withdraws it, and leaves nothing behind.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(key_tag wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('sqlite3')->plan(36);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;
stagedoor_timeout 1200ms;

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
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(benw zoe);

$t->run();

my ($here, $there) = $stagedoor->workers(2);

###############################################################################

# the client changes its mind, or goes away

my $withdrawn = 0;
for my $end (qw(close_stream delete_stream close abort)) {
    my $c = client();
    my $lock = $stagedoor->lock_all();
    $c->send_publish($key{zoe});
    ok(!$c->wait_status(0.2), "$end: the answer is pending");
    $c->$end();
    $withdrawn++;
    ok(wait_for(sub { $stagedoor->log_lines(level => 'notice', text => withdrawn()) == $withdrawn }, 1),
        "$end: withdrawn, and logged");
    $lock->kill();
    ok(!$c->wait_status(0.5), "$end: no answer comes") if $end =~ /stream/;
    $c = client();
    is(code($c->publish($key{zoe})), 'Start', "$end: the name is free");
    $c->close();
    $stagedoor->wait_for_ends('zoe');
}

for my $close (qw(close_stream delete_stream)) {
    my $c = client();
    my $lock = $stagedoor->lock_all();
    $c->send_publish($key{zoe});
    ok(!$c->wait_status(0.2), "$close: pending");
    $c->$close();
    $c->send_publish($key{benw});
    $lock->kill();
    is(code($c->wait_status(5)), 'Start', "$close and publish again: live");
    ok(!$c->wait_status(0.2), 'answered once');
    $c->close();
    $stagedoor->wait_for_ends('benw');
    is($stagedoor->log_lines(text => qr/publish accepted, username: "zoe"/), 4, 'under the second key alone');
}

# a second publish

my $c = client();
my $lock = $stagedoor->lock_all();
$c->send_publish($key{zoe});
is($c->publish($key{benw})->{description}, 'Already streaming', 'a second publish is refused meanwhile');
my $tag = key_tag($key{zoe});
is($stagedoor->log_lines(level => 'warn', text => qr/refused: Already streaming \(this session waits with key: $tag\)/), 1,
    'and logged');
$lock->kill();
is(code($c->wait_status(5)), 'Start', 'the first goes live');
is(client()->publish($key{zoe})->{description}, 'Already streaming', 'under its own name');

# nobody else waits

$lock = $stagedoor->lock_all();
my @waiting = map { my $on = $_; $stagedoor->client_on($on) } $here, $there;
$_->send_publish($key{benw}) for @waiting;
my $player = $stagedoor->client_on($stagedoor->worker_of($c));
is(code($player->play('zoe')), 'Start', 'a player is served meanwhile');
$c->send_media(1);
ok(wait_for(sub { $player->received('video') >= 10 }, 1), 'and the live stream goes on');
is(grep({ $_->statuses() } @waiting), 0, 'while two wait');

# as long as stagedoor_timeout

for my $client (@waiting) {
    my $status = $client->wait_status(5);
    is("$status->{code} $status->{description}", 'NetStream.Failed Temporarily unavailable, try again',
        'no answer in time: refused');
    cmp_ok($status->{at} - $client->times()->{publish}, '>=', 1.195, 'not before');
    ok($client->closed_within(3), 'and closed');
}
$lock->kill();
is(code(client()->publish($key{benw})), 'Start', 'unlocked, it is live');

###############################################################################

sub client { return Test::RTMP->new(@_)->ready() }

# The last part of a status code.
sub code { my ($status) = @_; return ($status // { code => 'nothing' })->{code} =~ s/.*\.//r }

sub withdrawn { my $tag = key_tag($key{zoe}); return qr/stagedoor: publish withdrawn, key: $tag/ }

###############################################################################
