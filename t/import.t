#!/usr/bin/perl

# Streamers of another program's database, here a Django application's, move into ours while
# both are in use: the keys work at once, and what changes there ends live streams.

use warnings;
use strict;

use Digest::SHA qw(sha256_hex);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('sqlite3')->plan(19);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;
            stagedoor_auth_delay 0;
        }
    }
}

END

my $query = 'SELECT u.username, s.key, u.is_active FROM boltstream_stream s JOIN auth_user u ON u.id = s.user_id ORDER BY u.id';
my %key = (benw => 'benws-secret-key', anna => 'annas-secret-key', carl => 'carls-secret-key', later => 'benws-later-key');
$t->secret(values %key);

my $stagedoor = Test::Stagedoor->new($t);
my $django    = $t->testdir() . '/django.sqlite3';
$t->may_hold_secrets('django.sqlite3');
django(<<"END");
PRAGMA journal_mode = WAL;
CREATE TABLE auth_user (id INTEGER PRIMARY KEY, username varchar(150) UNIQUE, is_active bool NOT NULL);
CREATE TABLE boltstream_stream (id INTEGER PRIMARY KEY, key varchar(64), started_at datetime, user_id INTEGER);
INSERT INTO auth_user VALUES (1, 'benw', 1), (2, 'anna', 1), (3, 'carl', 0);
INSERT INTO boltstream_stream (key, user_id) VALUES ('$key{benw}', 1), ('$key{anna}', 2), ('$key{carl}', 3);
END

$t->run();

my ($good, $bad) = ('NetStream.Publish.Start', 'Invalid stream key');

###############################################################################

is($stagedoor->told($key{benw}), $bad, 'before: the key is unknown');
my $before = sha256_hex($t->read_file('django.sqlite3'));
is($stagedoor->do('import', '--dry-run', '--query', $query, $django), "benw\tadded\nanna\tadded\ncarl\tadded, banned\n", 'a dry run tells');
is($stagedoor->told($key{benw}), $bad, 'and does nothing');
take_over("benw\tadded\nanna\tadded\ncarl\tadded, banned\n", 'an import');
is($stagedoor->told($key{$_}), $good, "the key of $_ works at once") for qw(benw anna);
is($stagedoor->told($key{carl}), 'Streaming is not allowed for this account', 'who is not active there may not stream here');

# while streams are live

my %live = map { $_ => Test::RTMP->new()->ready() } qw(benw anna);
is($live{$_}->publish($key{$_})->{code}, $good, "$_ is live") for qw(benw anna);
take_over("benw\tunchanged\nanna\tunchanged\ncarl\tunchanged\n", 'an import again');
is(sha256_hex($t->read_file('django.sqlite3')), $before, 'the other database is as it was');
is_deeply([glob "$django*"], [$django], 'and alone');

django("UPDATE boltstream_stream SET key = '$key{later}' WHERE user_id = 1; UPDATE auth_user SET is_active = 1 WHERE id = 3");
take_over("benw\tnew key\nanna\tunchanged\ncarl\tunbanned\n", 'an import of what has changed');
is(stopped($live{benw}), 'Stream key was replaced', 'ends the stream on the old key');
is($stagedoor->told($key{benw}), $bad, 'the old key is refused');
is($stagedoor->told($key{later}), $good, 'the new one works');
is($stagedoor->told($key{carl}), $good, 'so does one that was banned');

django("UPDATE auth_user SET is_active = 0 WHERE id = 2");
take_over("benw\tunchanged\nanna\tbanned\ncarl\tunchanged\n", 'an import of a ban');
is(stopped($live{anna}), 'Streaming is not allowed for this account', 'ends the stream');

###############################################################################

sub django { my ($statements) = @_; $stagedoor->sql($statements, $django); return }

sub take_over {
    my ($lines, $name) = @_;
    is($stagedoor->do('import', '--query', $query, $django), $lines, $name);
    return;
}

# What the streamer is told whose stream ends; it takes a second at most, and the status is waited
# for a little longer.
sub stopped {
    my ($c) = @_;
    my $status = $c->wait_status(5, qr/^NetStream\.Publish\.(?!Start)/);
    return $status && $status->{description};
}

###############################################################################
