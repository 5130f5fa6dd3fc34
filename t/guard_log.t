#!/usr/bin/perl

# nginx-rtmp logs what clients say as they say it: with a line end in it they write lines of
# their own. With the message guard they write none.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::RTMP::AMF0 qw(amf_encode);
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant GARBLED => 1000;

# Everything that a client says and nginx-rtmp logs.
my %said = (
    'app'              => sub { $_[0]->send_connect(app      => $_[1]) },
    'flashVer'         => sub { $_[0]->send_connect(flashVer => $_[1]) },
    'swfUrl'           => sub { $_[0]->send_connect(swfUrl   => $_[1]) },
    'tcUrl'            => sub { $_[0]->send_connect(tcUrl    => $_[1]) },
    'pageUrl'          => sub { $_[0]->send_connect(pageUrl  => $_[1]) },
    'name to publish'  => sub { $_[0]->ready()->send_publish($_[1]) },
    'its arguments'    => sub { $_[0]->ready()->send_publish("x?$_[1]") },
    'type of publish'  => sub { $_[0]->ready()->send_publish('x', $_[1]) },
    'name to play'     => sub { $_[0]->ready()->send_play($_[1]) },
    'and what to play' => sub { $_[0]->ready()->command('play2', undef, { start => 0, streamName => $_[1] }) },
);

my ($stock, $t) = map { Test::Nginx->new()->has(qw/rtmp stagedoor/) } 1, 2;
$t->plan(3 * keys(%said) + 9);

my $conf = <<'END';

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

MODULES

events {
}

rtmp {
    log_format all '$command app="$app" name="$name" args="$args" flashver="$flashver" tcurl="$tcurl"';
    access_log %%TESTDIR%%/rtmp.log all;

    server {
        listen 127.0.0.1:PORT;

        application live {
            live on;
        }

        KEYED
    }
}

END

my $keyed = <<'END';
        application keyed {
            live on;
            stagedoor on;
            stagedoor_auth_delay 0;
        }
END

my $loads = 'load_module %%RTMP_MODULE%%;';
my $db    = 'stagedoor_db %%TESTDIR%%/db/stagedoor.db;';
$stock->write_file_expand('nginx.conf', $conf =~ s/MODULES/$loads/r =~ s/PORT/8935/r =~ s/KEYED//r);
$t->write_file_expand('nginx.conf',
    $conf =~ s/MODULES/$loads load_module %%STAGEDOOR_MODULE%%; $db/r =~ s/PORT/8936/r =~ s/KEYED/$keyed/r);
my $stagedoor = Test::Stagedoor->new($t);

$_->run() for $stock, $t;

###############################################################################

# nginx-rtmp as it comes, and with the guard

for my $what (sort keys %said) {
    my $line   = forged($what);
    my $client = say_it(8935, $what, "x\n$line");
    ok(wait_for(sub { lines($stock, $line) }, 5), "$what: nginx-rtmp writes the line");
    $client->close();

    $client = say_it(8936, $what, "x\n$line");
    ok($client->closed_within(5), "$what: the guard closes the session");
    ok(!lines($t, $line), "$what: and nobody writes the line");
}

# other control characters

for my $character ("\r", "\e", "\x7f") {
    my $client = say_it(8936, 'flashVer', "x${character}y");
    ok($client->closed_within(5), sprintf 'the character 0x%02x', ord $character);
}

# where this module takes the name, the streamer is told what is wrong with it

my $streamer = Test::RTMP->new(port => port(8936), app => 'keyed')->ready();
is($streamer->publish("key\n" . forged('key'))->{description}, 'Invalid stream key', 'a key with a line end');
ok(!lines($t, forged('key')), 'is in no log');

# texts as encoders send them

my $encoder = Test::RTMP->new(port => port(8936));
ok($encoder->connect(flashVer => "FMLE/3.0 (compatible; \xc3\x89ncodeur)", swfUrl => ''), 'what is no control character passes');

# metadata that nginx-rtmp can only log an error about, each time

my $garbled = amf_encode('onMetaData') . "\x0b";
for my $port (8935, 8936) {
    my $client = Test::RTMP->new(port => port($port))->ready();
    $client->message(type => 18, fmt => 0, payload => $garbled) for 1 .. GARBLED;
    ok($client->create_stream(), "metadata that cannot be read does not end the session on $port") if $port == 8936;
}
is(garbled($stock, qr/error parsing data frame/), GARBLED, 'nginx-rtmp writes a line about each');
my $told = garbled($t, qr/error parsing data frame|stagedoor: metadata ignored/);
ok($told > 0 && $told <= 10, "the guard one a second: $told");

###############################################################################

sub garbled { my ($nginx, $line) = @_; return scalar grep { /$line/ } split /\n/, $nginx->read_file('error.log') }

# A line of one's own, short enough for nginx-rtmp's 15 characters of a type.
sub forged {
    my ($what) = @_;
    my ($at) = grep { (sort keys %said)[$_] eq $what } 0 .. keys(%said) - 1;
    return sprintf '[alarm] 1#%s:', chr(ord('a') + ($at // 25));
}

# Whether a log has it as a line of its own.
sub lines {
    my ($nginx, $line) = @_;
    return scalar grep { $nginx->find_in_file($_, qr/^\Q$line\E/) } qw(error.log rtmp.log);
}

sub say_it {
    my ($port, $what, $text) = @_;
    my $client = Test::RTMP->new(port => port($port));
    $said{$what}->($client, $text);
    $client->flush();
    return $client;
}

###############################################################################
