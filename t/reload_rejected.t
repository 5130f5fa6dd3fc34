#!/usr/bin/perl

# A configuration that nginx does not take changes nothing, also not for a worker
# that starts after it: it runs the one that was there.

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

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(6);

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');

configure('on', '');
$t->run();

configure('off', 'no_such_directive;');
$t->expect_alert(qr/unknown directive "no_such_directive"/);
kill HUP => $stagedoor->master();
ok(wait_for(sub { $stagedoor->log_lines(level => 'emerg', text => qr/no_such_directive/) }, 3), 'a reload is rejected');

my ($worker) = $stagedoor->workers(1);
$stagedoor->kill_worker($worker);
ok(wait_for(sub { grep { $_ != $worker } $stagedoor->workers(1) }, 5), 'and a worker starts anew');

###############################################################################

is(Test::RTMP->new()->ready()->publish('anything')->{description}, 'Invalid stream key', 'it asks for a key');

my $c = Test::RTMP->new();
$c->handshake();
$c->send_publish($key);
ok($c->closed_within(3), 'before connect, too');
is($stagedoor->log_lines(text => qr/publish refused: it came before connect/), 1, 'and says so');

is(Test::RTMP->new()->ready()->publish($key)->{code}, 'NetStream.Publish.Start', 'with the key one is live');

###############################################################################

sub configure {
    my ($enable, $mistake) = @_;
    my $conf = <<'END' =~ s/%%ENABLE%%/$enable/r =~ s/%%MISTAKE%%/$mistake/r;

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

stagedoor_db db/stagedoor.db;

events {
}

rtmp {
    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor %%ENABLE%%;
            stagedoor_auth_delay 0;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    %%MISTAKE%%
}

END
    $t->write_file_expand('nginx.conf', $conf);
    return;
}

###############################################################################
