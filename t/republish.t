#!/usr/bin/perl

# A client that publishes again without having ended what it published, to an application that
# wants no key: nginx-rtmp alone loses the segment that is open, for good, and with it a descriptor.
# With the module the first stream ends before the second begins.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Proc qw(open_files);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);
use Test::Stock qw(write_stock_and_nginx);

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant AGAIN => 5;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(6);

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

        application open {
            live on;
            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_fragment 10s;
            hls_fragment_naming system;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);

###############################################################################

$t->run($t->testdir() . '/stock.conf');
my ($worker) = $stagedoor->workers(1);
publish_again('first', 'second');
cmp_ok(scalar segments(), '>', 1, 'nginx-rtmp alone has segments open that nobody writes');
$t->stop();

$t->run($t->testdir() . '/nginx.conf');
($worker) = $stagedoor->workers(1);
my $c = publish_again('first', 'second');
ok(wait_for(sub { segments() == 1 }, 5), 'with the module one is open, that of the last stream') or diag(join "\n", segments());
like(join(' ', segments()), qr{/second-}, 'which goes on');
ok(!$c->is_closed(), 'as does the session');
is(scalar(grep { $_->{code} eq 'NetStream.Unpublish.Success' } $c->statuses()), 2 * AGAIN - 1, 'each stream before it has ended');
$c->close();
ok(wait_for(sub { segments() == 0 }, 5), 'at its end none is');

###############################################################################

# Publishes in turn under these names, on one session, each with a key frame.
sub publish_again {
    my @names = @_;
    my $c = Test::RTMP->new(app => 'open')->ready();
    for my $name ((@names) x AGAIN) {
        $c->publish($name);
        $c->send_media(1);
        my $pattern = qr{/\Q$name\E-};
        wait_for(sub { grep { $_ =~ $pattern } segments() }, 5) or die "$name: no segment\n";
    }
    return $c;
}

sub segments { return grep { /\.ts$/ } open_files($worker) }

###############################################################################
