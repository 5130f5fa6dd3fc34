package Test::Process;

# A command in the background (an encoder, a player), or one that is waited
# for.  What it writes is kept outside of the test's directory: an encoder
# may print the URL it publishes to, and that is no leak of the server's.
#
# Each process has an alarm: it is gone when its time is over, even if the
# script was killed in between.

use strict;
use warnings;

use File::Temp  qw(tempdir);
use Time::HiRes qw(sleep time);

use Test::Nginx ();
use Test::Proc  qw(reap spawn wait_exit);

# Seconds that a process may run at most.
use constant LIFETIME => 120;

my ($dir, $count, @all);

# %option: timeout (seconds until it is killed), env => {…}.
sub start {
    my ($class, $option, @command) = @_;

    $dir //= tempdir('nginx-test-output-XXXXXXXXXX', TMPDIR => 1, CLEANUP => !$ENV{TEST_NGINX_LEAVE});
    my $base = sprintf '%s/%03d', $dir, ++$count;

    my $pid = spawn(sub {
        setpgrp;
        %ENV = (%ENV, %{$option->{env} // {}});
        open STDIN,  '<', '/dev/null'  or die;
        open STDOUT, '>', "$base.out" or die;
        open STDERR, '>', "$base.err" or die;
        alarm($option->{timeout} // LIFETIME);
        exec {$command[0]} @command or die "Can't run $command[0]: $!\n";
    });

    setpgrp $pid, $pid;
    my $self = bless { pid => $pid, base => $base, owner => $$, command => [@command] }, $class;
    push @all, $self;
    return $self;
}

# Runs a command to its end; returns the process, or dies when it takes longer.
sub run {
    my ($class, $option, @command) = @_;
    my $self = $class->start($option, @command);
    my $timeout = $option->{timeout} // LIFETIME;
    defined wait_exit($self->{pid}, $timeout + 1) or die "$command[0] takes over $timeout seconds\n";
    return $self;
}

sub pid     { return $_[0]{pid} }
sub running { return !defined reap($_[0]{pid}) }
sub stdout  { return _read("$_[0]{base}.out") }
sub stderr  { return _read("$_[0]{base}.err") }
sub output  { return $_[0]->stdout . $_[0]->stderr }

# As a shell gives it: 128 and the signal's number after a signal; undef while it runs.
sub exit_status {
    my ($self) = @_;
    my $status = reap($self->{pid}) // return;
    return $status & 127 ? 128 + ($status & 127) : $status >> 8;
}

# The exit status, or undef when the process still runs after that many seconds.
sub wait {
    my ($self, $timeout) = @_;
    wait_exit($self->{pid}, $timeout);
    return $self->exit_status();
}

# To the process and to what it started.
sub signal {
    my ($self, $signal) = @_;
    return $self->running() ? CORE::kill("-$signal", $self->{pid}) : 0;
}

# Ends the process as its operator would (ffmpeg and gst-launch close their
# stream on SIGINT), and within three seconds in any case.
sub stop {
    my ($self) = @_;
    $self->signal('INT');
    $self->wait(3) // $self->kill();
    return $self->exit_status();
}

sub kill {
    my ($self) = @_;
    $self->signal('KILL');
    return $self->wait(3);
}

sub _read {
    my ($path) = @_;
    open my $fh, '<:raw', $path or return '';
    local $/;
    return <$fh> // '';
}

END {
    my $status = $?;
    my @own = grep { $_->{owner} == $$ } @all;
    $_->signal('INT') for @own;
    my $deadline = time + 2;
    sleep 0.01 while time < $deadline && grep { $_->running() } @own;
    $_->kill() for grep { $_->running() } @own;
    $? = $status;
}

1;
