#!/usr/bin/perl

# A database that another one replaces by rename while nginx runs answers from
# then on, ten times over; one that can only be read still admits streamers.  A
# stream that is live all the while does not lose a picture.

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

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('ffprobe')->plan(22);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

user nobody nogroup;
worker_processes 2;

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
my $db = $stagedoor->db();
my ($live_key, $key) = map { $stagedoor->add($_) } qw(live benw);
my ($digest) = map { $_->{digest} } $stagedoor->sql("SELECT hex(key_sha256) AS digest FROM streamers WHERE username = 'live'");
$stagedoor->give_to('nobody', qw(db hls));

$t->run();

my $live = Test::RTMP->new()->ready();
is($live->publish($live_key)->{code}, 'NetStream.Publish.Start', 'a stream goes live');
$live->go_live();
is(publish($key), 'NetStream.Publish.Start', 'the key of the first database');

###############################################################################

# by rename

my $new;
for my $round (1 .. 5) {
    ($new, my $old) = (replace(), $new // $key);
    is(publish($new), 'NetStream.Publish.Start', "database $round moved in: its key is good");
    is(publish($old), 'NetStream.Publish.BadName', 'that of the one before is not');
}
my @sessions = wait_for(sub {
    my @ended = grep { $_->{stopped_at} } @{$stagedoor->json('sessions', 'benw')};
    return @ended ? @ended : undef;
}, 3);
is(scalar @sessions, 1, 'the history goes to the database that is there');
is(($stagedoor->sql("pragma integrity_check"))[0]{integrity_check}, "ok", "which is sound");

# read-only, by permissions

my $directory = $t->testdir() . '/db';
chmod 0444, glob "$db*";
chmod 0555, $directory;
is(publish($new), 'NetStream.Publish.Start', 'a publish, when database and directory can be read only');
ok(wait_for(sub { $stagedoor->log_lines(level => 'warn', text => qr/session history is not written: .*stagedoor\.db" cannot be written by this user/) }, 10),
    'the log says that the history is not written');
chmod 0755, $directory;
chmod 0644, glob "$db*";
ok(wait_for(sub { $stagedoor->log_lines(level => 'notice', text => qr/session history is written again/) }, 10),
    'and when it is again');
ok(wait_for(sub { 2 == grep { $_->{stopped_at} } @{$stagedoor->json('sessions', 'benw')} }, 10), 'nothing of it is missing');

# the stream that was live all the while

ok(!$live->is_closed(), 'the live stream is still there');
$live->stop_media();
$live->close_stream();
ok($live->wait_status(2, qr/Unpublish/), 'and ends when it wants');
is(pictures($t->testdir() . '/hls/live'), $live->pictures(), 'not one of its pictures is lost');
is($stagedoor->log_lines(level => 'error'), 0, 'no error in the log');

###############################################################################

# Moves a database over the one in use, with the streamer who is live and a key of
# its own for benw.
sub replace {
    my $next = bless { %$stagedoor, db => "$db.next" }, ref $stagedoor;
    $next->init();
    $next->sql("INSERT INTO streamers (username, key_sha256, created_at, key_changed_at) VALUES ('live', x'$digest', '', '')");
    my $key = $next->add('benw');
    $stagedoor->give_to('nobody', 'db');
    rename "$db.next", $db or die "rename: $!\n";
    return $key;
}

# What the streamer is told; one that is accepted ends again.
sub publish {
    my $c = Test::RTMP->new()->ready();
    my $code = $c->publish(@_)->{code};
    $c->close_stream() if $code eq 'NetStream.Publish.Start';
    $c->wait_status(2, qr/Unpublish/) if $code eq 'NetStream.Publish.Start';
    $c->close();
    return $code;
}

###############################################################################
