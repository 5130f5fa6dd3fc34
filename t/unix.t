#!/usr/bin/perl

# A Unix socket that nginx listens on, as one does behind a TLS proxy, asks for a
# stream key as every other listener. nginx-rtmp takes whatever comes over a Unix
# socket for another worker's (rtmp_auto_push).

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

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(8);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    server {
        listen unix:%%TESTDIR%%/rtmp.sock;
        listen 127.0.0.1:8935;

        stagedoor_auth_delay 0;

        application live {
            live on;
            stagedoor on;
        }

        application open {
            live on;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');
$t->secret('a-wrong-stream-key');

$t->run();

###############################################################################

is(over_unix()->publish('benw')->{description}, 'Invalid stream key', 'a username is no key');
is(over_unix()->publish('a-wrong-stream-key')->{description}, 'Invalid stream key', 'nor is a wrong one');

my $c = over_unix();
is($c->publish($key)->{code}, 'NetStream.Publish.Start', 'with a key it is live');
is(Test::RTMP->new()->ready()->publish($key)->{description}, 'Already streaming', 'for everybody');
$c->close();
ok($stagedoor->wait_for_ends('benw'), 'until it ends');

is(over_unix(app => 'open')->publish('anybody')->{code}, 'NetStream.Publish.Start',
    'where no key is asked for, none is');
is($stagedoor->log_lines(text => qr/publish: name='benw'/), 0, 'no name goes past the check');
is($stagedoor->log_lines(text => qr/publish accepted, username: "benw"/), 1, 'one publish was let in');

###############################################################################

sub over_unix { return Test::RTMP->new(unix => $t->testdir() . '/rtmp.sock', @_)->ready() }

###############################################################################
