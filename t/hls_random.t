#!/usr/bin/perl

# Ten thousand requests made up at random, from a stream that is live, one that
# has ended and one that never was: whatever is asked for, nginx lives, says
# nothing twice, shows nothing that is not a stream, and keeps no refusal longer
# than it should.
#
# Environment: TEST_SEED repeats a run, TEST_REQUESTS makes it longer.

use warnings;
use strict;

use IO::Socket::INET;
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Answer qw(answer http_time);
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant REQUESTS => $ENV{TEST_REQUESTS} // 10_000;

my $t = Test::Nginx->new()->has(qw/http auth_basic autoindex gzip rewrite rtmp stagedoor/)->plan(9);

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
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    error_log %%TESTDIR%%/error.log notice;

    keepalive_requests 1000000;
    gzip_types         *;
    gzip_min_length    0;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /plain/ {
            alias %%TESTDIR%%/hls/;
            add_header X-Location plain always;
            stagedoor_hls on;
        }

        location /changed/ {
            alias %%TESTDIR%%/hls/;
            add_header X-Location changed always;
            autoindex on;
            gzip on;
            expires max;
            add_header Cache-Control immutable always;
            add_header Expires tomorrow always;
            add_header Vary Accept always;
            add_header Access-Control-Allow-Origin http://old.example always;
            stagedoor_hls on;
            stagedoor_hls_segment_cache 1d;
            stagedoor_hls_manifest_cache 3s;
            stagedoor_hls_error_cache 2s;
            stagedoor_hls_cors http://a.example http://b.example;
        }

        location /live/ {
            alias %%TESTDIR%%/hls/;
            add_header X-Location live always;
            sendfile on;
            stagedoor_hls on;
            stagedoor_hls_cors *;
            stagedoor_hls_require_live on;
            if ($arg_live = $stagedoor_live) {
                add_header X-Location live always;
                add_header X-Live $stagedoor_live;
            }
        }

        location ~ ^/regex/(?<who>[^/]*)/(?<file>.*)$ {
            alias %%TESTDIR%%/hls/$who/$file;
            add_header X-Location regex always;
            expires 1h;
            stagedoor_hls on;
            stagedoor_hls_stream $who;
        }

        location /password/ {
            alias %%TESTDIR%%/hls/;
            add_header X-Location password always;
            stagedoor_hls on;
            auth_basic closed;
            auth_basic_user_file %%TESTDIR%%/htpasswd;
        }
    }
}

END

my %LIMIT   = (plain => 1, changed => 2, live => 1, regex => 1, password => 1);
my @STREAMS = qw(anna benw carl);
my %TYPES   = (
    m3u8 => 'application/vnd.apple.mpegurl', mpd => 'application/dash+xml', ts => 'video/mp2t',
    m4s  => 'video/iso.segment', mp4 => 'video/mp4', aac => 'audio/aac', vtt => 'text/vtt',
    m4v  => 'video/mp4', m4a => 'audio/mp4', key => 'application/octet-stream',
);
my $secret = 'SEE-THIS-AND-FAIL';

my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(anna benw);
for my $stream (@STREAMS) {
    $t->write_file("hls/$stream/index.m3u8", "#EXTM3U\n#EXTINF:2,\n1.ts\n");
    $t->write_file("hls/$stream/1.$_", $_ x 50) for keys %TYPES;
    $t->write_file("hls/$stream/$_", $secret) for qw(.secret.ts 1.bak index.m3u8.bak notes.txt 1.TS);
    $t->write_file("hls/$stream-1.ts", 'flat');
    $t->write_file("hls/$stream.m3u8", "#EXTM3U\n");
}
$t->write_file('htpasswd', "benw:{PLAIN}password\n");
$t->run();

my ($live, $ended) = map { my $c = Test::RTMP->new()->ready(); $c->publish($key{$_}); $c } qw(anna benw);
$ended->close();
wait_for(sub { answer('GET', '/plain/benw/index.m3u8')->body() =~ /ENDLIST/ }, 5) or die "no end\n";
my @tags = map { answer('GET', "/plain/$_")->header('ETag') } qw(anna/index.m3u8 benw/index.m3u8 anna/1.ts);
my $workers = join ' ', sort $stagedoor->workers(2);

###############################################################################

my $seed = $ENV{TEST_SEED} // int rand 2**31;
note("TEST_SEED=$seed");
srand $seed;

my (%wrong, %statuses, $socket);
for (1 .. REQUESTS) {
    my ($location, $request) = request();
    my $answer = ask($request);
    $statuses{$answer->status()}++;
    my @wrong = look($location, $request, $answer);
    push @{$wrong{$_}}, $request . join "\n", $answer->status(), map { "$_->[0]: $_->[1]" } @{$answer->{lines}} for @wrong;
}
note(join ', ', map { "$_: $statuses{$_}" } sort keys %statuses);

for my $kind ('is not answered', 'fails', 'says something twice', 'shows what is no stream', 'has a wrong type',
    'keeps a refusal too long')
{
    is(join("\n", splice @{$wrong{$kind} // []}, 0, 5), '', "nothing $kind");
}
my @met = grep { $statuses{$_} } qw(200 204 206 304 400 401 404 405 412 416);
cmp_ok(scalar @met, '>=', 9, 'all kinds of answers were met') or diag("@met");
is(join(' ', sort $stagedoor->workers(2)), $workers, 'the workers are those of the start');
is($live->is_closed() ? 1 : 0, 0, 'and the stream is live');

###############################################################################

sub one { return $_[rand @_] }

# A request, nearly right as often as not.
sub request {
    my $location = one(sort keys %LIMIT);
    my $name = one((@STREAMS) x 5, 'nobody', '..', '', '%2e%2e', 'a b', "\xc3\xa9");
    my $file = one(('index', '1', '1') x 6, 'absent', '.secret', '', '%31', 'notes', '..%2f1', '%00', '%0a', 'x' x 300);
    my $extension = one(map { $_, $_, $_ } sort keys %TYPES);
    $extension = one(qw(bak TS txt m3u8.bak ts. ts/ t%73), '') if rand() < 0.15;
    $extension = 'm3u8' if $file eq 'index' && rand() < 0.8;
    my $path = "/$location/" . one(("$name/$file.$extension") x 6, "$name.$extension",
        "$name-1.$extension", "$name/hd/../$file.$extension", "/$name//$file.$extension");
    $path .= one('', '', '', '?live=1', '?a=b&c', '#x');
    $path =~ s/ /%20/g;

    my $method = one(('GET') x 12, 'HEAD', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'DELETE', 'X');
    my @headers = ('Host: localhost');
    push @headers, 'Content-Length: 0' if $method =~ /P/;
    my %chance = (
        'Range'             => [map { "bytes=$_" } '0-3', '-5', '5-', '99999-', '0-1,3-4', '-0', 'x', '3-1'],
        'If-None-Match'     => [@tags, '"x"', '*', 'W/' . $tags[0], ''],
        'If-Match'          => [@tags, '*'],
        'If-Range'          => [@tags, 'Mon, 28 Sep 1970 06:00:00 GMT'],
        'If-Modified-Since' => ['Mon, 28 Sep 1970 06:00:00 GMT', 'x'],
        'Origin'            => ['http://a.example', 'http://c.example', 'null', ''],
        'Accept-Encoding'   => ['gzip', 'identity', 'gzip;q=0'],
        'Authorization'     => ['Basic YmVudzpwYXNzd29yZA==', 'Basic x', 'x'],
    );
    for my $header (sort keys %chance) {
        push @headers, "$header: " . one(@{$chance{$header}}) if rand() < ($header eq 'If-Match' ? 0.05 : 0.2);
    }
    return ($location, join "\r\n", "$method $path HTTP/1.1", @headers, '', '');
}

# The answer, over a connection that is kept while nginx keeps it.
sub ask {
    my ($request) = @_;
    $socket //= IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port(8080)) or die "can't connect: $!\n";
    print $socket $request;

    my $text = '';
    until ($text =~ /\r\n\r\n/) { sysread $socket, $text, 65536, length $text or last }
    my ($head) = $text =~ /^(.*?\r\n\r\n)/s or do { undef $socket; return Test::Answer->parse('') };
    my $answer = Test::Answer->parse($head);
    my $want   = length $head;
    if ($request !~ /^HEAD/ && $answer->status() !~ /^(?:204|304)$/) {
        my $length = $answer->header('Content-Length');
        my $done = defined $length
            ? sub { length $text >= $want + $length }
            : sub { $text =~ /(?:\r\n|^)0\r\n\r\n\z/ };
        until ($done->()) { sysread $socket, $text, 65536, length $text or last }
    }
    # After a 412 nginx closes the connection without having said so.
    undef $socket if $answer->status() == 412 || ($answer->header('Connection') // '') eq 'close';
    return Test::Answer->parse($text);
}

# What is wrong with an answer.
sub look {
    my ($location, $request, $answer) = @_;
    my $status = $answer->status() or return 'is not answered';
    my @wrong;
    push @wrong, 'fails' if $status >= 500 && $status != 501;
    # nginx itself repeats add_header's other lines when it turns a 200 into a 416
    push @wrong, 'says something twice' if grep { $status != 416 || lc !~ /^x-/ } $answer->doubled();
    push @wrong, 'shows what is no stream' if $answer->body() =~ /$secret|Index of/;

    my ($extension) = $request =~ m{^\S+ [^?# ]*\.([a-z0-9%]*)};
    my $type = $answer->header('Content-Type') // '';
    if ($status == 200) {
        push @wrong, 'has a wrong type' if $type ne ($TYPES{($extension // '') =~ s/%73/s/r} // '');
    }
    # A request that nginx cannot read, or that leaves by "..", reaches no location of ours.
    if ($status >= 400 && $answer->header('X-Location')) {
        my ($age) = ($answer->header('Cache-Control') // 'nothing') =~ /^(?:max-age=(\d+)|no-cache|no-store)$/
            or push @wrong, 'keeps a refusal too long';
        my $expires = $answer->header('Expires');
        my $until = defined $expires ? http_time($expires) : http_time($answer->header('Date'));
        push @wrong, 'keeps a refusal too long'
            if ($age // 0) > $LIMIT{$location}
            || !defined $until
            || $until > http_time($answer->header('Date')) + $LIMIT{$location};
    }
    return @wrong;
}

###############################################################################
