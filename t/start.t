#!/usr/bin/perl

# "nginx -t", start, reload and stop with a database that is missing, and then put
# right: a warning, exit status 0, HLS is served, publishes are refused until it is
# right.  Neither "nginx -t" nor the master leave a file behind, as root or as an
# ordinary user.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Proc qw(children);
use Test::Process;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

# Whose the workers are, and who starts nginx.  Only root can do it in both ways.
my @ways = $> == 0
    ? (['as root', 'www-data', 'root'], ['as an ordinary user', 'nobody', 'nobody'])
    : (['as an ordinary user', (getpwuid $>)[0, 0]]);

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(18 * @ways + 2);

# It runs as a daemon: nobody else would end it.
my $master;
END { kill QUIT => $master if $master }

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon on;

user %%USER%%;
worker_processes 2;

stagedoor_db %%DIR%%/db/stagedoor.db;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;
        root         %%DIR%%;
    }
}

END

###############################################################################

for my $way (@ways) {
    my ($name, $user, $as) = @$way;
    my $dir = $name =~ tr/ /-/r;
    my $db  = "$dir/db/stagedoor.db";
    my $stagedoor = Test::Stagedoor->new($t, init => 0);
    $stagedoor->{db} = $t->testdir() . "/$db";
    $stagedoor->give_to($user, $dir, "$dir/db");
    $t->write_file("$dir/index.m3u8", '#EXTM3U');
    configure($dir, $user);
    my $nginx = sub { return nginx($as, $dir, @_) };

    # missing

    my ($status, $said) = $nginx->('-t');
    is($status, 0, "nginx -t $name, without a database: exit status");
    like($said, qr/\[warn\] .*stagedoor refuses every publish for now: database "\S+\/$db" does not exist, "stagedoor init" creates it/, 'a warning says what to do');
    is_deeply(files($dir), [], 'no file is left behind');

    ($status) = $nginx->();
    is($status, 0, "start $name");
    $master = wait_for(sub { -s $t->testdir() . "/$dir/nginx.pid" && $t->read_file("$dir/nginx.pid") =~ /(\d+)/ ? $1 : 0 }, 5);
    is(scalar(() = wait_for(sub { my @w = children($master); @w == 2 ? 2 : 0 }, 5)), 1, 'two workers');
    like(http_get('/index.m3u8'), qr/200 OK.*#EXTM3U/s, 'HLS is served');
    is(publish('NoDatabaseNoDatabase1234'), 'NetStream.Failed', 'a publish is refused');
    is_deeply(files($dir), [], 'no file is left behind');

    # put right

    stagedoor($user, $stagedoor->db(), 'init');
    my $key = stagedoor($user, $stagedoor->db(), 'add', 'benw') =~ s/\s+\z//r;
    $t->secret($key);
    is(publish($key), 'NetStream.Publish.Start', 'put right, a publish is accepted without a reload');
    ($status, $said) = $nginx->('-t');
    is($status, 0, 'nginx -t with the database: exit status');
    unlike($said, qr/stagedoor/, 'nothing to say');
    ($status) = $nginx->(qw(-s reload));
    is($status, 0, 'reload');
    ok(wait_for(sub { my @w = children($master); @w == 2 && !grep { /shutting/ } map { Test::Proc::title($_) } @w }, 5), 'workers of the new configuration');
    is(publish($key), 'NetStream.Publish.Start', 'a publish after it');
    is_deeply([grep { $_->[1] ne $user } @{files($dir)}], [], "every file belongs to $user");

    ($status) = $nginx->(qw(-s quit));
    is($status, 0, 'stop');
    ok(wait_for(sub { !-e $t->testdir() . "/$dir/nginx.pid" }, 10), 'it is gone');
    undef $master;
    is(($stagedoor->sql('pragma integrity_check'))[0]{integrity_check}, 'ok', 'the database is sound');
}

# a wrong one, to nginx -t and at start

my $dir = $ways[0][0] =~ tr/ /-/r;
$t->write_file("$dir/db/stagedoor.db", 'x' x 5000);
my ($status, $said) = nginx($ways[0][2], $dir, '-t');
is($status, 0, 'nginx -t with a file that is no database');
like($said, qr/\[warn\] .*stagedoor\.db" is not an SQLite database/, 'a warning says so');

###############################################################################

# A directory of its own for each way to run, because error.log and pid differ.
sub configure {
    my ($dir, $user) = @_;
    my $conf = $t->read_file('nginx.conf');
    my $testdir = $t->testdir();
    $conf =~ s/%%USER%%/$user/g;
    $conf =~ s/%%DIR%%/$testdir\/$dir/g;
    $conf =~ s{\Q$testdir\E/(nginx\.pid|error\.log|access\.log|\w+_temp)\b}{$testdir/$dir/$1}g;
    $t->write_file("$dir/nginx.conf", $conf);
    return;
}

sub nginx {
    my ($as, $dir, @arguments) = @_;
    my $testdir = $t->testdir() . "/$dir";
    my $run = as($as, $Test::Nginx::NGINX,
        '-p', "$testdir/", '-c', "$testdir/nginx.conf", '-e', "$testdir/error.log", @arguments);
    return ($run->exit_status(), $run->output());
}

sub stagedoor {
    my ($user, $db, @arguments) = @_;
    my $run = as($user, "$Test::Nginx::OBJS/stagedoor", '--db', $db, @arguments);
    die "stagedoor @arguments: " . $run->output() if $run->exit_status();
    return $run->stdout();
}

sub as {
    my ($user, @command) = @_;
    my @user = $> == 0 && $user ne 'root' ? (qw(setpriv --reuid), $user, '--regid', (getpwnam $user)[3], '--clear-groups') : ();
    return Test::Process->run({ timeout => 10 }, @user, @command);
}

# What is in the database's directory, as [name, owner].
sub files {
    my ($dir) = @_;
    return [map { [s/.*\///r, scalar getpwuid((stat)[4])] } glob $t->testdir() . "/$dir/db/*"];
}

sub publish {
    my $c = Test::RTMP->new()->ready();
    my $code = $c->publish(@_)->{code};
    $c->close();
    return $code;
}

###############################################################################
