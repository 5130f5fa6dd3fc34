#!/usr/bin/perl

# A panic in each function that nginx calls to read its configuration, in a reload: it is refused,
# and master, workers and streams go on with the one that they have.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Test::Faults qw(PANIC callbacks in_configuration row);
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my %named  = map { $_ => 1 } grep { in_configuration($_) } callbacks();
my @places = sort keys %named;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(3 + @places);

my $stagedoor = Test::Stagedoor->new($t);
my $faults    = Test::Faults->new($t);

$t->allow_alert(qr/configuration file .* test failed|nginx-rtmp|stagedoor/);
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

my ($key, $other_key) = map { $stagedoor->add($_) } qw(benw other);

$faults->run();

###############################################################################

my $other = Test::RTMP->new()->ready();
is($other->publish($other_key)->{code}, 'NetStream.Publish.Start', 'a stream that is live all the while');
$other->go_live(fps => 2);

my @refused = grep { refused($_) } @places;
row(
    subject  => 'nginx', fault => 'a panic in each function that nginx calls to read the configuration, in a reload',
    injected => scalar @places, expected => 'the configuration is refused, the server goes on with the former one',
    seen     => @refused . ' as expected', ok => @refused > 5 && @refused == @places,
);
ok(!$other->is_closed(), 'the stream is still live');

###############################################################################

sub refused {
    my ($place) = @_;
    my $master = $stagedoor->master();
    my @workers = $stagedoor->workers(2);
    my $before  = $faults->fired();
    $faults->arm($place, PANIC);
    kill HUP => $master;
    my $fired = $faults->fires($before);
    my $said  = wait_for(sub { said($place) }, 5);
    wait_for(sub { 0 }, 0.3);
    my $same = join(' ', @workers) eq join(' ', $stagedoor->workers(2));
    return ok($fired && $said && $same && kill(0, $master) && works(), "panic in $place");
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

###############################################################################
