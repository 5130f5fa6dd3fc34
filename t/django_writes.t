#!/usr/bin/perl

# A thousand publishes while a Django site writes its database without a pause, with a
# rollback journal, which is Django's default, and with a write-ahead log: none is refused, and
# started_at is set for each of them while it is live and for none afterwards.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Django;
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { STREAMERS => 100, ROUNDS => 10, WRITERS => 2 };

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor django/)->plan(2 * 5);

for my $journal (qw(delete wal)) {
    my $site = Test::Django->for_example($t, 'django');
    my @keys = $site->add(map { "user$_" } 1 .. STREAMERS);
    is(($site->sql("PRAGMA journal_mode = $journal"))[0]{journal_mode}, $journal, "journal: $journal");
    $t->run();

    $site->start_writing() for 1 .. WRITERS;

    my ($began, $accepted, $set, $cleared) = (time, 0, 0, 0);
    for (1 .. ROUNDS) {
        my @clients = map { Test::RTMP->new(app => 'app')->ready() } @keys;
        $clients[$_]->send_publish($keys[$_]) for 0 .. $#keys;
        $accepted += grep { ($_->wait_status(10) // {})->{code} eq 'NetStream.Publish.Start' } @clients;
        $set      += wait_for(sub { $site->live() == STREAMERS }, 20) ? STREAMERS : scalar $site->live();
        $_->close() for @clients;
        $cleared  += wait_for(sub { $site->live() == 0 }, 20) ? STREAMERS : STREAMERS - $site->live();
    }
    my $seconds = time - $began;

    is($accepted, STREAMERS * ROUNDS, 'every publish is accepted');
    is($set,      STREAMERS * ROUNDS, 'and live in the database');
    is($cleared,  STREAMERS * ROUNDS, 'until it has ended');

    my $writes = $site->stop_writing();
    cmp_ok($writes, '>', 10 * ROUNDS, "and wrote, $writes times");
    note(sprintf '%s: %.1f s, %d publishes and %d writes of the site', $journal, $seconds, $accepted, $writes);
    $t->stop();
}

###############################################################################
