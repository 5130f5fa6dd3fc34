package Test::Nginx;

# Runs nginx for one test script: its own directory, its own ports, its own
# configuration, and at the end the checks that every script makes.
#
# The calls are those of nginx's own test suite, so that a script which uses
# nothing else also runs on nginx's library.  Added here: secret(),
# may_hold_secrets(), expect_kill(), expect_alert() and allow_alert(), all about
# the final checks (Test::Nginx::Checks).
#
# Environment:
#   TEST_NGINX_BINARY      the nginx to run                       nginx
#   TEST_NGINX_MODULES     where ngx_rtmp_module.so is            /usr/lib/nginx/modules
#   STAGEDOOR_OBJS         where ngx_stagedoor_module.so is       objs/ of the checkout
#   TEST_NGINX_LEAVE=1     keep the test's directory
#   TEST_NGINX_CATLOG=1    print the error log at the end
#   TEST_NGINX_ALLOW_SKIP=1  a missing prerequisite skips the script instead of failing it

use strict;
use warnings;

use parent 'Exporter';

use Cwd            ();
use File::Basename qw(dirname);
use File::Path     qw(make_path);
use File::Spec     ();
use File::Temp     qw(tempdir);
use Test::More     ();
use Time::HiRes    qw(sleep);

use Test::Nginx::Checks ();
use Test::Nginx::HTTP   qw(http http_end http_get http_head http_start log_in log_out);
use Test::Nginx::Port   qw(port);
use Test::Proc          qw(children is_shutting_down reap spawn wait_exit);

our @EXPORT    = qw(log_in log_out http http_get http_head port);
our @EXPORT_OK = qw(http_start http_end);

our $NGINX   = $ENV{TEST_NGINX_BINARY}  // 'nginx';
our $MODULES = $ENV{TEST_NGINX_MODULES} // '/usr/lib/nginx/modules';
our $OBJS    = Cwd::abs_path($ENV{STAGEDOOR_OBJS} // _checkout() . '/objs')
    // _checkout() . '/objs';

my @instances;
my $planned;

# A worker that is told to quit has this long, in seconds, once nobody is connected any more.
use constant QUIT_TIMEOUT => 10;

sub new {
    my ($class) = @_;

    my $self = bless {
        pid     => $$,
        testdir => tempdir(
            'nginx-test-XXXXXXXXXX',
            TMPDIR  => 1,
            CLEANUP => !$ENV{TEST_NGINX_LEAVE}
        ),
        written => {},
        load    => [],
        daemons => [],
        checks  => Test::Nginx::Checks->new(),
    }, $class;

    chmod 0755, $self->{testdir};
    mkdir "$self->{testdir}/logs";
    $SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);
    $SIG{PIPE} = 'IGNORE';
    Test::More::note("testdir: $self->{testdir}") if $ENV{TEST_NGINX_LEAVE};

    push @instances, $self;
    return $self;
}

sub testdir { return $_[0]{testdir} }

###############################################################################
# What a script needs

sub has {
    my ($self, @features) = @_;
    $self->_has($_) or _missing("no $_ available") for @features;
    return $self;
}

sub has_daemon {
    my ($self, $daemon) = @_;
    grep { -x "$_/$daemon" } File::Spec->path() or _missing("$daemon not found");
    return $self;
}

# As in nginx's suite the final checks are planned with the script's own.
sub plan {
    my ($self, $tests) = @_;
    Test::More::plan(tests => $tests + Test::Nginx::Checks::COUNT);
    $planned = 1;
    return $self;
}

# What is built into nginx, or is there as a module of its own to load.
sub _has {
    my ($self, $feature) = @_;

    return -e "$MODULES/ngx_rtmp_module.so" if $feature eq 'rtmp';
    return -e "$OBJS/ngx_stagedoor_module.so" && -x "$OBJS/stagedoor" if $feature eq 'stagedoor';
    return -x "$OBJS/django-venv/bin/gunicorn" && -e "$OBJS/django.sqlite3" if $feature eq 'django';

    my $built = $self->{built} //= do {
        my $nginx = `$NGINX -V 2>&1`;
        $nginx =~ /^configure arguments/m or die "$NGINX -V: $nginx\n";
        $nginx;
    };

    return $built =~ /--with-debug/      if $feature eq 'debug';
    return $built !~ /--without-http\b/  if $feature eq 'http';
    return 1                             if $feature eq 'events';

    for my $name ($feature, "http_$feature") {
        return 0 if $built =~ /--without-${name}_module\b/;
        return 1 if $built =~ /--with-$name(?:_module)?(?![\w=])/;
        next unless $built =~ /--with-$name(?:_module)?=dynamic/;
        my ($file) = grep { -e } glob("$MODULES/ngx_${name}_module.so");
        return 0 unless $file;
        push @{$self->{load}}, $file;
        return 1;
    }

    my %standard = map { $_ => 1 } qw(
        access auth_basic autoindex browser cache charset empty_gif fastcgi geo gzip limit_conn
        limit_req map memcached proxy referer rewrite scgi split_clients ssi upstream_keepalive
        upstream_zone userid uwsgi
    );
    return $standard{$feature =~ s/^http_//r};
}

# Nothing is left out in silence: what is missing fails, unless skipping was asked for.
sub _missing {
    my ($why) = @_;
    Test::More::plan(skip_all => $why) if $ENV{TEST_NGINX_ALLOW_SKIP};
    die "$why (TEST_NGINX_ALLOW_SKIP=1 skips what cannot run here)\n";
}

###############################################################################
# Files

sub write_file {
    my ($self, $name, $content) = @_;

    my $path = "$self->{testdir}/$name";
    make_path(dirname($path));
    open my $fh, '>:raw', $path or die "Can't create $path: $!\n";
    print $fh $content;
    close $fh or die "Can't write $path: $!\n";

    $self->{written}{$name} = 1;
    return $self;
}

sub write_file_expand {
    my ($self, $name, $content) = @_;

    my $globals = $self->_globals($content);
    $content =~ s/%%TEST_GLOBALS%%/$globals/g;
    $content =~ s/%%TEST_GLOBALS_HTTP%%/$self->_globals_http()/ge;
    $content =~ s/%%TESTDIR%%/$self->{testdir}/g;
    $content =~ s/%%PORT_(\d+)%%/port($1)/ge;
    $content =~ s/%%RTMP_MODULE%%/$MODULES\/ngx_rtmp_module.so/g;
    $content =~ s/%%STAGEDOOR_MODULE%%/$OBJS\/ngx_stagedoor_module.so/g;
    $content =~ s/127\.0\.0\.1:(8\d\d\d)\b/'127.0.0.1:' . port($1)/ge;

    return $self->write_file($name, $content);
}

# The user, the modules and the error log are left out where the configuration has its own.
sub _globals {
    my ($self, $content) = @_;

    my @lines = ("pid $self->{testdir}/nginx.pid;");
    push @lines, 'user root;' if $> == 0 && $content !~ /^user\s/m;
    push @lines, "error_log $self->{testdir}/error.log info;"
        unless $content =~ /^error_log\s/m;
    push @lines, $ENV{TEST_NGINX_GLOBALS} if $ENV{TEST_NGINX_GLOBALS};

    unless ($content =~ /^\s*load_module\s/m) {
        my @modules = grep { -e } "$MODULES/ngx_rtmp_module.so", "$OBJS/ngx_stagedoor_module.so";
        push @lines, map { "load_module $_;" } @{$self->{load}}, @modules;
    }

    return join "\n", @lines;
}

sub _globals_http {
    my ($self) = @_;

    my $dir = $self->{testdir};
    my @lines = ("root $dir;", "access_log $dir/access.log;");
    push @lines, map { "${_}_temp_path $dir/${_}_temp;" }
        qw(client_body fastcgi proxy scgi uwsgi);
    push @lines, $ENV{TEST_NGINX_GLOBALS_HTTP} if $ENV{TEST_NGINX_GLOBALS_HTTP};

    return join "\n", @lines;
}

sub read_file {
    my ($self, $name) = @_;
    open my $fh, '<:raw', "$self->{testdir}/$name" or die "Can't open $name: $!\n";
    local $/;
    return scalar <$fh>;
}

# Returns how many lines of a file match; a string matches itself.
sub find_in_file {
    my ($self, $name, $pattern) = @_;
    $pattern = qr/\Q$pattern\E/ unless ref $pattern;
    return scalar grep { $_ =~ $pattern } split /\n/, $self->read_file($name);
}

###############################################################################
# nginx and other processes

sub run {
    my ($self, $conf) = @_;

    my $testdir = $self->{testdir};
    $conf //= "$testdir/nginx.conf";
    unlink "$testdir/nginx.pid";

    # Nginx has to stay our child; a configuration that does not say so is told.
    my @foreground = _says($conf, qr/^\s*daemon\s/m) ? () : ('-g', 'daemon off;');
    my $pid = spawn(sub {
        open STDERR, '>>', "$testdir/stderr.log" or die "Can't open stderr.log: $!\n";
        exec $NGINX, '-p', "$testdir/", '-c', $conf, '-e', "$testdir/error.log", @foreground
            or die "Can't run $NGINX: $!\n";
    });

    $self->{nginx} = $pid;
    $self->{ran}   = 1;
    return $self if $self->waitforfile("$testdir/nginx.pid", $pid) && _wait_workers($pid, $conf);

    $self->stop();
    die "Can't start nginx: " . $self->read_file('stderr.log');
}

# The pid file comes before the workers, and a signal that comes between the
# two is lost: the master looks at its flags only after the next one.
sub _wait_workers {
    my ($pid, $conf) = @_;
    return 1 if _says($conf, qr/^\s*master_process\s+off/m);
    for (1 .. 250) {
        return 1 if children($pid);
        return 0 if defined reap($pid);
        sleep 0.02;
    }
    return 0;
}

sub try_run {
    my ($self, $message) = @_;
    return $self if eval { $self->run(); 1 };
    Test::More::diag($@);
    _missing($message);
}

sub _says {
    my ($conf, $pattern) = @_;
    open my $fh, '<', $conf or die "Can't open $conf: $!\n";
    local $/;
    return <$fh> =~ $pattern;
}

# Returns when the old workers no longer accept, or after five seconds
# when nginx kept the old configuration.
sub reload {
    my ($self) = @_;

    my $master = $self->{nginx} // die "reload: nginx does not run\n";
    my %old    = map { $_ => 1 } children($master);
    kill HUP => $master;

    for (1 .. 250) {
        my @now = children($master);
        last if grep({ !$old{$_} } @now)
            && !grep({ $old{$_} && !is_shutting_down($_) } @now);
        sleep 0.02;
    }
    return $self;
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{nginx} // return $self;
    return $self if defined reap($pid);

    kill QUIT => $pid;
    return $self if defined wait_exit($pid, QUIT_TIMEOUT);

    $self->{checks}->problem('nginx did not quit within ' . QUIT_TIMEOUT . ' seconds');
    kill TERM => $pid;
    return $self if defined wait_exit($pid, 3);

    $self->{checks}->problem('nginx did not terminate within 3 seconds');
    my @workers = children($pid);
    kill KILL => $pid, @workers;
    wait_exit($pid, 3);
    return $self;
}

# Code, or a command with its arguments, in the background until the script ends.
sub run_daemon {
    my ($self, $code, @args) = @_;

    push @{$self->{daemons}}, spawn(sub {
        return $code->(@args) if ref $code eq 'CODE';
        exec $code, @args or die "Can't run $code: $!\n";
    });
    return $self;
}

sub stop_daemons {
    my ($self) = @_;

    my @pids = splice @{$self->{daemons}};
    kill TERM => grep { !defined reap($_) } @pids;
    for my $pid (@pids) {
        next if defined wait_exit($pid, 3);
        kill KILL => $pid;
        wait_exit($pid, 3);
    }
    return $self;
}

# True once the file has content, false when the process died or five seconds passed.
sub waitforfile {
    my ($self, $file, $pid) = @_;
    for (1 .. 250) {
        return 1 if -s $file;
        return 0 if $pid && defined reap($pid);
        sleep 0.02;
    }
    return 0;
}

sub waitforsocket {
    my ($self, $peer) = @_;
    for (1 .. 250) {
        return 1 if IO::Socket::INET->new(Proto => 'tcp', PeerAddr => $peer);
        sleep 0.02;
    }
    return 0;
}

sub _checkout { return Cwd::abs_path(dirname(__FILE__) . '/../../..') }

###############################################################################
# The final checks

# A stream key that no log and no file name may hold.
sub secret {
    my ($self, @keys) = @_;
    $self->{checks}->secret(@keys);
    return $self;
}

# Files, by name or pattern below the testdir, in which a key has its place.
sub may_hold_secrets {
    my ($self, @globs) = @_;
    $self->{checks}->exempt(@globs);
    return $self;
}

# The test kills so many processes of nginx with SIGKILL; exactly so many deaths are logged.
sub expect_kill {
    my ($self, $count) = @_;
    $self->{checks}->expect_kill($count // 1);
    return $self;
}

# Lines of level crit, alert or emerg that belong to the test; one at least has to come.
sub expect_alert {
    my ($self, @patterns) = @_;
    $self->{checks}->expect_alert(@patterns);
    return $self;
}

# The same, of lines that may come or not.
sub allow_alert {
    my ($self, @patterns) = @_;
    $self->{checks}->allow_alert(@patterns);
    return $self;
}

sub todo_alerts {
    my ($self) = @_;
    $self->{checks}->todo_alerts();
    return $self;
}

END {
    my $status = $?;
    my @own = grep { $_->{pid} == $$ } @instances;

    $_->stop_daemons() for @own;
    $_->stop()         for @own;

    if ($planned && @own) {
        Test::Nginx::Checks::run(
            map {
                $_->{checks}->exempt(keys %{$_->{written}});
                [$_->{checks}, $_->{testdir}]
            } @own
        );
        if ($ENV{TEST_NGINX_CATLOG}) {
            Test::More::diag($_->read_file('error.log')) for grep { -e "$_->{testdir}/error.log" } @own;
        }
    }

    elsif ($status == 0 && grep { $_->{ran} } @own) {
        Test::More::diag('nginx ran, but without plan() the final checks were not made');
        $status = 255;
    }

    $? = $status;
}

1;
