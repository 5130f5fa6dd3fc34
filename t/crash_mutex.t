#!/usr/bin/perl

# A worker that dies while it holds the mutex of the live registry: the others go
# on, and its stream is free.  That moment lasts for microseconds, so it is made:
# the worker is stopped, and the mutex's word in shared memory set to its pid, as
# ngx_shmtx_lock() does.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(9);

$t->expect_alert(qr/shared memory zone "stagedoor" was locked by \d+/);

# No other zone has this size.
$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;
stagedoor_zone 4m;

events {
}

rtmp {
    access_log %%TESTDIR%%/rtmp.log;

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
my ($key, $other_key, $third_key) = map { $stagedoor->add($_) } qw(benw other third);

$t->run();

###############################################################################

my ($victim, $survivor) = $stagedoor->workers(2);
my $streamer = $stagedoor->client_on($victim);
is($streamer->publish($key)->{code}, 'NetStream.Publish.Start', 'a stream on one worker');
my $other = $stagedoor->client_on($survivor);
is($other->publish($other_key)->{code}, 'NetStream.Publish.Start', 'a stream on the other');
my $third = $stagedoor->client_on($survivor);

kill STOP => $victim;
is(mutex($survivor), 0, 'the mutex is free');
mutex($survivor, $victim);
$third->send_publish($third_key);
ok(!$third->wait_status(0.5), 'while the one holds it, the other waits for it');
$stagedoor->kill_worker($victim);
is(($third->wait_status(2) // {})->{code}, 'NetStream.Publish.Start', 'and goes on when the one is dead');

my $back;
ok(wait_for(sub {
    $back = Test::RTMP->new()->ready();
    return $back->publish($key)->{code} eq 'NetStream.Publish.Start';
}, 2), 'the stream of the dead worker is free within two seconds');
is(Test::RTMP->new()->ready()->publish($other_key)->{description}, 'Already streaming', 'that of the other is not');
ok(!$other->is_closed(), 'because it is still there');
is(mutex($survivor), 0, 'the mutex is free');

###############################################################################

# The mutex's word, the first one of the zone (ngx_slab_pool_t), as a worker sees it.
sub mutex {
    my ($pid, $value) = @_;

    no warnings 'portable';
    open my $maps, '<', "/proc/$pid/maps" or die "Can't open maps: $!\n";
    my ($zone) = map { /^(\w+)-(\w+) rw-s/ && hex($2) - hex($1) == 4 << 20 ? hex $1 : () } <$maps>;
    open my $memory, '+<:raw', "/proc/$pid/mem" or die "Can't open mem: $!\n";
    sysseek $memory, $zone, 0 or die "Can't seek: $!\n";
    if (defined $value) {
        syswrite $memory, pack 'Q', $value or die "Can't write: $!\n";
        return;
    }
    sysread $memory, my $word, 8 or die "Can't read: $!\n";
    return unpack 'Q', $word;
}

###############################################################################
