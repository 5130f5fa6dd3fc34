#!/usr/bin/perl

# A module that was built for another nginx, and one that meets another nginx-rtmp: refused with a
# sentence, by nginx or by Stagedoor, and never a crash.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Test::Nginx;
use Test::Process;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(17);

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');

my %this  = (nginx => $Test::Nginx::NGINX, modules => $Test::Nginx::MODULES, objs => $Test::Nginx::OBJS);
my %other = (
    nginx   => $ENV{TEST_NGINX_OTHER_BINARY},
    modules => $ENV{TEST_NGINX_OTHER_MODULES},
    objs    => $ENV{TEST_NGINX_OTHER_OBJS},
);

###############################################################################

# another nginx

isnt(number(%this), number(%other), 'two versions of nginx');
for my $case ([{%this}, {%other}], [{%other}, {%this}]) {
    my ($here, $there) = @$case;
    my ($status, $output) = config_test(%$here);
    is($status, 0, 'a module for this nginx: ' . number(%$here)) or diag($output);

    ($status, $output) = config_test(%$here, objs => $there->{objs});
    is($status, 1, 'one for another: ' . number(%$there));
    my ($has, $wants) = (number(%$there), number(%$here));
    like($output, qr/\[emerg\].* module "\S*ngx_stagedoor_module\.so" version $has instead of $wants in /, 'nginx says why');
}

# another nginx-rtmp, of which the main configuration differs

my $sentence = qr/ngx_rtmp_module\.so is not the nginx-rtmp that ngx_stagedoor_module\.so was built for \(nginx-rtmp \S+ with nginx\/[\d.]+\); build ngx_stagedoor_module\.so against the source of the one you load/;

my ($status, $output) = config_test(%this, modules => "$ENV{TEST_NGINX_CHANGED}/main_conf");
is($status, 1, 'nginx-rtmp with another main configuration');
like($output, qr/\[emerg\].* stagedoor: $sentence in /, 'Stagedoor says why');
is(() = $output =~ /\[emerg\]/g, 1, 'once');

# and one whose sessions differ, which only a session shows

($status, $output) = config_test(%this, modules => "$ENV{TEST_NGINX_CHANGED}/session");
is($status, 0, 'nginx-rtmp with other sessions') or diag($output);
$t->run();
my ($worker) = $stagedoor->workers(1);
my $c = Test::RTMP->new();
ok($c->closed_within(5), 'a connection is closed');
ok(wait_for(sub { $stagedoor->log_lines(level => 'error', text => qr/stagedoor: connection refused: $sentence/) }, 5), 'the log says why');
is_deeply([$stagedoor->workers(1)], [$worker], 'the worker lives');
like(http_get('/'), qr/200 OK/, 'and serves');
is($stagedoor->log_lines(level => 'alert'), 0, 'nothing died');

is_deeply([grep { $_->{live} } @{$stagedoor->json('list')}], [], 'nobody is live');

###############################################################################

# What an nginx says of itself, as a number: 1.28.3 is 1028003.
sub number {
    my (%nginx) = @_;
    my $run = Test::Process->run({ timeout => 10 }, $nginx{nginx}, '-v');
    return $run->output() =~ m{nginx/(\d+)\.(\d+)\.(\d+)} ? sprintf '%d%03d%03d', $1, $2, $3 : '';
}

sub config_test {
    my (%nginx) = @_;
    $t->write_file_expand('nginx.conf', <<"END");

%%TEST_GLOBALS%%

load_module $nginx{modules}/ngx_rtmp_module.so;
load_module $nginx{objs}/ngx_stagedoor_module.so;

worker_processes 1;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen 127.0.0.1:8080;

        location / {
            return 200;
        }
    }
}

END
    my $run = Test::Process->run({ timeout => 20 }, $nginx{nginx}, '-t', '-p', $t->testdir() . '/', '-c', 'nginx.conf', '-e', '/dev/null');
    return ($run->exit_status(), $run->output());
}
