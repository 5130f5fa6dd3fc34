#!/usr/bin/perl

# hls.js in Chromium, on a page of another origin: with stagedoor_hls_cors it
# plays a live stream and ends with it; without, the browser keeps the stream
# from the page.

use warnings;
use strict;

use File::Copy qw(copy);
use Test::More;

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Test::Answer qw(answer);
use Test::Encoder;
use Test::Nginx;
use Test::Player qw(playlist);
use Test::Process;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $hls_js = "$Test::Nginx::OBJS/npm/node_modules/hls.js/dist/hls.min.js";
my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('ffmpeg')->has_daemon('chromium')->plan(9);
-e $hls_js or die "no $hls_js; \"make test-browser\" fetches it\n";

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

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

            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_nested on;
            hls_fragment 1s;
            hls_playlist_length 20s;
            hls_fragment_naming system;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    types {
        text/html        html;
        text/javascript  js;
    }

    # the page
    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /report {
            access_log %%TESTDIR%%/report.log;
            return 204;
        }
    }

    # the streams
    server {
        listen       127.0.0.1:8081;
        server_name  localhost;

        location /one/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            stagedoor_hls_cors http://127.0.0.1:8080;
        }

        location /some/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            stagedoor_hls_cors https://tv.example.com http://127.0.0.1:8080;
        }

        location /others/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            stagedoor_hls_cors https://tv.example.com;
        }

        location /off/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');
$t->write_file('report.log', '');
$t->write_file('page.html', do { local (@ARGV, $/) = 'browser/hls.html'; <> });
copy($hls_js, $t->testdir() . '/hls.min.js') or die "$hls_js: $!\n";
$t->run();

my ($page, $streams) = map { 'http://127.0.0.1:' . port($_) } 8080, 8081;

###############################################################################

my $encoder = Test::Encoder->ffmpeg($key, seconds => 14, gop => 10);
my @streams = (PeerAddr => '127.0.0.1:' . port(8081));
ok(wait_for(sub { my $list = playlist('/one/benw/index.m3u8', @streams); $list && @{$list->{segments}} > 2 }, 15),
    'a stream is live') or diag($encoder->output());

my %browser = map { $_ => browser($_) } qw(one off);
is(told($browser{one}, qr/played|failed/, 20), 'played-160', 'a page of the origin that may play plays it');
is(told($browser{off}, qr/played|failed/, 20), 'failed-manifestLoadError', 'without stagedoor_hls_cors it may not read it');
is(answer('GET', '/off/benw/index.m3u8', @streams)->status(), 200, 'although it was there');
$browser{off}{process}->stop();
$browser{some} = browser('some');
is(told($browser{some}, qr/played|failed/, 20), 'played-160', 'one of several origins plays it');
$browser{others} = browser('others');
is(told($browser{others}, qr/played|failed/, 20), 'failed-manifestLoadError', 'another origin may not read it');

is($encoder->wait(20), 0, 'the publisher ends');
is(told($browser{$_}, qr/ended|failed/, 15), 'ended', "$_: and so does the player") for qw(one some);

###############################################################################

sub browser {
    my ($way) = @_;
    my $dir = $t->testdir() . "/browser-$way";
    my $url = "$page/page.html?$way#$streams/$way/benw/index.m3u8";
    return { way => $way, process => Test::Process->start({ timeout => 90 },
        qw(chromium --headless=new --no-sandbox --disable-gpu --mute-audio --no-first-run),
        '--disable-dev-shm-usage', '--autoplay-policy=no-user-gesture-required', "--user-data-dir=$dir", $url) };
}

# What a browser's page has told, of what is asked for.
sub told {
    my ($browser, $pattern, $seconds) = @_;
    return wait_for(sub {
        my @lines = grep { /page\.html\?$browser->{way}"/ } split /\n/, $t->read_file('report.log');
        my ($told) = grep { $_ =~ $pattern } map { m{/report\?([\w-]+)} } @lines;
        return $told;
    }, $seconds) || 'nothing: ' . substr $browser->{process}->output(), -2000;
}

###############################################################################
