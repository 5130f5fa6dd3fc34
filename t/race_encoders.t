#!/usr/bin/perl

# The same with real encoders: those that are refused show why, and leave no picture
# in the stream of the one that is live.

use warnings;
use strict;

use List::Util qw(uniq);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Encoder;
use Test::Nginx;
use Test::Player qw(colours hls_url playlist);
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('ffmpeg')->has_daemon('gst-launch-1.0')
    ->plan(10);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 4;

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

            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_nested on;
            hls_fragment 500ms;
            hls_playlist_length 60s;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /live/ {
            alias %%TESTDIR%%/hls/;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my @rounds = qw(benw zoe);
my %key = map { $_ => $stagedoor->add($_) } @rounds;
my %colour = (ffmpeg => [qw(red yellow)], rtmp2sink => [qw(lime magenta)], rtmpsink => [qw(blue cyan)]);

$t->run();
$stagedoor->workers(4);

###############################################################################

for my $username (@rounds) {
    my @racers = map {
        my $encoder = $_;
        map { { colour => $_, process => Test::Encoder->$encoder($key{$username}, colour => $_, seconds => 20) } }
            @{$colour{$encoder}}
    } sort keys %colour;

    my @refused;
    wait_for(sub { (@refused = grep { $_->{process}->output() =~ /Already streaming/ } @racers) == @racers - 1 }, 15);
    is(@refused, @racers - 1, "$username: all but one are told that they are late");
    my %is_refused = map { $_->{colour} => 1 } @refused;
    my ($winner) = grep { !$is_refused{$_->{colour}} } @racers;
    ok($winner->{process}->running(), "$username: one goes on");

    my $path = "/live/$username";
    my $list = wait_for(sub { my $list = playlist("$path/index.m3u8"); $list && @{$list->{segments}} > 3 && $list }, 10);
    ok($list, "$username: its playlist grows");
    is_deeply([uniq(map { colours(hls_url("$path/$_")) } @{$list->{segments}})], [$winner->{colour}],
        "$username: with its pictures alone");
    is($stagedoor->log_lines(text => qr/publish accepted, username: "$username"/), 1, "$username: accepted once");
    $_->{process}->stop() for @racers;
}

###############################################################################
