#!/usr/bin/perl

# Every command of docs/operations.md and docs/log.md, typed as written and in their order, on a Debian of its
# own.  So does an upgrade of nginx's packages what the page says.

use warnings;
use strict;

use File::Basename qw(basename);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib '../lib';
use Test::Machine;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my ($deb) = sort { length $a <=> length $b } glob "$Test::Nginx::OBJS/deb/libnginx-mod-stagedoor_*.deb"
    or die "there is no package in objs/deb; \"make deb\" makes it\n";
my @commands = map { slurp("../../docs/$_") =~ /^```sh\n(.*?)^```$/gms } qw(operations.md log.md);
my %says = (
    qr/^stat /m  => qr/^www-data stagedoor 2770 /m,
    qr/ jq /     => qr/^benw \d+$/m,
    qr/import/   => qr/carol/,
    qr/^sudo grep/ => qr/publish accepted, username: "benw"/,
);

plan(tests => @commands + keys(%says) + 5);

my $machine = Test::Machine->new();
# whatever this machine is, the page speaks of the most usual
$machine->copy_in($deb, '/root/' . basename($deb) =~ s/_\w+\.deb/_amd64.deb/r);
$machine->enter_network();
$machine->shell("adduser --quiet --system alice; echo 'APT::Get::Assume-Yes \"true\";' >/etc/apt/apt.conf.d/yes");
$machine->shell(<<'END');
mkdir -p /srv/site
sqlite3 /srv/site/db.sqlite3 "
    create table auth_user(id integer primary key, username text, is_active int);
    create table boltstream_stream(id integer primary key, key text, user_id int);
    insert into auth_user values (1, 'carol', 1);
    insert into boltstream_stream values (1, 'a-key-of-another-program', 1)"
END

cmp_ok(scalar @commands, '>=', 12, 'there are commands');

my ($key, $live);
for my $command (@commands) {
    stay_live() if $key && -e $machine->root() . '/etc/nginx/stagedoor.conf';
    my $run = $machine->run(qw(env USER=alice bash -euo pipefail -c), "cd /root; $command");
    my ($title) = $command =~ /(.*)/;
    is($run->exit_status(), 0, $title) or diag($command, $run->output());
    like($run->output(), $says{$_}, 'says what it should') for grep { $command =~ $_ } keys %says;
    ($key) = $run->stdout() =~ /^(?:.*\s)?([A-Za-z0-9]{24})\s*$/m unless $key;
}

is($machine->run(qw(nginx -t))->exit_status(), 0, 'nginx -t is right after all of them');
is($machine->shell("sudo -u alice stagedoor list | cut -f1"), "benw\n", 'and the streamers are there');
stay_live();
my $master = $machine->shell('cat /run/nginx.pid');
$machine->shell('apt-get -q --reinstall install nginx nginx-common');
isnt($machine->shell('cat /run/nginx.pid'), $master, "nginx's packages restart it");
ok($live->closed_within(10), 'which ends streams');

###############################################################################

# Publishes unless the stream is live; a restart has ended it.
sub stay_live {
    return if $live && !$live->closed_within(0.2);
    wait_for(sub {
        $live = eval { Test::RTMP->new(port => 1935)->ready() } // return;
        return $live->publish($key)->{code} eq 'NetStream.Publish.Start';
    }, 20) or diag('the streamer cannot publish');
    return;
}

sub slurp {
    my ($file) = @_;
    local (@ARGV, $/) = $file;
    return scalar <>;
}

###############################################################################
