#!/usr/bin/perl

# A session that plays what is pulled and then publishes, in an application with push and pull: nginx-rtmp pushes the name
# that is pulled, and dies at the end of that push, of a timer without a handler. With the module the worker lives.

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

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(3);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;
        push_reconnect 100ms;
        pull_reconnect 100ms;

        application origin {
            live on;
        }

        application relay {
            live on;
            pull 127.0.0.1:8935/origin;
            push 127.0.0.1:8935/nowhere;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
$t->run();
my @workers = $stagedoor->workers(1);

###############################################################################

my $origin = Test::RTMP->new(app => 'origin')->ready();
$origin->publish('pulled');
$origin->go_live();
my $session = Test::RTMP->new(app => 'relay')->ready();
$session->send_play('pulled');
ok(wait_for(sub { $session->received('video') > 3 }, 5), 'a session plays what is pulled');
$session->send_publish('another');
ok(wait_for(sub { $t->find_in_file('error.log', qr/relay: create push name='pulled'/) }, 5), 'it publishes, and the pulled name is pushed');
wait_for(sub { 0 }, 0.5);
is_deeply([$stagedoor->workers(1)], \@workers, 'and the worker lives when the push ends');
$_->close() for $session, $origin;

###############################################################################
