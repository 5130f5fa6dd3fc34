#!/usr/bin/perl

# The configurations in nginx-conf/ as they are, but for paths, ports and user: nginx
# accepts them without a word, and a stream goes in with its key and comes out by HLS
# under the username.

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

my @examples = sort glob '../nginx-conf/*.conf';

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('ffmpeg')->has_daemon('ffprobe')
    ->plan(1 + 13 * @examples);

###############################################################################

is_deeply([map { s/.*\///r } @examples], ['full.conf', 'smallest.conf'], 'the examples');

my $user = $> == 0 ? 'www-data' : getpwuid $>;

for my $example (@examples) {
    my ($name) = $example =~ /([^\/]+)\.conf$/;
    my $stagedoor = Test::Stagedoor->new($t, init => 0);
    $stagedoor->{db} = $t->testdir() . "/$name/stagedoor.db";
    $stagedoor->give_to($user, $name);
    $stagedoor->init();
    my $key = $stagedoor->add('benw');

    adapt($example, $name);
    my ($status, $said) = $stagedoor->config_test();
    is($status, 0, "$name: nginx -t");
    unlike($said, qr/\[\w+\]/, 'without a warning');
    $t->run();

    is(Test::RTMP->new()->ready()->publish('benw')->{description}, 'Invalid stream key', 'a wrong key is refused');
    my $encoder = Test::Encoder->ffmpeg($key, colour => 'azure', seconds => 30, gop => 10);
    my $list = wait_for(sub { my $list = playlist('/live/benw/index.m3u8'); $list && @{$list->{segments}} && $list }, 15);
    ok($list, 'an encoder with the right one has a playlist') or diag($encoder->output());

    my $answer = http_head('/live/benw/index.m3u8');
    like($answer, qr/Content-Type: application\/vnd\.apple\.mpegurl\r/i, 'of its type');
    like($answer, qr/Cache-Control: no-cache\r/, 'which is not kept');
    like($list->{segments}[0] // '', qr/^\d{13}\.ts$/, 'with segments that are named by the clock');
    $answer = http_head("/live/benw/$list->{segments}[0]");
    like($answer, qr/200 OK.*Content-Type: video\/mp2t\r/s, 'a segment');
    unlike($answer, qr/Cache-Control: no-cache.*Cache-Control/s, 'has one policy');

    my $seen = inspect(hls_url('/live/benw/index.m3u8'));
    is("$seen->{video}{codec} $seen->{audio}{codec}", 'h264 aac', 'it plays');
    is_deeply([uniq(colours(hls_url("/live/benw/$list->{segments}[0]")))], ['azure'], 'the pictures of the encoder');
    like(http_get('/live/../stagedoor.db'), qr/^HTTP\/1\.1 40[04]/, 'the database is not served');

    is(Test::RTMP->new()->ready()->publish($key)->{description}, 'Already streaming', 'the key is good for one stream');
    $encoder->stop();
    $t->stop();
}

###############################################################################

# The example with its own directory in the places of the system's.
sub adapt {
    my ($example, $name) = @_;

    my $conf = do { local (@ARGV, $/) = $example; <> };
    $conf =~ s{/usr/lib/nginx/modules/ngx_rtmp_module\.so}{%%RTMP_MODULE%%}g;
    $conf =~ s{/usr/lib/nginx/modules/ngx_stagedoor_module\.so}{%%STAGEDOOR_MODULE%%}g;
    $conf =~ s{/var/lib/stagedoor\b}{%%TESTDIR%%/$name}g;
    $conf =~ s{/var/log/nginx\b}{%%TESTDIR%%}g;
    $conf =~ s{^user .*}{user $user;}m;
    $conf =~ s{\blisten 1935;}{listen %%PORT_8935%%;}g;
    $conf =~ s{\blisten 80;}{listen %%PORT_8080%%;}g;
    $conf =~ s{worker_processes auto;}{worker_processes 2;};
    $conf =~ s/^http \{\K/\n    %%TEST_GLOBALS_HTTP%%/m;
    $conf =~ /^error_log/m or $conf = "error_log %%TESTDIR%%/error.log;\n$conf";
    $t->write_file_expand('nginx.conf', "pid %%TESTDIR%%/nginx.pid;\n$conf");
    return;
}

###############################################################################
