#!/usr/bin/perl

# A publisher that nginx-rtmp's control module redirects to another name: its stream goes on under that, for who plays
# it and in recordings, with nginx-rtmp alone and with the module.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);
use Test::Stock qw(write_stock_and_nginx);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(2 * 6);

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

        application app {
            live on;
            record all;
            record_path %%TESTDIR%%/rec;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen 127.0.0.1:8080;

        location /control {
            rtmp_control all;
        }
    }
}

END

mkdir $t->testdir() . '/rec' or die "mkdir: $!\n";
my %who = (stock => 'nginx-rtmp alone', nginx => 'with the module');

###############################################################################

for my $name (qw(stock nginx)) {
    $t->run($t->testdir() . "/$name.conf");

    my $client = publish('one');
    ok(plays('one'), "$who{$name}: a stream is live");
    redirect('one', 'two');
    ok(plays('two'), 'when it is redirected it goes on under the new name');
    ok(wait_for(sub { -s $t->testdir() . '/rec/two.flv' }, 5), 'and is recorded under that');
    ok(!plays('one', 1), 'and not under the old one');

    my $other = publish('one');
    ok(plays('one'), 'which somebody else can have');
    $client->close();
    ok(plays('one'), 'and keeps at the end of the first stream');
    $other->close();
    $t->stop();
    unlink glob $t->testdir() . '/rec/*';
}

###############################################################################

sub client { return Test::RTMP->new(app => 'app')->ready() }

sub publish {
    my ($name) = @_;
    my $client = client();
    $client->publish($name);
    return $client->go_live();
}

# What nginx-rtmp answers is the number of those that it has redirected.
sub redirect {
    my ($name, $new) = @_;
    my $answer = http_get("/control/redirect/publisher?srv=0&app=app&name=$name&newname=$new");
    $answer =~ /\r\n\r\n1$/ or die "redirect: $answer\n";
    return;
}

sub plays {
    my ($name, $timeout) = @_;
    my $player = client();
    $player->send_play($name);
    my $comes = wait_for(sub { $player->received('video') > 3 }, $timeout // 5);
    $player->close();
    return $comes;
}

###############################################################################
