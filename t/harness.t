#!/usr/bin/perl

# The harness itself: a free port for each number, the configuration it expands,
# requests, reload, and final checks that fail when there is something to find.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(sleep);

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Checks;
use Test::Process;
use Test::Proc qw(children is_running);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp/)->plan(35);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

load_module %%RTMP_MODULE%%;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
        }

        location /port {
            return 200 %%PORT_8080%%;
        }
    }
}

END

$t->write_file('index.html', 'SEE-THIS');
$t->run();

###############################################################################

# ports

is(port(8080), port(8080), 'a number keeps its port');
isnt(port(8081), port(8080), 'two numbers have two ports');
my $elsewhere = run_script('print port(8080), "\n"; print port(8081), "\n"; plan(tests => 1); ok(1)');
unlike($elsewhere, qr/^@{[port(8080)]}$/m, 'a script beside this one has ports of its own');

# expansion

my $conf = $t->read_file('nginx.conf');
unlike($conf, qr/%%/, 'every variable is expanded');
like($conf, qr/^pid \Q@{[$t->testdir()]}\E\/nginx\.pid;/m, 'the pid file is in the testdir');
is(() = $conf =~ /load_module/g, 1, 'a configuration with modules of its own gets no others');
like(expand("%%TEST_GLOBALS%%\n"), qr/load_module \S*rtmp/, 'one without gets nginx-rtmp');
like(expand("%%TEST_GLOBALS%%\n"), qr/^error_log \S+ info;/m, 'the error log is at info');
is(() = expand("%%TEST_GLOBALS%%\nerror_log own.log debug;\n") =~ /^error_log/mg, 1,
    'unless the configuration has its own');

# requests

like(http_get('/'), qr/200 OK.*SEE-THIS/s, 'get');
like(http_get('/port'), qr/\r\n\r\n@{[port(8080)]}$/, 'port in configuration');
unlike(http_head('/'), qr/SEE-THIS/, 'head has no body');
like(http("POST / HTTP/1.0\r\n\r\n"), qr/405/, 'any request');
is($t->find_in_file('access.log', 'GET /port '), 1, 'find_in_file counts lines');
ok($t->waitforsocket('127.0.0.1:' . port(8080)), 'waitforsocket');

# reload

my ($master) = $t->read_file('nginx.pid') =~ /(\d+)/;
my %old = map { $_ => 1 } children($master);
is(keys %old, 2, 'two workers');
$t->reload();
is(grep({ $old{$_} && is_running($_) && !Test::Proc::is_shutting_down($_) } children($master)), 0,
    'after a reload no old worker accepts');
like(http_get('/'), qr/SEE-THIS/, 'and new ones answer');

# daemons

my $process = Test::Process->start({}, $^X, '-e', '$| = 1; print "out\n"; warn "err\n"; sleep 60');
ok($process->running(), 'a process runs');
sleep 0.02 until $process->output() =~ /err/;
is($process->stop(), 128 + 2, 'and is ended by a signal');
is($process->output(), "out\nerr\n", 'its output is kept');
is(Test::Process->start({ timeout => 1 }, 'sleep', 60)->wait(3), 128 + 14, 'its time is bounded');
is(Test::Process->run({}, 'sh', '-c', 'exit 7')->exit_status(), 7, 'its exit status');
my ($pid) = run_script('$t->run_daemon("sleep", 60); print "@{$t->{daemons}}\n"; die') =~ /^(\d+)$/m;
ok($pid && !is_running($pid), 'a script that dies takes its daemons along');

# The final checks, in scripts of their own: each of these has something to find.

my $plan = '$t->plan(1)->run(); ok(1);';
my $log  = '$t->write_file("x.log", "2026/01/01 00:00:00 %s\n");';
my $key  = 'SecretSecretSecret123456';

like(run_script($plan), qr/^ok 4.*^exit 0/ms, 'the checks pass when there is nothing to find');
like(run_script($plan . sprintf $log, '[alert] 1#0: x'), qr/^not ok \d - no alerts/m, 'an alert');
like(run_script($plan . '$t->expect_alert(qr/x/);' . sprintf $log, '[alert] 1#0: x'),
    qr/^ok \d - no alerts/m, 'an alert that is announced');
like(run_script($plan . '$t->expect_alert(qr/x/);'), qr/^not ok \d - no alerts/m,
    'an alert that is announced and does not come');
like(run_script($plan . '$t->expect_kill(); ' . kill_worker()), qr/^ok \d - no alerts/m,
    'a kill that is announced');
like(run_script($plan . kill_worker()), qr/^not ok \d - no alerts/m, 'a kill that is not');
like(run_script($plan . '$t->stop(); File::Path::remove_tree($t->testdir());'),
    qr/^not ok \d - no alerts/m, 'logs that are gone');
like(run_script($plan . sprintf $log, 'AddressSanitizer'), qr/^not ok \d - no sanitizer/m, 'a sanitizer report');
like(run_script("$plan \$t->secret('$key'); open my \$f, '>', \$t->testdir() . '/x.log'; print \$f '"
    . substr($key, 4, 14) . q{'; close $f}), qr/^not ok \d - no stream key/m, 'a part of a key in a log');
like(run_script("$plan \$t->secret('$key'); mkdir \$t->testdir() . '/$key'"),
    qr/^not ok \d - no stream key/m, 'a key in a file name');
like(run_script('$t->run()'), qr/final checks were not made.*exit 255/s, 'a script without plan fails');

###############################################################################

sub expand {
    my ($text) = @_;
    $t->write_file_expand('expanded', $text);
    return $t->read_file('expanded');
}

sub kill_worker {
    return 'require Test::Proc; kill KILL => (Test::Proc::children($t->{nginx}))[0];';
}

# What a script of its own prints, and its exit status.
sub run_script {
    my ($code) = @_;

    my $process = Test::Process->run({ timeout => 20 }, $^X, '-Ilib', '-e', <<"END");
        use strict; use warnings; use Test::More; use Test::Nginx;
        my \$t = Test::Nginx->new();
        \$t->write_file_expand('nginx.conf', "%%TEST_GLOBALS%%\\ndaemon off; events {}\\n");
        $code
END
    return $process->output() . 'exit ' . $process->exit_status() . "\n";
}

###############################################################################
