#!/usr/bin/perl

# A worker whose memory runs out at the first, second, third … allocation while a publish comes and
# goes: that session is refused or closed, the worker and its streams go on, and the name is free. The
# same while viewers ask for playlists, and the operator for the status.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Test::Answer qw(answer);
use Test::Faults qw(row);
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(10);

$t->allow_alert(qr/(?:malloc|posix_memalign)\(.*\) failed \(12: Cannot allocate memory\)/);
$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;
stagedoor_timeout 1s;

events {
}

rtmp {
    access_log %%TESTDIR%%/rtmp.log;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;

            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_nested on;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen 127.0.0.1:8080;

        location /status {
            stagedoor_status;
        }

        location /lists/ {
            alias %%TESTDIR%%/lists/;
            stagedoor_hls on;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $faults    = Test::Faults->new($t)->preload();
my ($key, $live_key) = map { $stagedoor->add($_) } qw(benw live);

$faults->run();

###############################################################################

my ($worker) = $stagedoor->workers(1);
my $live = go_live();

for my $whose ('nginx', 'module') {
    my ($met, $died, %said, @seconds, @wrong) = (0, 0);
    for (my $at = 1; ; $at++) {
        my $before = $faults->starved();
        # without memory for a picture nginx-rtmp itself dies (ngx_rtmp_live_module.c, ngx_rtmp_live_av)
        $live->stop_media();
        $live->flush();
        wait_for(sub { 0 }, 0.05);
        $faults->starve($worker, $whose, $at);
        $said{publish()}++;
        $faults->feed();
        $live->go_live(fps => 2);
        last if $faults->starved() == $before;    # so many there are not
        $met++;
        my $fed = time;
        wait_for(sub { publish() eq 'NetStream.Publish.Start' }, 3) or push @wrong, "at $at: the name is taken";
        push @seconds, time - $fed;
        push @wrong, "at $at: a stream is left in the registry" if !wait_for(sub { $stagedoor->status()->{live} <= 1 }, 3);
        if (($stagedoor->workers(1))[0] != $worker) {
            push @wrong, "at $at: the worker died";
            ($worker) = $stagedoor->workers(1);
            $live = go_live();
        }
    }
    diag($_) for @wrong;
    row(
        subject  => 'nginx', fault => $whose eq 'nginx'
            ? 'an allocation of nginx or nginx-rtmp fails while a publish comes and goes'
            : 'an allocation of the module fails while a publish comes and goes',
        injected => $met, expected => 'that session is refused, closed or goes on; the worker lives; the name is free',
        seen     => join(', ', map { "$said{$_} $_" } sort keys %said),
        ok       => $met > 2 && !@wrong && !$live->is_closed(),
        seconds  => \@seconds,
    );
}

ok(wait_for(sub { $stagedoor->status()->{live} == 1 }, 5), 'no other stream is live');

# playlists, of a stream that is live and of one that has ended, each for the first time

my ($lists, $number) = ($t->testdir() . '/lists', 0);
mkdir $_ for $lists, "$lists/live", "$lists/benw";
for my $pair (['live', 'is live'], ['benw', 'has ended']) {
    my ($name, $how) = @$pair;
    for my $whose ('nginx', 'module') {
        my ($met, %said, @wrong) = (0);
        for (my $at = 1; ; $at++) {
            my $before = $faults->starved();
            my $text   = "#EXTM3U\n" . "#EXTINF:2.000,\n" . 'x' x 4000 . "\n";
            $t->write_file("lists/$name/" . ++$number . '.m3u8', $text);
            wait_for(sub { 0 }, 0.02);    # until it may be kept
            my $connection = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port(8080)) or die "connect: $!\n";
            $live->stop_media();
            $live->flush();
            wait_for(sub { 0 }, 0.05);
            $faults->starve($worker, $whose, $at);
            my $asked = answer('GET', "/lists/$name/$number.m3u8", socket => $connection);
            $faults->feed();
            $live->go_live(fps => 2);
            $said{$asked->status() || 'closed'}++;
            push @wrong, "at $at: another playlist" if $asked->status() == 200 && $asked->body() !~ /^\Q$text\E(?:#EXT-X-ENDLIST\n)?$/;
            if (($stagedoor->workers(1))[0] != $worker) {
                push @wrong, "at $at: the worker died";
                ($worker) = $stagedoor->workers(1);
                $live = go_live();
            }
            push @wrong, "at $at: not the playlist afterwards" if answer('GET', "/lists/$name/$number.m3u8")->status() != 200;
            last if $faults->starved() == $before;
            $met++;
        }
        diag($_) for @wrong;
        row(
            subject  => 'nginx', fault => ($whose eq 'nginx' ? 'an allocation of nginx' : 'an allocation of the module')
                . " fails while a viewer asks for the playlist of a stream that $how",
            injected => $met, expected => 'answered, or not; the worker lives; answered the next time',
            seen     => join(', ', map { "$said{$_} $_" } sort keys %said),
            ok       => ($met > 0 || $whose eq 'nginx') && !@wrong && !$live->is_closed(),
        );
    }
}

# the status

for my $format (qw(html json prometheus)) {
    my ($met, %said, @wrong) = (0);
    for (my $at = 1; ; $at++) {
        my $before     = $faults->starved();
        my $connection = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port(8080)) or die "connect: $!\n";
        $live->stop_media();
        $live->flush();
        wait_for(sub { 0 }, 0.05);
        $faults->starve($worker, 'module', $at);
        my $asked = answer('GET', "/status?format=$format", socket => $connection);
        $faults->feed();
        $live->go_live(fps => 2);
        $said{$asked->status() || 'closed'}++;
        if (($stagedoor->workers(1))[0] != $worker) {
            push @wrong, "at $at: the worker died";
            ($worker) = $stagedoor->workers(1);
            $live = go_live();
        }
        last if $faults->starved() == $before;
        $met++;
    }
    diag($_) for @wrong;
    row(
        subject  => 'nginx', fault => "an allocation of the module fails while somebody asks for the status as $format",
        injected => $met, expected => 'answered, or not; the worker lives',
        seen     => join(', ', map { "$said{$_} $_" } sort keys %said),
        ok       => $met > 0 && !@wrong && !$live->is_closed(),
    );
}

###############################################################################

sub go_live {
    my $c = Test::RTMP->new()->ready();
    $c->publish($live_key)->{code} eq 'NetStream.Publish.Start' or die "a stream does not get live\n";
    return $c->go_live(fps => 2);
}

sub publish {
    my $c = eval { Test::RTMP->new(timeout => 2)->ready() } or return 'closed';
    my $status = $c->publish($key);
    $c->send_media(0.3) if $status && $status->{code} eq 'NetStream.Publish.Start';
    $c->close();
    return $status ? $status->{code} : 'closed';
}

###############################################################################
