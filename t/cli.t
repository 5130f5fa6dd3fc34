#!/usr/bin/perl

# What the stagedoor command does decides the very next publish to an nginx that
# runs: add, rotate, ban, unban and remove, by hand or by another program.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Process;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(36);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

user nobody nogroup;
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
        }
    }
}

END

# nginx runs before there is a database, which root makes for its workers.
my $stagedoor = Test::Stagedoor->new($t, init => 0);
$stagedoor->give_to('nobody', 'db');
$t->run();

my ($good, $bad, $denied) = ('NetStream.Publish.Start', 'Invalid stream key', 'Streaming is not allowed for this account');

###############################################################################

# init, add

is_deeply($stagedoor->json('init'), { database => $stagedoor->db(), status => 'created' }, 'init');
my $key = $stagedoor->add('benw');
like($key, qr/^[A-Za-z0-9]{24}$/, 'add prints a key');
is($stagedoor->told($key), $good, 'which works at once');
is($stagedoor->told('benw'), $bad, 'a username is no key');
is($stagedoor->told(substr $key, 0, 23), $bad, 'nor is a part of the key');
is($stagedoor->told(lc $key eq $key ? uc $key : lc $key), $bad, 'nor is it in other letters');
is($stagedoor->run('init')->exit_status(), 0, 'init again');
is($stagedoor->told($key), $good, 'changes nothing');

# into a pipe the key goes alone

my $run = $stagedoor->run('add', 'anna');
my ($anna) = $run->stdout() =~ /^([A-Za-z0-9]{24})\n\z/;
$t->secret($anna);
is($stagedoor->told($anna), $good, 'a key as a script takes it');
is($run->stderr(), '', 'and nothing beside it');

# what is refused says so and changes nothing

for my $case (['add', 'benw'], ['add', 'BENW'], ['add', '../x'], ['ban', 'nobody'], ['rotate', 'nobody']) {
    my $run = $stagedoor->run(@$case);
    is(join(' ', $run->exit_status(), $run->stdout(), scalar(() = $run->stderr() =~ /\n/g)), '1  1', "@$case: refused, in one line");
}
is($stagedoor->run($_)->exit_status(), 2, "\"stagedoor $_\": wrong usage") for 'add', 'nonsense';
is($stagedoor->told($key), $good, 'the key is still good');

# rotate

my $new = $stagedoor->rotate('benw');
isnt($new, $key, 'rotate prints another key');
is($stagedoor->told($key), $bad, 'the old one is refused');
is($stagedoor->told($new), $good, 'the new one accepted');
my $live = Test::RTMP->new()->ready();
$live->publish($new);
my $newer = $stagedoor->rotate('benw');
is($stagedoor->told($newer), 'Already streaming', 'a new key does not make a second stream');
$live->close_stream();
ok(wait_for(sub { $stagedoor->told($newer) eq $good }, 2), 'when the first has ended it is good');

# ban, unban

is($stagedoor->json('ban', 'benw')->{is_active}, JSON::PP::false(), 'ban');
is($stagedoor->told($newer), $denied, 'the streamer is told');
is($stagedoor->told($anna), $good, 'another one is not concerned');
is($stagedoor->json('unban', 'benw')->{is_active}, JSON::PP::true(), 'unban');
is($stagedoor->told($newer), $good, 'the key works again');
$stagedoor->do('ban', 'BenW');
is($stagedoor->told($newer), $denied, 'names are the same in capitals');
$stagedoor->do('unban', 'benw');

# remove

is_deeply($stagedoor->json('remove', 'benw'), { username => 'benw', removed => JSON::PP::true() }, 'remove');
is($stagedoor->told($newer), $bad, 'the key is unknown');
is_deeply([map { $_->{username} } @{$stagedoor->json('list')}], ['anna'], 'list: the others');
my $again = $stagedoor->add('benw');
is($stagedoor->told($again), $good, 'the name is free for another');
is($stagedoor->told($newer), $bad, 'whose key the old one is not');

# many at once

my @runs = map { Test::Process->start({ timeout => 20 }, "$Test::Nginx::OBJS/stagedoor", '--db', $stagedoor->db(), 'add', "many$_") } 1 .. 12;
is(grep({ $_->wait(20) == 0 } @runs), 12, 'twelve at once are all added');
my @keys = map { $_->stdout() =~ /(\w{24})/ } @runs;
$t->secret(@keys);
is(grep({ $stagedoor->told($_) eq $good } @keys), 12, 'and each key works');

###############################################################################
