#!/usr/bin/perl

# Workers that are killed at any moment while streams begin and end on all of them:
# after it no name is stuck, and none is live twice.

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

use constant { LOADERS => 3, NAMES => 4, KILLS => 40 };

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(6);

# Whoever is killed inside the registry is named by nginx.
$t->allow_alert(qr/shared memory zone "stagedoor" was locked by \d+/);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 4;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;
stagedoor_zone 32k;

events {
}

rtmp {
    access_log %%TESTDIR%%/rtmp.log;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my @names = map { "streamer$_" } 1 .. LOADERS * NAMES;
my %key   = map { $_ => $stagedoor->add($_) } @names;
port(8935);

$t->run();

###############################################################################

# Each loader has names of its own, and one more than may be live of each.
for my $loader (0 .. LOADERS - 1) {
    $t->run_daemon(\&load, @names[$loader * NAMES .. $loader * NAMES + NAMES - 1]);
}

for (1 .. KILLS) {
    wait_for(sub { 0 }, 0.05 + rand 0.15);
    my @workers = $stagedoor->workers();
    $stagedoor->kill_worker($workers[rand @workers]) if @workers;
}
$t->stop_daemons();

my $accepted = $stagedoor->log_lines(text => qr/publish accepted/);
cmp_ok($accepted, '>', 100, 'streams began and ended meanwhile');
note("$accepted streams");
is(scalar $stagedoor->workers(4), 4, 'all workers are there again');

# Those that were live at the end lost their client, or their worker.
my (%live, @refused);
ok(wait_for(sub {
    for my $name (grep { !$live{$_} } @names) {
        my $c = Test::RTMP->new()->ready();
        $live{$name} = $c if $c->publish($key{$name})->{code} eq 'NetStream.Publish.Start';
    }
    return keys %live == @names;
}, 5), 'every name can be claimed') or diag('stuck: ' . join ' ', grep { !$live{$_} } @names);

for my $name (@names) {
    my $status = Test::RTMP->new()->ready()->publish($key{$name});
    push @refused, $name if $status->{description} eq 'Already streaming';
}
is(scalar @refused, scalar @names, 'and none of them twice');
$_->close_stream() for values %live;
$_->wait_status(2, qr/Unpublish/) for values %live;
$_->close() for values %live;
ok(wait_for(sub { !grep { $_->{is_live} } @{$stagedoor->json('list')} }, 3), 'the history has no stream open when all have ended');
is(scalar $stagedoor->log_lines(level => 'error'), 0, 'no error in the log');

###############################################################################

# Publishes all of its names, each of them twice, and goes away in one way or another.
sub load {
    my @own = @_;
    srand $$;
    while (1) {
        eval {
            my @clients = map { Test::RTMP->new(timeout => 1)->ready() } @own, @own;
            for my $at (0 .. $#clients) { $clients[$at]->send_publish($key{$own[$at % @own]}) }
            wait_for(sub { @clients == grep { $_->statuses() || $_->is_closed() } @clients }, 1);
            for my $c (@clients) { rand 2 < 1 ? $c->close_stream() : rand 2 < 1 ? $c->abort() : $c->close() }
        };
    }
    return;
}

###############################################################################
