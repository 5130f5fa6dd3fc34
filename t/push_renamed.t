#!/usr/bin/perl

# A stream that on_publish has given another name, and whose first push cannot even begin to connect, which nginx-rtmp
# alone dies of (push_stock.t): it is tried again under its own name. The one that the client has sent may be a key,
# which the other server must not see.

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

my $there  = Test::Nginx->new()->has(qw/rtmp/);
my $t      = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(7);
my $socket = $t->testdir() . '/there.sock';

$there->write_file_expand('nginx.conf', <<"END");

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

load_module %%RTMP_MODULE%%;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8940;
        listen unix:$socket;

        application app {
            live on;
        }
    }
}

END

$t->write_file_expand('nginx.conf', <<"END");

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8936;

        application app {
            live on;
            on_publish http://127.0.0.1:8080/publish;
            push rtmp://unix:$socket:/app;
            push_reconnect 200ms;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen 127.0.0.1:8080;

        location /publish {
            return 302 benw;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
$t->expect_alert(qr/connect\(\) to unix:\S+ failed/);
$t->run();

###############################################################################

my ($worker) = $stagedoor->workers(1);
my $client = client(8936);
is($client->publish('what-the-client-sends')->{code}, 'NetStream.Publish.Start', 'the stream is live');
$client->go_live();
ok(plays(8936, 'benw'), 'under the name that it was given');
ok(wait_for(sub { tries() > 3 }, 10), 'its push is tried again');

$there->run();
ok(plays(8940, 'benw'), 'and plays under that name where it goes to, once the server is there');
is($t->find_in_file('error.log', qr/create push name='(?!benw')/), 0, 'it was tried under no other');
is($there->find_in_file('error.log', 'what-the-client-sends'), 0, 'and the server has seen no other');
is_deeply([$stagedoor->workers(1)], [$worker], 'all of that in one worker');

###############################################################################

sub client { my ($port) = @_; return Test::RTMP->new(port => port($port), app => 'app')->ready() }

sub tries { return $t->find_in_file('error.log', qr/connect\(\) to unix:\S+ failed/) }

sub plays {
    my ($port, $name) = @_;
    my $player = client($port);
    $player->send_play($name);
    my $comes = wait_for(sub { $player->received('video') > 3 }, 10);
    $player->close();
    return $comes;
}

###############################################################################
