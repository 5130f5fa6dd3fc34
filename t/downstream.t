#!/usr/bin/perl

# Everything that nginx-rtmp does with a stream, it does under the username, in the
# very application that the key was sent to.

use warnings;
use strict;

use List::Util qw(uniq);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Player qw(colours hls_url inspect playlist);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('ffmpeg')->has_daemon('ffprobe')->plan(16);

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

            push rtmp://127.0.0.1:8935/second;

            notify_method get;
            on_publish http://127.0.0.1:8080/notified;

            exec_publish sh -c "echo '$app $name [$args]' >> %%TESTDIR%%/exec_publish.log";
            exec_publish_done sh -c "echo '$app $name' >> %%TESTDIR%%/exec_publish_done.log";

            record all;
            record_path %%TESTDIR%%/record;
            exec_record_done sh -c "echo '$name $filename' >> %%TESTDIR%%/exec_record_done.log";

            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_nested on;
            hls_fragment 500ms;
            hls_playlist_length 60s;
            hls_cleanup off;    # nginx-rtmp may take the stream's directory away before its first file is there

            dash on;
            dash_path %%TESTDIR%%/dash;
            dash_nested on;
            dash_fragment 500ms;
            dash_cleanup off;
        }

        application second {
            live on;

            hls on;
            hls_path %%TESTDIR%%/second;
            hls_nested on;
            hls_fragment 500ms;
            hls_playlist_length 60s;
            hls_cleanup off;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /notified {
            return 200;
        }
    }
}

END

mkdir $t->testdir() . '/record' or die;

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');

$t->run();

###############################################################################

my $c = Test::RTMP->new()->ready();
is($c->publish("$key?token=x")->{code}, 'NetStream.Publish.Start', 'publish');
$c->go_live(colour => 'spring');

# live

ok(logged('exec_publish.log', qr/^live benw \[\]$/), 'exec: name, and no arguments');
ok(logged('access.log', qr/notified\?\S*call=publish\S*&name=benw/), 'on_publish');
for my $path ('hls', 'second') {
    my $what = $path eq 'hls' ? 'hls' : 'push, hls there';
    my $list = wait_for(sub { my $list = playlist("/$path/benw/index.m3u8"); $list && @{$list->{segments}} > 1 && $list }, 10);
    ok($list, "$what: playlist");
    is_deeply([uniq(colours(hls_url("/$path/benw/$list->{segments}[0]")))], ['spring'], "$what: pictures");
}
ok(wait_for(sub { http_get('/dash/benw/index.mpd') =~ /200 OK.*<MPD/s }, 10), 'dash: manifest');

# ended

$c->stop_media();
$c->close_stream();
is($c->wait_status(3)->{code}, 'NetStream.Unpublish.Success', 'closeStream');
ok(logged('exec_publish_done.log', qr/^live benw$/), 'exec at the end');
ok(logged('exec_record_done.log', qr/^benw benw\.flv$/), 'exec of the record');
my $seen = inspect($t->testdir() . '/record/benw.flv');
is($seen->{video} && $seen->{video}{codec}, 'h264', 'record: plays');
$c->close();
ok(logged('rtmp.log', qr/ PUBLISH "live" "benw" "" /), 'access log: name, and no arguments');
ok(logged('rtmp.log', qr/ PUBLISH "second" "benw" "" /), 'and of the second application');

# nothing else

is(join(' ', uniq(map { s{.*/}{}r =~ s/\..*//r } glob $t->testdir() . '/{hls,dash,second,record}/*')), 'benw',
    'every file and directory is called by it');
is($stagedoor->log_lines(level => 'error', text => qr/^(?!open\(\))/), 0, 'no errors but for files that were not there yet');

###############################################################################

# Whether a line comes into a file.
sub logged {
    my ($file, $pattern) = @_;
    return wait_for(sub { -e $t->testdir() . "/$file" && $t->find_in_file($file, $pattern) }, 5);
}

###############################################################################
