#!/usr/bin/perl

# A database that is missing, empty, not a file, not SQLite, corrupt, closed to
# the workers or newer than they are: each has its line in the log, every worker
# refuses publishes while it lasts, and accepts the next one after it.  A stream
# that is live all the while does not lose a picture.

use warnings;
use strict;

use File::Copy qw(copy move);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Player qw(pictures);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('ffprobe')
    ->has_daemon('sqlite3')->plan(38);

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
my ($live_key, $key) = map { $stagedoor->add($_) } qw(live benw);
$stagedoor->give_to('nobody', qw(db hls));
my $db = $stagedoor->db();

$t->run();
my @workers = $stagedoor->workers(2);

my $live = Test::RTMP->new()->ready();
is($live->publish($live_key)->{code}, 'NetStream.Publish.Start', 'a stream goes live');
$live->go_live();
is(publish(), 'NetStream.Publish.Start', 'and another one, while the database is right');

###############################################################################

with_fault('missing', qr/stagedoor\.db" does not exist, "stagedoor init" creates it/, sub { });
with_fault('empty', qr/stagedoor\.db" is empty, "stagedoor init" sets it up/, sub { make('') });
with_fault('a directory', qr/stagedoor\.db" is not a regular file/, sub { mkdir $db or die "mkdir: $!\n" });
with_fault('text', qr/stagedoor\.db" is not an SQLite database/, sub { make("stream keys\n" x 500) });
with_fault('corrupt', qr/stagedoor\.db" is corrupt: /, sub { copy_with(100, "\xee" x 3996) });
with_fault('newer', qr/stagedoor\.db" has version 99, made by a newer Stagedoor, this one knows \d+$/,
    sub { copy_with(60, pack 'N', 99) });
with_fault("another program's", qr/stagedoor\.db" is not one of Stagedoor: it holds tables of another program/,
    sub { $stagedoor->sql('create table auth_user (id)'); chmod 0666, $db });

fault('unreadable', qr/stagedoor\.db" cannot be opened by this user: permission denied/,
    sub { chmod 0000, $db }, sub { chmod 0644, $db });

# the stream that was live all the while

ok(!$live->is_closed(), 'the live stream is still there');
$live->stop_media();
$live->close_stream();
is($live->wait_status(2, qr/Unpublish/)->{code}, 'NetStream.Unpublish.Success', 'and ends when it wants');
is(pictures($t->testdir() . '/hls/live'), $live->pictures(), 'not one of its pictures is lost');
my $row;
wait_for(sub {
    ($row) = grep { $_->{username} eq 'live' } @{$stagedoor->json('sessions')};
    $row->{stopped_at};
}, 3);
is($row->{end_reason}, 'closed by client', 'its history is complete');

###############################################################################

# Puts something else in the database's place.
sub with_fault {
    my ($name, $line, $make) = @_;
    fault($name, $line,
        sub { move($db, "$db.right") or die "move: $!\n"; $make->() },
        sub { -d $db && rmdir $db; move("$db.right", $db) or die "move: $!\n" });
    return;
}

sub fault {
    my ($name, $line, $break, $mend) = @_;

    my $before = $stagedoor->log_lines(text => $line);
    $break->();
    is(publish(), 'NetStream.Failed: Temporarily unavailable, try again', "$name: a publish is refused by each worker");
    ok(wait_for(sub { $stagedoor->log_lines(level => 'error', text => $line) == $before + @workers }, 5), "$name: each says why, once");

    my $again = () = again();
    $mend->();
    is(publish(), 'NetStream.Publish.Start', "$name: put right, the next publish is accepted");
    ok(wait_for(sub { again() == $again + @workers }, 1), "$name: each says so within a second");
    return;
}

sub again { return $stagedoor->log_lines(level => 'notice', text => qr/stagedoor\.db" is available again/) }

# What each worker tells the streamer; a stream that is accepted ends again.
sub publish {
    my %said;
    for my $worker (@workers) {
        my $c = $stagedoor->client_on($worker);
        my $status = $c->publish($key);
        my $is_live = $status->{code} eq 'NetStream.Publish.Start';
        $said{$is_live ? $status->{code} : "$status->{code}: $status->{description}"} = 1;
        $c->close_stream() if $is_live;
        $c->wait_status(10, qr/Unpublish/), $stagedoor->wait_for_ends('benw') if $is_live;
        $c->close();
    }
    return join ', ', sort keys %said;
}

sub make {
    my ($content) = @_;
    $t->write_file('db/stagedoor.db', $content);
    return;
}

# The right database, with other bytes at an offset.
sub copy_with {
    my ($offset, $bytes) = @_;
    copy("$db.right", $db) or die "copy: $!\n";
    open my $fh, '+<:raw', $db or die "open: $!\n";
    seek $fh, $offset, 0;
    print $fh $bytes;
    close $fh or die "close: $!\n";
    return;
}

###############################################################################
