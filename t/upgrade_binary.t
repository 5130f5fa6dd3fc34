#!/usr/bin/perl

# A binary upgrade (USR2, WINCH, QUIT) with a new module under a live stream: the stream goes on in
# the old server until it ends, the new one has the new module and lets everybody else in.

use warnings;
use strict;

use File::Copy qw(copy);
use File::Spec ();
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Answer qw(answer);
use Test::Nginx;
use Test::Proc qw(children is_running is_shutting_down);
use Test::Process;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(26);

# They run as daemons, or nginx takes no USR2: nobody else would end them.
my @masters;
END { kill QUIT => grep { $_ && is_running($_) } @masters if @masters }

$t->write_file_expand('nginx.conf', <<'END');

load_module %%RTMP_MODULE%%;
load_module %%TESTDIR%%/ngx_stagedoor_module.so;

%%TEST_GLOBALS%%

daemon on;

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
            hls_fragment_naming system;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen 127.0.0.1:8080;

        location /live/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
        }

        location /strict/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            stagedoor_hls_require_live on;
        }

        location = /status {
            stagedoor_status;
        }
    }
}

END

my $dir       = $t->testdir();
my $stagedoor = Test::Stagedoor->new($t);
my ($key, $other_key) = map { $stagedoor->add($_) } qw(benw carol);

install_module();
# by its full path, with which it starts its successor
my ($nginx) = grep { -x } $Test::Nginx::NGINX =~ m{/} ? $Test::Nginx::NGINX : map { "$_/$Test::Nginx::NGINX" } File::Spec->path();
my $started = Test::Process->run({ timeout => 10 }, $nginx, '-p', "$dir/", '-c', "$dir/nginx.conf", '-e', "$dir/error.log");
is($started->exit_status(), 0, 'nginx starts');
my $old = wait_for(sub { pid('nginx.pid') }, 5);
push @masters, $old;
$stagedoor->workers(2);

my $live = Test::RTMP->new()->ready();
is($live->publish($key)->{code}, 'NetStream.Publish.Start', 'a stream goes live');
my $carrier = $stagedoor->worker_of($live);
my $player  = $stagedoor->client_on($carrier);
is($player->play('benw')->{code}, 'NetStream.Play.Start', 'and has a player');
$live->go_live();
ok(wait_for(sub { answer('GET', '/strict/benw/index.m3u8')->status() == 200 }, 10), 'and a playlist');

###############################################################################
# USR2: both servers run

install_module();
kill USR2 => $old;
my $new = wait_for(sub { -s "$dir/nginx.pid.oldbin" && pid('nginx.pid') && pid('nginx.pid') != $old && pid('nginx.pid') }, 10);
ok($new, 'a new server starts beside the old one');
push @masters, $new;
$stagedoor->workers(2);
ok(!has_former_module($new), 'it has the new module');
ok(has_former_module($old), 'the old one its own');
is_deeply(live_rows(), ['benw'], 'the history leaves the live stream alone');

###############################################################################
# WINCH: the old one takes nobody any more

kill WINCH => $old;
ok(wait_for(sub { "@{[grep { $_ != $new } children($old)]}" eq $carrier && is_shutting_down($carrier) }, 10),
    'of the old workers only the one with the stream stays');
my $pictures = () = $player->received('video');
ok(wait_for(sub { (() = $player->received('video')) > $pictures + 10 }, 10), 'the stream goes on');
ok(!$live->is_closed(), 'with its encoder');

my $carol = Test::RTMP->new()->ready();
is($carol->publish($other_key)->{code}, 'NetStream.Publish.Start', 'others go live');
ok(scalar(grep { $_ == ($stagedoor->worker_of($carol) // 0) } $stagedoor->workers(2)), 'in the new server');

# Each has a list of its own.

is_deeply([map { $_->{username} } @{$stagedoor->status()->{streams}}], ['carol'], 'the status is that of the new server');
is(answer('GET', '/live/benw/index.m3u8')->status(), 200, 'viewers of the old stream go on');
is(answer('GET', '/strict/benw/index.m3u8')->status(), 404, 'but not with stagedoor_hls_require_live');
my $twice = Test::RTMP->new()->ready();
is($twice->publish($key)->{code}, 'NetStream.Publish.Start', 'a streamer can be live once in each');
$twice->close_stream();
$twice->wait_status(2, qr/Unpublish/);
$twice->close();

###############################################################################
# QUIT, and the end

kill QUIT => $old;
$pictures = () = $player->received('video');
ok(wait_for(sub { (() = $player->received('video')) > $pictures + 10 }, 10), 'told to quit, the old one waits for its stream');
ok(is_running($old), 'and is there');
$stagedoor->do('ban', 'benw');
is(($live->wait_status(5, qr/Denied/) // {})->{description}, 'Streaming is not allowed for this account', 'a ban reaches the stream there');
$_->close() for $live, $player;
ok(wait_for(sub { !is_running($old) }, 10), 'without a stream it is gone');
ok(!-e "$dir/nginx.pid.oldbin" && pid('nginx.pid') == $new, 'and the new one is alone');

$carol->close();
ok(wait_for(sub { !@{live_rows()} }, 5), 'the last stream ends');
is_deeply([sort map { "$_->{username}: $_->{end_reason}" } @{$stagedoor->json('sessions')}],
    ['benw: banned', 'benw: closed by client', 'carol: connection lost'], 'the history has them all, as they ended');
kill QUIT => $new;
ok(wait_for(sub { !is_running($new) }, 10), 'nginx ends');
is(scalar $stagedoor->log_lines(level => 'warn', text => qr/crash/), 0, 'nothing was taken for a crash');
@masters = ();

###############################################################################

# As dpkg and "make install" put it there: a new file in the place of the old one.
sub install_module {
    my $file = "$dir/ngx_stagedoor_module.so";
    copy("$Test::Nginx::OBJS/ngx_stagedoor_module.so", "$file.new") or die "copy: $!\n";
    rename "$file.new", $file or die "rename: $!\n";
    return;
}

sub has_former_module {
    my ($pid) = @_;
    open my $maps, '<', "/proc/$pid/maps" or die "maps: $!\n";
    return scalar grep { m{\Q$dir\E/ngx_stagedoor_module\.so \(deleted\)} } <$maps>;
}

sub pid { my ($file) = @_; return -s "$dir/$file" && $t->read_file($file) =~ /(\d+)/ ? $1 : undef }

sub live_rows { return [map { $_->{username} } grep { !$_->{stopped_at} } @{$stagedoor->json('sessions')}] }

###############################################################################
