#!/usr/bin/perl

# Users of a Django site who begin again as soon as their stream has ended, on the other
# worker, while the site writes: what the database is told of the end, however late, does not
# undo what it is told of the new stream.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(sleep);

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Django;
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { STREAMERS => 20, ROUNDS => 10 };

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor django/)->plan(4);

my $site = Test::Django->for_example($t, 'django');
my $stagedoor = Test::Stagedoor->new($t, init => 0);
my @keys = $site->add(map { "user$_" } 1 .. STREAMERS);

$t->run();

###############################################################################

my @workers = $stagedoor->workers(2);
$site->start_writing();

my ($accepted, $told, @live) = (0, 0);
for my $round (1 .. ROUNDS) {
    my @next = $stagedoor->on_worker($workers[$round % 2], sub { map { Test::RTMP->new(app => 'app')->ready() } @keys });
    my ($began) = map { $_->{now} } $site->sql("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now') AS now");
    $_->close_stream() for @live;
    $_->wait_status(10, qr/Unpublish/) for @live;
    $next[$_]->send_publish($keys[$_]) for 0 .. $#keys;
    $accepted += grep { ($_->wait_status(10) // {})->{code} eq 'NetStream.Publish.Start' } @next;
    $_->close() for @live;
    @live = @next;
    $told += wait_for(sub { since($began) == STREAMERS }, 20) ? STREAMERS : since($began);
}
is($accepted, STREAMERS * ROUNDS, 'every stream follows at once');
is($told,     STREAMERS * ROUNDS, 'with a start of its own in the database');

$site->stop_writing();
sleep 1;
is(scalar(() = $site->live()), STREAMERS, 'which no earlier end undoes');
$_->close() for @live;
ok(wait_for(sub { !$site->live() }, 10), 'but its own does');

###############################################################################

# How many are live since this time or later.
sub since {
    my ($time) = @_;
    my ($row) = $site->sql("SELECT count(*) AS live FROM boltstream_stream WHERE started_at >= '$time'");
    return $row->{live};
}

###############################################################################
