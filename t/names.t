#!/usr/bin/perl

# Whatever stands where the stream key should: nothing but the key itself passes for
# it, nothing gets a line of its own into a log, and nobody else is disturbed.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::RTMP::AMF0 qw(amf_encode raw);
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(94);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    access_log %%TESTDIR%%/rtmp.log;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;
            stagedoor_auth_delay 0;
            stagedoor_auth_limit off;

            record all;
            record_path %%TESTDIR%%/record;

            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_nested on;
        }
    }
}

END

mkdir $t->testdir() . '/record' or die;

my $stagedoor = Test::Stagedoor->new($t);
my $key  = $stagedoor->add('benw');
my $live = $stagedoor->add('zoe');

$t->run();

my @workers = $stagedoor->workers(2);
my $zoe = Test::RTMP->new()->ready();
$zoe->publish($live);

###############################################################################

# names that are not the key

my $injected = "\n2026/01/01 00:00:00 [alert] 1#0: *1 injected";
my %name = (
    'empty'                => '',
    'of one byte'          => 'k',
    'of 255 bytes'         => 'k' x 255,
    'of 256 bytes'         => 'k' x 256,
    'of 400 bytes'         => 'k' x 400,
    'of 65,535 bytes'      => 'k' x 65535,
    'of 256 from the key'  => $key . 'k' x 232,
    'of a NUL'             => "\0",
    'of the key and a NUL' => "$key\0",
    'with a NUL and more'  => "$key\0tail",
    'after a NUL'          => "\0$key",
    'with a newline'       => "$key\n",
    'that writes a log'    => $injected,
    'that colours a log'   => "\e[31m$key",
    'with a slash'         => "/$key",
    'with slashes'         => "../$key",
    'of a directory'       => '..',
    'of a path'            => '../../../../tmp/x',
    'with a space'         => "$key ",
    'with a percent'       => "%n%s%V$key",
    'not in UTF-8'         => "\xff\xfe$key",
    'of a question mark'   => '?',
    'of arguments alone'   => "?$key",
    'behind arguments'     => "?x=$key",
    'with a quote'         => "\",app=\"$key",
    'of a user'            => 'zoe',
);
for my $what (sort keys %name) {
    my $c = Test::RTMP->new()->ready();
    my $status = $c->publish($name{$what}) // {};
    is($status->{description}, 'Invalid stream key', "a name $what");
    ok($c->closed_within(3), 'is closed');
}

# the key

for my $arguments ('', '?', '?token=x', '?a=1?b=2', "?\n", '?' . 'x' x 200) {
    my $c = Test::RTMP->new()->ready();
    is($c->publish("$key$arguments")->{code}, 'NetStream.Publish.Start',
        'the key and ' . length($arguments) . ' bytes of arguments');
    $c->close();
    $stagedoor->wait_for_ends('benw');
}
for my $type ("live\n", 'x' x 400, "record\0") {
    my $c = Test::RTMP->new()->ready();
    is($c->publish($key, $type)->{code}, 'NetStream.Publish.Start', 'a type of ' . length($type) . ' bytes');
    $c->close();
    $stagedoor->wait_for_ends('benw');
}

# commands that are none

my $command = amf_encode('publish', 5);
my %command = (
    'nothing'                 => '',
    'half a number'           => substr(amf_encode(5), 0, 4),
    'a text for a number'     => amf_encode('5', undef, $key),
    'no name'                 => amf_encode(5, undef),
    'an object first'         => amf_encode(5, { name => $key }, $key),
    'a number for a name'     => amf_encode(5, undef, 24),
    'a boolean for a name'    => amf_encode(5, undef, \1),
    'null for a name'         => amf_encode(5, undef, undef),
    'an array for a name'     => amf_encode(5, undef, [$key]),
    'an object for a name'    => amf_encode(5, undef, { name => $key }),
    'a long string'           => amf_encode(5, undef, raw("\x0c" . pack 'N/a*', $key)),
    'a name cut off'          => amf_encode(5, undef, raw("\x02\x00\x18" . substr $key, 0, 20)),
    'a length cut off'        => amf_encode(5, undef, raw("\x02\x00")),
    'an unknown type'         => amf_encode(5, undef, raw("\x7f$key")),
);
for my $what (sort keys %command) {
    my $c = Test::RTMP->new()->ready();
    $c->amf(amf_encode('publish') . $command{$what}, 1);
    ok($c->closed_within(3), "a command with $what is closed");
    is(grep({ $_->{code} =~ /Start/ } $c->statuses()), 0, 'and not live');
}

# what is left of all this

is_deeply([$stagedoor->workers(2)], [@workers], 'the workers are the same');
ok(!$zoe->closed_within(0.1), 'who was live still is');
is($t->find_in_file($_, qr/^2026\/01\/01|\e|\x00/), 0, "nothing was put into $_") for qw(error.log rtmp.log);
is(grep({ !/^(?:benw|zoe)/ } map { s{.*/}{}r } glob $t->testdir() . '/{hls,record}/*'), 0, 'no file by another name');

###############################################################################
