#!/usr/bin/perl

# The status page in a browser: it shows who is live, keeps itself up to date, says when the
# server is away, and needs nothing from anywhere else.

use warnings;
use strict;

use IO::Socket::INET;
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Answer  qw(answer);
use Test::Browser qw(browse);
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('chromium')->plan(32);

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
        stagedoor on;
        stagedoor_auth_delay 0;

        application live { live on; }
        application "</script><img src=x onerror=document.body.remove()>" { live on; }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen       127.0.0.1:8080;

        location = /status { stagedoor_status; }

        location = /refuses {
            if ($arg_format) { return 503; }
            stagedoor_status html playlist=off;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my ($key, $other_key) = map { $stagedoor->add($_) } qw(benw other);
my @many = map { $stagedoor->add("streamer$_") } 1 .. 10;

$t->run();

###############################################################################

my $page = answer('GET', '/status');
is($page->header('Content-Type'), 'text/html; charset=utf-8', 'a page');
is($page->header('Cache-Control'), 'no-store', 'which nobody keeps');
is($page->header('X-Content-Type-Options'), 'nosniff', 'is what it says');
is($page->header('Referrer-Policy'), 'no-referrer', 'tells nobody where it was');
my $policy = $page->header('Content-Security-Policy');
like($policy, qr/^default-src 'none'; script-src 'sha256-[\w+\/]+='; style-src 'sha256-[\w+\/]+=';/, 'and runs nothing but its own');
unlike($policy, qr/unsafe|\*|https?:/, 'not even in part');
unlike($page->body(), qr/<(?:script|link|img|iframe)[^>]+(?:src|href)="(?!data:)/, 'it loads nothing');

# nobody is live

my ($document, @complaints) = browse(url('/status'));
is_deeply(\@complaints, [], 'the browser has nothing to complain about');
like($document, qr/<p id="nobody">Nobody is live\./, 'nobody is live');
like($document, qr/<table id="streams" hidden/, 'no empty table');
like($document, qr/<dt>Accepted<\/dt><dd[^>]*>0</, 'counters');
like($document, qr/<dl id="ends"><div class="none"><dt>None yet/, 'nothing has ended');

# one is live

my $benw = Test::RTMP->new()->ready();
$benw->publish($key);
$benw->send_media(1);
ok(wait_for(sub { $stagedoor->status()->{streams}[0]{video_codec} }, 3), 'a stream');
my $asked = requests();
($document, @complaints) = browse(url('/status'), seconds => 9);
is_deeply(\@complaints, [], 'no complaint');
like($document, qr/<title>1 live/, 'the title says how many are live');
like($document, qr/<strong id="live">1<\/strong> <span id="live-unit">stream live</, 'and so does the page');
like($document, qr/<a class="name" title="benw" href="\/live\/benw\/index\.m3u8">benw<\/a><small[^>]*>live</, 'it links to the playlist');
like($document, qr/<td class="from"[^>]*><span>127\.0\.0\.1</, 'its address');
like($document, qr/<small>\d+ fps · h264<\/small>/, 'its codec');
like($document, qr/<path class="line" d="M[\d.]+ [\d.]+L/, 'its bitrate as a line');
like($document, qr/<p id="state"[^>]*>Up to date, \d\d:\d\d:\d\d</, 'the page is up to date');
cmp_ok(requests() - $asked, '>=', 3, 'because it keeps asking');

# names that would be markup

my $other = Test::RTMP->new(app => '</script><img src=x onerror=document.body.remove()>')->ready();
$other->publish($other_key);
($document, @complaints) = browse(url('/status'), seconds => 3);
is_deeply(\@complaints, [], 'a hostile name is no reason to complain');
like($document, qr/<small[^>]*>&lt;\/script&gt;&lt;img src=x onerror=document\.body\.remove\(\)&gt;<\/small>/, 'but a text');
unlike($document, qr/<img/, 'and nothing else');
like($document, qr/href="\/%3C%2Fscript%3E[^"<>]*\/other\/index\.m3u8"/, 'also in the link');

# many

my @clients = map { my $c = Test::RTMP->new()->ready(); $c->publish($_); $c } @many;
($document) = browse(url('/status'));
is(scalar(() = $document =~ /<td class="stream"/g), 12, 'many streams have a row each');
like($document, qr/<input id="filter"(?![^>]*hidden)/, 'and a filter');

# the server is away, or refuses

($document) = browse(url('/refuses'), seconds => 5);
like($document, qr/<p id="state"[^>]*>No status \(503\) since \d\d:\d\d:\d\d; trying again</, 'a server that refuses is told of');
unlike($document, qr/<a class="name"/, 'without playlists there is no link');
my $once = once($page);
($document) = browse($once, seconds => 5);
like($document, qr/<body class="away">.*<p id="state"[^>]*>No answer since /s, 'and so is one that is away');
like($document, qr/<title>No answer/, 'also in the title');

###############################################################################

sub url { my ($path) = @_; return 'http://127.0.0.1:' . port(8080) . $path }

sub requests { return $t->find_in_file('access.log', 'GET /status?format=json') }

# The URL of a server that gives this answer to the first who asks, and is gone.
sub once {
    my ($answer) = @_;
    my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "listen: $@\n";
    $t->run_daemon(sub {
        my $client = $server->accept();
        while (my $line = <$client>) { last if $line !~ /\S/ }
        $server->close();
        print $client join("\r\n", 'HTTP/1.0 200 OK', (map { "$_: " . $answer->header($_) } 'Content-Type', 'Content-Security-Policy'),
            '', $answer->body());
    });
    my $port = $server->sockport();
    $server->close();
    return "http://127.0.0.1:$port/";
}

###############################################################################
