#!/usr/bin/perl

# contrib/: the alerts are what promtool takes, and fire when they should; every metric and label that they and
# the dashboard ask for is one that a server has.

use warnings;
use strict;

use JSON::PP qw(decode_json);
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

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('promtool')->plan(8);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

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

        location = /status {
            stagedoor_status;
        }
    }
}

END

my $contrib   = '../contrib';
my $stagedoor = Test::Stagedoor->new($t);
my $key       = $stagedoor->add('benw');

$t->run();
my $live = Test::RTMP->new()->ready();
$live->publish($key);
$live->go_live();

###############################################################################

my $metrics;
wait_for(sub { ($metrics = answer('GET', '/status?format=prometheus')->body()) =~ /^stagedoor_stream_/m }, 5);
my %has = map { $_ => 1 } $metrics =~ /^([a-z_]+)(?:\{| )/mg;
my %label = map { $_ => 1 } qw(instance job le), $metrics =~ /[{,]([a-z_]+)=/g;
my %value = map { $_ => 1 } $metrics =~ /\breason="([a-z_]+)"/g;
$live->close();

is(promtool(qw(check rules), "$contrib/prometheus-rules.yml"), 0, 'the alerts are in order');
is(promtool(qw(test rules), "$contrib/prometheus-rules-test.yml"), 0, 'and fire when they should');
my @alerts = slurp("$contrib/prometheus-rules.yml") =~ /^\s+- alert: (\w+)/mg;
is(join(' ', grep { slurp("$contrib/prometheus-rules-test.yml") !~ /alertname: $_\s+exp_alerts:/ } @alerts), '', 'each of them');
is(join(' ', grep { slurp('../docs/operations.md') !~ /^\| `$_` \|/m } @alerts), '', 'and each is explained');

my $board = decode_json(slurp("$contrib/grafana.json"));
my @board = map { $_->{expr} } map { @{$_->{targets}} } @{$board->{panels}};
my @rules = slurp("$contrib/prometheus-rules.yml") =~ /^\s+expr: (.*)/mg;
cmp_ok(scalar @board, '>=', 10, 'the dashboard has queries');

my $all = join "\n", @board, @rules;
is(join(' ', grep { !$has{$_} } $all =~ /\b(stagedoor_[a-z_]+)\b/g), '', 'every metric is there');
is(join(' ', (grep { !$label{$_} } $all =~ /[{,]([a-z_]+)=/g, $all =~ /\bby \((\w+)\)/g),
    (grep { !$value{$_} } $all =~ /\breason="(\w+)"/g)), '', 'and every label');

$t->write_file('board.yml', "groups:\n  - name: board\n    rules:\n" . join '',
    map { "      - record: board\n        expr: '$_'\n" } map { s/\$instance/.*/r } @board);
is(promtool(qw(check rules --lint=none), $t->testdir() . '/board.yml'), 0, 'promtool understands its queries');

###############################################################################

sub promtool {
    my $tool = Test::Process->run({ timeout => 30 }, 'promtool', @_);
    diag($tool->output()) if $tool->exit_status();
    return $tool->exit_status();
}

sub slurp {
    my ($file) = @_;
    local (@ARGV, $/) = $file;
    return scalar <>;
}

###############################################################################
