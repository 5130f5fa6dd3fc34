#!/usr/bin/perl

# Many publishes of one key at once, over all workers: exactly one is live, and its
# viewers never see a picture of the others.

use warnings;
use strict;

use File::Path qw(remove_tree);
use List::Util qw(shuffle uniq);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Player qw(colours);
use Test::RTMP;
use Test::RTMP::Media qw(%COLOURS);
use Test::Stagedoor qw(wait_for);

use constant { CLIENTS => 12, WORKERS => 4, ROUNDS => 20 };

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('ffmpeg')->plan(3 * ROUNDS + 2);

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

END

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');

$t->run();

my @workers = $stagedoor->workers(WORKERS);

###############################################################################

for my $round (1 .. ROUNDS) {
    my @colours = (shuffle keys %COLOURS)[0 .. CLIENTS - 1];
    my @clients = map { my $on = $_; $stagedoor->on_worker($on, \&clients) } @workers;
    $clients[$_]{colour} = $colours[$_] for 0 .. $#clients;

    # Each sends its pictures with the publish, and does not wait to be let in.
    for my $c (shuffle @clients) {
        $c->send_publish($key);
        $c->go_live(colour => $c->{colour});
    }
    wait_for(sub { !grep { !$_->statuses() } @clients }, 5);

    my %told;
    push @{$told{"$_->[1]{code} $_->[1]{description}"}}, $_->[0] for map { [$_, ($_->statuses())[0] // {}] } @clients;
    my ($winner, @more) = @{$told{'NetStream.Publish.Start Start publishing'} // []};
    is(@more, 0, "round $round: one is live") or diag(join ', ', sort keys %told);
    is(@{$told{'NetStream.Publish.BadName Already streaming'} // []}, CLIENTS - 1, "round $round: all others are told");

    $winner->stop_media();
    $winner->send_media(1, colour => $winner->{colour});
    $winner->close_stream();
    $winner->wait_status(3, qr/Unpublish/);
    my @segments = glob $t->testdir() . '/hls/benw/*.ts';
    is_deeply([uniq(colours('concat:' . join '|', @segments))], [$winner->{colour}], "round $round: its pictures alone");

    $_->close() for @clients;
    $stagedoor->wait_for_ends('benw');
    remove_tree($t->testdir() . '/hls/benw');
}

is($stagedoor->log_lines(text => qr/publish accepted/), ROUNDS, 'accepted once a round');
my @winners = uniq(map { $_->{pid} } $stagedoor->log_lines(text => qr/publish accepted/));
cmp_ok(@winners, '>', 1, 'not always by the same worker');

###############################################################################

# As many as there are for each worker.
sub clients { return map { Test::RTMP->new()->ready() } 1 .. CLIENTS / WORKERS }

###############################################################################
