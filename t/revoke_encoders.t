#!/usr/bin/perl

# A ban and a kick reach real encoders within a second, also librtmp, the library
# of OBS, which stays until it is cut off.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Encoder;
use Test::Nginx;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('ffmpeg')->has_daemon('gst-launch-1.0')->plan(18);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

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

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');

$t->run();
$stagedoor->workers(2);

###############################################################################

for my $kind (qw(ffmpeg rtmp2sink rtmpsink)) {
    for my $how (qw(ban kick)) {
        my $encoder = Test::Encoder->$kind($key);
        ok(wait_for(sub { is_live() }, 10), "$kind is live") or diag($encoder->output());
        $stagedoor->do($how, 'benw');
        my $done = time;
        ok(wait_for(sub { !$encoder->running() }, 5), "$how ends it");
        cmp_ok(time - $done, '<', 1, 'within a second');
        $stagedoor->do('unban', 'benw') if $how eq 'ban';
        wait_for(sub { !is_live() }, 3);
    }
}

###############################################################################

sub is_live { return grep { $_->{username} eq 'benw' && $_->{is_live} } @{$stagedoor->json('list')} }

###############################################################################
