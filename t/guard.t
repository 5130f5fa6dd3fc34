#!/usr/bin/perl

# The message guard: what takes stock nginx-rtmp down closes the session that it came on,
# and nothing else. Applications with and without keys, before and after connect.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Answer qw(answer);
use Test::Nginx;
use Test::RTMP;
use Test::RTMP::Hostile qw(deep hostile resident unharmed @OPENINGS @TYPES);
use Test::Stagedoor     qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my @hostile = hostile();
my @apps    = qw(live open);
my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(3 * @TYPES + @hostile + 14);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;
        }

        application open {
            live on;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen       127.0.0.1:8080;

        location = /status { stagedoor_status; }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');

$t->run();

###############################################################################

# a stream that runs on the same worker meanwhile, with a player

my ($worker) = $stagedoor->workers(1);
my $streamer = Test::RTMP->new()->ready();
is($streamer->publish($key)->{code}, 'NetStream.Publish.Start', 'a stream is live');
my $player = Test::RTMP->new()->ready();
is($player->play('benw')->{code}, 'NetStream.Play.Start', 'and played');
$streamer->go_live(colour => 'azure', fps => 50);
my $refused  = 0;
my $resident = resident($worker);

# AMF in AMF, however it is nested

for my $type (@TYPES) {
    for my $where (undef, @apps) {
        my @closed = grep { is_closed($where, $type, $_) } @OPENINGS;
        is("@closed", "@OPENINGS", "type $type, " . ($where ? "connected to $where" : 'before connect'));
    }
}

# everything else

for my $hostile (@hostile) {
    my @closed = grep { refuses($_, $hostile->{send}) } $hostile->{early} ? undef : (undef, @apps);
    is(scalar @closed, $hostile->{early} ? 1 : 3, $hostile->{name});
}

# a name that the guard does not know hides nothing

ok(refuses('live', sub { $_[0]->message(deep(20, 'object', 'FCPublish')) }), 'a command without a handler');
ok(refuses('live', sub { $_[0]->message(deep(20, 'object', 'publish')) }), 'a command that this module takes');

# a client that is live itself

my $open = Test::RTMP->new(app => 'open')->ready();
is($open->publish('somebody')->{code}, 'NetStream.Publish.Start', 'a publisher');
$open->send_media(1);
$open->message(deep(18, 'ecma'));
ok($open->closed_within(5), 'whose metadata is too deep');
$refused++;

# nobody else has noticed

is_deeply([$stagedoor->workers(1)], [$worker], 'the worker is the same');
cmp_ok(resident($worker) - $resident, '<', 20_000, 'and has the memory that it had');
ok(unharmed($streamer, $player), 'each picture of the stream has reached the player');
ok(!$streamer->is_closed(), 'and it goes on');

# what the operator sees

is($stagedoor->status()->{messages_refused}, $refused, 'all of them are counted');
like(answer('GET', '/status?format=prometheus')->body(), qr/^stagedoor_messages_refused_total $refused$/m,
    'also for Prometheus');
my @lines;
wait_for(sub {
    refuses(undef, $hostile[0]{send});
    @lines = $stagedoor->log_lines(level => 'warn', text => qr/stagedoor: message refused: .*, client: 127\.0\.0\.1/);
    return @lines > 1;
}, 5);
my %seconds = map { $_->{time} => 1 } @lines;
cmp_ok(scalar @lines, '<=', 1 + keys %seconds, 'the log has a line a second');
my $told = @lines;
$told += $_->{text} =~ /; so were (\d+) since the last such line/ ? $1 : 0 for @lines;
is($told, $refused, 'which tells of all of them');

###############################################################################

sub is_closed {
    my ($where, $type, $opening) = @_;
    return refuses($where, sub { $_[0]->message(deep($type, $opening)) });
}

# Whether the session is closed when somebody has sent it: connected to this
# application, or before connect.
sub refuses {
    my ($app, $send) = @_;
    my $client = Test::RTMP->new($app ? (app => $app) : ());
    $app ? $client->ready() : $client->handshake();
    $client->set_chunk_size(65536);
    $send->($client);
    $refused++;
    return $client->closed_within(5);
}

###############################################################################
