package Test::Machine;

# A Debian of its own, booted with systemd from objs/debian-root.tar (tools/debian-root.sh), with a
# network that nobody else is on.  Only root can have one.
#
#   my $machine = Test::Machine->new();
#   my $run = $machine->run(qw(nginx -t));       # a Test::Process that has ended
#   $machine->shell('sudo -u www-data stagedoor list');
#   $machine->enter_network();                   # from here on this script connects to the machine
#
# It is gone when the script ends, with everything that ran in it.

use strict;
use warnings;

use File::Path     qw(remove_tree);
use File::Temp     qw(tempdir);

use Test::Nginx   ();
use Test::Proc    qw(children reap spawn title wait_exit);
use Test::Process ();
use Test::RTMP    ();

# setns(2): include/uapi/linux/sched.h, and the call's number on each architecture Debian has nginx-rtmp for
use constant CLONE_NEWNET => 0x40000000;
my %SETNS = (x86_64 => 308, aarch64 => 268);

# Seconds that the boot, and a command, may take.
use constant { BOOT => 60, TIMEOUT => 120 };

my @machines;

sub new {
    my ($class) = @_;

    my $tar = "$Test::Nginx::OBJS/debian-root.tar";
    -f $tar or die "$tar is missing; \"make test-deb\" makes it\n";
    $> == 0 or die "only root can boot a machine\n";

    my $self = bless { root => tempdir('machine-XXXXXX', DIR => $Test::Nginx::OBJS), owner => $$ }, $class;
    chmod 0755, $self->{root};
    push @machines, $self;
    $SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);
    $SIG{PIPE} = 'IGNORE';
    system('tar', '-xf', $tar, '-C', $self->{root}) == 0 or die "tar: $?\n";
    $self->_boot();
    return $self;
}

# A /run of its own: systemd-nspawn wants to leave things there that can be removed again.
sub _boot {
    my ($self) = @_;
    my $log = "$self->{root}.log";
    $self->{nspawn} = spawn(sub {
        open STDIN,  '<', '/dev/null' or die;
        open STDOUT, '>', $log        or die;
        open STDERR, '>&', \*STDOUT   or die;
        exec qw(unshare --mount sh -c), 'mount -t tmpfs tmpfs /run && exec "$@"', 'sh',
            qw(systemd-nspawn --quiet --boot --private-network --register=no --keep-unit --console=pipe -D), $self->{root}
            or die "Can't run unshare: $!\n";
    });
    my $up = Test::RTMP::wait_until(sub {
        die "the machine does not boot: " . _slurp($log) if defined reap($self->{nspawn});
        ($self->{leader}) = grep { title($_) =~ m{/systemd\b} && title($_) !~ /nspawn/ } children($self->{nspawn});
        return unless $self->{leader} && -e "/proc/$self->{leader}/root/run/systemd/private";
        return $self->run(qw(systemctl is-system-running))->stdout() =~ /running|degraded/;
    }, BOOT);
    $up or die "the machine is not up after @{[BOOT]} s: " . _slurp($log);
    return;
}

# Where the machine's "/" is for this script.
sub root { return $_[0]{root} }

sub _enter { my ($self) = @_; return (qw(nsenter -m -u -i -n -p -r -w -t), $self->{leader}, '--') }

# Runs a command in the machine to its end.
sub run {
    my ($self, @command) = @_;
    my %env = (DEBIAN_FRONTEND => 'noninteractive', LC_ALL => 'C.UTF-8', HOME => '/root',
        PATH => '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin');
    return Test::Process->run({ timeout => TIMEOUT, env => \%env }, $self->_enter(), @command);
}

# What an operator types, as typed, which has to succeed; returns what it printed.
sub shell {
    my ($self, $text) = @_;
    my $run = $self->run(qw(bash -euo pipefail -c), $text);
    $run->exit_status() == 0 or die "\$ $text\nexit status " . $run->exit_status() . ': ' . $run->output() . "\n";
    return $run->stdout();
}

sub copy_in {
    my ($self, $file, $to) = @_;
    system('install', '-m', '644', $file, "$self->{root}$to") == 0 or die "install $file: $?\n";
    return;
}

# This script's sockets are the machine's from here on, and those of what it starts.
sub enter_network {
    my ($self) = @_;
    my ($arch) = `uname -m` =~ /(\S+)/;
    my $call = $SETNS{$arch} or die "setns: not known on $arch\n";
    open my $ns, '<', "/proc/$self->{leader}/ns/net" or die "Can't open the network: $!\n";
    syscall($call, fileno $ns, CLONE_NEWNET) == 0 or die "setns: $!\n";
    return;
}

# To the first process outside: the kernel ends everything in the machine with its first one.
sub stop {
    my ($self) = @_;
    my $nspawn = delete $self->{nspawn} // return;
    kill KILL => $self->{leader} if $self->{leader} && !defined reap($nspawn);
    defined wait_exit($nspawn, 10) or kill KILL => $nspawn;
    wait_exit($nspawn, 10);
    remove_tree($self->{root}) unless $ENV{TEST_NGINX_LEAVE};
    unlink "$self->{root}.log";
    return;
}

sub _slurp {
    my ($path) = @_;
    open my $fh, '<', $path or return '';
    local $/;
    return <$fh> // '';
}

END {
    my $status = $?;
    $_->stop() for grep { $_->{owner} == $$ } @machines;
    $? = $status;
}

1;
