#!/usr/bin/perl

# The encoders, the player and nginx's workers as the harness handles them, with
# nginx-rtmp as it comes.

use warnings;
use strict;

use List::Util qw(uniq);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Encoder;
use Test::Nginx;
use Test::Player qw(colours hls_url inspect playlist);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp/)->has_daemon('ffmpeg')->has_daemon('ffprobe')
    ->has_daemon('gst-launch-1.0')->has_daemon('sqlite3')->plan(34);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

load_module %%RTMP_MODULE%%;

events {
}

rtmp {
    access_log %%TESTDIR%%/rtmp.log;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;

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
        root         %%TESTDIR%%/hls;
    }
}

END

$t->run();

my $stagedoor = Test::Stagedoor->new($t, init => 0);

###############################################################################

# the Perl client's pictures

my $c = Test::RTMP->new()->ready();
$c->publish('perl');
is($stagedoor->worker_of($c), ($stagedoor->workers(1))[0], 'the worker that has its connection');
ok($c->send_media(3, colour => 'orange'), 'three seconds of media at once');
my $list = wait_for(sub { my $list = playlist('/perl/index.m3u8'); $list && @{$list->{segments}} >= 4 && $list });
cmp_ok(@{$list->{segments} // []}, '>=', 4, 'have their segments at once');
is_deeply([uniq(colours(hls_url("/perl/$list->{segments}[0]")))], ['orange'], 'in their colour');
my $seen = inspect(hls_url('/perl/index.m3u8'));
is($seen->{video}{codec}, 'h264', 'the video');
is($seen->{video}{width} . 'x' . $seen->{video}{height}, '32x32', 'its size');
cmp_ok($seen->{video}{frames}, '>=', 20, 'its frames');
is($seen->{audio}{codec}, 'aac', 'the sound');
cmp_ok($seen->{audio}{frames}, '>=', 80, 'its frames');

# encoders

my %colour = (ffmpeg => 'red', rtmp2sink => 'lime', rtmpsink => 'blue');
my %encoder = map { $_ => Test::Encoder->$_($_, colour => $colour{$_}) } sort keys %colour;
for my $name (sort keys %encoder) {
    my $list = wait_for(sub { my $list = playlist("/$name/index.m3u8"); $list && @{$list->{segments}} > 1 && $list }, 15);
    ok($list, "$name: segments") or diag($encoder{$name}->output());
    my $seen = inspect(hls_url("/$name/index.m3u8"));
    is("$seen->{video}{codec} $seen->{video}{width}x$seen->{video}{height} $seen->{audio}{codec}",
        'h264 160x120 aac', "$name: plays");
    is_deeply([uniq(colours(hls_url("/$name/$list->{segments}[0]")))], [$colour{$name}], "$name: colour");
    ok($stagedoor->worker_of($encoder{$name}), "$name: its worker is known");
}
my %refused = map { $_ => Test::Encoder->$_('ffmpeg') } sort keys %colour;
for my $name (sort keys %refused) {
    ok(wait_for(sub { $refused{$name}->output() =~ /Already publishing/ }, 10), "$name: says why it is refused");
}
isnt($refused{$_}->wait(5) // 0, 0, "$_: fails then") for qw(ffmpeg rtmp2sink);    # librtmp waits to be closed
is(defined $_->stop() && !$_->running(), 1, 'an encoder is stopped') for map { $encoder{$_} } sort keys %encoder;

# configurations

is(($stagedoor->config_test())[0], 0, 'a configuration that is right');
$t->write_file('wrong.conf', "events { }\nnonsense;\n");
like(join(' ', $stagedoor->config_test('wrong.conf')), qr/^1 .*nonsense.*wrong\.conf:2/s, 'one that is not');

# a worker's death

my ($worker) = $stagedoor->workers(1);
$stagedoor->kill_worker($worker);
isnt(($stagedoor->workers(1))[0], $worker, 'after a kill there is a new worker');
is($stagedoor->log_lines(level => 'alert', text => qr/$worker exited on signal 9/), 1, 'its death is in the log');

# the database

$stagedoor->sql('create table t (a); insert into t values (1), (2)');
is_deeply([$stagedoor->sql('select a from t')], [{ a => 1 }, { a => 2 }], 'sql');

###############################################################################
