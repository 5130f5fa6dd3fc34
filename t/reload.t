#!/usr/bin/perl

# Reload under a live stream, 20 times over: no picture is lost, "already live" is
# enforced by the new workers, a publish that waits for the database survives it,
# and the old worker goes when its streams have ended.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Player qw(pictures);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('ffprobe')->plan(20);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;
stagedoor_timeout 5s;

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

            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_nested on;
            hls_fragment 1s;
            hls_fragment_naming timestamp;
            hls_playlist_length 60s;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my ($key, $waiting_key, $third_key) = map { $stagedoor->add($_) } qw(benw waiting third);

$t->run();

my $live = Test::RTMP->new()->ready();
is($live->publish($key)->{code}, 'NetStream.Publish.Start', 'a stream goes live');
my $carrier = $stagedoor->worker_of($live);
my $player  = $stagedoor->client_on($carrier);
is($player->play('benw')->{code}, 'NetStream.Play.Start', 'and has a player on its worker');
$live->go_live();

###############################################################################

my ($refused, $by_new) = (0, 0);
for my $round (1 .. 20) {
    $t->reload();
    my @workers = $stagedoor->workers(2);
    my $second  = Test::RTMP->new()->ready();
    my $worker  = $stagedoor->worker_of($second) // 0;
    $by_new++ if grep { $_ == $worker } @workers;
    $refused++ if $second->publish($key)->{description} eq 'Already streaming';
    $second->close();
}
is($refused, 20, 'after each of 20 reloads a second publish of the stream is refused');
is($by_new, 20, 'by a new worker');
is_deeply([$stagedoor->old_workers()], [$carrier], 'of all old workers only the one with the stream is left');
is(publish($third_key), 'NetStream.Publish.Start', 'others publish to the new ones');

# a publish that waits for the database

my $lock    = $stagedoor->lock_all();
my $waiting = Test::RTMP->new()->ready();
$waiting->send_publish($waiting_key);
ok(!$waiting->wait_status(0.3), 'a publish waits for the database');
my $its_worker = $stagedoor->worker_of($waiting);
$t->reload();
ok(!$waiting->wait_status(0.3), 'a reload does not end the wait');
$lock->kill();
is(($waiting->wait_status(3) // {})->{code}, 'NetStream.Publish.Start', 'and the publish is accepted then');
is($stagedoor->worker_of($waiting), $its_worker, 'by the worker that had it');
is(Test::RTMP->new()->ready()->publish($waiting_key)->{description}, 'Already streaming', 'as the new ones know');
$waiting->close_stream();
$waiting->wait_status(2, qr/Unpublish/);
$waiting->close();
ok(wait_for(sub { !grep { $_ == $its_worker } $stagedoor->old_workers() }, 5), 'its worker goes when it has ended');

# the stream that was live all the while

ok(!$live->is_closed(), 'the live stream is still there');
is($stagedoor->worker_of($live), $carrier, 'with its worker');
$live->stop_media();
$live->flush();
ok(wait_for(sub { $player->received('video') == $live->pictures() + 1 }, 3), 'its player has every picture')
    or diag(scalar($player->received('video')) . ' of ' . $live->pictures());
$live->close_stream();
ok($live->wait_status(2, qr/Unpublish/), 'it ends when it wants');
is(pictures($t->testdir() . '/hls/benw'), $live->pictures(), 'the playlist has every picture');
is(publish($key), 'NetStream.Publish.Start', 'and the name is free');
$_->close() for $live, $player;
ok(wait_for(sub { !$stagedoor->old_workers() }, 5), 'no old worker is left');
wait_for(sub { !grep { !$_->{stopped_at} } @{$stagedoor->json('sessions')} }, 3);
is_deeply([sort map { "$_->{username}: $_->{end_reason}" } @{$stagedoor->json('sessions')}],
    ['benw: closed by client', 'benw: closed by client', 'third: closed by client', 'waiting: closed by client'],
    'the history has them all');

###############################################################################

# What the streamer is told; one that is accepted ends again.
sub publish {
    my $c = Test::RTMP->new()->ready();
    my $code = $c->publish(@_)->{code};
    $c->close_stream();
    $c->wait_status(2, qr/Unpublish/);
    $c->close();
    return $code;
}

###############################################################################
