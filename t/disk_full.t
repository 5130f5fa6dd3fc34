#!/usr/bin/perl

# A disk that is full, as the kernel shows it to one process (RLIMIT_FSIZE: the write that does not fit is cut short,
# those behind it fail). nginx-rtmp's DASH module takes a short write for a whole one, and reads on for good at the end
# of a file that has less than that. Its record module closes the file and keeps the number: what has it by then is
# written to and closed, such as another client's connection. With the module the worker and all streams live.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Proc qw(children cpu_seconds is_running open_files title);
use Test::RTMP;
use Test::RTMP::Media qw(video_frame);
use Test::Stagedoor qw(wait_for);
use Test::Stock qw(write_stock_and_nginx);

select STDERR; $| = 1;
select STDOUT; $| = 1;

# bytes of a file; a fragment has more, and what the worker logs is less
use constant SPACE => 100_000;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('prlimit')->plan(2 + 10);
mkdir $t->testdir() . '/rec' or die "mkdir: $!\n";

write_stock_and_nginx($t, <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application record {
            live on;
            record all;
            record_path %%TESTDIR%%/rec;
        }

        application dash {
            live on;
            dash on;
            dash_path %%TESTDIR%%/dash;
            dash_fragment 8s;
            dash_playlist_length 20s;
        }
    }
}

END

# otherwise it is killed by its first write that is too long
$SIG{XFSZ} = 'IGNORE';

###############################################################################

$t->expect_kill(2);
$t->allow_alert(qr/\[crit\].*(?:"recorded" failed|record: )/);
my $worker = run('stock');

my $other = beside_a_recording();
ok($other->closed_within(5), 'nginx-rtmp alone: who comes while a recording fails is closed');
end_worker();    # which has lost count of its connections
wait_for(sub { ($worker = worker()) }, 5) or die "there is no worker\n";

my $client = live('dash');
limit(SPACE);
$client->send_media(10);
ok(hangs(), 'and the worker hangs while a fragment of DASH cannot be written');
end_worker();
$client->close();
$t->stop();

$worker = run('nginx');

$other = beside_a_recording();
ok(!$other->closed_within(1), 'with the module it is not closed');
is($other->publish('other')->{code}, 'NetStream.Publish.Start', 'and can publish');
like($t->read_file('error.log'), qr/\[warn\].*stagedoor: a recording ends, as it cannot be written/, 'which is logged');
$other->close();

$client = live('dash');
cut_short($client);
$client->send_media(20);
ok(wait_for(sub { fragments() > 1 }, 5), 'behind a fragment that was cut short the next ones are written');
ok(answers(), 'and the worker does not hang');

limit(SPACE);
$client->send_media(10);
ok(!$client->closed_within(1), 'the stream goes on without space');
ok(answers(), 'and so does the worker');
like($t->read_file('error.log'), qr/\[warn\].*stagedoor: DASH cannot be written/, 'which is logged, too');
limit('unlimited');
my $ended = first_picture_cut_short();
ok(answers(), 'nor does it behind a fragment of one picture that was cut short, when its stream ends with a message');
$ended->close();
my $before = fragments();
$client->send_media(10);
ok(wait_for(sub { fragments() > $before }, 5), 'and the stream is written when there is some');
$client->close();

###############################################################################

sub run {
    my ($name) = @_;
    $t->run($t->testdir() . "/$name.conf");
    return worker();
}

sub worker { return (grep { title($_) =~ /worker process/ } children($t->read_file('nginx.pid') + 0))[0] }

sub end_worker {
    kill KILL => $worker;
    return wait_for(sub { !is_running($worker) }, 5);
}

# A stream, of which nothing is written yet.
sub live {
    my ($app) = @_;
    my $publisher = Test::RTMP->new(app => $app)->ready();
    $publisher->publish('name');
    return $publisher;
}

# A client that has the descriptor of a recording which failed while another one goes on with it.
sub beside_a_recording {
    my $publisher = live('record');
    limit(SPACE);
    $publisher->send_media(8);
    wait_for(sub { !grep { m{/rec/} } open_files($worker) }, 5)
        or die "the recording goes on\n";
    my $beside = Test::RTMP->new(app => 'record')->ready();
    $publisher->send_media(1);
    limit('unlimited');
    return $beside;
}

# Of its last picture only the beginning is written.
sub cut_short {
    my ($publisher) = @_;
    limit(SPACE);
    my $is_full = sub { 512 * ((stat $t->testdir() . '/dash/name-raw.m4v')[12] // 0) >= SPACE };
    $publisher->send_media(5, audio => 0);
    for (1 .. 25) {
        $publisher->send_media(0.1, audio => 0);
        last if wait_for($is_full, 0.1);
    }
    $is_full->() or die "nothing is cut short\n";
    limit('unlimited');
    return;
}

# One picture with which a fragment begins, and the message behind it that has nginx-rtmp close that
# (ngx_rtmp_receive.c, ngx_rtmp_user_message_handler).
sub first_picture_cut_short {
    my $publisher = Test::RTMP->new(app => 'dash')->ready();
    $publisher->publish('other');
    $publisher->send_media(0.1, audio => 0);
    my $end = sub { $publisher->message(csid => 2, type => 4, stream_id => 0, payload => pack('nN', 1, 1)) };
    $end->();
    limit(SPACE);
    $publisher->send_video(video_frame('gray', 0) . "\0" x (2 * SPACE));
    $end->();
    $publisher->create_stream();    # which is answered when all that has been read
    limit('unlimited');
    return $publisher;
}

sub limit {
    my ($bytes) = @_;
    system('prlimit', '--pid', $worker, "--fsize=$bytes:unlimited") == 0 or die "prlimit failed\n";
    return;
}

sub fragments { return scalar grep { /-\d+\.m4v$/ && -s } glob $t->testdir() . '/dash/*' }

# Whether it is busy for a second of its own time, while nothing comes.
sub hangs {
    my $before = cpu_seconds($worker);
    return wait_for(sub { cpu_seconds($worker) - $before > 1 }, 10);
}

sub answers { return eval { Test::RTMP->new(app => 'dash', timeout => 5)->ready()->close(); 1 } }

###############################################################################
