#!/usr/bin/perl

# contrib/nginx.service.d/: systemd takes it, and nginx under it does what it has to do: streams, HLS, the
# history, "exec", reloads, a binary upgrade, and an end.

use warnings;
use strict;

use JSON::PP   qw(decode_json);
use List::Util qw(min);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib '../lib';
use Test::Machine;
use Test::Player qw(playlist);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $package = 'libnginx-mod-stagedoor';
my ($deb)   = sort { length $a <=> length $b } glob "$Test::Nginx::OBJS/deb/${package}_*.deb"
    or die "there is no package in objs/deb; \"make deb\" makes it\n";
my $examples = "/usr/share/doc/$package/examples";

plan(tests => 18);

my $machine = Test::Machine->new();
$machine->copy_in($deb, '/root/stagedoor.deb');
$machine->enter_network();
$machine->shell('apt-get -q -y install /root/stagedoor.deb');
my $exposed = exposure();

###############################################################################

$machine->shell("sudo cp -r $examples/nginx.service.d /etc/systemd/system/");
my $verify = $machine->run(qw(systemd-analyze verify nginx.service));
is($verify->exit_status() . $verify->output(), '0', 'systemd-analyze has nothing to say');

$machine->shell("cp $examples/debian/stagedoor.conf /etc/nginx/ && cp $examples/debian/site.conf /etc/nginx/sites-enabled/stagedoor && rm /etc/nginx/sites-enabled/default");
$machine->shell("echo 'include /etc/nginx/stagedoor.conf;' >>/etc/nginx/nginx.conf");
$machine->shell("sed -i 's|stagedoor on;|&\\n exec_publish sh -c \"id -un >/var/lib/stagedoor/exec; touch /var/tmp/exec; : >/etc/exec\";|' /etc/nginx/stagedoor.conf");
$machine->shell('sudo systemctl daemon-reload && sudo systemctl restart nginx');
is($machine->shell('systemctl is-active nginx'), "active\n", 'nginx runs under it');
# no more than what this script may have, where it may not raise that
my $most = `sh -c 'ulimit -Hn'` =~ /(\d+)/ ? min($1, 65536) : 65536;
like($machine->shell('cat /proc/$(cat /run/nginx.pid)/limits'), qr/^Max open files\s+$most\s+$most /m, 'with its limit');
is($machine->shell('systemctl show nginx -p LimitNOFILE'), "LimitNOFILE=65536\n", 'as it is set');
cmp_ok(exposure(), '<', $exposed, 'and is less exposed');
diag("systemd-analyze security: exposure $exposed before, " . exposure() . ' with it');

my $key  = decode_json($machine->shell('sudo -u www-data stagedoor --json add benw'))->{key};
my $live = publish();
ok($live, 'a stream is live');
ok(wait_for(sub { my $list = playlist('/live/benw/index.m3u8', PeerAddr => '127.0.0.1:80'); $list && @{$list->{segments}} }, 20), 'and has HLS');
ok(wait_for(sub { -s $machine->root() . '/var/lib/stagedoor/exec' }, 5), 'what it starts may write where nginx may');
is($machine->shell('cat /var/lib/stagedoor/exec'), "www-data\n", 'as the user of the workers');
ok(!-e $machine->root() . '/etc/exec' && !-e $machine->root() . '/var/tmp/exec', 'and nowhere else');

$machine->shell('sudo systemctl reload nginx');
ok(!$live->closed_within(1), 'the stream goes on after a reload');
my $master = $machine->shell('cat /run/nginx.pid');
$machine->shell('sudo /etc/init.d/nginx upgrade');
isnt($machine->shell('cat /run/nginx.pid'), $master, 'a binary upgrade');
is($machine->shell('systemctl is-active nginx'), "active\n", 'which systemd follows');
ok(!$live->closed_within(1), 'the stream goes on after it');
$live->close();

$live = wait_for(\&publish, 10);
ok($live, 'the next one');
$machine->shell('sudo systemctl stop nginx');
ok($live->closed_within(5), 'ends when nginx is stopped');
is(decode_json($machine->shell('sudo -u www-data stagedoor --json sessions'))->[0]{end_reason}, 'server shutdown', 'as the history says');
is(() = $machine->shell('journalctl -u nginx --no-pager') =~ /\[(?:crit|alert|emerg)\]/g, 0, 'the journal has no alert');

###############################################################################

# From 0 to 10.
sub exposure {
    return $machine->run(qw(systemd-analyze security nginx.service --no-pager))->output() =~ /exposure level for nginx.service: ([\d.]+)/ ? $1 : die "no exposure\n";
}

sub publish {
    my $c = Test::RTMP->new(port => 1935)->ready();
    return unless $c->publish($key)->{code} eq 'NetStream.Publish.Start';
    $c->go_live();
    return $c;
}

###############################################################################
