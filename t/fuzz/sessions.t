#!/usr/bin/perl

# Sessions that no encoder has, thousands a second (crates/fuzz-net): those of a list
# that is always the same, and mutated ones, of which each seed has its own.  Half of the
# runs have no good key, half have.  No worker dies or hangs, nothing is left of them, no
# stream is let in without a key, no log has one, and other streams lose no picture.
#
#   FUZZ_SESSIONS  how many mutated ones, two at least               10,000
#   FUZZ_STEP      of the list, each so many-th                      23
#   FUZZ_SEED      of the mutated ones; it is printed                by chance

use warnings;
use strict;

use JSON::PP   qw(decode_json);
use List::Util qw(min);
use Test::More;
use Time::HiRes qw(sleep time);

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Test::Nginx;
use Test::Process;
use Test::RTMP;
use Test::RTMP::Hostile qw(pictures_of resident unharmed);
use Test::Stagedoor     qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant {
    LEG       => 25_000,    # mutated sessions from one look at the server to the next
    GUESSES   => 300,       # sessions to the application with the default limit
    BOUND     => 32_768,    # kilobytes that a worker may have grown by, once warm
    DEADLINE  => 30,        # seconds for what should be at once; the machine is busy
    STREAMERS => 4,
};

my $sessions = $ENV{FUZZ_SESSIONS} // 10_000;
my $seed     = $ENV{FUZZ_SEED}     // int rand 2**31;
my $step     = $ENV{FUZZ_STEP}     // 23;
my $thrower  = ($ENV{CARGO_TARGET_DIR} // '../target') . '/release/stagedoor-fuzz-net';
-x $thrower or die "no $thrower; \"make fuzz-net\" builds it\n";

my @legs = (['malformed', 0, "step=$step"], ['malformed', 1, "step=$step"]);
my $leg = min(LEG, int($sessions / 2));
for (my $from = 0; $from < $sessions; $from += $leg) {
    my $count = min($leg, $sessions - $from);
    push @legs, ['mutated', $from / $leg % 2, "seed=$seed", "from=$from", "count=$count"];
}
push @legs, ['mutated', 0, "seed=$seed", 'app=gate', 'count=' . GUESSES];

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(9 * @legs + 6);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    access_log %%TESTDIR%%/rtmp.log;

    server {
        listen 127.0.0.1:8935;

        hls_path %%TESTDIR%%/hls;
        hls_fragment 1s;
        hls_fragment_naming system;
        dash_path %%TESTDIR%%/dash;
        record_path %%TESTDIR%%/rec;
        record_unique on;

        application door {
            live on;
            hls on;
            hls_nested on;
            dash on;
            dash_nested on;
            record all;
            stagedoor on;
            stagedoor_auth_limit off;
            stagedoor_auth_delay 0;
        }

        application gate {
            live on;
            stagedoor on;
        }

        application open {
            live on;
            hls on;
            hls_path %%TESTDIR%%/open;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen 127.0.0.1:8080;
        location = /status { stagedoor_status; }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key  = map { $_ => $stagedoor->add($_) } qw(benw zoe watch);
my @keys = map { $stagedoor->add("fuzz$_") } 1 .. STREAMERS;
$t->write_file('keys', join "\n", @keys)->may_hold_secrets('keys');
$t->write_file('rec/begun', '');
$t->run();

###############################################################################

# on each worker a stream and its player

my @workers = $stagedoor->workers(2);
my @streams = map { stream($workers[$_], (qw(benw zoe))[$_]) } 0, 1;
my ($watched, $slowest, $thrown, $took, %said) = (0, 0, 0, 0);
ok(watch(), 'before all of it');
my @open = map { [held($_)] } @workers;
my @warm;

diag("seed $seed");
leg(@$_) for @legs;

ok(unharmed(@{$streams[$_]}{qw(streamer player)}), "each picture of stream $_ has reached its player") for 0, 1;
ok(!$streams[$_]{streamer}->is_closed(), "and stream $_ goes on") for 0, 1;
my $elsewhere = Test::RTMP->new(app => 'gate', from => '127.0.0.2')->ready();
is($elsewhere->publish($key{watch})->{code}, 'NetStream.Publish.Start',
    'who comes from elsewhere is let in where an address has guessed');
diag(sprintf '%d sessions in %.0f s: no worker died; %d publishes and 2 streams beside them, the slowest publish %.2f s',
    $thrown, $took, $watched, $slowest);
diag(join ', ', 'told', map { "$_ $said{$_}" } sort keys %said);

###############################################################################

# Throws some sessions, and sees what has become of the server.
sub leg {
    my ($what, $with_keys, @which) = @_;

    my @command = ($thrower, $what, 'sessions=../fuzz/sessions', 'port=' . port(8935), @which);
    push @command, 'keys=' . $t->testdir() . '/keys' if $with_keys;
    my $name = "$what " . ($with_keys ? 'with keys' : 'without keys') . ": @which";

    my ($before, $watches) = ($stagedoor->status(), $watched);
    my $process = Test::Process->start({ timeout => 7200 }, @command);
    my $misses  = 0;
    while ($process->running()) {
        my $next = time + 1;
        watch() or $misses++;
        wait_for(sub { time >= $next || !$process->running() }, 2);
    }
    is($process->exit_status(), 0, "$name: thrown") or diag($process->output());
    my $tally = decode_json($process->stdout());
    is($misses, 0, 'publishes and players all the time');
    is("$tally->{troubled} @{$tally->{troubles}}", '0 ', 'each session was taken and closed');
    is(join(' ', sort $stagedoor->workers(2)), join(' ', sort @workers), 'the workers are the same');

    my $status;
    ok(wait_for(sub { $status = $stagedoor->status(); names($status) eq 'benw zoe' }, DEADLINE), 'no claim is left')
        or diag(names($status));
    my $let_in = $status->{publishes}{accepted} - $before->{publishes}{accepted} - ($watched - $watches);
    ok($with_keys ? $let_in >= $tally->{let_in} && $let_in > 0 && $let_in <= $tally->{with_key} : $let_in == 0,
        "$let_in let in, $tally->{with_key} had a key") or diag($process->stdout());
    is($tally->{let_in_without_key}, 0, 'none that had none');

    my @now;
    ok(wait_for(sub { @now = map { [held($_)] } @workers; all(\@now) eq all(\@open) }, DEADLINE), 'no descriptor is left')
        or diag(all(\@open), "\n", all(\@now));
    is(join("\n", logged()), '', 'nothing grave in the logs, and no key');

    @warm = map { resident($_) } @workers unless @warm;
    my @grown = map { resident($workers[$_]) - $warm[$_] } 0, 1;
    fail("a worker has grown by @grown kB") if grep { $_ > BOUND } @grown;
    diag(sprintf '%s: %d sessions, %.0f a second, %d let in, memory %+d and %+d kB',
        $name, @$tally{'sessions'}, $tally->{sessions} / ($tally->{seconds} || 1), $let_in, @grown);
    $thrown += $tally->{sessions};
    $took   += $tally->{seconds};
    $said{$_} += $tally->{said}{$_} for keys %{$tally->{said}};
    return;
}

sub stream {
    my ($worker, $username) = @_;
    my $streamer = $stagedoor->client_on($worker, app => 'door');
    $streamer->publish($key{$username})->{code} eq 'NetStream.Publish.Start' or die "$username: not live\n";
    my $player = $stagedoor->client_on($worker, app => 'door');
    $player->play($username);
    $streamer->go_live(fps => 10);
    return { streamer => $streamer, player => $player };
}

# Whether a publish is let in and ended, and new pictures come to each player.
sub watch {
    my @seen = map { scalar pictures_of($_->{player}) } @streams;
    my $began = time;
    my $code  = eval {
        my $c = Test::RTMP->new(app => 'door', timeout => DEADLINE)->ready();
        my $status = $c->publish($key{watch});
        $c->close_stream();
        $c->wait_status(DEADLINE, qr/Unpublish/);
        $c->close();
        $status->{code};
    } // $@;
    $watched++ if $code eq 'NetStream.Publish.Start';
    $slowest = time - $began if time - $began > $slowest;
    my $plays = wait_for(sub {
        return !grep { pictures_of($streams[$_]{player}) <= $seen[$_] } 0 .. $#streams;
    }, DEADLINE);
    my @live = split / /, names($stagedoor->status());
    my %once = map { $_ => 1 } @live;
    return 1 if $code eq 'NetStream.Publish.Start' && $plays && @live == keys %once;
    diag("publish: $code; players: " . ($plays ? 'play' : 'stand still') . "; live: @live");
    return 0;
}

sub names { my ($status) = @_; return join ' ', sort map { $_->{username} } @{$status->{streams}} }

# What the threads of a process have open: how many sockets, and which files. The segments of those who are live
# come and go. Of the database SQLite keeps one descriptor for the next connection, where it could
# not be closed without losing the locks of another (https://www.sqlite.org/howtocorrupt.html, section 2.2).
sub held {
    my ($pid) = @_;
    my %held;
    for my $link (map { readlink } glob "/proc/$pid/task/*/fd/*") {
        next unless defined $link;
        $link =~ s/^(\w+):\[\d+\]$/$1/;
        $held{$link}++ unless $link =~ m{/(?:hls|dash)/(?:benw|zoe)/};
    }
    $_ == 2 and $_ = 1 for grep { defined } $held{$stagedoor->db()};
    return map { "$_ $held{$_}" } sort keys %held;
}

sub all { my ($lists) = @_; return join "\n", map { @$_ } @$lists }

# What is grave in the logs, or a key; they begin anew then. A session whose lengths are wrong may send a
# command as a picture: what is in its own files is its own doing.
sub logged {
    my $dir = $t->testdir();
    my @lines = ($t->{checks}->grave($dir), Test::Nginx::Checks::sanitizer($dir),
        Test::Nginx::Checks::leaks($dir, [values %key, @keys], ['keys', map { ("$_/*", "$_/*/*") } qw(hls dash rec)]));
    truncate "$dir/$_", 0 for qw(error.log rtmp.log access.log);
    return @lines;
}

###############################################################################
