#!/usr/bin/perl

# What push_unreachable.t is about, on nginx-rtmp as it comes: a push that cannot begin to connect takes the
# worker down.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Proc qw(children is_running);
use Test::RTMP;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp/)->plan(1);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;
worker_rlimit_core 0;

load_module %%RTMP_MODULE%%;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application open {
            live on;
            push rtmp://unix:%%TESTDIR%%/there.sock:/open;
        }
    }
}

END

$t->expect_alert(qr/worker process \d+ exited on signal 11/, qr/connect\(\) to unix:\S+ failed/);
$t->run();

###############################################################################

my ($worker) = children($t->read_file('nginx.pid') + 0);
my $client = Test::RTMP->new(app => 'open')->ready();
$client->send_publish('name');
ok(Test::RTMP::wait_until(sub { !is_running($worker) }, 10), 'the worker dies');

###############################################################################
