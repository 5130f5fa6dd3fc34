#!/usr/bin/perl

# The Debian package, as an administrator meets it, on a Debian with systemd: installed, upgraded under a
# live stream, removed, purged.  "nginx -t" is right after each step.

use warnings;
use strict;

use JSON::PP qw(decode_json);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib '../lib';
use Test::Encoder;
use Test::Machine;
use Test::Nginx::HTTP qw(http_get);
use Test::Player qw(inspect playlist);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $package = 'libnginx-mod-stagedoor';
my @debs    = sort { length $a <=> length $b } glob "$Test::Nginx::OBJS/deb/${package}_*.deb";
@debs == 2 or die "expected two versions of the package in objs/deb; \"make test-deb\" makes them\n";

plan(tests => 55);

my $machine = Test::Machine->new();
my $doc     = "/usr/share/doc/$package";
$machine->copy_in($debs[0], '/root/stagedoor.deb');
$machine->copy_in($debs[1], '/root/stagedoor-newer.deb');
$machine->enter_network();

###############################################################################
# Installed

like(apt('install', '/root/stagedoor.deb'), qr/Setting up $package /, 'apt installs the package and what it needs');
nginx_is_right('after the installation');
is($machine->shell('ls /etc/nginx/modules-enabled'), "50-mod-rtmp.conf\n60-mod-stagedoor.conf\n", 'its module comes after nginx-rtmp');
like($machine->shell("dpkg-query -W -f='\${Depends}' $package"), qr/\bnginx-abi-[\d.-]+,.*/, 'the ABI of nginx is a dependency');
is($machine->shell('stat -c "%U %G %a" /var/lib/stagedoor /var/lib/stagedoor/stagedoor.db'),
    "www-data stagedoor 2770\nwww-data stagedoor 660\n", 'the database is for the workers and the group');
ok(-s $machine->root() . "/usr/share/$_", "there is $_") for qw(
    man/man1/stagedoor.1.gz man/man5/stagedoor.5.gz bash-completion/completions/stagedoor
    zsh/vendor-completions/_stagedoor fish/vendor_completions.d/stagedoor.fish
);

like($machine->shell("man $_ stagedoor"), qr/^NAME\s+stagedoor\b/m, "man $_ stagedoor") for 1, 5;

# as the documentation has it

$machine->shell('sudo cp /etc/nginx/nginx.conf /etc/nginx/nginx.conf.before');
$machine->shell("sudo cp $doc/examples/debian/stagedoor.conf /etc/nginx/");
$machine->shell("echo 'include /etc/nginx/stagedoor.conf;' | sudo tee -a /etc/nginx/nginx.conf");
$machine->shell("sudo cp $doc/examples/debian/site.conf /etc/nginx/sites-enabled/stagedoor");
$machine->shell('sudo rm /etc/nginx/sites-enabled/default');
my $key = decode_json($machine->shell('sudo -u www-data stagedoor --json add benw'))->{key};
nginx_is_right('with the packaged configuration');
$machine->shell('sudo systemctl reload nginx');

###############################################################################
# In use

is(refusal('benw'), 'Invalid stream key', 'a wrong key is refused');
my $encoder = Test::Encoder->ffmpeg($key, port => 1935, seconds => 300);
ok(wait_for(sub { my $list = playlist(hls(), viewer()); $list && @{$list->{segments}} }, 20), 'a stream has a playlist')
    or diag($encoder->output());
my $seen = inspect('http://127.0.0.1:80' . hls());
is("$seen->{video}{codec} $seen->{audio}{codec}", 'h264 aac', 'and plays');
is($machine->shell('stat -c "%U %G %a" /var/lib/stagedoor/stagedoor.db-wal'), "www-data stagedoor 660\n", 'what workers write is for the group');

$machine->shell('adduser --quiet --system --shell /bin/sh alice && adduser --quiet alice stagedoor && adduser --quiet --system --shell /bin/sh eve');
like($machine->shell('sudo -u alice stagedoor list'), qr/^benw\b/m, 'a member of the group manages streamers');
isnt($machine->run(qw(sudo -u eve stagedoor list))->exit_status(), 0, 'nobody else does');
isnt($machine->run(qw(sudo -u eve ls /var/lib/stagedoor))->exit_status(), 0, 'nor sees what is there');

# a database that the member made, in the place of the workers'

my $hers = decode_json($machine->shell(<<'END'))->{key};
sudo -u alice sh -c 'stagedoor --db /var/lib/stagedoor/hers.db init >&2 && stagedoor --db /var/lib/stagedoor/hers.db --json add carol'
END
is($machine->shell('stat -c "%U %G %a" /var/lib/stagedoor/hers.db'), "alice stagedoor 660\n", 'what a member makes is for the workers');
$machine->shell('sed -i s,/stagedoor.db,/hers.db, /etc/nginx/stagedoor.conf && systemctl reload nginx');
my $carol = wait_for(sub { my $c = client(); $c->publish($hers)->{code} eq 'NetStream.Publish.Start' && $c }, 10);
ok($carol, 'they let her streamers in');
ok(wait_for(sub { $machine->shell('sudo -u alice stagedoor --db /var/lib/stagedoor/hers.db sessions') =~ /carol/ }, 10), 'and write their history');
like($machine->shell('sudo -u alice stagedoor --db /var/lib/stagedoor/hers.db ban carol; sudo -u alice stagedoor --db /var/lib/stagedoor/hers.db list'),
    qr/carol/, 'while she writes, too');
ok($carol->closed_within(5), 'which ends the stream');
$machine->shell('sed -i s,/hers.db,/stagedoor.db, /etc/nginx/stagedoor.conf && systemctl reload nginx');
nginx_is_right('after two reloads');

###############################################################################
# Upgraded

my $before = stream();
ok($before, 'the stream is live');
my $said = apt('install', '/root/stagedoor-newer.deb');
like($said, qr/Unpacking $package .*\+2/, 'apt upgrades the package');
like($said, qr/Live streams go on/, 'and says what that means');
nginx_is_right('after the upgrade');
my $after = wait_for(sub { my $now = stream() // return; $now->{bytes_in} > $before->{bytes_in} && $now }, 10) // {};
is($after->{worker}, $before->{worker}, 'the stream goes on, on its worker');
is($after->{started_at}, $before->{started_at}, 'and is the same');
is(refusal($key), 'Already streaming', 'which the new workers know');
like($machine->shell('cat /proc/$(cat /run/nginx.pid)/maps'), qr/ngx_stagedoor_module\.so\S* \(deleted\)/, 'nginx has the former module');
$encoder->stop();
$machine->shell('sudo systemctl restart nginx');
unlike($machine->shell('cat /proc/$(cat /run/nginx.pid)/maps'), qr/ngx_stagedoor_module\.so\S* \(deleted\)/, 'and the new one once it is restarted');

###############################################################################
# Removed while it is in use

$encoder = Test::Encoder->ffmpeg($key, port => 1935, seconds => 300);
$before = wait_for(\&stream, 20);
ok($before, 'a stream is live again');
$machine->shell('echo "server { listen 81; location / { stagedoor_hls on; } }" >/etc/nginx/conf.d/line.conf');
like(apt('remove', $package), qr{WARNING:(?=.*/etc/nginx/stagedoor\.conf: stagedoor_db).*/line\.conf: server}s, 'who removes the package is told what still uses it');
isnt($machine->run(qw(nginx -t))->exit_status(), 0, 'nginx -t says so, too');
ok(wait_for(sub { (stream() // {bytes_in => 0})->{bytes_in} > $before->{bytes_in} }, 10), 'nginx and the stream go on');
apt('install', '/root/stagedoor-newer.deb');
nginx_is_right('when it is back');
is($machine->shell('ls /etc/nginx/modules-enabled'), "50-mod-rtmp.conf\n60-mod-stagedoor.conf\n", 'where it was');
$encoder->stop();

# as it should be

$machine->shell('sudo mv /etc/nginx/nginx.conf.before /etc/nginx/nginx.conf');
$machine->shell('sudo rm /etc/nginx/sites-enabled/stagedoor /etc/nginx/stagedoor.conf /etc/nginx/conf.d/line.conf');
nginx_is_right('without directives');
unlike(apt('remove', $package), qr/WARNING/, 'removed without a word');
nginx_is_right('after the removal');
like(apt('purge', $package), qr{/var/lib/stagedoor is left as it is}, 'a purge keeps the streamers');
nginx_is_right('after the purge');
ok(-s $machine->root() . '/var/lib/stagedoor/stagedoor.db', 'they are there');

apt('install', '/root/stagedoor.deb');
$machine->shell("echo '$package $package/remove-data boolean true' | debconf-set-selections");
apt('purge', $package);
ok(!-e $machine->root() . '/var/lib/stagedoor', 'unless the administrator says otherwise');

# a directory that somebody has made before, in which the workers may not write

$machine->shell('mkdir /var/lib/stagedoor');
like(apt('install', '/root/stagedoor.deb'), qr/WARNING: there is no database/, 'a directory that is there stays as it is');
is($machine->shell('stat -c "%U %G %a" /var/lib/stagedoor'), "root root 755\n", 'the administrator gives it away');
nginx_is_right('with it');

# once it was removed, a package finds nothing of its own

apt('remove', $package);
$machine->shell('rmdir /var/lib/stagedoor');
unlike(apt('install', '/root/stagedoor.deb'), qr/Live streams go on/, 'nothing is live in a module that nginx has left');
ok(-s $machine->root() . '/var/lib/stagedoor/stagedoor.db', 'and the database is made anew');

# HLS in memory

$machine->shell('mkdir /var/lib/stagedoor/hls && mount -t tmpfs tmpfs /var/lib/stagedoor/hls');
$machine->shell("echo '$package $package/remove-data boolean true' | debconf-set-selections");
like(apt('purge', $package), qr/WARNING: .* is not removed whole/, 'a purge goes through with something mounted there');
ok(!-e $machine->root() . '/var/lib/stagedoor/stagedoor.db', 'and removes what it can');

###############################################################################

sub apt { return $machine->shell("apt-get -q -y @_ 2>&1") }

# nginx accepts its configuration without a warning, and runs.
sub nginx_is_right {
    my ($when) = @_;
    my $test = $machine->run(qw(nginx -t));
    my $said = $test->output() =~ s/^nginx: (?:the )?configuration file .*\n//mgr;
    is($test->exit_status() . $said, '0', "nginx -t is right $when");
    wait_for(sub { $machine->run(qw(systemctl is-active nginx))->stdout() eq "active\n" }, 10) or diag("nginx does not run $when");
    return;
}

sub hls   { return '/live/benw/index.m3u8' }
sub viewer { return (PeerAddr => '127.0.0.1:80') }

# The stream as the status has it, if it is live.
sub stream {
    my ($json) = (http_get('/status?format=json', viewer()) // '') =~ /\r\n\r\n(.*)/s or return;
    return (grep { $_->{username} eq 'benw' } @{decode_json($json)->{streams}})[0];
}

# "systemctl reload" does not wait until the new workers listen.
sub client {
    return wait_for(sub { eval { Test::RTMP->new(port => 1935) } }, 10)->ready();
}

sub refusal {
    my $c = client();
    my $description = $c->publish(@_)->{description};
    $c->close();
    return $description;
}

###############################################################################
