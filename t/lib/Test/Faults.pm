package Test::Faults;

# What the fault programme (t/faults/*.t, tools/faults.sh) shares: nginx with the module that has
# hooks for tests, faults that are asked for while it runs, and the rows of the table.
#
#   my $faults = Test::Faults->new($t);          # before $t->run()
#   $faults->arm('a publish', PANIC);            # the next publish panics
#   $faults->preload();                          # as well: failing memory, disk and clock
#   row(subject => …, fault => …, injected => 3, expected => …, ok => …, seconds => [0.1, 0.2]);
#
# Environment:
#   FAULTS=long       as often as docs/security.md tells, instead of in a minute and a half
#   FAULTS_RESULTS    the file that rows are added to

use strict;
use warnings;

use parent 'Exporter';

use Cwd            ();
use File::Basename qw(dirname);
use List::Util     qw(max);
use Test::More     ();

my ($CHECKOUT, $OBJS);

# The module is chosen before Test::Nginx looks for it.
BEGIN {
    $CHECKOUT = Cwd::abs_path(dirname(__FILE__) . '/../../..');
    $OBJS = $ENV{STAGEDOOR_OBJS} //= "$CHECKOUT/objs/faults";
}

use Test::Nginx     ();
use Test::Stagedoor qw(wait_for);

our @EXPORT_OK = qw(KILL PANIC HANG callbacks in_configuration is_long median row);

# src/ffi/hook.rs
use constant { KILL => 1, PANIC => 2, HANG => 3 };
use constant { PLACE => 0, COUNTDOWN => 1, ACTION => 2, FIRED => 3, PID => 4, FIRED_IN => 5 };

# t/faults/preload.c
use constant {
    MEMORY_PID => 0, MEMORY_COUNTDOWN => 1, MEMORY_FAILED => 2, MEMORY_OF => 3, CLOCK => 4, DISK => 5,
    DISK_FAILED => 6,
};

sub is_long { return ($ENV{FAULTS} // 'short') eq 'long' }

sub new {
    my ($class, $t) = @_;
    my $self = bless { t => $t }, $class;
    -e "$OBJS/ngx_stagedoor_module.so" or die "$OBJS has no module; run \"make faults-build\"\n";
    $self->{hooks} = $self->_words('hooks', 'STAGEDOOR_TEST_HOOKS');
    return $self;
}

# A file of words that the server's processes share.
sub _words {
    my ($self, $name, $variable) = @_;
    $self->{t}->write_file($name, "\0" x 64);
    $ENV{$variable} = $self->{t}->testdir() . "/$name";
    chmod 0666, $ENV{$variable};
    open my $fh, '+<:raw', $ENV{$variable} or die "Can't open $name: $!\n";
    return $fh;
}

sub _set {
    my ($fh, $word, $value) = @_;
    sysseek $fh, 8 * $word, 0;
    syswrite $fh, pack('q', $value) or die "Can't write: $!\n";
    return;
}

sub _get {
    my ($fh, $word) = @_;
    sysseek $fh, 8 * $word, 0;
    sysread $fh, my $bytes, 8 or die "Can't read: $!\n";
    return unpack 'q', $bytes;
}

###############################################################################
# Places in the module

# Something happens when this place is passed for so many times, in whatever worker or in this one.
sub arm {
    my ($self, $place, $action, $times, $pid) = @_;
    my $fh = $self->{hooks};
    _set($fh, PLACE,     0);
    _set($fh, COUNTDOWN, $times // 1);
    _set($fh, ACTION,    $action);
    _set($fh, PID,       $pid // 0);
    _set($fh, PLACE,     _hash($place));
    return;
}

sub disarm { my ($self) = @_; _set($self->{hooks}, PLACE, 0); return }

# A place that hangs goes on.
sub release { my ($self) = @_; _set($self->{hooks}, ACTION, 0); return }

# How often something has happened; where it did last.
sub fired    { return _get($_[0]{hooks}, FIRED) }
sub fired_in { return _get($_[0]{hooks}, FIRED_IN) }

# Whether it happens, while code is waited for, within so many seconds.
sub fires {
    my ($self, $before, $timeout) = @_;
    return wait_for(sub { $self->fired() > $before }, $timeout // 5);
}

# 64-bit FNV-1a, as a signed number.
sub _hash {
    my ($text) = @_;
    use integer;
    my $hash = -3750763034362895579;
    for my $byte (unpack 'C*', $text) { $hash = ($hash ^ $byte) * 1099511628211 }
    return $hash;
}

# The functions that nginx calls, as the module's source names them.
sub callbacks {
    my @names;
    for my $file (map { glob "$CHECKOUT/src/$_*.rs" } '', '*/', '*/*/') {
        open my $fh, '<', $file or die "Can't open $file: $!\n";
        my $source = do { local $/; <$fh> };
        push @names, $source =~ /\b(?:guard|or_closed)\(\s*"([^"]+)"/g, $source =~ /const WHAT: &'static str = "([^"]+)"/g;
    }
    return @names;
}

# Those that it calls to read the configuration.
sub in_configuration { my ($name) = @_; return $name =~ /configuration|directive|installation|variables$|zone/ }

###############################################################################
# The system

sub preload {
    my ($self) = @_;
    my $library = "$OBJS/preload.so";
    -e $library or die "$library is missing; run \"make faults-build\"\n";
    $self->{preload} = $self->_words('preload', 'STAGEDOOR_TEST_PRELOAD');
    $self->{library} = $library;
    return $self;
}

# Starts nginx; only nginx is to meet the faults.
sub run {
    my ($self) = @_;
    local $ENV{LD_PRELOAD} = $self->{library} if $self->{library};
    $self->{t}->run();
    return $self;
}

# The next allocation but so many of a worker's event loop fails: 'nginx', also nginx-rtmp's, or the
# module's own.
sub starve {
    my ($self, $worker, $whose, $times) = @_;
    my $fh = $self->{preload};
    _set($fh, MEMORY_PID, 0);
    _set($fh, MEMORY_OF, $whose eq 'module' ? 1 : 0);
    _set($fh, MEMORY_COUNTDOWN, $times);
    _set($fh, MEMORY_PID, $worker);
    return;
}

sub feed    { my ($self) = @_; _set($self->{preload}, MEMORY_PID, 0); return }
sub starved { return _get($_[0]{preload}, MEMORY_FAILED) }

# The system's clock is wrong by so many seconds.
sub clock { my ($self, $seconds) = @_; _set($self->{preload}, CLOCK, $seconds); return }

# The disk with the database is full, or not.
sub full        { my ($self, $is_full) = @_; _set($self->{preload}, DISK, $is_full); return }
sub full_writes { return _get($_[0]{preload}, DISK_FAILED) }

###############################################################################
# The table

sub median {
    my @sorted = sort { $a <=> $b } @_;
    return $sorted[@sorted / 2];
}

# A row, which is a test as well: subject, fault, injected (how often), expected, ok; seen (if it is
# more than that), seconds (to recover, each time).
sub row {
    my (%row) = @_;
    my $seen = $row{seen} // ($row{ok} ? 'as expected' : 'not as expected');
    my @ms = map { sprintf '%.0f', $_ * 1000 } @{$row{seconds} // []};
    my ($median, $worst) = @ms ? (median(@ms), max(@ms)) : qw(- -);
    Test::More::ok($row{ok}, "$row{subject}: $row{fault}: $row{expected}")
        or Test::More::diag("seen: $seen");
    if (defined $ENV{FAULTS_RESULTS}) {
        open my $fh, '>>', $ENV{FAULTS_RESULTS} or die "Can't open $ENV{FAULTS_RESULTS}: $!\n";
        print $fh join("\t", @row{qw(subject fault injected expected)}, $seen,
            $row{ok} ? 'ok' : 'FAILED', $median, $worst), "\n";
        close $fh or die "Can't write $ENV{FAULTS_RESULTS}: $!\n";
    }
    Test::More::note("$row{injected} times, $seen, $median/$worst ms");
    return $row{ok};
}

1;
