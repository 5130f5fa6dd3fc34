#!/usr/bin/perl

# A publish that is taken back costs its client what it would have cost: one answer
# at a time, and for a wrong key the delay. Else a connection could ask the database
# as often as it can send, and fill the log.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant PAIRS => 2_000;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(9);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;
            stagedoor_auth_delay 500ms;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');
$t->secret(my $wrong = 'a-wrong-stream-key');

$t->run();

###############################################################################

# the same wrong key, over and over

my $c = Test::RTMP->new()->ready();
my $began = time;
for (1 .. PAIRS) {
    $c->send_publish($wrong);
    $c->close_stream();
}
my $status = $c->wait_status(5);
is($status->{description}, 'Invalid stream key', 'a wrong key that is taken back is refused');
cmp_ok($status->{at} - $began, '>=', 0.49, 'after the delay');
ok($c->closed_within(3), 'and its connection closed');
cmp_ok($stagedoor->log_lines(text => qr/withdrawn/), '<=', 2, 'the log says it once');
is($stagedoor->log_lines(text => qr/refused: Invalid stream key/), 1, 'and that it was refused');

# a good key, over and over

$c = Test::RTMP->new()->ready();
for (1 .. PAIRS) {
    $c->send_publish($key);
    $c->close_stream();
}
$c->send_publish($key);
is($c->wait_status(5, qr/Start|Failed|BadName/)->{code}, 'NetStream.Publish.Start', 'second thoughts end in a stream');
$c->close();
ok($stagedoor->wait_for_ends('benw'), 'that ends');

# others

is(Test::RTMP->new()->ready()->publish($key)->{code}, 'NetStream.Publish.Start', 'nobody else has to wait');
is($stagedoor->log_lines(text => qr/too far behind/), 0, 'nor is anybody turned away');

###############################################################################
