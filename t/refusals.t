#!/usr/bin/perl

# Who is refused, what the encoder is told, that the connection ends, and the one
# line that the operator finds in the log.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(key_tag wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('sqlite3')->plan(40);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;
stagedoor_timeout 500ms;

events {
}

rtmp {
    access_log %%TESTDIR%%/rtmp.log;

    server {
        listen 127.0.0.1:8935;

        stagedoor on;
        stagedoor_auth_delay 0;

        application live {
            live on;
        }

        application other {
            live on;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(benw mia zoe);
$stagedoor->do(ban => 'mia');

$t->run();

my ($here, $there) = $stagedoor->workers(2);

###############################################################################

# keys

my $unknown = 'NobodysKeyNobodysKey1234';
$t->secret($unknown);

refused('an unknown key', client(), $unknown, 'NetStream.Publish.BadName', 'Invalid stream key',
    [$unknown]);
refused('another case', client(), lc $key{benw}, 'NetStream.Publish.BadName', 'Invalid stream key',
    [lc $key{benw}]);
refused('a key and more', client(), "$key{benw}x", 'NetStream.Publish.BadName', 'Invalid stream key',
    ["$key{benw}x"]);
refused('a malformed key', client(), "$key{benw}\n", 'NetStream.Publish.BadName', 'Invalid stream key',
    ["$key{benw}\n"], 'control character');
refused('an empty key', client(), '', 'NetStream.Publish.BadName', 'Invalid stream key', [''], 'empty');
refused('a username', client(), 'benw', 'NetStream.Publish.BadName', 'Invalid stream key', ['benw']);

# streamers

refused('an inactive streamer', client(), $key{mia}, 'NetStream.Publish.Denied',
    'Streaming is not allowed for this account', [$key{mia}, 'mia']);

# streams that are live

my $live = $stagedoor->client_on($here);
is($live->publish($key{benw})->{code}, 'NetStream.Publish.Start', 'the first publish is live');

my @taken = ('NetStream.Publish.BadName', 'Already streaming', [$key{benw}, 'benw']);
refused('a second one, on the same worker', $stagedoor->client_on($here), $key{benw}, @taken);
refused('on the other worker', $stagedoor->client_on($there), $key{benw}, @taken);
refused('to another application', client(app => 'other'), $key{benw}, @taken);
is(client()->publish($key{zoe})->{code}, 'NetStream.Publish.Start', 'another streamer is let in');

# the store

rename $stagedoor->db(), $stagedoor->db() . '.away' or die;
refused('no database', client(), $key{zoe}, 'NetStream.Failed', 'Temporarily unavailable, try again',
    [$key{zoe}], 'does not exist');
rename $stagedoor->db() . '.away', $stagedoor->db() or die;

ok(!$live->closed_within(0.1), 'the first publish was not touched by any of this');
is(grep({ $_->{code} ne 'NetStream.Publish.Start' } $live->statuses()), 0, 'nor told of it');

# the log

my @refusals = $stagedoor->log_lines(text => qr/stagedoor: publish refused/);
is(@refusals, 11, 'one line a refusal');
is(grep({ $_->{level} ne 'warn' } @refusals), 0, 'each a warning');
my $tags = join '|', map { key_tag($_) } $unknown, values %key;
unlike($t->read_file('error.log'), qr/(?:$tags)[0-9a-f]/, 'no more of a digest than 8 digits');

###############################################################################

sub client { return Test::RTMP->new(@_)->ready() }

# Three assertions: what the encoder is told, that the connection ends, the line in
# the log.  $known: the key and, where the store knows it, the username.
sub refused {
    my ($what, $client, $name, $code, $description, $known, $why) = @_;

    my $before = () = $stagedoor->log_lines(level => 'warn');
    my $status = $client->publish($name) // {};
    is("$status->{level} $status->{code}: $status->{description}", "error $code: $description", $what);
    ok($client->closed_within(3), "$what: the connection is closed");

    my ($key, $username) = @$known;
    my @lines = ($stagedoor->log_lines(level => 'warn'))[$before .. $before];
    my $line = $lines[0]{text} // '';
    my $app  = $client->{app};
    my $tag  = key_tag($key);
    my $good = $line =~ /^stagedoor: publish refused: \Q$description\E \(.*\), app: "$app", key: $tag, client: 127\.0\.0\.1/
        && (!defined $username || $line =~ /username: "$username"/)
        && (!defined $why || $line =~ /$why/);
    ok($good, "$what: the log says so") or diag($line);
    return;
}

###############################################################################
