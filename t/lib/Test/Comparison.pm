package Test::Comparison;

# What becomes of the same publishes with the callback arrangement (t/django/callback.conf) and with
# Stagedoor (nginx-conf/django.conf), both with two workers and in front of the site in t/django.  The
# answers are those of the table in docs/migrating.md, each seen here.
#
#   Test::Comparison->new($t, 'callback')->run();      # or 'stagedoor': one column of the table

use strict;
use warnings;

use Cwd            ();
use File::Basename qw(dirname);
use File::Find     ();
use Test::More     import => [qw(is is_deeply note)];

use Test::Django  ();
use Test::Example qw(adapt example_user);
use Test::Player  qw(playlist);
use Test::Process ();
use Test::RTMP    ();
use Test::Stagedoor qw(wait_for);

my $root = Cwd::abs_path(dirname(__FILE__) . '/../../..');

# Seconds: for what takes a moment on an idle machine; until what the callback arrangement has not done
# is taken for never; for which somebody is busy writing.
use constant { SOON => 10, NEVER => 1.5, BUSY => 2 };

use constant LOCKED_OUT => 'locked out, until `started_at` is cleared by hand';

my @CASES = (
    ['a good key',                                               \&_good_key],
    ['an unknown key',                                           sub { $_[0]->_told('x' x 20) }],
    ['a username of letters only, by Django\'s `redirect()`',    \&_shortcut],
    ['an inactive user',                                         \&_inactive],
    ['a user made inactive while live',                          \&_made_inactive],
    ['a key changed while live',                                 \&_key_changed],
    ['a key that is live already',                               \&_already_live],
    ['one key by two encoders at once, each on another worker',  \&_at_once],
    ['after the death of the worker (`kill -9`)',                \&_worker_killed],
    ['after the death of nginx (`kill -9`) and a new start',     \&_server_killed],
    ['the web application is down',                              \&_application_down],
    ['after a stream that ended while it was down',              \&_ended_while_down],
    ['where the stream keys are, after all this',                \&_keys],
    ['two workers with `rtmp_auto_push on`',                     \&_auto_push],
);

sub cases { return map { $_->[0] } @CASES }

# kind: callback or stagedoor.  Starts everything.
sub new {
    my ($class, $t, $kind) = @_;

    my $self = bless { t => $t, kind => $kind, patience => $kind eq 'callback' ? NEVER : SOON }, $class;
    $self->{stagedoor} = Test::Stagedoor->new($t, init => 0);
    $self->{site} = Test::Django->for_example($t, 'site', $self->_configuration(), leaky => $kind eq 'callback');
    my @users = qw(anna benw carl dora emil fred gina hugo ivan jane);
    @{$self->{key}}{@users} = $self->{site}->add(@users);
    $self->{site}->start();
    $self->{admin} = $self->{site}->admin();
    $t->run();
    return $self;
}

# As it stands, but with segments that are soon there, and an application more whose callback
# answers by Django's shortcut; $top goes to the main context.
sub _configuration {
    my ($self, $top) = @_;
    my $file = $self->{kind} eq 'callback' ? 't/django/callback.conf' : 'nginx-conf/django.conf';
    return (file => "$root/$file", edit => sub {
        my ($conf) = @_;
        $conf =~ s/^(?=rtmp )/$top\n/m if $top;
        $conf =~ s/hls_nested on;/$& hls_fragment 1s;/;
        my ($shortcut) = $conf =~ /^(        application app .*?^        }\n)/ms;
        $shortcut =~ s/application app/application shortcut/;
        $shortcut =~ s/on_publish;/on_publish_by_shortcut;/ and $conf =~ s/^        application app /$shortcut$&/m;
        return $conf;
    });
}

# Goes through all cases; an assertion for each, and one that the table has no others.  What is seen
# is printed as "# cell: CASE | WHAT", for tools/compare.sh.
sub run {
    my ($self) = @_;
    my $table = $self->_documented();
    is_deeply([sort keys %$table], [sort $self->cases()], 'the cases of docs/migrating.md');
    for (@CASES) {
        my ($case, $see) = @$_;
        my $seen = $see->($self);
        note("cell: $case | $seen");
        is($seen, $table->{$case}, $case);
    }
    return;
}

# This arrangement's column of the table in docs/migrating.md.
sub _documented {
    my ($self) = @_;
    open my $fh, '<', "$root/docs/migrating.md" or die "Can't open docs/migrating.md: $!\n";
    my ($table) = do { local $/; <$fh> } =~ /^\| case \|.*\n\|---.*\n((?:\|.*\n)*)/m;
    my $column = $self->{kind} eq 'callback' ? 1 : 2;
    return { map { (split / *\| */, s/^\| *//r)[0, $column] } split /\n/, $table };
}

###############################################################################
# The cases; each user is live in one of them only

sub _good_key {
    my ($self) = @_;
    my $client = $self->_publish($self->{key}{anna});
    my $told   = _answer($client);
    $client->go_live();
    my $hls  = $self->_hls('anna', SOON);
    my $live = wait_for(sub { $self->{admin}->streams()->{anna}{live} eq 'True' }, SOON);
    $client->close();
    my $over = wait_for(sub { $self->{admin}->streams()->{anna}{live} eq 'False' }, SOON);
    return "$told; $hls; " . ($live && $over ? 'the admin shows it' : 'the admin does not show it');
}

sub _shortcut {
    my ($self) = @_;
    return $self->_told($self->{key}{anna}, app => $self->{kind} eq 'callback' ? 'shortcut' : 'app');
}

sub _inactive {
    my ($self) = @_;
    $self->{admin}->set_active('benw', 0);
    return $self->_told($self->{key}{benw});
}

sub _made_inactive {
    my ($self) = @_;
    my $client = $self->_live('carl');
    $self->{admin}->set_active('carl', 0);
    return $self->_end_of($client);
}

sub _key_changed {
    my ($self) = @_;
    my $client = $self->_live('dora');
    my $new    = 'Another' . $self->{key}{dora};
    $self->{admin}->set_key('dora', $new);
    my $end = $self->_end_of($client);
    $client->close();
    $self->{key}{dora} = $new;
    return "$end; with the new key then " . $self->_comes_back('dora');
}

sub _already_live {
    my ($self) = @_;
    my $client = $self->_live('emil');
    my $second = $self->_told($self->{key}{emil});
    return "$second; the first stream " . (_is_disturbed($client) ? 'ends' : 'goes on');
}

# Somebody else writes the database just then: who reads it does not wait, who writes it does.
sub _at_once {
    my ($self) = @_;
    my $stagedoor = $self->{stagedoor};
    my @clients = map { $stagedoor->client_on($_, app => 'app') } $stagedoor->workers(2);
    my $busy = $self->_write_for(BUSY);
    $_->send_publish($self->{key}{fred}) for @clients;
    my @told = sort map { _answer($_) } @clients;
    $busy->wait(SOON);
    return $told[0] eq $told[1] ? "both $told[0]" : "one $told[0], the other $told[1]";
}

sub _worker_killed {
    my ($self) = @_;
    my $client = $self->_live('gina');
    $self->{stagedoor}->kill_worker($self->{stagedoor}->worker_of($client));
    return $self->_comes_back('gina');
}

sub _server_killed {
    my ($self) = @_;
    my $client = $self->_live('hugo');
    $self->{stagedoor}->kill_server();
    $self->{t}->run();
    return $self->_comes_back('hugo');
}

sub _application_down {
    my ($self) = @_;
    $self->{leaving} = $self->_live('ivan');
    $self->{site}->stop();
    return $self->_told($self->{key}{jane});
}

sub _ended_while_down {
    my ($self) = @_;
    my $client = delete $self->{leaving};
    $client->close();
    wait_for(sub { !$self->{stagedoor}->worker_of($client) }, SOON);
    $self->{site}->start();
    return $self->_comes_back('ivan');
}

sub _keys {
    my ($self) = @_;
    my ($any) = map { qr/$_/ } join '|', values %{$self->{key}};
    my %found;
    File::Find::find({ no_chdir => 1, wanted => sub {
        my $name = s/^\Q$self->{t}{testdir}\E\/?//r;
        $found{"`$name`"}++ if -f && $name !~ /db\.sqlite3/ && $self->{t}->read_file($name) =~ $any;
        $found{'file names'}++ if $name =~ $any;
    } }, $self->{t}->testdir());
    return %found ? 'in ' . join ' and ', sort keys %found : 'in no file but the database';
}

sub _auto_push {
    my ($self) = @_;
    my $t = $self->{t};
    $t->stop();
    $self->{stagedoor}->give_to(example_user(), 'site/sockets');
    adapt($t, 'site', $self->_configuration('rtmp_auto_push on; rtmp_socket_dir /srv/sockets;'));
    $t->run();
    my $client = $self->_live('jane');
    return $self->_hls('jane', 2 * $self->{patience});
}

###############################################################################
# Publishing, and what comes of it

sub _publish {
    my ($self, $key, %arg) = @_;
    my $client = Test::RTMP->new(app => 'app', %arg)->ready();
    $client->send_publish($key);
    return $client;
}

sub _told { my ($self, @publish) = @_; return _answer($self->_publish(@publish)) }

sub _answer {
    my ($client) = @_;
    my $status = $client->wait_status(SOON);
    return 'accepted' if $status && $status->{code} eq 'NetStream.Publish.Start';
    return "refused: `$status->{description}`" if $status;
    return $client->is_closed() ? 'refused without a word' : 'not answered';
}

# A user's stream, which the database shows as live, too.
sub _live {
    my ($self, $username) = @_;
    my $client = $self->_publish($self->{key}{$username});
    my $told   = _answer($client);
    $told eq 'accepted' or die "$username: $told\n";
    wait_for(sub { grep { $_ eq $username } $self->{site}->live() }, SOON) or die "$username: never live\n";
    return $client->go_live();
}

sub _hls {
    my ($self, $username, $timeout) = @_;
    my $there = wait_for(sub { -e $self->{t}->testdir() . "/site/hls/$username/index.m3u8" }, $timeout);
    return $there && playlist("/hls/$username/index.m3u8") ? 'HLS under the username' : 'no HLS under the username';
}

sub _is_disturbed { my ($client) = @_; return $client->is_closed() || $client->statuses() > 1 }

sub _end_of {
    my ($self, $client) = @_;
    wait_for(sub { _is_disturbed($client) }, $self->{patience}) or return 'the stream goes on';
    my $status = $client->wait_status(0);
    return $status ? "the stream ends: `$status->{description}`" : 'the stream ends without a word';
}

# What a user is told whose stream is no more.
sub _comes_back {
    my ($self, $username) = @_;
    my $told;
    my $publish = sub { ($told = $self->_told($self->{key}{$username})) eq 'accepted' };
    return $told if wait_for($publish, $self->{patience});
    $self->{site}->sql("UPDATE boltstream_stream SET started_at = NULL WHERE key = '$self->{key}{$username}'");
    return $publish->() ? LOCKED_OUT : $told;
}

# Another process that writes the database for so many seconds; returns when it has begun.
sub _write_for {
    my ($self, $seconds) = @_;
    my $begun = $self->{t}->testdir() . '/writing';
    my $process = Test::Process->start({}, 'sqlite3', $self->{site}->db(), '.timeout 5000', 'BEGIN IMMEDIATE',
        ".shell echo 1 >$begun", ".shell sleep $seconds", 'COMMIT');
    $self->{t}->waitforfile($begun, $process->pid()) or die 'sqlite3: ' . $process->output();
    return $process;
}

1;
