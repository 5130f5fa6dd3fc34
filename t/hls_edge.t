#!/usr/bin/perl

# A caching server without nginx-rtmp in front of the one that streamers publish
# to, as in nginx-conf/edge.conf and origin.conf: many viewers are one to the
# origin, and nobody is told for long that a stream is not there.

use warnings;
use strict;

use List::Util qw(max);
use Test::More;
use Time::HiRes qw(sleep time);

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Answer qw(answer);
use Test::Example qw(adapt example_user);
use Test::Nginx qw(:DEFAULT http_end http_start);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $origin = Test::Nginx->new()->has(qw/http rtmp stagedoor/);
my $edge   = Test::Nginx->new()->has(qw/proxy cache/)->plan(34);

my $stagedoor = Test::Stagedoor->new($origin, init => 0);
$stagedoor->{db} = $origin->testdir() . '/origin/stagedoor.db';
$stagedoor->give_to(example_user(), 'origin');
$stagedoor->init();
my $key = $stagedoor->add('benw');

###############################################################################

adapt($origin, 'origin', http => 8081);
is_deeply([$stagedoor->config_test()], [0, accepted($origin)], 'the origin: nginx -t');
$origin->run();

adapt($edge, 'edge', origin => 8081);
my $of_edge = Test::Stagedoor->new($edge, init => 0);
is_deeply([$of_edge->config_test()], [0, accepted($edge)], 'the edge: nginx -t');
chown scalar getpwnam(example_user()), -1, $edge->testdir() if $> == 0;
$edge->run();

my $list = '/live/benw/index.m3u8';

# too early

my $early = answer('GET', $list);
is($early->status(), 404, 'nobody is live');
is($early->header('Cache-Control'), 'max-age=1', 'which is kept for a second');
is($early->header('Access-Control-Allow-Origin'), '*', 'and may be read by the page');

my $c = Test::RTMP->new()->ready();
is($c->publish($key)->{code}, 'NetStream.Publish.Start', 'a stream goes live');
$c->send_media(5);
my $local = 'http://127.0.0.1:' . port(8081);
ok(wait_for(sub { direct($list)->status() == 200 }, 5), 'and the origin has its playlist');
my $there = time;
ok(wait_for(sub { answer('GET', $list)->status() == 200 }, 5), 'so has the edge');
cmp_ok(time - $there, '<=', 2.2, 'within stagedoor_hls_error_cache');

# what viewers are told, and what the edge is

my $playlist = answer('GET', $list);
is($playlist->header('Cache-Control'), 'no-cache', 'viewers ask for a playlist each time');
is($playlist->header('Content-Type'), 'application/vnd.apple.mpegurl', 'of its type');
is($playlist->header('Access-Control-Allow-Origin'), '*', 'from any page');
is(join(' ', $playlist->doubled()), '', 'and are told nothing twice');
is(direct($list)->header('Cache-Control'), 'max-age=1', 'the edge may keep it for a second');
my @segments = $playlist->body() =~ /^(\d+\.ts)$/mg;
cmp_ok(scalar @segments, '>=', 1, 'it lists segments');
my $segment = answer('GET', "/live/benw/$segments[0]");
is($segment->header('Cache-Control'), 'public, max-age=315360000, immutable', 'a segment is kept');
is(join(' ', $segment->doubled()), '', 'and tells nothing twice');
is($segment->body(), $origin->read_file("origin/hls/benw/$segments[0]"), 'and is the origin\'s');
is(answer('GET', "/live/benw/$segments[0]", headers => { Range => 'bytes=0-187' })->status(), 206, 'ranges');
is(answer('OPTIONS', $list)->status(), 204, 'preflights are answered at the edge');
is(answer('GET', '/live/benw/index.m3u8.bak')->status(), 404, 'and wrong paths refused');
is(requests('OPTIONS') + requests('bak'), 0, 'without a word to the origin');

# many viewers

my ($playlists, $began) = (requests('index'), time);
my $failed = 0;
for (1 .. 10) {
    my @open = map { map { start($_) } $list, "/live/benw/$segments[-1]" } 1 .. 20;
    $failed += grep { (http_end($_) // '') !~ /^HTTP\/1\.1 200/ } @open;
    sleep 0.3;
}
my $seconds = time - $began;
is($failed, 0, '200 playlists and 200 segments are answered');
is(max(map { requests($_) } @segments), 1, 'the origin has seen each segment once');
$playlists = requests('index') - $playlists;
cmp_ok($playlists, '<=', $seconds + 2, 'and the playlist once a second') or diag("$playlists in $seconds seconds");
cmp_ok($playlists, '>=', 1, 'at least');

# the end

$c->close();
ok(wait_for(sub { direct($list)->body() =~ /ENDLIST/ }, 5), 'the stream ends');
my $ended = time;
ok(wait_for(sub { answer('GET', $list)->body() =~ /ENDLIST/ }, 5), 'the edge tells so');
cmp_ok(time - $ended, '<=', 2.2, 'a second later at most');
my $closed = direct($list);
is(answer('GET', $list)->header('ETag'), $closed->header('ETag'), 'under the tag of the closed playlist');
is(answer('GET', $list, headers => { 'If-None-Match' => $closed->header('ETag') })->status(), 304, 'by which it is revalidated');

# the first to ask after a pause

$c = Test::RTMP->new()->ready();
is($c->publish($key)->{code}, 'NetStream.Publish.Start', 'the stream comes back');
$c->send_media(5);
ok(wait_for(sub { direct($list)->status() == 200 && direct($list)->body() !~ /ENDLIST/ }, 5), 'its playlist is open');
wait_for(sub { 0 }, 2.2);    # longer than the origin lets it be kept, in whole seconds
unlike(answer('GET', $list)->body(), qr/ENDLIST/, 'the edge answers nobody from the past');
$c->close();

###############################################################################

sub direct { return answer('GET', $_[0], PeerAddr => '127.0.0.1:' . port(8081)) }

sub start {
    my ($path) = @_;
    return http_start("GET $path HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
}

# How many requests of the edge's the origin has seen.
sub requests {
    my ($what) = @_;
    return $origin->find_in_file('access.log', qr/\Q$what\E.* HTTP\/1\.1" (?!404)\d+ \d+ "-" "-"/);
}

# What nginx -t says when all is well.
sub accepted {
    my ($t) = @_;
    my $conf = $t->testdir() . '/nginx.conf';
    return "nginx: the configuration file $conf syntax is ok\nnginx: configuration file $conf test is successful\n";
}

###############################################################################
