#!/usr/bin/perl

# A worker whose store thread panics, dies or hangs: publishes are refused meanwhile, streams that
# are live go on, another thread takes the dead one's place, and the history, or what an application
# was told, is true afterwards.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Test::Faults qw(HANG PANIC is_long row);
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $ROUNDS = is_long() ? 20 : 2;
my $MEANTIME = qr/^NetStream\.(?:Failed|Publish\.Start)$/;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('sqlite3')->plan(2 * 7);

my $stagedoor = Test::Stagedoor->new($t, init => 0);
my $faults    = Test::Faults->new($t);

for my $whose (q(Stagedoor's database), q(an application's database)) {
    my $site = $whose =~ /application/ ? application() : native();
    $faults->run();
    my $live = Test::RTMP->new()->ready();
    is($live->publish($site->{live})->{code}, 'NetStream.Publish.Start', "$whose: a stream that is live all the while");
    $live->go_live(fps => 2);

    my ($before, @refused, @seconds) = (restarts());
    for my $round (1 .. $ROUNDS) {
        my $fired = $faults->fired();
        $faults->arm('store-thread', PANIC);
        push @refused, publish($site->{key});
        $faults->fires($fired);
        my $died = time;
        wait_for(sub { publish($site->{key}) =~ /Start/ }, 5);
        push @seconds, time - $died;
        wait_for(sub { 0 }, 1);
    }
    row(
        subject  => "store thread, $whose", fault => 'panic outside of its work: the thread dies', injected => $ROUNDS,
        expected => 'refused at once; another thread within 1 s; live streams go on',
        seen     => restarts() - $before . ' restarts; ' . tally(@refused),
        ok       => restarts() - $before == $ROUNDS && !grep({ $_ !~ $MEANTIME } @refused) && !grep({ $_ > 1 } @seconds)
            && !$live->is_closed(),
        seconds  => \@seconds,
    );

    (@refused, @seconds) = ();
    for my $round (1 .. $ROUNDS) {
        my $fired = $faults->fired();
        $faults->arm('store-work', PANIC, $round);
        wait_for(sub { push @refused, publish($site->{key}); $faults->fired() > $fired }, 5);
        my $died = time;
        wait_for(sub { publish($site->{key}) =~ /Start/ }, 5);
        push @seconds, time - $died;
    }
    row(
        subject  => "store thread, $whose", fault => 'panic in its work on the database', injected => $ROUNDS,
        expected => 'that one question is refused; back within 1 s; live streams go on',
        seen     => tally(@refused),
        ok       => !grep({ $_ !~ $MEANTIME } @refused) && !grep({ $_ > 1 } @seconds) && !$live->is_closed(),
        seconds  => \@seconds,
    );

    # longer than a publish waits, and than it takes to be called stuck

    my $fired = $faults->fired();
    $faults->arm('store-work', HANG);
    my ($begun, $answer) = (time, publish($site->{key}));
    my $took = time - $begun;
    my $is_said = wait_for(sub { $stagedoor->log_lines(level => 'error', text => qr/has not come back to the store thread for 5 s/) }, 10);
    my $still = publish($site->{key});
    $faults->release();
    my $released = time;
    wait_for(sub { publish($site->{key}) =~ /Start/ }, 5);
    @seconds = time - $released;
    row(
        subject  => "store thread, $whose", fault => 'hangs for 6 s', injected => $faults->fired() - $fired,
        expected => 'refused after stagedoor_timeout; said after 5 s; back within 1 s; live streams go on',
        seen     => sprintf('%s after %.1f s, then %s', $answer, $took, $still),
        ok       => $answer eq 'NetStream.Failed' && $still eq 'NetStream.Failed' && $took > 0.8 && $took < 3 && $is_said
            && $seconds[0] < 1 && !$live->is_closed(),
        seconds  => \@seconds,
    );

    # stopped with something in hand that is for the event loop, or comes from it

    for my $place ([takes => 'while it takes what it is told'], [reports => 'while it leaves an answer']) {
        my ($name, $when) = @$place;
        my ($viewer, $ends) = map { Test::RTMP->new()->ready() } 1 .. 2;
        $viewer->play('live');
        $ends->publish($site->{key});
        wait_for(sub { $viewer->received('video') }, 5);

        my $fired = $faults->fired();
        $faults->arm("store-$name", HANG);
        my $asks = Test::RTMP->new()->ready();
        $asks->send_publish($site->{key});
        $faults->fires($fired);
        my ($stopped, $seen) = (time, scalar $viewer->received('video'));
        $ends->close(); # has its end to tell
        my $answer = eval { publish($site->{key}) } // 'nothing';
        my $took = time - $stopped;
        my $longest = 0;
        while (time < $stopped + 2) {
            my $began = time;
            eval { Test::RTMP->new()->ready()->close(); 1 } or last;
            $longest = time - $began if $longest < time - $began;
        }
        my $pictures = $viewer->received('video') - $seen;
        my $is_over = time > $stopped + 2;
        $faults->release();
        my $released = time;
        wait_for(sub { publish($site->{key}) =~ /Start/ }, 5);
        @seconds = time - $released;
        row(
            subject  => "store thread, $whose", fault => "stopped for 2 s $when", injected => $faults->fired() - $fired,
            expected => 'refused after stagedoor_timeout; back within 1 s; the event loop does not wait, pictures go on',
            seen     => sprintf('%s after %.1f s; %d pictures of 4; connected within %.0f ms', $answer, $took, $pictures, 1000 * $longest),
            ok       => $answer eq 'NetStream.Failed' && $took > 0.8 && $took < 1.5 && $is_over && $pictures >= 3 && $longest < 0.2
                && $seconds[0] < 1 && !$live->is_closed(),
            seconds  => \@seconds,
        );
        $_->close() for $viewer, $asks;
    }

    # what is true

    my $is_true = $site->{truth}->();
    row(
        subject  => "store thread, $whose", fault => 'after all of these', injected => 2 * $ROUNDS + 3,
        expected => 'what was written or told is true', ok => $is_true,
    );
    $live->close();
    $t->stop();
}

###############################################################################

sub restarts { return scalar $stagedoor->log_lines(text => qr/^stagedoor: another store thread has been started/) }

# What the streamer is told; one who is let in goes.
sub publish {
    my ($key) = @_;
    my $c = Test::RTMP->new()->ready();
    my $status = $c->publish($key);
    $c->close();
    return $status ? $status->{code} : 'nothing';
}

sub tally {
    my %count;
    $count{$_}++ for @_;
    return join ', ', map { "$count{$_} $_" } sort keys %count;
}

sub native {
    $stagedoor->init();
    my %site = (live => $stagedoor->add('live'), key => $stagedoor->add('benw'));
    conf('');
    # One row is open, that of the live stream; the others have their end.
    $site{truth} = sub {
        return wait_for(sub {
            my $accepted = () = $stagedoor->log_lines(text => qr/publish accepted, username: "benw"/);
            my ($benw, $live) = map { [map { $_->{end_reason} // 'open' } @{$stagedoor->json('sessions', '--limit', 100_000, $_)}] } qw(benw live);
            return @$benw == $accepted && !grep({ $_ eq 'open' } @$benw) && "@$live" eq 'open';
        }, 5);
    };
    return \%site;
}

sub application {
    my $db = $t->testdir() . '/site/site.db';
    $t->write_file('site/empty', '');
    $stagedoor->sql(<<'END', $db);
CREATE TABLE users (name TEXT, key TEXT UNIQUE, live_since TEXT);
INSERT INTO users VALUES ('live', 'key-of-live', NULL), ('benw', 'key-of-benw', NULL);
END
    $t->secret('key-of-live', 'key-of-benw')->may_hold_secrets('site/*');
    conf(<<"END", $db);
stagedoor_query "SELECT name AS username FROM users WHERE key = :key";
stagedoor_on_start "UPDATE users SET live_since = :now WHERE name = :username";
stagedoor_on_stop "UPDATE users SET live_since = NULL WHERE name = :username";
END
    my $truth = sub {
        return wait_for(sub {
            join(' ', map { $_->{name} } $stagedoor->sql('SELECT name FROM users WHERE live_since IS NOT NULL', $db)) eq 'live';
        }, 5);
    };
    return { live => 'key-of-live', key => 'key-of-benw', truth => $truth };
}

sub conf {
    my ($statements, $db) = @_;
    $db //= $stagedoor->db();
    $t->write_file_expand('nginx.conf', <<"END");
%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

stagedoor_db $db;
stagedoor_timeout 1s;
$statements

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
    return;
}

###############################################################################
