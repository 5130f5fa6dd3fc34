#!/usr/bin/perl

# Who publishes and has yet to send a picture has an empty directory of its own, and nginx-rtmp's cache manager removes
# empty directories.  So it does when all that was there has become too old, because the encoder has paused.  HLS makes
# its directory anew with each fragment; DASH only when a stream begins, and nginx-rtmp alone ends the stream.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);
use Test::Stock qw(write_stock_and_nginx);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(1 + 10);

write_stock_and_nginx($t, <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;

            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_nested on;
            hls_fragment 500ms;
            hls_playlist_length 1s;

            dash on;
            dash_path %%TESTDIR%%/dash;
            dash_nested on;
            dash_fragment 500ms;
            dash_playlist_length 1s;
        }
    }
}

END

# The cache manager looks at files that were renamed meanwhile, and at directories that are not empty any more.
$t->allow_alert(qr/(?:hls|dash): cleanup .* failed/);

my $stagedoor = Test::Stagedoor->new($t);

###############################################################################

$t->run($t->testdir() . '/stock.conf');
my $client = publisher();
removed('dash') or die "the directory stays\n";
$client->go_live();
ok($client->closed_within(5), 'nginx-rtmp alone: a publisher whose directory was removed is closed with its first picture');
$t->stop();

$t->run();
my $faults = faults();
$client = publisher();
ok(removed('dash'), 'the directory of a publisher that has sent nothing is removed');

$client->go_live();
ok(is_written('dash', qw(index.mpd init.m4v init.m4a)), 'its DASH is written when it sends pictures');
is(mode('dash'), sprintf('%o', 0744 & ~umask), 'into such a directory as nginx-rtmp had made');
ok(is_written('hls', 'index.m3u8'), 'and so is its HLS');
is(faults(), $faults, 'without a fault in between');

$client->stop_media();
ok(removed($_), "$_: the directory of an encoder that pauses is removed") for qw(dash hls);
$client->go_live();
ok(is_written('dash', qw(index.mpd init.m4v init.m4a)), 'its DASH is written when it goes on, with what a player begins with');
ok(is_written('hls', 'index.m3u8'), 'and so is its HLS');
ok(!$client->is_closed(), 'all the while it is live');
$client->close();

###############################################################################

# Live, with nothing sent yet.
sub publisher {
    my $publisher = Test::RTMP->new()->ready();
    $publisher->publish('name');
    return $publisher;
}

sub faults { return scalar $stagedoor->log_lines(level => 'error', text => qr/^dash: (?!cleanup)/) }

sub directory { return $t->testdir() . "/$_[0]/name" }

sub mode { return sprintf '%o', 07777 & (stat directory($_[0]))[2] }

# Within some of the cache manager's rounds, which are two seconds.
sub removed {
    my ($module) = @_;
    return wait_for(sub { !-d directory($module) }, 10);
}

# Whether these files are there, and a fragment beside them.
sub is_written {
    my ($module, @files) = @_;
    my $of = directory($module);
    return wait_for(sub { !(grep { !-s "$of/$_" } @files) && grep { -s } glob "$of/[0-9]*.{m4v,ts}" }, 10);
}

###############################################################################
