#!/usr/bin/perl

# That a test on an nginx with sanitizers fails when there is something to report: mistakes made
# on purpose in a worker, each of its kind, and one worker that makes none.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Test::Nginx;
use Test::Process;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my %report = (
    overrun  => qr/AddressSanitizer: heap-buffer-overflow/,
    stale    => qr/AddressSanitizer: heap-use-after-free/,
    leak     => qr/LeakSanitizer: detected memory leaks/,
    overflow => qr/runtime error: signed integer overflow/,
);

my $t = Test::Nginx->new()->plan(2 + 2 * keys %report);

my ($status, $output) = worker_with('no');
is($status, 0, 'without a mistake a script passes');
unlike($output, qr/^not ok/m, 'all of it');

for my $mistake (sort keys %report) {
    ($status, $output) = worker_with($mistake);
    like($output, qr/^not ok \d - no sanitizer errors$/m, "$mistake: a script fails");
    like($output, $report{$mistake}, "$mistake: and says why");
}

###############################################################################

# A script like any other, whose worker makes this mistake when it ends.
sub worker_with {
    my ($mistake) = @_;
    my $run = Test::Process->run({ timeout => 60 }, $^X, '-I', 'lib', '-MTest::More', '-MTest::Nginx', '-e', <<"END");
        my \$t = Test::Nginx->new();
        \$t->write_file_expand('nginx.conf', "%%TEST_GLOBALS%%\\n"
            . "sanitizers_mistake $mistake;\\nworker_processes 1;\\nevents {\\n}\\n");
        \$t->plan(1)->run();
        ok(1);
END
    return ($run->exit_status(), $run->output());
}
