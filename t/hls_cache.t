#!/usr/bin/perl

# The playlist of a live stream is answered from memory while the file is what
# was read: with each byte as nginx alone answers, and never an earlier one.

use warnings;
use strict;

use IO::Uncompress::Gunzip qw(gunzip);
use POSIX qw(mkfifo);
use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Answer qw(answer);
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http gzip rtmp stagedoor/)->plan(70);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    log_not_found off;
    keepalive_requests 1000000;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /live/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
        }

        location /rooted/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            sendfile on;
            etag off;
            if_modified_since before;
            max_ranges 1;
        }

        location /gzip/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            gzip on;
            gzip_http_version 1.0;
            gzip_min_length 0;
            gzip_types application/vnd.apple.mpegurl;
        }

        location /symlinks/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            disable_symlinks on;
        }

        location /cached/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            open_file_cache max=100;
            open_file_cache_valid 1h;
        }

        location ~ ^/regex/(?<name>[^/]+)/(?<file>.+)$ {
            alias %%TESTDIR%%/hls/$name/$file;
            stagedoor_hls on;
            stagedoor_hls_stream $name;
            access_log %%TESTDIR%%/regex-$server_port.log;
            error_page 400 /stock/refused.m3u8;
        }

        # what the static module says of the same files
        location /stock/ {
            alias %%TESTDIR%%/hls/;
            types { application/vnd.apple.mpegurl m3u8; application/dash+xml mpd; }
            add_header Cache-Control no-cache;
        }

        location /stock-rooted/ {
            alias %%TESTDIR%%/hls/;
            types { application/vnd.apple.mpegurl m3u8; application/dash+xml mpd; }
            etag off;
            if_modified_since before;
            max_ranges 1;
        }
    }
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

END

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');
my $dir = $t->testdir() . '/hls/benw';
mkdir $t->testdir() . '/hls';
mkdir $dir;
$t->run();
my $c = Test::RTMP->new()->ready();
is($c->publish($key)->{code}, 'NetStream.Publish.Start', 'somebody is live');

###############################################################################

# as nginx alone

my $text = "#EXTM3U\n" . join('', map { "#EXTINF:2.000,\n$_.ts\n" } 1 .. 100);
replace('index.m3u8', $text);
replace('index.mpd', "<MPD>\n");
settle();
for my $file (qw(index.m3u8 index.mpd)) {
    for my $pair (['/live', '/stock'], ['/rooted', '/stock-rooted']) {
        my ($ours, $stock) = map {"$_/benw/$file"} @$pair;
        my $known = answer('GET', $stock);
        my @tag  = $known->header('ETag') ? ('If-None-Match' => $known->header('ETag')) : ();
        my $date = $known->header('Last-Modified');
        same($ours, $stock, GET => $_) for {}, {'If-Modified-Since' => $date, @tag},
            {'If-Modified-Since' => 'Sun, 01 Jan 2012 00:00:00 GMT'}, {'If-Unmodified-Since' => 'Sun, 01 Jan 2012 00:00:00 GMT'},
            {Range => 'bytes=0-3'}, {Range => 'bytes=-3', 'If-Range' => $date}, {Range => 'bytes=99999-'};
        same($ours, $stock, HEAD => {});
    }
}
my $gzip = answer('GET', '/gzip/benw/index.m3u8', version => '1.0', headers => {'Accept-Encoding' => 'gzip'});
is($gzip->header('Content-Encoding'), 'gzip', 'gzip');
gunzip(\$gzip->body(), \my $unzipped);
is($unzipped, $text, 'of the same');
is(answer('POST', '/live/benw/index.m3u8')->status(), 405, 'POST');

# what nginx's log module says of it, where it makes a file's name of variables: it looks for the
# directory of an answer that no file stands for

answer('GET', '/regex/benw/index.m3u8') for 1 .. 3;
is(lines(qr{GET /regex/benw/index\.m3u8 }), 3, 'a line in a log for each');

# a body that the request must not have

$t->write_file('hls/refused.m3u8', 'refused');
my $refused = http("GET /regex/benw/index.m3u8 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n?\r\n");
like($refused, qr/ 400 .*\r\n\r\nrefused$/s, 'what is refused');
is(() = $refused =~ /^ETag:/mg, 1, 'has no tag of the playlist');

# from memory

my $before = bytes_read();
answer('GET', '/live/benw/index.m3u8') for 1 .. 100;
cmp_ok(bytes_read() - $before, '<', 10 * length $text, 'a hundred answers do not read the file each');
$before = bytes_read();
answer('GET', '/stock/benw/index.m3u8') for 1 .. 100;
cmp_ok(bytes_read() - $before, '>=', 100 * length $text, 'as those of the static module do');

# other files

my $long = '#' x 40_000;
replace('long.m3u8', $long);
settle();
is(answer('GET', '/live/benw/long.m3u8')->body(), $long, 'a long one') for 1 .. 2;
replace('empty.m3u8', '');
settle();
is(answer('GET', '/live/benw/empty.m3u8')->header('Content-Length'), 0, 'an empty one') for 1 .. 2;
mkdir "$dir/directory.m3u8";
is(answer('GET', '/live/benw/directory.m3u8')->status(), 301, 'a directory');
mkfifo("$dir/pipe.m3u8", 0600);
$t->expect_alert(qr/pipe\.m3u8" is not a regular file/);
is(answer('GET', '/live/benw/pipe.m3u8', timeout => 5)->status(), 404, 'a pipe');
is(answer('GET', '/live/benw/absent.m3u8')->status(), 404, 'none');
is(answer('GET', '/live/nobody/index.m3u8')->status(), 404, "and nobody's");

# what has changed

unlink "$dir/index.m3u8";
is(answer('GET', '/live/benw/index.m3u8')->status(), 404, 'a file that is gone');
replace('index.m3u8', $text);
is(answer('GET', '/live/benw/index.m3u8')->body(), $text, 'is there again');

symlink 'index.m3u8', "$dir/link.m3u8";
settle();
is(answer('GET', '/live/benw/link.m3u8')->body(), $text, 'a link') for 1 .. 2;
is(answer('GET', '/symlinks/benw/link.m3u8')->status(), 403, 'where links are not followed');
is(answer('GET', '/symlinks/benw/index.m3u8')->body(), $text, 'and no link there');
rename "$dir/long.m3u8", "$dir/other.m3u8";
symlink 'other.m3u8', "$dir/next.m3u8";
rename "$dir/next.m3u8", "$dir/link.m3u8";
is(answer('GET', '/live/benw/link.m3u8')->body(), $long, 'a link that leads elsewhere');

my $cached = answer('GET', '/cached/benw/index.m3u8')->body();
answer('GET', '/cached/benw/index.m3u8') for 1 .. 5;
is($cached, $text, "open_file_cache is the operator's own affair");

my @old = (1_000_000_000, 1_000_000_000);
replace('same.m3u8', 'one');
utime @old, "$dir/same.m3u8";
settle();
is(answer('GET', '/live/benw/same.m3u8')->body(), 'one', 'a file') for 1 .. 2;
overwrite('same.m3u8', 'two');
utime @old, "$dir/same.m3u8";
is(answer('GET', '/live/benw/same.m3u8')->body(), 'two', 'another of the same length and date');
is(answer('GET', '/live/benw/same.m3u8')->header('Last-Modified'), 'Sun, 09 Sep 2001 01:46:40 GMT', 'as it says');

# empty when it is read, and not yet when it was looked at

replace("$_.m3u8", $_ x 1000) for 'a', 'b';
symlink 'a.m3u8', "$dir/switched.m3u8";
my $switcher = fork() // die "fork: $!\n";
if (!$switcher) {
    for (my $n = 0; ; $n++) {
        symlink((qw(a empty b empty))[$n % 4] . '.m3u8', "$dir/next.m3u8");
        rename "$dir/next.m3u8", "$dir/switched.m3u8";
    }
}
my ($end, $whole, $broken) = (time + 2, 0, 0);
while (time < $end) {
    my $answer = answer('GET', '/live/benw/switched.m3u8');
    $answer->body() =~ /^(a{1000}|b{1000})?$/ && $answer->status() == 200 ? $whole++ : $broken++;
}
kill 'KILL', $switcher;
waitpid $switcher, 0;
cmp_ok($whole, '>', 100, 'a file that is empty every other moment');
is($broken, 0, 'is answered each time');

# as fast as it can be written, in place and as nginx-rtmp does

for my $write (\&overwrite, \&replace) {
    my ($end, $n, $stale) = (time + 3, 0, 0);
    my $connection = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port(8080)) or die $!;
    while (time < $end) {
        $n++;
        $write->('busy.m3u8', sprintf '%08d', $n);
        for (1 .. 3) {
            print {$connection} "GET /live/benw/busy.m3u8 HTTP/1.1\r\nHost: localhost\r\n\r\n";
            my $answer = '';
            until ($answer =~ /\r\n\r\n.{8}/s) { sysread($connection, $answer, 4096, length $answer) or die 'closed' }
            $stale++ unless $answer =~ /\r\n\r\n0*$n$/;
        }
    }
    cmp_ok($n, '>', 100, 'a file that is written hundreds of times a second');
    is($stale, 0, 'is never the former one');
}

# after the stream

my $still = answer('GET', '/live/benw/index.m3u8')->body();
is($still, $text, 'the playlist as long as the stream is live');
$c->delete_stream();
ok(wait_for(sub { answer('GET', '/live/benw/index.m3u8')->body() eq "$text#EXT-X-ENDLIST\n" }, 5), 'closed afterwards');
answer('GET', '/regex/benw/index.m3u8') for 1 .. 3;
is(lines(qr{GET /regex/benw/index\.m3u8 }), 6, 'and in the log as well');

###############################################################################

sub overwrite { my ($name, $text) = @_; return $t->write_file("hls/benw/$name", $text) }

sub replace {
    my ($name, $text) = @_;
    overwrite("$name.bak", $text);
    rename "$dir/$name.bak", "$dir/$name" or die "$name: $!\n";
    return;
}

# Until the file system's clock, whose ticks are 10 ms at most, has gone on.
sub settle { select undef, undef, undef, 0.02; return }

# What the workers' event loops have read from files.
sub bytes_read {
    my $sum = 0;
    for my $pid ($stagedoor->workers()) {
        my $io = do { local (@ARGV, $/) = "/proc/$pid/task/$pid/io"; <> };
        $sum += $io =~ /^rchar: (\d+)/m ? $1 : die "no rchar of $pid\n";
    }
    return $sum;
}

# How many lines of the access log are of that request.
sub lines {
    my ($of) = @_;
    open my $log, '<', $t->testdir() . '/regex-' . port(8080) . '.log' or return 0;
    return scalar grep { $_ =~ $of } <$log>;
}

# Status, body, and every header but those that say how long it is fresh.
sub same {
    my ($ours, $stock, $method, $headers) = @_;
    my @told = map {
        my $answer = answer($method, $_, headers => $headers);
        join "\n", $answer->status(), $answer->body(), map { $answer->header($_) // 'none' }
            qw(Content-Length Content-Type Last-Modified ETag Accept-Ranges Content-Range);
    } $ours, $stock;
    return is($told[0], $told[1], "$method $ours " . join ', ', map {"$_: $headers->{$_}"} sort keys %$headers);
}

###############################################################################
