#!/usr/bin/perl

# The status as metrics: Prometheus' own tool finds nothing to complain about, and the
# numbers are those of the JSON.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Answer qw(answer);
use Test::Nginx;
use Test::Process;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

local $ENV{PATH} = "$Test::Nginx::OBJS:$ENV{PATH}";

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('promtool')->plan(15);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;
        stagedoor on;
        stagedoor_auth_delay 0;

        application live          { live on; }
        application 'a"b\\c{d="e"}' { live on; }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen       127.0.0.1:8080;

        location = /metrics { stagedoor_status prometheus; }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my ($key, $other_key) = map { $stagedoor->add($_) } qw(benw other);

$t->run();

###############################################################################

checked('nobody is live');
is(value('stagedoor_live_streams'), 0, 'no stream');
is(value('stagedoor_publishes_total', 'result="accepted"'), 0, 'and none yet');

my $benw  = Test::RTMP->new()->ready();
my $other = Test::RTMP->new(app => 'a"b\\c{d="e"}')->ready();
$benw->publish($key);
$other->publish($other_key);
$benw->go_live();
Test::RTMP->new()->ready()->publish('wrong') for 1 .. 3;
ok(wait_for(sub { value('stagedoor_stream_received_bytes_total', 'app="live",username="benw"') }, 3), 'bytes of a stream');
checked('two are live');
is(value('stagedoor_live_streams'), 2, 'two streams');
is(value('stagedoor_publishes_total', 'result="accepted"'), 2, 'accepted');
is(value('stagedoor_publishes_total', 'result="refused"'), 3, 'refused');
is(value('stagedoor_refusals_total', 'reason="invalid_key"'), 3, 'by reason');
is(value('stagedoor_stream_received_bytes_total', 'app="a\"b\\\\c{d=\"e\"}",username="other"'), 0, 'whatever an application is called');
my $started = value('stagedoor_stream_start_time_seconds', 'app="live",username="benw"');
cmp_ok(abs($started - time), '<', 10, 'when it began');

is(value('stagedoor_store_answer_seconds_bucket', 'le="+Inf"'), value('stagedoor_store_answer_seconds_count'), 'a histogram counts all');
my @buckets = map { /le="[^"]+"\} (\d+)/ ? $1 : () } split /\n/, metrics();
is_deeply(\@buckets, [sort { $a <=> $b } @buckets], 'and never less than before');

$_->close_stream() for $benw, $other;
$_->wait_status(2, qr/Unpublish/) for $benw, $other;
is(value('stagedoor_streams_ended_total', 'reason="closed_by_client"'), 2, 'ends');
is(metrics() =~ /^stagedoor_stream_/m, '', 'streams that have ended are gone');

###############################################################################

sub metrics { return answer('GET', '/metrics')->body() }

# The value of a metric, with its labels as they are written.
sub value {
    my ($name, $labels) = @_;
    $name .= "{$labels}" if defined $labels;
    return metrics() =~ /^\Q$name\E (\S+)$/m ? $1 : undef;
}

sub checked {
    my ($name) = @_;
    $t->write_file('metrics', metrics());
    my $tool = Test::Process->run({ timeout => 20 }, 'sh', '-c', 'promtool check metrics < "$0"', $t->testdir() . '/metrics');
    is($tool->exit_status() . $tool->output(), '0', "promtool: $name");
    return;
}

###############################################################################
