#!/usr/bin/perl

# One connection and its publishes: one at a time, again after a close, in whatever
# order the commands come.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(34);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;    # players of a name are served by the worker of its publisher

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
            stagedoor_auth_delay 0;
        }

        application open {
            live on;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(benw zoe);

$t->run();

###############################################################################

# publish, close, publish again on one connection

my $c = client();
is(code($c->publish($key{benw})), 'Start', 'publish');
for my $close (qw(close_stream delete_stream)) {
    $c->fc_unpublish($key{benw});
    $c->$close();
    is(code($c->wait_status(3)), 'Success', "$close: the stream ends");
    is(code($c->publish($key{benw})), 'Start', "$close: publish again on the same connection");
}
$c->close_stream();
$c->wait_status(3);
is(code($c->publish($key{zoe})), 'Start', 'with another key it is another stream');
my $other = client();
is(code($other->publish($key{benw})), 'Start', 'and the first name is free');
$_->close() for $c, $other;
$stagedoor->wait_for_ends($_) for qw(benw zoe);

# two at once on one connection

$c = client();
$c->send_publish($key{zoe}) for 1 .. 2;
is_deeply([sort map { code($c->wait_status(3)) } 1 .. 2], [qw(BadName Start)], 'of two at once one is live');
is($c->publish($key{zoe})->{description}, 'Already streaming', 'a second while the first is live is refused');
is(code($c->publish($key{benw})), 'BadName', 'with another key too');
is(code($c->publish('wrong')), 'BadName', 'with a wrong one too');
cmp_ok($stagedoor->log_lines(level => 'warn', text => qr/Already streaming \(this session /), '<', 4, 'the log has not a line of each');
ok(wait_for(sub { $stagedoor->refusals_logged(qr/Already streaming|busy/) == 4 }, 5), 'but has counted them');
my $player = client();
is(code($player->play('zoe')), 'Start', 'the first can be played');
$c->send_media(1);
ok(wait_for(sub { $player->received('video') >= 10 }, 3), 'and sends its pictures');
ok(!$c->closed_within(0.1), 'its connection stays');
is(client()->publish($key{zoe})->{description}, 'Already streaming', 'its name stays taken');
$other = client();
is(code($other->publish($key{benw})), 'Start', 'no other name was taken');
$_->close() for $c, $other;
$stagedoor->wait_for_ends($_) for qw(benw zoe);

# without waiting for answers

$c = Test::RTMP->new(split => 1 << 20);    # what is sent together leaves in one piece
$c->{stream_id} = 1;
$c->send_connect();
$c->send_create_stream();
$c->send_publish($key{zoe});
$c->send_media(1);
is(code($c->wait_status(3)), 'Start', 'connect, createStream, publish, media');
$c->close_stream();
$c->send_publish($key{zoe});
is_deeply([map { code($c->wait_status(3)) } 1 .. 2], [qw(Success Start)], 'closeStream and publish');
$c->close_stream();
$c->send_publish($key{zoe});
$c->delete_stream();
$c->send_publish($key{zoe});
my @codes;
while (my $status = $c->wait_status(@codes % 2 ? 3 : 0.3)) { push @codes, code($status) }
like("@codes", qr/^Success Start( Success Start)?$/, 'closeStream, publish, deleteStream, publish: live once more');
$c->close();
$stagedoor->wait_for_ends('zoe');

# out of order

$c = Test::RTMP->new();
$c->handshake();
$c->send_publish($key{benw});
ok($c->closed_within(3), 'publish before connect: closed');
is($stagedoor->log_lines(level => 'warn', text => qr/publish refused: it came before connect/), 1, 'and logged');
$c = Test::RTMP->new();
$c->connect();
is(code($c->publish($key{benw})), 'Start', 'publish without createStream');
$c->close_stream();
is(code($c->wait_status(3)), 'Success', 'and its end');
$c->close();
$c = Test::RTMP->new(app => 'nowhere');
$c->send_connect();
$c->send_publish($key{benw});
ok($c->closed_within(3), 'to an application that is not there: closed');

# a session that plays

$c = client();
is(code($c->publish($key{zoe})), 'Start', 'a stream');
my $both = client();
is(code($both->play('zoe')), 'Start', 'and its player');
is($both->publish($key{benw})->{description}, 'Already streaming', 'cannot publish on the same connection');
$c->send_media(1);
ok(wait_for(sub { $both->received('video') >= 10 }, 3), 'and goes on playing');
$both->close_stream();
is(code($both->publish($key{benw})), 'Start', 'once it has closed the stream it can');
ok(!$c->closed_within(0.1), 'the stream that was played goes on');

# an application that asks for no key

$c = client(app => 'open');
is(code($c->publish('benw')), 'Start', 'with stagedoor off, any name');
is(client(app => 'open')->publish('benw')->{description}, 'Already publishing', "and nginx-rtmp's own refusals");

###############################################################################

sub client { return Test::RTMP->new(@_)->ready() }

# The last part of a status code.
sub code { my ($status) = @_; return ($status // { code => 'nothing' })->{code} =~ s/.*\.//r }

###############################################################################
