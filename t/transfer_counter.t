#!/usr/bin/perl

# nginx-rtmp sets its counter of what a session has received back to 0 before 32 bits are full
# (ngx_rtmp_handler.c, ngx_rtmp_recv), in the middle of whatever is being read: the session does not notice.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor;

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant {
    SET_BACK => 0xf0000000,
    CHUNK    => 4096,
    PICTURE  => 30_000,
};

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(3);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

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

END

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');
$t->run();

###############################################################################

$SIG{PIPE} = 'IGNORE';

my $c = Test::RTMP->new()->ready();
is($c->publish($key)->{code}, 'NetStream.Publish.Start', 'a stream is live');
$c->set_chunk_size(CHUNK);
my $picture = "\x27\x01\0\0\0" . 'x' x (PICTURE - 5);
$c->message(csid => 6, type => 9, stream_id => 1, payload => $picture);
$c->flush();

# The same again, with the shortest header.
my $message = join '', map { "\xc6" . substr $picture, $_ * CHUNK, CHUNK } 0 .. (PICTURE - 1) / CHUNK;
my $messages = $message x 40;
my $sent = 0;
while ($sent < SET_BACK + 50_000_000 && $c->write_through($messages)) {
    $sent += length $messages;
    while (sysread $c->{socket}, my $acknowledged, 65536) { }
}
cmp_ok($sent, '>=', SET_BACK + 50_000_000, 'and takes as much as the counter holds, and more');
ok(!$c->closed_within(0.5), 'all the while');

###############################################################################
