#!/usr/bin/perl

# A storm of reloads under streams that began in many generations of workers: none of them, and
# none of their viewers, loses a picture.

use warnings;
use strict;

use List::Util qw(min sum);
use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Test::Faults qw(is_long row);
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my ($RELOADS, $STREAMS) = is_long() ? (200, 50) : (20, 10);

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(3);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

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
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen 127.0.0.1:8080;

        location /status {
            stagedoor_status;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $faults    = Test::Faults->new($t);
my @keys      = map { $stagedoor->add("streamer$_") } 1 .. $STREAMS;

$faults->run();

###############################################################################

# Two streams and their viewers begin in each of the first generations.

my (@streams, @players, @seconds, @wrong);
for my $reload (1 .. $RELOADS) {
    for (1 .. 2) {
        next if @streams == $STREAMS;
        my $at = @streams;
        my $begun = time;
        my $stream = Test::RTMP->new()->ready();
        my $code = $stream->publish($keys[$at])->{code};
        push @wrong, "stream $at: $code" if $code ne 'NetStream.Publish.Start';
        push @seconds, time - $begun;
        my $player = Test::RTMP->new()->ready();
        $player->play('streamer' . ($at + 1));
        $stream->go_live(fps => 2, audio => 0);
        push @streams, $stream;
        push @players, $player;
    }
    $t->reload();
}
my $generations = $stagedoor->old_workers();
my $live = $stagedoor->status()->{live};

wait_for(sub { 0 }, 1);
$_->stop_media() for @streams;
wait_for(sub { !grep { pictures_of($players[$_]) < $streams[$_]->pictures() } 0 .. $#streams }, 15);
my $sent = sum(map { $_->pictures() } @streams);
my $lost = sum(map { $streams[$_]->pictures() - pictures_of($players[$_]) } 0 .. $#streams);
my $closed = grep { $_->is_closed() } @streams, @players;
diag($_) for @wrong;
row(
    subject  => 'nginx', fault => "$RELOADS reloads under $STREAMS live streams of " . min($generations, $STREAMS) . ' generations of workers',
    injected => $RELOADS, expected => 'no stream ends and no picture is lost; publishes are accepted all the while',
    seen     => "$live live, $closed sessions ended, $lost of $sent pictures lost",
    ok       => !@wrong && $live == $STREAMS && !$closed && $lost == 0 && $sent > $STREAMS, seconds => \@seconds,
);
is((Test::RTMP->new()->ready()->publish($keys[0]) // {})->{description}, 'Already streaming', 'the last generation knows the first one');
$_->close() for @players, @streams;
ok(wait_for(sub { !$stagedoor->old_workers() && $stagedoor->status()->{live} == 0 }, 20), 'old workers end with their streams');

###############################################################################

# Configurations apart.
sub pictures_of { my ($player) = @_; return scalar grep { substr($_->{payload}, 1, 1) eq "\x01" } $player->received('video') }

###############################################################################
