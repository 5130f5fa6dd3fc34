#!/usr/bin/perl

# Who sends faster than a worker reads has no more than a turn of its event loop at a time, key or not: others are served
# in between.

use warnings;
use strict;

use POSIX ();
use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(4);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    access_log off;

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
my $key = $stagedoor->add('benw');
$t->run();

###############################################################################

# The shorter a message, the longer it takes to read so many bytes.
for my $length (1, 62) {
    my $flood = flood($length);
    wait_for(sub { 0 }, 1);
    my $began = time;
    my $c = Test::RTMP->new(timeout => 2);
    my $status = eval { $c->ready()->publish($key) } // {};
    is($status->{code}, 'NetStream.Publish.Start', "beside a flood of messages of $length bytes others publish");
    note(sprintf '%.1f s', time - $began);
    is(kill(0 => $flood), 1, 'all the while it goes on');
    kill KILL => $flood;
    waitpid $flood, 0;
    $c->close();
    wait_for(sub { 0 }, 0.2);
}

###############################################################################

# Sends sound without an end, of no stream; returns its process.
sub flood {
    my ($length) = @_;
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    my $c = Test::RTMP->new()->ready();
    $c->set_chunk_size(60_000);
    my $sound = 'x' x $length;
    $c->message(csid => 6, type => 8, stream_id => 1, payload => $sound);
    $c->flush();
    $c->{socket}->blocking(1);
    my $messages = "\xc6$sound" x (1_000_000 / ($length + 1));
    my $at = 0;
    while (defined(my $sent = syswrite $c->{socket}, $messages, length($messages) - $at, $at)) {
        $at = ($at + $sent) % ($length + 1);
    }
    POSIX::_exit(0);
}

###############################################################################
