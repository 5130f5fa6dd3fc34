#!/usr/bin/perl

# A second client that publishes a name which is live in its worker, to an application that wants no key:
# nginx-rtmp alone tells it so when its HLS and DASH modules have opened files of that name for it already,
# and goes on writing what it sends to them. With the module it is refused before that.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Proc qw(open_files);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);
use Test::Stock qw(write_stock_and_nginx);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(2 * 2 + 10);

write_stock_and_nginx($t, <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application hls {
            live on;
            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_fragment 10s;
            hls_fragment_naming system;
        }

        application dash {
            live on;
            dash on;
            dash_path %%TESTDIR%%/dash;
            dash_fragment 10s;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $worker;

###############################################################################

run('stock');
for my $app (qw(hls dash)) {
    my ($first, $second) = two($app);
    is($second->{told}, 'NetStream.Publish.BadName', "$app: nginx-rtmp alone refuses it, too");
    ok(wait_for(sub { files($app) > $first->{files} }, 5), 'but has its files open twice');
    $_->{client}->close() for $first, $second;
}
$t->stop();

run('nginx');
for my $app (qw(hls dash)) {
    my ($first, $second) = two($app);
    is($second->{told}, 'NetStream.Publish.BadName', "$app: with the module it is refused");
    ok($second->{client}->closed_within(5), 'and closed');
    is(files($app), $first->{files}, 'and no other file is open');
    ok(!$first->{client}->is_closed(), 'while the first one goes on');
    $first->{client}->close();
    my $third = publish($app);
    is($third->{told}, 'NetStream.Publish.Start', 'at whose end the name is free');
    $third->{client}->close();
}

###############################################################################

sub run {
    my ($name) = @_;
    $t->run($t->testdir() . "/$name.conf");
    ($worker) = $stagedoor->workers(1);
    return;
}

# Two clients that publish the same name, the second one while the first one's files are open.
sub two {
    my ($app) = @_;
    my $first = publish($app);
    wait_for(sub { files($app) }, 10) or die "no file is open\n";
    $first->{files} = files($app);
    my $second = publish($app);
    return ($first, $second);
}

# It sends media, whatever it is told.
sub publish {
    my ($app) = @_;
    my $client = Test::RTMP->new(app => $app)->ready();
    my $told   = $client->publish('name')->{code};
    $client->go_live();
    wait_for(sub { $client->pictures() > 5 || $client->is_closed() }, 5);
    return { client => $client, told => $told };
}

# Those that the worker has open for the application.
sub files { my ($app) = @_; return scalar grep { m{/$app/} } open_files($worker) }

###############################################################################
