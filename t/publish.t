#!/usr/bin/perl

# The main job: a streamer publishes with a key, viewers fetch HLS under the username.

use warnings;
use strict;

use List::Util qw(uniq);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Player qw(colours hls_url inspect playlist);
use Test::RTMP;
use Test::Stagedoor qw(key_tag wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('ffmpeg')->has_daemon('ffprobe')
    ->has_daemon('sqlite3')->plan(23);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

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
my %key = map { $_ => $stagedoor->add($_) } qw(benw zoe);

$t->run();

###############################################################################

my $c = Test::RTMP->new()->ready();
my $status = $c->publish($key{benw});
is("$status->{level} $status->{code}", 'status NetStream.Publish.Start', 'publish with a key');
my $other = Test::RTMP->new()->ready();
is($other->publish($key{zoe})->{code}, 'NetStream.Publish.Start', 'another streamer');

# viewers

my %colour = (benw => 'orange', zoe => 'azure');
$c->send_media(3, colour => $colour{benw});
$other->send_media(3, colour => $colour{zoe});
for my $username (qw(benw zoe)) {
    my $path = "/live/$username/index.m3u8";
    my $list = wait_for(sub { my $list = playlist($path); $list && @{$list->{segments}} >= 4 && $list });
    ok($list, "$username: playlist");
    is_deeply([uniq(map { colours(hls_url("/live/$username/$_")) } $list->{segments}[0])], [$colour{$username}],
        "$username: own pictures");
    my $seen = inspect(hls_url($path));
    is("$seen->{video}{codec} $seen->{audio}{codec}", 'h264 aac', "$username: plays");
    cmp_ok($seen->{video}{frames}, '>=', 20, "$username: every frame");
}
is_deeply([sort map { s{.*/}{}r } glob $t->testdir() . '/hls/*'], [qw(benw zoe)], 'nothing under any other name');

# the operator

is($stagedoor->log_lines(level => 'notice', text => qr/^stagedoor: publish accepted, username: "benw", app: "live", key: @{[key_tag($key{benw})]}, client: 127\.0\.0\.1/),
    1, 'acceptance is logged');
my ($session) = wait_for(sub { sessions('benw') }) ? sessions('benw') : ();
is("$session->{app} $session->{client_addr}", 'live 127.0.0.1', 'the history has a session');
like($session->{started_at}, qr/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/, 'with its start');
is($session->{stopped_at}, undef, 'that has not ended');

# the end

$c->close_stream();
is($c->wait_status(3)->{code}, 'NetStream.Unpublish.Success', 'closeStream');
$other->abort();
for my $end (['benw', 'closed by client'], ['zoe', 'connection lost']) {
    my ($username, $reason) = @$end;
    ok(wait_for(sub { my ($last) = sessions($username); $last->{stopped_at} }, 3), "$username: the end is noted");
    is((sessions($username))[0]{end_reason}, $reason, 'with its reason');
    is($stagedoor->log_lines(level => 'notice', text => qr/^stagedoor: publish ended: $reason, username: "$username"/), 1, 'and logged');
}
is($c->publish($key{benw}, 'record')->{code}, 'NetStream.Publish.Start', 'and live again');

###############################################################################

# The sessions of a streamer, the last first.
sub sessions {
    my ($username) = @_;
    return $stagedoor->sql('select sessions.* from sessions join streamers on streamers.id = streamer_id '
        . "where username = '$username' order by sessions.id desc");
}

###############################################################################
