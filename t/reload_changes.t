#!/usr/bin/perl

# A reload that changes Stagedoor's own directives under a live stream: on to off
# and back, another database, another timeout, another size of the zone.  The
# stream goes on; what is published later goes by the new configuration.

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

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(22);

my $stagedoor = Test::Stagedoor->new($t);
my $second    = bless { %$stagedoor, db => $t->testdir() . '/db/second.db' }, ref $stagedoor;
$second->init();
my ($key, $other_key) = map { $stagedoor->add($_) } qw(benw other);
my $second_key = $second->add('other');

configure();
$t->run();

my $live = Test::RTMP->new()->ready();
is($live->publish($key)->{code}, 'NetStream.Publish.Start', 'a stream goes live');
$live->go_live();

###############################################################################

# off, and on again

configure(enable => 'off');
$t->reload();
is(publish('anything'), 'NetStream.Publish.Start', 'turned off: any name is good');
ok(!$live->is_closed(), 'the live stream goes on');
configure();
$t->reload();
is(publish('anything'), 'NetStream.Publish.BadName', 'turned on again: a key is needed');
is(publish($other_key), 'NetStream.Publish.Start', 'one that is right');
is(publish($key), 'NetStream.Publish.BadName', 'and the live stream is known');

# without anything of Stagedoor, and again

configure(directives => '', enable => 'off');
$t->reload();
is(publish('anything'), 'NetStream.Publish.Start', 'without the directives: any name is good');
configure();
$t->reload();
is(publish($key), 'NetStream.Publish.Start', 'with them again: the registry began anew, as after a change of its size');
ok(!$live->is_closed(), 'the live stream goes on');

# another database

configure(directives => 'stagedoor_db db/second.db;');
$t->reload();
is(publish($other_key), 'NetStream.Publish.BadName', 'another database: a key of the first is refused');
is(publish($second_key), 'NetStream.Publish.Start', 'one of its own accepted');
configure(directives => 'stagedoor_db db/none.db;');
$t->reload();
is(publish($second_key), 'NetStream.Failed', 'a database that is not there: refused');
is(scalar $stagedoor->log_lines(level => 'warn', text => qr/stagedoor refuses every publish for now: .*none\.db" does not exist/), 1,
    'the log says so, and the reload was done');
configure(directives => 'stagedoor_db db/stagedoor.db; stagedoor_timeout 300ms;');
$t->reload();
is(publish($other_key), 'NetStream.Publish.Start', 'the first one again');

# another timeout

my $lock = $stagedoor->lock_all();
is(publish($other_key), 'NetStream.Failed', 'another timeout: a publish is refused');
is(scalar $stagedoor->log_lines(text => qr/no answer within 300 ms/), 1, 'after that time');
$lock->kill();

# another size of the zone: the new workers have a registry of their own

my $again = Test::RTMP->new()->ready();
is($again->publish($other_key)->{code}, 'NetStream.Publish.Start', 'a stream of the registry there is');
configure(directives => 'stagedoor_db db/stagedoor.db; stagedoor_zone 2m;');
$t->reload();
is(publish($other_key), 'NetStream.Publish.Start', 'another size: the new workers know no stream of before');
ok(!$again->is_closed() && !$live->is_closed(), 'which go on');

# a mistake

$t->write_file('nginx.conf', $t->read_file('nginx.conf') =~ s/stagedoor_zone 2m/stagedoor_zone 1k/r);
$t->expect_alert(qr/"stagedoor_zone" directive has the value "1k"/);
kill HUP => $stagedoor->master();
ok(wait_for(sub { $stagedoor->log_lines(level => 'emerg', text => qr/stagedoor_zone/) }, 3), 'a wrong value is in the log');
is(publish($other_key), 'NetStream.Publish.Start', 'and the configuration that was there stays');

for my $client ($live, $again) {
    $client->stop_media();
    $client->close_stream();
    $client->wait_status(2, qr/Unpublish/);
    $client->close();
}
ok(wait_for(sub { 'closed by client' eq (map { $_->{end_reason} // '' } @{$stagedoor->json('sessions', 'benw')})[-1] }, 3),
    'the history of the live stream is complete');

###############################################################################

sub configure {
    my %arg = (directives => 'stagedoor_db db/stagedoor.db;', enable => 'on', @_);
    my $conf = <<'END' =~ s/%%DIRECTIVES%%/$arg{directives}/r =~ s/%%ENABLE%%/$arg{enable}/r;

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

%%DIRECTIVES%%

events {
}

rtmp {
    access_log %%TESTDIR%%/rtmp.log;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor %%ENABLE%%;
            stagedoor_auth_delay 0;
        }
    }
}

END
    $t->write_file_expand('nginx.conf', $conf);
    return;
}

# What the streamer is told; one that is accepted ends again.
sub publish {
    my $c = Test::RTMP->new()->ready();
    my $code = $c->publish(@_)->{code};
    $c->close_stream();
    $c->wait_status(1, qr/Unpublish/) if $code eq 'NetStream.Publish.Start';
    $c->close();
    return $code;
}

###############################################################################
