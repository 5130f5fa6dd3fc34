#!/usr/bin/perl

# A panic in each function that nginx calls while it runs: what was due is refused, the log says so, and
# everything else goes on: the master, the workers, the streams that are live.  No name stays taken.

use warnings;
use strict;

use IO::Select;
use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Test::Faults qw(PANIC callbacks in_configuration row);
use Test::Nginx;
use Test::Answer qw(answer);
use Test::Crowd qw(greet);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my %RUNNING = (
    'a connection'              => \&begin,
    'a handshake'               => \&begin,
    'a message'                 => \&begin,
    'an acknowledgement'        => \&begin,
    'a publish'                 => \&begin,
    'an answer'                 => \&begin,
    'the beginning of a session' => \&begin,
    q(a publish's preparation)  => \&begin,
    'a push'                    => \&push_nowhere,
    'a wake-up'                 => \&wake_up,
    q(a stream's end)           => \&begin_and_close,
    q(a stream's deletion)      => \&begin_and_vanish,
    q(a stream's last moment)   => \&begin_and_vanish,
    q(a connection's end)       => \&begin_and_vanish,
    q(a publish's timer)        => \&wrong_key,
    q(a refused client's input) => \&wrong_key,
    'a stop'                    => \&kick,
    'a takeover'                => \&take_over,
    'a play'                    => \&play,
    q(a command with a stream's name) => sub { Test::RTMP->new()->ready()->fc_publish('a-name') },
    q(a message's check)        => \&exchange,
    q(an aggregate's check)     => \&aggregate,
    'a look at what has come'   => \&much,
    'a session that can wait'   => \&begin,
    q(a live stream's turn)     => \&crowd,
    'a read'                    => \&exchange,
    'a write'                   => \&exchange,
    'media'                     => sub { media() },
    'a recording'               => sub { media(app => 'record') },
    'a directory for DASH'      => sub { media(app => 'dash') },
    'a fragment of DASH'        => sub { media(app => 'dash') },
    'media that is not written' => \&media_in_pieces,
    'a look for dead workers'   => \&again,
    'a look for takeovers'      => \&again,
    'a reading of the meters'   => \&again,
    q(a worker's start)         => \&kill_worker,
    q(a worker's end)           => \&end_worker,
    q(a worker's later start)   => \&kill_worker_twice,
    'a variable'                => sub { answer('GET', '/hls/other/x.ts') },
    q(a path's check)           => sub { answer('GET', '/hls/other/x.ts') },
    q(a live stream's check)    => sub { answer('GET', '/hls/other/x.ts') },
    q(a playlist)               => sub { answer('GET', '/hls/other/index.m3u8') },
    q(an answer's headers)      => sub { answer('GET', '/hls/other/x.ts') },
    'a status'                  => sub { answer('GET', '/status') },
    'the end of a request'      => sub { answer('GET', '/status'); 1 },
);

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(5 + keys %RUNNING);

my $stagedoor = Test::Stagedoor->new($t);
my $faults    = Test::Faults->new($t);

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

        application live {
            live on;
            stagedoor on;
            stagedoor_duplicate takeover;
            stagedoor_auth_delay 100ms;
        }

        application pushing {
            live on;
            stagedoor on;
            push rtmp://unix:%%TESTDIR%%/nowhere.sock:/live;
            push_reconnect 200ms;
        }

        application record {
            live on;
            stagedoor on;
            record all;
            record_path %%TESTDIR%%;
        }

        application dash {
            live on;
            stagedoor on;
            dash on;
            dash_path %%TESTDIR%%/dash;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen 127.0.0.1:8080;

        location /hls/ {
            stagedoor_hls on;
            stagedoor_hls_require_live on;
            add_header X-Stream $stagedoor_stream;
            alias %%TESTDIR%%/hls/;
        }

        location /status {
            stagedoor_status;
        }
    }
}

END

$t->write_file('hls/other/x.ts', 'media');
$t->write_file('hls/other/index.m3u8', "#EXTM3U\n");
my ($key, $other_key, $lasting_key) = map { $stagedoor->add($_) } qw(benw other lasting);

$t->allow_alert(qr/connect\(\) to unix:\S+ failed/);
$faults->run();

###############################################################################

# No function has been forgotten.
my %named = map { $_ => 1 } callbacks();
is_deeply([sort grep { !in_configuration($_) } keys %named], [sort keys %RUNNING], 'every function that nginx calls is here');

my $other = Test::RTMP->new()->ready();
is($other->publish($other_key)->{code}, 'NetStream.Publish.Start', 'a stream that is live all the while');
$other->go_live(fps => 2);
my $safe = $stagedoor->worker_of($other);

my @seconds;
my @failed = grep { !while_running($_) } sort keys %RUNNING;
row(
    subject  => 'nginx', fault => 'a panic in each function that nginx calls otherwise',
    injected => scalar keys %RUNNING, expected => 'logged; the worker and its streams go on; the name is free again',
    seen     => join('; not ', keys(%RUNNING) - @failed . ' as expected', @failed), ok => !@failed, seconds => \@seconds,
);

ok(!$other->is_closed() && $stagedoor->worker_of($other) == $safe, 'the stream is still live');
is($stagedoor->status()->{live}, 1, 'and no other one is');

###############################################################################

sub while_running {
    my ($place) = @_;
    my $before = $faults->fired();
    # Who was here before has gone.
    wait_for(sub { $stagedoor->status()->{live} == 1 }, 3);
    wait_for(sub { 0 }, 0.1);
    # The stream that is live passes these, too.
    $faults->arm($place, PANIC, 1, $place =~ /^(?:a look at what has come|a message's check|media|a read|a write)$/ ? victim() : 0);
    my $is_right = eval { $RUNNING{$place}->($place) } // 0;
    diag($@) if $@;
    my $fired = $faults->fires($before);
    my $ended = time;
    my $said  = wait_for(sub { said($place) }, 2);
    my $works = works();
    my $safe_still = !$other->is_closed() && $stagedoor->worker_of($other) == $safe;
    push @seconds, time - $ended;
    return ok($fired && $is_right && $said && $works && $safe_still, "panic in $place")
        || diag(join ', ', map { $_->[1] ? $_->[0] : "not $_->[0]" } ['met', $fired], ['right', $is_right],
            ['logged', $said], ['working', $works], ['safe', $safe_still]);
}

sub said { my ($place) = @_; return $stagedoor->log_lines(level => 'error', text => qr/^stagedoor: a bug stopped \Q$place\E; /) }

# A stream of the streamer goes live, as with an encoder that tries again, and ends.
sub works {
    return wait_for(sub {
        my $c = eval { Test::RTMP->new(timeout => 2)->ready() } or return 0;
        my $status = $c->publish($key) // return 0;
        $c->close();
        return $status->{code} eq 'NetStream.Publish.Start';
    }, 5);
}

# A publish on its way meets the panic: it goes live all the same, or the session is closed.
sub begin {
    my $c = Test::RTMP->new(timeout => 3);
    my $status = eval { $c->ready()->publish($key) };
    my $is_live = $status && $status->{code} eq 'NetStream.Publish.Start';
    my $is_over = $is_live || $status || $c->is_closed();
    $c->close();
    return $is_over;
}

# An answer that is there at once wakes nobody.
sub wake_up {
    my ($place) = @_;
    my $before = $faults->fired();
    for (1 .. 20) {
        begin() or return 0;
        return 1 if $faults->fired() > $before;
    }
    return 0;
}

sub live { my ($key) = @_; my $c = Test::RTMP->new()->ready(); $c->publish($key)->{code} eq 'NetStream.Publish.Start' or die "not live\n"; return $c }

sub begin_and_close {
    my $c = live($lasting_key);
    $c->close_stream();
    return $c->closed_within(3);
}

# The push is not tried again; the stream goes on.
sub push_nowhere {
    my $c = Test::RTMP->new(app => 'pushing')->ready();
    my $is_live = $c->publish($lasting_key)->{code} eq 'NetStream.Publish.Start' && !$c->closed_within(0.6);
    $c->close();
    return $is_live;
}

sub begin_and_vanish { live($key)->close(); return 1 }

sub wrong_key {
    my $c = Test::RTMP->new(timeout => 3)->ready();
    $c->send_publish('nobodys-key');
    wait_for(sub { $c->statuses() || $c->is_closed() }, 3);
    $c->go_deaf();
    $c->send_create_stream();
    my $is_live = grep { $_->{code} eq 'NetStream.Publish.Start' } $c->statuses();
    $c->close() if wait_for(sub { 0 }, 1) || 1;
    return !$is_live;
}

sub kick {
    my $c = live($lasting_key);
    wait_for(sub { $stagedoor->json('show', 'lasting')->{is_live} }, 3);
    $stagedoor->run('kick', 'lasting');
    return $c->closed_within(3);
}

sub take_over {
    my $old = live($lasting_key);
    wait_for(sub { 0 }, 1.1);
    my $new = Test::RTMP->new(timeout => 3)->ready();
    $new->send_publish($lasting_key);
    my $is_over = wait_for(sub { $new->is_closed() || grep { $_->{code} =~ /Start/ } $new->statuses() }, 4);
    $_->close() for $old, $new;
    wait_for(sub { is_free('lasting') }, 3) or return 0;
    return $is_over;
}

sub is_free { my ($name) = @_; return !grep { $_->{username} eq $name } @{$stagedoor->status()->{streams}} }

sub much {
    my $c = $stagedoor->client_on(victim());
    $c->publish($lasting_key);
    $c->go_live(fps => 50);
    return $c->closed_within(10);
}

sub media {
    my (%where) = @_;
    my $c = $stagedoor->client_on(victim(), %where);
    $c->publish($lasting_key);
    $c->send_media(0.5);
    my $goes_on = !$c->closed_within(0.5);
    $c->close();
    return $goes_on;
}

# What has come or gone, or whether it may be read, is not known any more: the session ends.
sub exchange {
    my $c = eval {
        my $c = $stagedoor->client_on(victim());
        $c->publish($lasting_key);
        $c;
    } or return 1;
    $c->send_media(0.5);
    return $c->closed_within(3);
}

# Hundreds shake hands with one worker within one turn of its event loop: all of them are answered.
# How long that turn takes is the machine's matter.
sub crowd {
    my $before = $faults->fired();
    for (1 .. 10) {
        shake_hands_at_once(400) or return 0;
        return 1 if $faults->fired() > $before;
    }
    return 0;
}

sub shake_hands_at_once {
    my ($count) = @_;
    my $victim = victim();
    my ($bystander) = grep { $_ != $victim } $stagedoor->workers(2);
    kill STOP => $bystander;    # it accepts none of them
    my @clients = Test::Crowd::crowd($count);
    kill STOP => $victim;
    greet(@clients);
    kill CONT => $victim, $bystander;
    my $answered = grep { IO::Select->new($_)->can_read(3) && sysread $_, my $byte, 1 } @clients;
    return $answered == $count;
}

# DASH takes no picture whose first buffer is smaller than its header.
sub media_in_pieces {
    my $c = $stagedoor->client_on(victim(), app => 'dash');
    $c->publish($lasting_key);
    $c->send_media(0.2);
    $c->shrink_chunks(4);
    $c->send_media(0.2);
    my $goes_on = !$c->closed_within(0.5);
    $c->close();
    return $goes_on;
}

sub aggregate {
    my $c = Test::RTMP->new()->ready();
    $c->message(type => 22, payload => "\x08" . "\0" x 10);
    return $c->closed_within(3);
}

sub play {
    my $c = Test::RTMP->new(timeout => 3)->ready();
    $c->play('other');
    return 1;
}

# It has to come again.
sub again {
    my ($place) = @_;
    my $c = live($lasting_key);
    my $before = $faults->fired();
    $faults->fires($before - 1, 3);
    $before = $faults->fired();
    $faults->arm($place, PANIC);
    my $comes_again = $faults->fires($before, 4);
    $c->close();
    return $comes_again;
}

sub victim { my ($victim) = grep { $_ != $safe } $stagedoor->workers(2); return $victim }

sub answered { return scalar $stagedoor->log_lines(text => qr/^stagedoor: publishes are answered from now on/) }

sub kill_worker {
    my $answered = answered();
    $stagedoor->kill_worker(victim());
    $stagedoor->workers(2);
    return wait_for(sub { answered() > $answered }, 5);
}

# The second attempt to start fails as the first one.
sub kill_worker_twice {
    my ($place) = @_;
    my ($before, $answered) = ($faults->fired(), answered());
    $faults->arm(q(a worker's start), PANIC);
    $stagedoor->kill_worker(victim());
    $faults->fires($before);
    $faults->arm($place, PANIC);
    $faults->fires($before + 1);
    return wait_for(sub { answered() > $answered }, 5);
}

sub end_worker { kill TERM => victim(); wait_for(sub { 0 }, 0.3); return scalar $stagedoor->workers(2) == 2 }

###############################################################################
