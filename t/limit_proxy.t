#!/usr/bin/perl

# Behind a proxy the address that counts is the one that the proxy tells of, where the
# configuration says to listen to it, and nowhere else.

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

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('sqlite3')->plan(15);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    access_log off;

    stagedoor on;
    stagedoor_auth_delay 0;
    stagedoor_auth_limit 1r/m burst=2;

    server {
        listen 127.0.0.1:8935 proxy_protocol;
        application live { live on; }
    }

    server {
        listen 127.0.0.1:8936;
        listen unix:%%TESTDIR%%/rtmp.sock;
        application live { live on; }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(benw zoe);
$t->secret(my $wrong = 'a-wrong-stream-key');

$t->run();

my $WRONG = 'Invalid stream key';
my $MANY  = 'Too many attempts, try again later';

###############################################################################

# the address in the header, whoever brings it

is_deeply([map { behind('TCP4 192.0.2.1') } 1 .. 3], [$WRONG, $WRONG, $MANY], 'an address behind the proxy');
is(behind('TCP4 192.0.2.2'), $WRONG, 'another one is another');
is(behind('TCP6 ::ffff:192.0.2.1'), $MANY, 'in the form of IPv6 it is the same');
is_deeply([map { behind("TCP6 2001:db8:1:2::$_") } 1 .. 3], [$WRONG, $WRONG, $MANY], 'a network of IPv6 is one');
is(behind('TCP6 2001:db8:1:2:ffff::1'), $MANY, 'to its last address');
is(behind('TCP6 2001:db8:1:3::1'), $WRONG, 'but not the next network');

my $live = Test::RTMP->new(proxy => header('TCP6 2001:db8:1:3::1'))->ready();
is($live->publish($key{benw})->{code}, 'NetStream.Publish.Start', 'a good key is let in');
ok(wait_for(sub { $stagedoor->sql('SELECT 1 FROM sessions') }, 5), 'its session');
is(($stagedoor->sql('SELECT client_addr FROM sessions'))[0]{client_addr}, '2001:db8:1:3::1', 'has the address');

# without an address in it, the proxy's own

is_deeply([map { behind('UNKNOWN') } 1 .. 3], [$WRONG, $WRONG, $MANY], 'an unknown one');
is(direct(), $MANY, 'is the address of the connection');
is(direct(from => '127.0.0.2'), $WRONG, 'as it counts without a proxy');

# where no header is expected, none is believed

my $c = Test::RTMP->new(port => port(8936), proxy => header('TCP4 192.0.2.77'));
$c->send_handshake();
ok($c->closed_within(3), 'a header from anybody ends the connection');
is(direct(from => '127.0.0.2'), $WRONG, 'and moves nobody to another address');

# clients of a Unix socket have no address

is_deeply([map { over_unix() } 1 .. 5], [($WRONG) x 5], 'a Unix socket has no limit');

###############################################################################

sub header { my ($source) = @_; return $source eq 'UNKNOWN' ? $source : "$source " . ($source =~ /TCP6/ ? '::1' : '127.0.0.1') . ' 40000 1935' }

sub behind { my ($source) = @_; return guess(proxy => header($source)) }

sub direct { return guess(port => port(8936), @_) }

sub over_unix { return guess(unix => $t->testdir() . '/rtmp.sock') }

sub guess { return Test::RTMP->new(@_)->ready()->publish($wrong)->{description} }

###############################################################################
