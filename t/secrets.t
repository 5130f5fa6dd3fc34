#!/usr/bin/perl

# The key stays with the streamer: with every log as talkative as it gets, and with
# all of nginx-rtmp at work on the stream, nothing shows it.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Encoder;
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('ffmpeg')->plan(25);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

rtmp_auto_push on;
rtmp_socket_dir %%TESTDIR%%;

events {
}

rtmp {
    log_format all '$remote_addr [$time_local] $command app="$app" name="$name" args="$args" '
        'flashver="$flashver" swfurl="$swfurl" tcurl="$tcurl" pageurl="$pageurl"';
    access_log %%TESTDIR%%/rtmp.log all;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;
            stagedoor_auth_delay 0;

            push rtmp://127.0.0.1:8935/second;

            notify_method get;
            on_publish http://127.0.0.1:8080/on_publish;
            on_publish_done http://127.0.0.1:8080/on_publish_done;

            exec_publish sh -c "(echo 'name=$name args=$args'; env) >> %%TESTDIR%%/exec.log";

            record all;
            record_path %%TESTDIR%%/record;
            record_suffix -%s.flv;
            exec_record_done sh -c "echo $path >> %%TESTDIR%%/record_done.log";

            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_fragment 500ms;
        }

        application second {
            live on;
            record all;
            record_path %%TESTDIR%%/second;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /stat {
            rtmp_stat all;
        }

        location / {
            empty_gif;
        }
    }
}

END

mkdir $t->testdir() . "/$_" or die for qw(record second);

my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(benw mia zoe ffm);
$stagedoor->do(ban => 'mia');
my $wrong = 'WrongKeyWrongKeyWrong123';
my $token = 'TokenTokenToken123456789';
$t->secret($wrong, $token);

$t->run();

###############################################################################

# what encoders do

my $c = Test::RTMP->new()->ready();
is(fmle($c, "$key{benw}?token=$token")->{code}, 'NetStream.Publish.Start', 'with arguments');
$c->send_media(2);
my $zoe = Test::RTMP->new()->ready();
is(fmle($zoe, $key{zoe})->{code}, 'NetStream.Publish.Start', 'without');
my $ffmpeg = Test::Encoder->ffmpeg("$key{ffm}?token=$token", seconds => 2, timeout => 15);

for my $name ($wrong, "$wrong?token=$token", $key{mia}, $key{benw}, "/$key{zoe}", "$key{zoe}\n", "$key{zoe}\0x", "?$key{zoe}") {
    my $refused = Test::RTMP->new()->ready();
    is(fmle($refused, $name)->{level}, 'error', 'a refusal');
    $refused->closed_within(3);
}
is(($zoe->send_publish($wrong), $zoe->wait_status(3))[1]{level}, 'error', 'a second publish on a connection');
my $early = Test::RTMP->new();
$early->handshake();
$early->send_publish($key{zoe});
ok($early->closed_within(3), 'a publish before connect');
is($ffmpeg->wait(15), 0, 'ffmpeg') or diag($ffmpeg->output());

# where it could be seen

# each worker's page has its own streams only
my $stat = '';
Test::RTMP::wait_until(sub { $stat .= http_get('/stat'); $stat =~ /<name>benw</ }, 10);
like($stat, qr{<name>benw</name>}, 'the stat page has the username');
unlike($stat, qr/\Q$_\E/, 'and not the key') for $key{benw}, $key{zoe}, $token;

$c->fc_unpublish($key{benw});
$c->close_stream();
$_->close() for $c, $zoe;
$stagedoor->wait_for_ends($_) for qw(benw zoe ffm);

my %seen = (
    'push'                  => ['error.log',       qr/relay: create push name='benw' .*url='127\.0\.0\.1:\d+\/second'/],
    'the other worker'      => ['error.log',       qr/relay: create push name='benw' .*url='unix:/],
    'the access log'        => ['rtmp.log',        qr/PUBLISH app="live" name="benw" args=""/],
    'the second publish'    => ['rtmp.log',        qr/PUBLISH app="second" name="benw" args=""/],
    'the callback'          => ['access.log',      qr/on_publish\?\S*name=benw/],
    'exec'                  => ['exec.log',        qr/^name=benw args=$/],
    'the recorder'          => ['record_done.log', qr/record\/benw-\d+\.flv$/],
);
for my $who (sort keys %seen) {
    my ($file, $pattern) = @{$seen{$who}};
    my $has = sub { -e $t->testdir() . "/$file" && $t->find_in_file($file, $pattern) };
    ok(wait_for($has, 5), "$who has the username");
}
my %others = map { $_ => 1 } grep { !/^(?:benw|zoe|ffm)(?:$|[-.])/ }
    map { s{.*/}{}r } glob $t->testdir() . '/{record,second,hls}/*';
is(join(' ', sort keys %others), '', 'every file has one for its name');

###############################################################################

# As FMLE does it.
sub fmle {
    my ($client, $name) = @_;
    $client->release_stream($name);
    $client->fc_publish($name);
    return $client->publish($name) // {};
}

###############################################################################
