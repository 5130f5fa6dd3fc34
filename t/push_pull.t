#!/usr/bin/perl

# A name that somebody has had nginx-rtmp pull, from a server that does not answer, when its streamer comes and it is
# pushed, too. nginx-rtmp's relay module attaches the push to the pull, whose timer has no handler: its worker dies
# when the push ends. With the module it does not, and the stream is live.

use warnings;
use strict;

use IO::Socket::INET ();
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(2 * 4 + 1);

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

        application open {
            live on;
            pull rtmp://127.0.0.1:8941/silent;
            push rtmp://127.0.0.1:8942/nobody;
            push_reconnect 200ms;
        }

        application keyed {
            live on;
            stagedoor on;
            pull rtmp://127.0.0.1:8941/silent;
            push rtmp://127.0.0.1:8942/nobody;
            push_reconnect 200ms;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = (open => 'benw', keyed => $stagedoor->add('benw'));

# the kernel accepts for it
my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => port(8941), Listen => 5, ReuseAddr => 1)
    or die "Can't listen: $!\n";

$t->run();

###############################################################################

my ($worker) = $stagedoor->workers(1);
for my $app (qw(open keyed)) {
    my ($pulls, $ends) = (pulls(), ends());
    my $player = client($app);
    $player->send_play('benw');
    ok(wait_for(sub { pulls() > $pulls }, 5), "$app: a name that is played is pulled");

    my $streamer = client($app);
    is($streamer->publish($key{$app})->{code}, 'NetStream.Publish.Start', 'its streamer can publish it');
    $streamer->go_live();
    ok(wait_for(sub { ends() > $ends }, 5), 'while the push of it ends');
    my $before = () = $player->received('video');
    ok(wait_for(sub { $player->received('video') > $before + 10 }, 10), 'its player has pictures');
    $_->close() for $player, $streamer;
}
is_deeply([$stagedoor->workers(1)], [$worker], 'all of that in one worker');

###############################################################################

sub client { my ($app) = @_; return Test::RTMP->new(app => $app)->ready() }

sub pulls { return $t->find_in_file('error.log', 'relay: create pull') }

# Of pushes, as nobody takes them.
sub ends { return $t->find_in_file('error.log', qr/Connection refused.*server: ngx-relay/) }

###############################################################################
