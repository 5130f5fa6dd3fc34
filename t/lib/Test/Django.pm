package Test::Django;

# The site in t/django, a web application with stream keys of its own: its
# database, which its migrations made (tools/django.sh), and its server.
#
#   my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor django/)->plan(3);
#   my $site = Test::Django->new($t);       # the database is %%TESTDIR%%/site/db.sqlite3
#   my ($benw, $carl) = $site->add(qw(benw carl));
#   my $admin = $site->start()->admin();    # gunicorn; a Test::Django::Admin that is logged in

use strict;
use warnings;

use Cwd            ();
use File::Basename qw(dirname);
use File::Copy     qw(copy);
use JSON::PP       ();

use Test::Django::Admin ();
use Test::Example       qw(adapt example_user);
use Test::Nginx         ();
use Test::Process       ();
use Test::Stagedoor     qw(wait_for);

my $site = Cwd::abs_path(dirname(__FILE__) . '/../../django');

# Seconds that code in Python may take.
use constant TIMEOUT => 60;

# %arg: directory, below the testdir, site unless told; user, whose it is and what is in it;
# leaky => 1 where logs may hold the keys.
sub new {
    my ($class, $t, %arg) = @_;

    my $directory = $arg{directory} // 'site';
    my $self = bless { t => $t, db => $t->testdir() . "/$directory/db.sqlite3", leaky => $arg{leaky} }, $class;
    my $user = $arg{user} // getpwuid $>;
    $self->{stagedoor} = Test::Stagedoor->new($t, init => 0);
    $self->{stagedoor}->give_to($user, $directory);
    copy("$Test::Nginx::OBJS/django.sqlite3", $self->{db}) or die "Can't copy to $self->{db}: $!\n";
    $self->{stagedoor}->give_to($user, $directory);
    $t->may_hold_secrets("$directory/db.sqlite3*");
    return $self;
}

# The same with an example of nginx-conf/ as the nginx.conf, and everything where that has it.
sub for_example {
    my ($class, $t, $example, %arg) = @_;
    my $self = $class->new($t, directory => "$example/site", user => example_user(), %arg);
    $self->{stagedoor}->give_to(example_user(), "$example/hls");
    adapt($t, $example, %arg);
    return $self;
}

sub db  { return $_[0]{db} }
sub url { return 'http://127.0.0.1:' . Test::Nginx::port(8000) }

# Users with a stream each; returns their keys.
sub add {
    my ($self, @names) = @_;
    my $keys = JSON::PP::decode_json($self->python(<<'END', @names));
from django.contrib.auth.models import User
from boltstream.models import Stream
users = [User.objects.create(username=name) for name in sys.argv[1:]]
print(json.dumps([Stream.objects.create(user=user).key for user in users]))
END
    $self->{t}->secret(@$keys) unless $self->{leaky};
    return wantarray ? @$keys : $keys->[0];
}

# Runs code inside the site, every warning an error; returns what it printed.
sub python {
    my ($self, $code, @arguments) = @_;
    my $run = $self->start_python($code, @arguments);
    $run->wait(TIMEOUT);
    die 'python: ' . $run->output() if ($run->exit_status() // -1) != 0;
    return $run->stdout();
}

# The same in the background.
sub start_python {
    my ($self, $code, @arguments) = @_;
    return Test::Process->start({ env => $self->_environment() },
        "$Test::Nginx::OBJS/django-venv/bin/python", qw(-W error -c),
        "import json, sys\nimport django\ndjango.setup()\n$code", @arguments);
}

# Rows as a list of hashes.
sub sql { my ($self, $statement) = @_; return $self->{stagedoor}->sql($statement, $self->{db}) }

# The usernames of those whom the database shows as live.
sub live {
    my ($self) = @_;
    return map { $_->{username} } $self->sql(<<'END');
SELECT u.username FROM boltstream_stream s JOIN auth_user u ON u.id = s.user_id
WHERE s.started_at IS NOT NULL ORDER BY u.username
END
}

# A process of the site's that writes without a pause, as its pages do: single rows, and several in
# a transaction.  Returns when it has begun.
sub start_writing {
    my ($self) = @_;
    my $writer = $self->start_python(<<'END', "$self->{db}.written");
import os
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.db import transaction
from django.utils import timezone
admin = User.objects.get(username="admin")
writes = 0
while not os.path.exists(sys.argv[1]):
    admin.last_login = timezone.now()
    admin.save()
    with transaction.atomic():
        admin.save()
        session = SessionStore()
        session.create()
    session.delete()
    writes += 3
    print(writes, flush=True)
END
    push @{$self->{writers}}, $writer;
    wait_for(sub { $writer->stdout() ne '' || !$writer->running() }, TIMEOUT);
    return;
}

# Ends all of them, and returns how often they wrote; dies if one could not.
sub stop_writing {
    my ($self) = @_;
    my $written = substr "$self->{db}.written", 1 + length $self->{t}->testdir();
    $self->{t}->write_file($written, '');
    my $writes = 0;
    for my $writer (splice @{$self->{writers}}) {
        $writer->wait(TIMEOUT);
        die 'python: ' . $writer->output() if ($writer->exit_status() // -1) != 0;
        $writes += (split ' ', $writer->stdout())[-1];
    }
    unlink "$self->{db}.written";
    return $writes;
}

###############################################################################
# The server

sub start {
    my ($self) = @_;
    my $port = Test::Nginx::port(8000);
    $self->{server} = Test::Process->start({ env => $self->_environment() },
        "$Test::Nginx::OBJS/django-venv/bin/gunicorn", qw(--workers 2 --no-control-socket),
        '--bind', "127.0.0.1:$port", '--error-logfile', $self->{t}->testdir() . '/gunicorn.log',
        'project.wsgi');
    $self->{t}->waitforsocket("127.0.0.1:$port") or die 'gunicorn: ' . $self->{server}->output();
    return $self;
}

sub stop {
    my ($self) = @_;
    $self->{server}->stop();
    return $self;
}

# An administrator at the browser.
sub admin { my ($self) = @_; return Test::Django::Admin->new($self->url()) }

sub _environment {
    my ($self) = @_;
    return {
        SITE_DATABASE           => $self->{db},
        DJANGO_SETTINGS_MODULE  => 'project.settings',
        PYTHONPATH              => $site,
        PYTHONDONTWRITEBYTECODE => 1,
    };
}

1;
