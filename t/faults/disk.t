#!/usr/bin/perl

# The disk with the database is full: keys are answered all the same, streams go on, and what could
# not be written is written when there is space again; what the application was told is true then.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Test::Faults qw(is_long row);
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $ROUNDS = is_long() ? 20 : 2;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('sqlite3')->plan(2 * 3);

my $stagedoor = Test::Stagedoor->new($t, init => 0);
my $faults    = Test::Faults->new($t)->preload();
$t->secret('key-of-live', 'key-of-benw')->may_hold_secrets('db/*');

for my $whose (q(Stagedoor's database), q(an application's database)) {
    my $site = $whose =~ /application/ ? application() : native();
    $faults->run();
    my $live = Test::RTMP->new()->ready();
    is($live->publish($site->{live})->{code}, 'NetStream.Publish.Start', "$whose: a stream that is live all the while");
    $live->go_live(fps => 2);

    my (@seconds, @wrong, %said);
    for my $round (1 .. $ROUNDS) {
        $faults->full(1);
        my $before = $faults->full_writes();
        $said{publish($site->{key})}++ for 1 .. 3;
        wait_for(sub { $faults->full_writes() > $before }, 3) or push @wrong, 'nothing was written';
        my $begun = Test::RTMP->new()->ready();
        $said{$begun->publish($site->{key})->{code}}++;
        push @wrong, 'told of while the disk is full' if $site->{lives}->() =~ /benw/;
        $faults->full(0);
        my $mended = time;
        my $is_live = !$begun->is_closed();
        my $want = $is_live && grep({ $_->{code} =~ /Start/ } $begun->statuses()) ? 'benw live' : 'live';
        wait_for(sub { $site->{lives}->() eq $want }, 5) or push @wrong, 'live: ' . $site->{lives}->() . ", not $want";
        push @seconds, time - $mended;
        $begun->close();
        wait_for(sub { $site->{lives}->() eq 'live' }, 5) or push @wrong, 'live: ' . $site->{lives}->() . ', not live';
    }
    diag($_) for @wrong;
    row(
        subject  => "nginx, $whose", fault => 'disk full', injected => $ROUNDS,
        expected => 'keys are answered or refused; live streams go on; what is written or told is true within 1.5 s',
        seen     => join(', ', map { "$said{$_} $_" } sort keys %said) . '; ' . $faults->full_writes() . ' writes failed',
        ok       => !@wrong && !grep({ !/^NetStream\.(?:Failed|Publish\.Start)$/ } keys %said) && !grep({ $_ > 1.5 } @seconds)
            && !$live->is_closed(),
        seconds  => \@seconds,
    );
    ok(wait_for(sub { $site->{complete}->() }, 5), "$whose: nothing is missing");
    $live->close();
    $t->stop();
}

###############################################################################

sub publish {
    my ($key) = @_;
    my $c = Test::RTMP->new()->ready();
    my $status = $c->publish($key);
    $c->close();
    $stagedoor->wait_for_ends("benw");
    return $status ? $status->{code} : 'nothing';
}

sub names { return join ' ', sort map { $_->{name} } @_ }

sub native {
    $stagedoor->init();
    my %site = (live => $stagedoor->add('live'), key => $stagedoor->add('benw'));
    conf('', $stagedoor->db());
    $site{lives} = sub {
        return names($stagedoor->sql(
            'SELECT DISTINCT username AS name FROM sessions JOIN streamers ON streamers.id = streamer_id WHERE stopped_at IS NULL'));
    };
    $site{complete} = sub {
        my $accepted = () = $stagedoor->log_lines(text => qr/publish accepted/);
        return @{$stagedoor->json('sessions', '--limit', 100_000)} == $accepted;
    };
    return \%site;
}

sub application {
    my $db = $t->testdir() . '/db/site.db';
    $stagedoor->sql(<<'END', $db);
CREATE TABLE users (name TEXT, key TEXT UNIQUE, live_since TEXT);
INSERT INTO users VALUES ('live', 'key-of-live', NULL), ('benw', 'key-of-benw', NULL);
END
    conf(<<"END", $db);
stagedoor_query "SELECT name AS username FROM users WHERE key = :key";
stagedoor_on_start "UPDATE users SET live_since = :now WHERE name = :username";
stagedoor_on_stop "UPDATE users SET live_since = NULL WHERE name = :username";
END
    return {
        live     => 'key-of-live',
        key      => 'key-of-benw',
        lives    => sub { names($stagedoor->sql('SELECT name FROM users WHERE live_since IS NOT NULL', $db)) },
        complete => sub { ($stagedoor->sql('PRAGMA integrity_check', $db))[0]{integrity_check} eq 'ok' },
    };
}

sub conf {
    my ($statements, $db) = @_;
    $t->write_file_expand('nginx.conf', <<"END");
%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db $db;
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
