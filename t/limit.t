#!/usr/bin/perl

# Who tries keys out has some attempts, over all workers, and is then refused without
# a look at the database until they come back.  Only failures count, and only those
# of the same address.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::RTMP::AMF0 qw(amf_encode);
use Test::Stagedoor  qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(44);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 4;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    access_log off;

    stagedoor on;
    stagedoor_auth_delay 0;

    server {
        listen 127.0.0.1:8935;
        listen [::1]:%%PORT_8936%%;
        stagedoor_auth_limit 1r/m burst=3;

        application three { live on; }
        application held  { live on; stagedoor_auth_delay 1m; }
        application ten   { live on; stagedoor_auth_limit 1r/m; }
        application soon  { live on; stagedoor_auth_limit 2r/s burst=1; }
        application off   { live on; stagedoor_auth_limit off; }
    }

    server {
        listen 127.0.0.1:8937;

        application default { live on; }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen 127.0.0.1:8080;
        location = /status { stagedoor_status json; }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(benw mia zoe);
$stagedoor->do(ban => 'mia');
$t->secret(my $wrong = 'a-wrong-stream-key');

$t->run();

my $WRONG = 'Invalid stream key';
my $MANY  = 'Too many attempts, try again later';
my $last  = 1;

###############################################################################

# all workers count together

my $from = address();
my @workers = $stagedoor->workers(4);
my @told = map { told('ten', $wrong, worker => $workers[$_ % 4]) } 1 .. 10;
is_deeply(\@told, [($WRONG) x 10], 'ten wrong keys on four workers');
is_deeply([map { told('ten', $wrong, worker => $_) } @workers], [($MANY) x 4], 'then each of them refuses');

my $before = $stagedoor->status();
my $c = client('ten');
my $status = $c->publish($key{benw});
is("$status->{level} $status->{code}: $status->{description}", "error NetStream.Publish.Denied: $MANY", 'a good key, too');
ok($c->closed_within(3), 'and closes the connection');
is(told('ten', $wrong), $MANY, 'again') for 1 .. 3;
my $after = $stagedoor->status();
is($after->{store}{answers}, $before->{store}{answers}, 'the database was not asked');
is($after->{refusals}{too_many_attempts} - $before->{refusals}{too_many_attempts}, 4, 'each is counted');
ok(wait_for(sub { $stagedoor->refusals_logged(qr/too many attempts/i) == 8 }, 5), 'and the log tells of them');
cmp_ok($stagedoor->log_lines(text => qr/too many attempts/i), '<', 8, 'in fewer lines');
like(($stagedoor->log_lines(text => qr/Too many/))[0]{text}, qr/\(1r\/m burst=10 is used up\), app: "ten", key: \w{8}, client: $from,/, 'who it was');

# others

is(told('three', $wrong), $WRONG, 'another limit has a count of its own');
my $streamer = Test::RTMP->new(app => 'ten', from => '127.0.1.1')->ready();
is($streamer->publish($key{benw})->{code}, 'NetStream.Publish.Start', 'another address is not concerned');
is(Test::RTMP->new(host => '::1', port => port(8936), app => 'ten')->ready()->publish($wrong)->{description}, $WRONG, 'nor is one of IPv6');

$t->reload();
is(told('ten', $wrong), $MANY, 'a reload forgets nothing');
ok(!$streamer->closed_within(0.1), 'who is live stays');

# what counts

my %wrong = (
    'unknown keys'   => $wrong,
    'malformed keys' => "$key{zoe}\n",
    'empty keys'     => '',
    'overlong keys'  => 'k' x 256,
);
for my $what (sort keys %wrong) {
    address();
    my $asked = $stagedoor->status()->{store}{answers};
    told('three', $wrong{$what}) for 1 .. 3;
    is(told('three', $key{zoe}), $MANY, $what);
    is($stagedoor->status()->{store}{answers} - $asked, 3, 'are looked up like all others');
}

address();
for (1 .. 3) {
    $c = client('three');
    $c->amf(amf_encode('publish', 5), 1);
    $c->closed_within(3);
}
is(told('three', $key{zoe}), $MANY, 'commands without a key');

# who does not wait for the answer

for my $app (qw(three held)) {
    for my $leave (qw(close abort)) {
        address();
        for (1 .. 3) {
            $c = client($app);
            $c->send_publish($wrong);
            $c->flush();
            $c->$leave();
        }
        ok(wait_for(sub { told('three', $key{zoe}, end => 1) eq $MANY }, 3), "$app: a $leave before the answer");
    }
}

address();
my @held = map { my $c = client('held'); $c->send_publish($wrong); $c } 1 .. 6;
wait_for(sub { 3 == grep { $_->statuses() } @held }, 5);
is_deeply([map { $_->{description} } map { $_->statuses() } @held], [($MANY) x 3], 'of six at once three are asked about, and held back');
$_->close() for @held;

# what does not

address();
is(told('three', $key{zoe}, end => 1), 'live', 'a good key') for 1 .. 5;
is(told('three', $key{mia}), 'Streaming is not allowed for this account', 'of who is banned') for 1 .. 2;
told('three', $key{benw}) for 1 .. 5;
rename $stagedoor->db(), $stagedoor->db() . '.away' or die;
is(told('three', $wrong), 'Temporarily unavailable, try again', 'no database');
told('three', $wrong) for 1 .. 4;
rename $stagedoor->db() . '.away', $stagedoor->db() or die;
wait_for(sub { told('off', $wrong) eq $WRONG }, 5);
is_deeply([map { told('three', $wrong) } 1 .. 4], [($WRONG) x 3, $MANY], 'cost no attempt');

# they come back; and where they are not counted

address();
told('soon', $wrong);
ok(wait_for(sub { told('soon', $key{zoe}, end => 1) eq 'live' }, 5), 'after a while an attempt is back');
is(grep({ told('off', $wrong) eq $WRONG } 1 .. 30), 30, 'off');
@told = map { told('default', $wrong, port => port(8937)) } 1 .. 15;
is_deeply([@told[0 .. 9]], [($WRONG) x 10], 'the default lets ten fail');
cmp_ok(scalar(grep { $_ eq $MANY } @told), '>=', 1, 'and not many more');

###############################################################################

# From now on clients come from another address.
sub address { return $from = '127.0.0.' . ++$last }

sub client { my ($app, %arg) = @_; return Test::RTMP->new(app => $app, from => $from, %arg)->ready() }

# What a publish is told; 'live' if nothing is against it.  end => 1 ends it then.
sub told {
    my ($app, $key, %arg) = @_;
    my ($worker, $end) = delete @arg{qw(worker end)};
    my $client = $worker ? $stagedoor->client_on($worker, app => $app, from => $from) : client($app, %arg);
    my $status = $client->publish($key) // { level => 'error', description => 'nothing' };
    return $status->{description} if $status->{level} eq 'error';
    $client->close();
    $stagedoor->wait_for_ends('zoe') if $end;
    return 'live';
}

###############################################################################
