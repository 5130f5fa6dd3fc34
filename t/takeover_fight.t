#!/usr/bin/perl

# Fifty encoders that fight for one key with stagedoor_duplicate takeover: the stream
# changes once a second at most, and nobody else notices.

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

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('sqlite3')->plan(7);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 4;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;
stagedoor_timeout 1s;

events {
}

rtmp {
    server {
        listen 127.0.0.1:8935;

        live on;
        stagedoor on;
        stagedoor_duplicate takeover;

        hls on;
        hls_path %%TESTDIR%%/hls;
        hls_nested on;
        hls_fragment 500ms;
        hls_playlist_length 60s;
        hls_fragment_naming system;

        application live {
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(anna zoe);

$t->run();

###############################################################################

my $other = Test::RTMP->new()->ready();
is($other->publish($key{zoe})->{code}, 'NetStream.Publish.Start', 'another stream');
my $player = $stagedoor->on_worker($stagedoor->worker_of($other), sub { Test::RTMP->new()->ready() });
$player->play('zoe');
$other->go_live();
my $began = time;
my @fighters;
while (time - $began < 10) {
    @fighters = grep { !$_->is_closed() } @fighters;
    push @fighters, my $c = Test::RTMP->new()->ready() while @fighters < 50 && time - $began < 10;
    for my $c (grep { !$_->{sent}++ } @fighters) { $c->send_publish($key{anna}) }
    Test::RTMP::pump(0.02);
}

my $count = takeovers();
cmp_ok($count, '<=', 10, 'fifty encoders change the stream once a second at most');
cmp_ok($count, '>=', 5, 'and do change it');
note("$count takeovers, " . $stagedoor->log_lines(text => qr/Already streaming.*username: "anna"/) . ' refusals');
$_->close() for @fighters;
my @got = map { $_->{timestamp} } $player->received('video');
is(scalar(grep { $got[$_] - $got[$_ - 1] > 110 } 2 .. $#got), 0, 'the other stream lost no frame');
ok(wait_for(sub { Test::RTMP->new()->ready()->publish($key{anna})->{code} eq 'NetStream.Publish.Start' }, 3), 'the key is good afterwards');
my $rows;
wait_for(sub {
    ($rows) = $stagedoor->sql("SELECT sum(end_reason = 'taken over') AS taken FROM sessions JOIN streamers ON streamers.id = streamer_id WHERE username = 'anna'");
    return $rows->{taken} == takeovers();
}, 5);
is($rows->{taken}, takeovers(), 'the history has them all');
is($stagedoor->log_lines(level => 'error'), 0, 'no error in the log');

sub takeovers { return scalar $stagedoor->log_lines(text => qr/publish ended: taken over, username: "anna"/) }

###############################################################################
