package Test::Nginx::Checks;

# What every script asserts when it ends: nothing grave in the error logs, no
# sanitizer report or panic, and no stream key in any file or file name.

use strict;
use warnings;

use File::Find ();
use Test::More ();

use constant COUNT => 3;

# A part of a key is a leak too: so many characters in a row count.
use constant PART => 12;

sub new {
    my ($class) = @_;
    return bless { secrets => {}, exempt => [], kills => 0, alerts => [], allowed => [], problems => [] }, $class;
}

sub secret {
    my ($self, @keys) = @_;
    for my $key (@keys) {
        die "secret: a key this short would be found by chance: '$key'\n" if length $key < 6;
        $self->{secrets}{$key} = 1;
    }
    return;
}

sub exempt       { my ($self, @globs)    = @_; push @{$self->{exempt}}, @globs;    return }
sub expect_kill  { my ($self, $count)    = @_; $self->{kills} += $count;           return }
sub expect_alert { my ($self, @patterns) = @_; push @{$self->{alerts}}, @patterns; return }
sub allow_alert  { my ($self, @patterns) = @_; push @{$self->{allowed}}, @patterns; return }
sub problem      { my ($self, $text)     = @_; push @{$self->{problems}}, $text;   return }
sub todo_alerts  { my ($self)            = @_; $self->{todo} = 'alerts';           return }

# Makes COUNT assertions over all the [checks, directory] pairs of a script.
sub run {
    my @pairs = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @grave  = map { $_->[0]->grave($_->[1]) } @pairs;
    my $test   = Test::More->builder;
    my ($todo) = grep { defined } map { $_->[0]{todo} } @pairs;
    $test->todo_start($todo) if $todo;
    Test::More::is(join("\n", @grave), '', 'no alerts');
    $test->todo_end() if $todo;

    Test::More::is(join("\n", map { sanitizer($_->[1]) } @pairs), '', 'no sanitizer errors');

    # A key that one nginx was given has no place in the files of another.
    my %all = map { %{$_->[0]{secrets}} } @pairs;
    my @leaks = map { leaks($_->[1], [keys %all], $_->[0]{exempt}) } @pairs;
    Test::More::is(join("\n", @leaks), '', 'no stream key in a file or a file name');
    return;
}

# What is wrong in the error logs of a directory, as a list of lines.
sub grave {
    my ($self, $dir) = @_;
    return "$dir is gone, and its logs with it" unless -d $dir;

    my @lines = grep {
        /^(?:\d{4}\/\d\d\/\d\d\ \d\d:\d\d:\d\d|nginx:)\ \[(?:crit|alert|emerg)\]/x
    } _log_lines($dir);

    my $killed = qr/process \d+ exited on signal 9\b/;
    my $deaths = grep { $_ =~ $killed } @lines;
    @lines = grep { $_ !~ $killed } @lines if $self->{kills};
    push @lines, "$self->{kills} kills announced, $deaths logged"
        if $self->{kills} && $deaths != $self->{kills};

    for my $pattern (@{$self->{allowed}}) { @lines = grep { $_ !~ $pattern } @lines }

    for my $pattern (@{$self->{alerts}}) {
        my @others = grep { $_ !~ $pattern } @lines;
        push @others, "announced, but not logged: $pattern" if @others == @lines;
        @lines = @others;
    }

    return @lines, @{$self->{problems}};
}

sub sanitizer {
    my ($dir) = @_;
    return grep { /Sanitizer|runtime error:|panicked at/ } _log_lines($dir);
}

# Where a key, or a part of it, is in the files and file names below a directory.
sub leaks {
    my ($dir, $secrets, $exempt) = @_;

    my %parts = map { $_ => 1 } map { _parts($_) } @$secrets;
    return unless %parts;
    my ($any) = map { qr/$_/ } join '|', map { quotemeta } sort keys %parts;

    my %exempt = map { $_ => 1 } map { _glob($dir, $_) } @$exempt;
    my @leaks;
    for my $path (_files($dir)) {
        my $name = substr $path, length($dir) + 1;
        push @leaks, "file name: $name" if $name =~ $any;
        next if $exempt{$path} || !-f $path;

        my $content = _read($path);
        next unless $content =~ $any;
        my ($line) = substr($content, 0, $+[0]) =~ /([^\n]*)\z/;
        push @leaks, "$name: " . substr($line, -200);
    }
    return @leaks;
}

# A short key has to be found whole; of a longer one each run of PART
# characters (sampled where it is very long), in the forms that a log or a URL give it.
sub _parts {
    my ($key) = @_;

    my @parts = $key;
    if (length $key > PART) {
        my $step = length $key > 256 ? PART : 1;
        @parts = ();
        for (my $at = 0; $at + PART <= length $key; $at += $step) {
            push @parts, substr $key, $at, PART;
        }
    }

    return map {
        (
            $_,
            s/([^\w.~-])/sprintf '%%%02X', ord $1/egr,
            s/([^\x20-\x7e]|["\\])/sprintf '\\x%02X', ord $1/egr
        )
    } @parts;
}

sub _log_lines {
    my ($dir) = @_;
    return map { split /\n/, _read($_) } grep { -f && /(?:\.log[^\/]*|stderr)$/ } _files($dir);
}

sub _glob { my ($dir, $pattern) = @_; $dir =~ s/ /\\ /g; return glob "$dir/$pattern" }

sub _files {
    my ($dir) = @_;
    return unless -d $dir;
    my @files;
    File::Find::find({ no_chdir => 1, wanted => sub { push @files, $_ if $_ ne $dir } }, $dir);
    return sort @files;
}

# Files of the cache manager or of HLS may go while they are looked at.
sub _read {
    my ($path) = @_;
    open my $fh, '<:raw', $path or return '';
    local $/;
    return <$fh> // '';
}

1;
