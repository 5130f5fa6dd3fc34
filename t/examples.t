#!/usr/bin/perl

# The configurations in nginx-conf/ as they are, but for paths, ports and user: nginx
# accepts them without a word, and a stream goes in with its key and comes out by HLS
# under the username.  The pair of origin and edge has a test of its own (hls_edge.t), and so
# have the one in front of a Django site (django_admin.t) and rtmps (rtmps.t).  What the documentation
# shows is part of them.

use warnings;
use strict;

use List::Util qw(uniq);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Encoder;
use Test::Example qw(adapt example_user examples);
use Test::Nginx;
use Test::Player qw(colours hls_url inspect playlist);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my @examples = qw(full smallest);

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('ffmpeg')->has_daemon('ffprobe')
    ->plan(4 + 13 * @examples);

###############################################################################

is_deeply([examples()], [qw(django edge full origin rtmps smallest)], 'the examples');

for my $name (@examples) {
    my $stagedoor = Test::Stagedoor->new($t, init => 0);
    $stagedoor->{db} = $t->testdir() . "/$name/stagedoor.db";
    $stagedoor->give_to(example_user(), $name);
    $stagedoor->init();
    my $key = $stagedoor->add('benw');

    adapt($t, $name);
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
    is($stagedoor->status()->{streams}[0]{playlist}, '/live/benw/index.m3u8', 'the status knows where its playlist is') if $name eq 'full';
    $encoder->stop();
    $t->stop();
}

is_deeply([shown_only('../README.md', '../nginx-conf/smallest.conf')], [], 'README.md shows smallest.conf');
is_deeply([shown_only('../docs/migrating.md', '../nginx-conf/django.conf', 'django/callback.conf')], [],
    'docs/migrating.md shows django.conf, and what it starts from');

###############################################################################

# The lines of configuration in a document that none of the files has.
sub shown_only {
    my ($document, @files) = @_;
    my %tested = map { s/^\s+//r => 1 } map { split /\n/, slurp($_) } @files;
    return grep { !$tested{$_} } map { s/^\s+//r } map { split /\n/ } slurp($document) =~ /```nginx\n(.*?)```/gs;
}

sub slurp { my ($file) = @_; local (@ARGV, $/) = $file; return scalar <> }

###############################################################################
