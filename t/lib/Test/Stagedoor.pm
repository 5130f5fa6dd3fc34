package Test::Stagedoor;

# What a test of Stagedoor needs beside nginx: a database with streamers in it,
# the command, nginx's workers, and its log.
#
#   my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(3);
#   my $stagedoor = Test::Stagedoor->new($t);      # the database is %%TESTDIR%%/db/stagedoor.db
#   my $key = $stagedoor->add('benw');

use strict;
use warnings;

use parent 'Exporter';

use Digest::SHA qw(sha256_hex);
use Fcntl       qw(F_SETLKW F_WRLCK SEEK_SET);
use File::Path  qw(make_path);
use JSON::PP    ();

use Test::Answer  ();
use Test::Nginx   ();
use Test::Process ();
use Test::Proc    qw(children is_halted is_running is_shutting_down open_files sockets title wait_exit);
use Test::RTMP    ();

our @EXPORT_OK = qw(key_tag wait_for);

# Seconds that the command may take.
use constant TIMEOUT => 10;

# What the condition returns once it is true, or false after so many seconds.
# Test::RTMP clients are served meanwhile.
sub wait_for {
    my ($condition, $timeout) = @_;
    return Test::RTMP::wait_until($condition, $timeout);
}

# What stands for a key in the log: the first 8 hex digits of its SHA-256.
sub key_tag { my ($key) = @_; return substr sha256_hex($key), 0, 8 }

# init => 0 leaves the database to the test.
sub new {
    my ($class, $t, %arg) = @_;

    my $self = bless { t => $t, db => $t->testdir() . '/db/stagedoor.db' }, $class;
    make_path($t->testdir() . '/db');
    $self->init() unless defined $arg{init} && !$arg{init};
    return $self;
}

###############################################################################
# The database and the command

sub db { return $_[0]{db} }

# Runs the command on the database; returns the process, which has ended:
# exit_status(), stdout(), stderr().
sub run {
    my ($self, @arguments) = @_;
    return Test::Process->run({ timeout => TIMEOUT },
        "$Test::Nginx::OBJS/stagedoor", '--db', $self->{db}, @arguments);
}

# The same, for what has to succeed: dies otherwise; returns what it printed.
sub do {
    my ($self, @arguments) = @_;
    my $run = $self->run(@arguments);
    die "stagedoor @arguments: exit status " . $run->exit_status() . ': ' . $run->stderr() . "\n"
        if $run->exit_status();
    return $run->stdout();
}

sub json { my ($self, @arguments) = @_; return JSON::PP::decode_json($self->do('--json', @arguments)) }

sub init { my ($self) = @_; return $self->do('init') }

# Creates a streamer and returns the key; with rotate a new one.  No log may hold it.
sub add    { my ($self, $username) = @_; return $self->_key(add    => $username) }
sub rotate { my ($self, $username) = @_; return $self->_key(rotate => $username) }

sub _key {
    my ($self, @arguments) = @_;
    my $key = $self->json(@arguments)->{key};
    $self->{t}->secret($key);
    return $key;
}

# What the streamer is told who publishes with this key: a code, or the description of
# a refusal.  The stream ends again.
sub told {
    my ($self, $key) = @_;
    my $c = Test::RTMP->new()->ready();
    my $status = $c->publish($key);
    my $live = $status->{code} eq 'NetStream.Publish.Start';
    if ($live) {
        $c->close_stream();
        $c->wait_status(2, qr/Unpublish/);
    }
    $c->close();
    return $status->{$live ? 'code' : 'description'};
}

# Rows of a query as a list of hashes, from the database or another one.
sub sql {
    my ($self, $statement, $db) = @_;
    my $run = Test::Process->run({ timeout => 2 * TIMEOUT },
        qw(sqlite3 -batch -bail -json -cmd), '.timeout 15000', $db // $self->{db}, $statement);
    die "sqlite3: $statement: " . $run->stderr() if $run->exit_status() || $run->stderr() ne '';
    my $json = $run->stdout();
    return $json eq '' ? () : @{JSON::PP::decode_json($json)};
}

# Locks the database while nginx runs, until the process that is returned is killed:
# it holds the lock of one that writes, or all locks, as one that recovers the log
# does.  They are bytes of the -shm file, which is there while a worker has
# the database open (https://www.sqlite.org/walformat.html, section 2.3).
sub lock_writes { my ($self) = @_; return $self->_lock(120, 1) }
sub lock_all    { my ($self) = @_; return $self->_lock(120, 8) }

sub _lock {
    my ($self, $start, $length) = @_;

    my $done = $self->{t}->testdir() . '/locked';
    unlink $done;
    my $lock = pack 's s x4 q q i x4', F_WRLCK, SEEK_SET, $start, $length, 0;
    my $process = Test::Process->start({ timeout => 30 },
        $^X, '-e', <<'END', "$self->{db}-shm", F_SETLKW, unpack('H*', $lock), $done);
        my ($shm, $command, $lock, $done) = @ARGV;
        open my $fh, '+<', $shm or die "$shm: $!\n";
        fcntl $fh, $command, pack 'H*', $lock or die "fcntl: $!\n";
        open my $mark, '>', $done; print $mark 1; close $mark;
        sleep 60;
END
    $self->{t}->waitforfile($done, $process->pid()) or die 'lock: ' . $process->output() . "\n";
    return $process;
}

# Directories below the testdir that belong to workers which run as somebody
# else; made where they are not there.  Only root can give files away.
sub give_to {
    my ($self, $user, @directories) = @_;
    my ($uid, $gid) = (getpwnam $user)[2, 3];
    for my $directory (map { $self->{t}->testdir() . "/$_" } @directories) {
        make_path($directory);
        next if $> != 0;
        chown $uid, $gid, $directory, glob "$directory/*" or die "Can't chown $directory: $!\n";
    }
    return;
}

###############################################################################
# nginx

# What nginx says of a configuration: (exit status, text).
sub config_test {
    my ($self, $conf) = @_;
    my $t = $self->{t};
    my $run = Test::Process->run({ timeout => TIMEOUT }, $Test::Nginx::NGINX, '-t',
        '-p', $t->testdir() . '/', '-c', $conf // 'nginx.conf', '-e', '/dev/null');
    return ($run->exit_status(), $run->output());
}

sub master {
    my ($self) = @_;
    return $self->{t}->read_file('nginx.pid') =~ /(\d+)/ ? $1 : undef;
}

# What stagedoor_status in a location says.
sub status {
    my ($self, $path) = @_;
    my $answer = Test::Answer::answer('GET', ($path // '/status') . '?format=json');
    return JSON::PP::decode_json($answer->body());
}

# The pids of the workers that accept; with a count, waited for.
sub workers {
    my ($self, $count) = @_;
    my @workers;
    wait_for(sub {
        @workers = grep { !is_shutting_down($_) } $self->_workers();
        return !defined $count || @workers == $count;
    }, 5);
    return @workers;
}

# Those of an earlier configuration that still have sessions.
sub old_workers { my ($self) = @_; return grep { is_shutting_down($_) } $self->_workers() }

sub _workers {
    my ($self) = @_;
    return grep { is_running($_) && title($_) =~ /^nginx: worker process/ } children($self->master());
}

# The worker that has the connection of a client: a Test::RTMP, a Test::Process
# (its connection to the port, 8935 unless told) or a local port.
sub worker_of {
    my ($self, $client, $port) = @_;

    my $server = Test::Nginx::port($port // 8935);
    my ($local) =
          !ref $client                ? $client
        : $client->can('local_port') ? $client->local_port()
        : map { $_->[0] } grep { $_->[1] == $server } sockets($client->pid());
    return unless $local;

    for my $worker ($self->_workers()) {
        return $worker if grep { $_->[0] == $server && $_->[1] == $local } sockets($worker);
    }
    return;
}

# How many files of streams are being written for an application by the workers, once there are as many as expected.
sub writers {
    my ($self, $app, $expected) = @_;
    my $count = sub { my $n = 0; $n += $self->writes($_, $app) for $self->_workers(); return $n };
    wait_for(sub { $count->() == $expected }, 5);
    wait_for(sub { $count->() > $expected }, 1);
    return $count->();
}

# The streams whose video a worker has open.
sub writes {
    my ($self, $worker, $app) = @_;
    return scalar grep { m{/$app/.*(?:\.ts|raw\.m4v)$} } open_files($worker);
}

# Runs code that connects; this worker takes every connection, because the others are halted.
sub on_worker {
    my ($self, $worker, $code) = @_;
    my @others = grep { $_ != $worker } $self->_workers();
    kill STOP => @others;
    my $halted = wait_for(sub { !grep { !is_halted($_) } @others }, 5);
    my @result = eval { $halted or die "on_worker: a worker does not halt\n"; $code->() };
    my $error = $@;
    kill CONT => @others;
    die $error if $error;
    return wantarray ? @result : $result[0];
}

# A client that is ready to publish or play on this worker.
sub client_on {
    my ($self, $worker, %arg) = @_;
    return $self->on_worker($worker, sub { return Test::RTMP->new(%arg)->ready() });
}

# kill -9 of a worker, announced to the final checks; returns when it is gone.
sub kill_worker {
    my ($self, $pid) = @_;
    grep { $_ == $pid } $self->_workers() or die "kill_worker: $pid is no worker of this nginx\n";
    $self->{t}->expect_kill(1);
    kill KILL => $pid;
    wait_for(sub { !is_running($pid) }, 5) or die "kill_worker: $pid does not die\n";
    return;
}

# kill -9 of the whole server; returns when all of it is gone, and it can be started again.
sub kill_server {
    my ($self) = @_;
    my @pids = ($self->master(), children($self->master()));
    kill KILL => @pids;
    wait_for(sub { !grep { is_running($_) } @pids }, 5) or die "kill_server: @pids do not die\n";
    wait_exit(delete $self->{t}{nginx}, 5);
    return;
}

###############################################################################
# The log

# Waits until the log tells of the end of every stream that it tells of as accepted:
# their usernames are free then.
sub wait_for_ends {
    my ($self, $username) = @_;
    my $of = sub { scalar $self->log_lines(text => qr/stagedoor: publish $_[0].*username: "\Q$username\E"/) };
    return wait_for(sub { $of->('accepted') == $of->('(?:ended|stopped)') }, 5);
}

# How many refusals the log tells of, those included that it only counts.
sub refusals_logged {
    my ($self, $pattern) = @_;
    my $count = 0;
    for my $line (map { $_->{text} } $self->log_lines(level => 'warn', text => $pattern)) {
        $count += $line =~ /^stagedoor: (?:publish refused|(\d+) more publishes refused):/ ? $1 // 1 : 0;
    }
    return $count;
}

# The lines of an error log as {time, level, pid, connection, text}, those that
# match if a level or a pattern is given: log_lines(level => 'warn', text => qr/…/).
sub log_lines {
    my ($self, %want) = @_;

    my @lines;
    for (split /\n/, $self->{t}->read_file($want{file} // 'error.log')) {
        /^(\S+ \S+) \[(\w+)\] (\d+)#\d+: (?:\*(\d+) )?(.*)/ or next;
        my $line = { time => $1, level => $2, pid => $3, connection => $4, text => $5 };
        next if defined $want{level} && $line->{level} ne $want{level};
        next if defined $want{text}  && $line->{text}  !~ $want{text};
        push @lines, $line;
    }
    return @lines;
}

1;
