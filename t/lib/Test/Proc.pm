package Test::Proc;

# What /proc and wait tell about processes: ours, and the workers of nginx.

use strict;
use warnings;

use parent 'Exporter';

use POSIX       qw(WNOHANG _exit);
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(children cpu_seconds in_memory is_halted is_running is_shutting_down open_files reap sockets spawn title wait_exit);

# The pids whose parent is the given one.
sub children {
    my ($parent) = @_;
    my $list = _read("/proc/$parent/task/$parent/children") // return;
    my @pids = sort { $a <=> $b } split ' ', $list;
    return @pids;
}

# What a process calls itself: nginx says there what a worker does.
sub title {
    my ($pid) = @_;
    return (_read("/proc/$pid/cmdline") // '') =~ s/\0+\z//r =~ tr/\0/ /r;
}

# A worker that has gone counts as one that accepts no more.
sub is_shutting_down {
    my ($pid) = @_;
    my $title = title($pid);
    return $title eq '' || $title =~ /shutting down/;
}

# Whether a process lives; a zombie does not.
sub is_running {
    my ($pid) = @_;
    my $stat = _read("/proc/$pid/stat") // return 0;
    return $stat !~ /\) Z /;
}

# What it has had of the processors, in seconds.
sub cpu_seconds {
    my ($pid) = @_;
    my $stat = _read("/proc/$pid/stat") // return 0;
    my @fields = split ' ', $stat =~ s/.*\) //r;
    return ($fields[11] + $fields[12]) / 100;
}

# What its descriptors lead to: paths, and others as proc(5) names them.
sub open_files { my ($pid) = @_; return grep { defined } map { readlink } glob "/proc/$pid/fd/*" }

# Whether a process was stopped by SIGSTOP; that takes a moment to reach it.
sub is_halted { my ($pid) = @_; return (_read("/proc/$pid/stat") // '') =~ /\) T / }

# Where these texts are in the memory that a process can write to, as [region, text]:
# what a core of it would hold.
sub in_memory {
    my ($pid, @texts) = @_;

    my $maps = _read("/proc/$pid/maps") // die "No memory of process $pid: $!\n";
    open my $fh, '<:raw', "/proc/$pid/mem" or die "Can't read the memory of process $pid: $!\n";
    my ($any) = map { qr/$_/ } join '|', map { quotemeta } @texts;
    my @found;
    no warnings 'portable';    # addresses have 64 bits
    while ($maps =~ /^(\w+)-(\w+) rw\S* \S+ \S+ \S+ *(.*)/mg) {
        my ($start, $length, $name) = (hex $1, hex($2) - hex $1, $3);
        sysseek $fh, $start, 0 or next;
        sysread $fh, my $bytes, $length or next;
        while ($bytes =~ /($any)/g) { push @found, [$name || 'anonymous', $1] }
    }
    return @found;
}

# A process's TCP connections over IPv4, as [local port, remote port].
sub sockets {
    my ($pid) = @_;

    my %inode;
    for my $fd (glob "/proc/$pid/fd/*") {
        $inode{$1} = 1 if (readlink $fd // '') =~ /^socket:\[(\d+)\]/;
    }

    return map { [hex $_->[0], hex $_->[1]] }
        grep { $inode{$_->[2]} }
        map { /^\s*\d+: \w+:(\w+) \w+:(\w+) 01(?: \S+){5}\s+(\d+)/ ? [$1, $2, $3] : () }
        map { tr/ / /sr } split /\n/, _read("/proc/$pid/net/tcp") // '';
}

# A reaped pid may belong to somebody else: it is never waited for, nor killed, again.
my %status;

# Runs code in a child, which ends with it; code that execs does not come back.
sub spawn {
    my ($code) = @_;

    my $pid = fork() // die "Can't fork: $!\n";
    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
        eval { $code->(); 1 } or print STDERR $@;
        _exit($@ ? 127 : 0);
    }
    delete $status{$pid};
    return $pid;
}

# The wait status of a child that has ended, undef while it runs.
sub reap {
    my ($pid) = @_;
    return $status{$pid} if exists $status{$pid};
    return if waitpid($pid, WNOHANG) == 0;
    return $status{$pid} = $?;
}

# The same, waited for; undef when the time (in seconds) is over.
sub wait_exit {
    my ($pid, $timeout) = @_;
    my $deadline = time + $timeout;
    while (1) {
        my $status = reap($pid);
        return $status if defined $status || time > $deadline;
        sleep 0.01;
    }
}

sub _read {
    my ($path) = @_;
    open my $fh, '<', $path or return;
    local $/;
    return scalar <$fh>;
}

1;
