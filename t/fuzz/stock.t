#!/usr/bin/perl

# What the mutated sessions of sessions.t do to nginx-rtmp alone: how many workers die.  They
# can be found deadly only if some of them are.
#
#   FUZZ_SEED  of the sessions                                         1

use warnings;
use strict;

use JSON::PP qw(decode_json);
use Test::More;

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Test::Nginx;
use Test::Process;

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant SESSIONS => 20_000;

my $thrower = ($ENV{CARGO_TARGET_DIR} // '../target') . '/release/stagedoor-fuzz-net';
-x $thrower or die "no $thrower; \"make fuzz-net\" builds it\n";
my $t = Test::Nginx->new()->has(qw/rtmp/)->plan(2);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;
worker_rlimit_core 0;

load_module %%RTMP_MODULE%%;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application door { live on; }
        application open { live on; }
    }
}

END

my $death = qr/worker process \d+ exited on signal 11/;
$t->expect_alert($death)->allow_alert(qr{too big RTMP chunk size});
$t->run();

###############################################################################

my $process = Test::Process->run({ timeout => 900 }, $thrower, 'mutated', 'sessions=../fuzz/sessions',
    'port=' . port(8935), 'seed=' . ($ENV{FUZZ_SEED} // 1), 'count=' . SESSIONS);
is($process->exit_status(), 0, 'thrown') or diag($process->output());
my $tally  = decode_json($process->stdout());
my $deaths = () = $t->read_file('error.log') =~ /$death/g;
cmp_ok($deaths, '>', 0, 'workers die');
diag("nginx-rtmp alone: $tally->{sessions} sessions, $deaths workers died");
