#!/usr/bin/perl

# nginx-conf/rtmps.conf: encoders publish by RTMPS, nginx's stream module takes TLS off, and everything
# behind it knows where they come from.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Encoder;
use Test::Example qw(adapt example_user);
use Test::Nginx;
use Test::Player qw(hls_url inspect playlist);
use Test::Process;
use Test::RTMP;
use Test::Stagedoor qw(key_tag wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

# Connects from other addresses of this host: as it is, and for clients that know no TLS.
my $relay = Test::Nginx->new()->has(qw/stream stream_ssl/);

my $t = Test::Nginx->new()->has(qw/http rtmp stream stream_ssl stagedoor/)
    ->has_daemon('ffmpeg')->has_daemon('ffprobe')->has_daemon('openssl')->plan(22);

$relay->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

events {
}

stream {
    server {
        listen 127.0.0.1:8444;
        proxy_pass 127.0.0.1:8443;
        proxy_bind 127.0.0.2;
    }

    server {
        listen 127.0.0.1:8445;
        proxy_pass 127.0.0.1:8443;
        proxy_bind 127.0.0.3;
        proxy_ssl on;
        proxy_half_close on;
    }
}

END

my $stagedoor = Test::Stagedoor->new($t, init => 0);
$stagedoor->{db} = $t->testdir() . '/rtmps/stagedoor.db';
$stagedoor->give_to(example_user(), 'rtmps');
$stagedoor->init();
my %key = map { $_ => $stagedoor->add($_) } qw(benw carol dave);

adapt($t, 'rtmps');
certificate();
is_deeply([$stagedoor->config_test()], [0, accepted()], 'nginx -t');
$t->run();
$relay->run();

###############################################################################

my $wrong = Test::Encoder->ffmpeg('not-a-key', scheme => 'rtmps', port => port(8443), seconds => 5);
ok(defined $wrong->wait(20), 'a wrong key is refused');
like($wrong->output(), qr/Invalid stream key/, 'and the encoder shows why');

my $benw  = Test::Encoder->ffmpeg($key{benw},  scheme => 'rtmps', port => port(8443), gop => 10);
my $carol = Test::Encoder->ffmpeg($key{carol}, scheme => 'rtmps', port => port(8444), gop => 10);
my $dave  = Test::RTMP->new(port => port(8445))->ready();
is($dave->publish($key{dave})->{code}, 'NetStream.Publish.Start', 'an encoder from elsewhere is let in');
$dave->go_live();
ok(wait_for(sub { @{$stagedoor->status()->{streams}} == 3 }, 15), 'so are those that speak RTMPS themselves')
    or diag($benw->output(), $carol->output());

my %from = (benw => '127.0.0.1', carol => '127.0.0.2', dave => '127.0.0.3');
is_deeply(addresses(@{$stagedoor->status()->{streams}}), \%from, 'the status has the addresses of the clients');

ok(wait_for(sub { my $list = playlist('/live/carol/index.m3u8'); $list && @{$list->{segments}} }, 15), 'a playlist');
my $seen = inspect(hls_url('/live/carol/index.m3u8'));
is("$seen->{video}{codec} $seen->{audio}{codec}", 'h264 aac', 'which plays');

# An end that encoders are told of reaches them through both proxies, while they send.

$stagedoor->do('kick', 'dave');
is(($dave->wait_status(5, qr/Denied/) // {})->{description}, 'Stopped by the operator', 'a stream that is ended is told why');
ok($dave->closed_within(5), 'and closed');
$benw->stop();
$carol->stop();
ok(wait_for(sub { !grep { !$_->{stopped_at} } @{$stagedoor->json('sessions')} }, 5), 'the others end');

is_deeply(addresses(@{$stagedoor->json('sessions')}), \%from, 'the history has the addresses');
for my $name (sort keys %from) {
    my $tag = key_tag($key{$name});
    is(scalar $stagedoor->log_lines(text => qr/publish accepted, username: "$name", app: "live", key: $tag, client: \Q$from{$name}\E,/),
        1, "the error log has ${name}'s");
}
is($t->find_in_file('error.log', qr/Invalid stream key.*client: 127\.0\.0\.1,/), 1, 'and that of who was refused');
is($t->find_in_file('rtmp.log', qr/^\Q$from{carol}\E .* "carol"/), 1, "nginx-rtmp's log has carol's");

# Failures count for the address that they come from.

my @tries = map { Test::RTMP->new(port => port(8445))->ready() } 1 .. 14;
$_->send_publish('not-a-key') for @tries;
my %told;
$told{($_->wait_status(10, qr/Publish/) // {description => 'nothing'})->{description}}++ for @tries;
is(join(', ', sort keys %told), 'Invalid stream key, Too many attempts, try again later', 'who tries keys out is shut out');
$wrong = Test::Encoder->ffmpeg('not-a-key', scheme => 'rtmps', port => port(8443), seconds => 5);
$wrong->wait(20);
like($wrong->output(), qr/Invalid stream key/, 'and nobody else');
$_->close() for @tries;

# The port of nginx-rtmp itself takes nobody's word but the proxy's.

my $direct = Test::RTMP->new(port => port(8935));
ok(!$direct->handshake(), 'a client without a PROXY header is not talked to');
is(() = $t->read_file('nginx.conf') =~ /listen 127\.0\.0\.1:\d+ proxy_protocol;/g, 1, 'nor heard from other hosts');
is(scalar @{$stagedoor->json('sessions')}, 3, 'and nothing comes of it');

###############################################################################

sub addresses { return { map { $_->{username} => $_->{client_addr} } @_ } }

# For a day, in the place of what an authority would sign.
sub certificate {
    my $dir = $t->testdir() . '/tls';
    mkdir $dir or die "Can't create $dir: $!\n";
    my $openssl = Test::Process->run({ timeout => 30 }, qw(openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost),
        '-keyout', "$dir/live.key", '-out', "$dir/live.crt");
    die $openssl->output() if $openssl->exit_status();
    return;
}

sub accepted {
    my $file = $t->testdir() . '/nginx.conf';
    return "nginx: the configuration file $file syntax is ok\nnginx: configuration file $file test is successful\n";
}

###############################################################################
