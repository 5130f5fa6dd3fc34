#!/usr/bin/perl

# Five thousand guesses from one address, hundreds at a time: the database is asked
# about those that the limit allows, the log stays readable, and whoever is live or
# comes from elsewhere does not notice.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);
use Test::Storm;

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { GUESSES => 5_000, BURST => 10, BACK_EVERY => 2 };

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(13);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
    worker_connections 2048;
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;
            stagedoor_auth_delay 100ms;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen 127.0.0.1:8080;
        location = /status { stagedoor_status json; }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(benw zoe);
$t->secret(my $wrong = 'a-wrong-stream-key');

$t->run();

my ($worker) = $stagedoor->workers(2);
my $live = $stagedoor->client_on($worker);
is($live->publish($key{benw})->{code}, 'NetStream.Publish.Start', 'a stream is live');
my $player = $stagedoor->client_on($worker);
$player->play('benw');
$live->go_live();
ok(wait_for(sub { $player->received('video') >= 5 }, 5), 'and played');

###############################################################################

my $before = $stagedoor->status();
my $began  = time;
my $storm  = Test::Storm->start(port => port(8935), from => '127.0.0.9', key => $wrong, count => GUESSES);
my $elsewhere = $stagedoor->client_on($worker);
is($elsewhere->publish($key{zoe})->{code}, 'NetStream.Publish.Start', 'who comes from elsewhere is let in meanwhile');
my $status = $storm->wait(60);
my $took = time - $began;
is($status, 0, GUESSES . ' guesses') or diag($storm->output());

my $after = $stagedoor->status();
my %refused = map { $_ => $after->{refusals}{$_} - $before->{refusals}{$_} } keys %{$after->{refusals}};
note(sprintf '%.1f s; %d wrong, %d too many', $took, @refused{qw(invalid_key too_many_attempts)});
is($refused{invalid_key} + $refused{too_many_attempts}, GUESSES, 'each is answered');
cmp_ok($refused{invalid_key}, '>=', BURST, 'as many as the burst are looked at');
cmp_ok($refused{invalid_key}, '<=', BURST + $took / BACK_EVERY, 'and as many as came back meanwhile');
is($after->{store}{answers} - $before->{store}{answers}, $refused{invalid_key} + 1, 'the database is asked about these, and the one from elsewhere');

ok(wait_for(sub { $stagedoor->refusals_logged(qr/too many attempts/i) == $refused{too_many_attempts} }, 5), 'the log tells of all others');
cmp_ok($stagedoor->log_lines(text => qr/too many attempts/i), '<=', 2 * (2 + $took), 'in a line a second of each worker');

# who was live

$live->stop_media();
ok(wait_for(sub { pictures($player) == $live->pictures() }, 5), 'the player has every picture');
is($stagedoor->status()->{live}, 2, 'both are live');
ok(!$live->closed_within(0.1), 'on the connections that they had');

###############################################################################

# Pictures that came, without the decoder's configuration.
sub pictures { my ($client) = @_; return scalar grep { substr($_->{payload}, 1, 1) eq "\x01" } $client->received('video') }

###############################################################################
