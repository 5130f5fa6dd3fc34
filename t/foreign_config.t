#!/usr/bin/perl

# The operator's own statements are looked at by nginx -t, against the database itself
# and without a trace beside it: each kind of mistake is one line that says where it is,
# what SQLite says of it or what was expected.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Process;
use Test::Stagedoor;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('sqlite3')->plan(55);

my $stagedoor = Test::Stagedoor->new($t, init => 0);
my $db = $t->testdir() . '/site.db';

my $QUERY = 'SELECT u.username, u.is_active FROM boltstream_stream s JOIN auth_user u ON u.id = s.user_id WHERE s.key = :key';
my $START = 'UPDATE boltstream_stream SET started_at = :now WHERE key = :key';
my $STOP  = 'UPDATE boltstream_stream SET started_at = NULL WHERE user_id = (SELECT id FROM auth_user WHERE username = :username)';
my $BOOT  = 'UPDATE boltstream_stream SET started_at = NULL';

my $SCHEMA = <<'END';
CREATE TABLE auth_user (id INTEGER PRIMARY KEY, username varchar(150) NOT NULL UNIQUE, is_active bool NOT NULL);
CREATE TABLE boltstream_stream (id INTEGER PRIMARY KEY, key varchar(20) NOT NULL UNIQUE, started_at datetime,
    user_id INTEGER NOT NULL UNIQUE REFERENCES auth_user (id));
CREATE TABLE plain (name TEXT, key TEXT);
END

$stagedoor->sql($SCHEMA, $db);

###############################################################################

# what is right

is(said(query => $QUERY), '', 'a query alone');
is(said(query => $QUERY, on_start => $START, on_stop => $STOP, on_boot => $BOOT), '', 'all four');
is(said(query => "  -- whose key?\n $QUERY ;\n/* that is all */ "), '', 'comments and a semicolon');
is(said(query => 'WITH k AS (SELECT :key AS key) SELECT u.username AS UserName FROM k JOIN boltstream_stream s USING (key) JOIN auth_user u ON u.id = s.user_id'), '',
    'columns are found without case, and is_active need not be there');
is(said(query => q{SELECT u.username, 1 AS is_active FROM boltstream_stream s JOIN auth_user u ON u.id = s.user_id WHERE s.key = :key_sha256 AND :app = 'live' AND :addr <> ''}), '',
    'every parameter of a query');
is(said(query => $QUERY, on_start => q{INSERT INTO plain VALUES (:username || :app || :addr || :now, :key_sha256) RETURNING name}), '',
    'every parameter of a start, and RETURNING');
is(said(query => $QUERY, on_stop => "/* it is over */ WITH x AS (SELECT 1) DELETE FROM plain WHERE name = :username"), '', 'WITH');
is_deeply([glob "$db*"], [$db], 'and nothing is left beside the database');

# what is not

my $SELECT = 'one SELECT';
my $WRITE  = 'one INSERT, UPDATE or DELETE';
for my $case (
    ['SELEC username FROM auth_user', 'cannot run: SQLite says "near "SELEC": syntax error"'],
    ["SELECT username FROM auth_user WHERE 'x", q{cannot run: SQLite says "unrecognized token: "'x""}],
    ['SELECT username FROM streams WHERE key = :key', 'cannot run: SQLite says "no such table: streams"'],
    ['SELECT username FROM boltstream_stream WHERE key = :key', 'cannot run: SQLite says "no such column: username"'],
    ['SELECT username FROM auth_user WHERE f(:key)', 'cannot run: SQLite says "no such function: f"'],
    ["$QUERY OR s.key = :user", 'has the parameter ":user", expected :key, :key_sha256, :app, :addr'],
    ["$QUERY AND :now", 'has the parameter ":now", expected :key, :key_sha256, :app, :addr'],
    ["$QUERY AND :username", 'has the parameter ":username", expected :key, :key_sha256, :app, :addr'],
    ["$QUERY OR s.key = \@key", 'has the parameter "@key", expected :key, :key_sha256, :app, :addr'],
    ['SELECT username FROM auth_user WHERE id = ?', 'has a parameter without a name, expected :key, :key_sha256, :app, :addr'],
    ['SELECT username FROM auth_user WHERE :app', 'does not look at the key, expected :key or :key_sha256 in it'],
    ["$QUERY; SELECT 1", "holds more than one statement, expected $SELECT"],
    ["$QUERY; DELETE FROM auth_user", "holds more than one statement, expected $SELECT"],
    ['SELECT key, user_id FROM boltstream_stream WHERE key = :key',
        'returns no column "username" but "key", "user_id", expected "username" and, where streamers can be inactive, "is_active"'],
    ['UPDATE auth_user SET is_active = 1 WHERE username = :key RETURNING username', 'writes to the database, expected a SELECT'],
    ['DELETE FROM plain WHERE key = :key', 'writes to the database, expected a SELECT'],
    ['', "is empty, expected $SELECT"],
    [' -- nothing', "is empty, expected $SELECT"],
) {
    my ($sql, $mistake) = @$case;
    is(said(query => $sql), "[emerg] \"stagedoor_query\" directive $mistake in site.conf:4", $sql || 'an empty query');
}

for my $case (
    [on_start => 'UPDATE streams SET started_at = :now', 'cannot run: SQLite says "no such table: streams"'],
    [on_start => 'UPDATE boltstream_stream SET started = :now', 'cannot run: SQLite says "no such column: started"'],
    [on_start => 'UPDATE plain SET name = :user', 'has the parameter ":user", expected :key, :key_sha256, :username, :app, :addr, :now'],
    [on_stop  => 'SELECT :username', "changes no row, expected $WRITE"],
    [on_stop  => "$STOP; $BOOT", "holds more than one statement, expected $WRITE"],
    [on_boot  => 'UPDATE plain SET key = NULL WHERE name = :username', 'has the parameter ":username", expected :now'],
    [on_boot  => 'CREATE TABLE log (what)', "changes no row, expected $WRITE"],
    [on_boot  => 'PRAGMA journal_mode = DELETE', "changes no row, expected $WRITE"],
    [on_boot  => 'VACUUM', "changes no row, expected $WRITE"],
    [on_boot  => 'BEGIN', "changes no row, expected $WRITE"],
    [on_boot  => q{ATTACH 'other.db' AS other}, "changes no row, expected $WRITE"],
    [on_boot  => '', "is empty, expected $WRITE"],
) {
    my ($directive, $sql, $mistake) = @$case;
    is(said(query => $QUERY, $directive => $sql), "[emerg] \"stagedoor_$directive\" directive $mistake in site.conf:5", "$directive: $sql");
}

is(said(on_stop => $STOP), '[emerg] "stagedoor_on_stop" directive needs "stagedoor_query" beside it in site.conf:4', 'no query');
is(said(query => $QUERY, query => $QUERY), '[emerg] "stagedoor_query" directive is duplicate in site.conf:5', 'two queries');
is(said(query => "SELECT '\xff' AS username, :key"), "[emerg] \"stagedoor_query\" directive has the value \"SELECT '\x{fffd}' AS username, :key\", expected an SQL statement in UTF-8 in site.conf:4", 'bytes that are no text');

# what could be better

is(said(query => $QUERY, on_stop => 'UPDATE boltstream_stream SET started_at = NULL WHERE key = :key'),
    '[warn] "stagedoor_on_stop" directive names the stream by its key alone, which is not known any more once its worker died or the key was changed, expected :username too in site.conf:5',
    'an end that is told by key');
is(said(query => 'SELECT name AS username FROM plain WHERE key = :key'),
    '[warn] "stagedoor_query" directive reads the whole table "plain" for each key, expected an index to search in site.conf:4',
    'a query without an index');

is(said(query => $QUERY, on_stop => q{UPDATE plain SET key = NULL WHERE "nmae" = :username}),
    '[warn] "stagedoor_on_stop" directive has a name in double quotes that is taken for a text, because it is no column: '
        . 'SQLite says "no such column: "nmae" - should this be a string literal in single-quotes?" in site.conf:5', 'a misspelt column');
is(said(query => 'SELECT "username" FROM "auth_user" WHERE "username" = :key'), '', 'one that is not');

# what workers would not run

$stagedoor->sql("CREATE VIEW columns AS SELECT name AS username FROM pragma_table_info('plain')", $db);
is(said(query => 'SELECT username FROM columns WHERE username = :key'),
    '[emerg] "stagedoor_query" directive cannot run: SQLite says "unsafe use of virtual table "pragma_table_info"" in site.conf:4',
    'a view that reads what only statements may');

# where the database cannot be looked at

my $later = '[warn] stagedoor refuses every publish for now: database "site.db"';
my $writer = Test::Process->start({ timeout => 30 }, qw(sqlite3 -batch), $db,
    'PRAGMA journal_mode = WAL; CREATE TABLE newest (username, key UNIQUE);', ".shell echo 1 >$db.ready; sleep 30");
$t->waitforfile("$db.ready", $writer->pid()) or die $writer->output();
is(said(query => 'SELECT username FROM newest WHERE key = :key'),
    "$later does not fit stagedoor_query, which cannot run: SQLite says \"no such table: newest\"",
    'a table that may be in the log alone is no mistake yet');
is(said(query => 'SELECT username FROM newest WHERE key = :user'),
    "$later does not fit stagedoor_query, which cannot run: SQLite says \"no such table: newest\"", 'nor what cannot be told without it');
$writer->kill();
unlink glob "$db*";
$stagedoor->sql($SCHEMA, $db);
Test::Process->run({ timeout => 30 }, qw(sqlite3 -batch -bail), $db, 'PRAGMA synchronous = OFF; BEGIN; ALTER TABLE boltstream_stream RENAME TO former',
    ".shell cp $db-journal $db.journal", 'COMMIT', ".shell mv $db.journal $db-journal");
is(said(query => $QUERY), "$later does not fit stagedoor_query, which cannot run: SQLite says \"no such table: boltstream_stream\"",
    'nor a table that comes back with a transaction undone');
$stagedoor->sql('SELECT 1 FROM boltstream_stream', $db);
is(said(query => $QUERY), '', 'as its next user does');
$stagedoor->sql('PRAGMA journal_mode = PERSIST; DELETE FROM plain', $db);
is(said(query => 'SELECT key AS username FROM streams WHERE key = :key'),
    '[emerg] "stagedoor_query" directive cannot run: SQLite says "no such table: streams" in site.conf:4', 'a journal that is at its end is none');
unlink glob "$db*";
is(said(query => $QUERY), "$later does not exist", 'a database that is missing is waited for');
is(said(query => 'SELEC 1'), '[emerg] "stagedoor_query" directive cannot run: SQLite says "near "SELEC": syntax error" in site.conf:4', 'what is wrong anywhere is wrong');
$t->write_file('site.db', 'x' x 5000);
is(said(query => $QUERY), "$later is not an SQLite database", 'no database');
is_deeply([glob "$db*"], [$db], 'nothing is left beside it');

###############################################################################

# What nginx -t says, without the directory and nginx's own end.
sub said {
    my @statements = @_;
    my $conf = "load_module %%RTMP_MODULE%%; load_module %%STAGEDOOR_MODULE%%;\nevents { }\n";
    $conf .= "pid %%TESTDIR%%/site.pid; stagedoor_db %%TESTDIR%%/site.db;\n";
    while (my ($directive, $sql) = splice @statements, 0, 2) {
        $conf .= "stagedoor_$directive \"" . ($sql =~ s/([\\"])/\\$1/gr) . "\";\n";
    }
    $conf .= "rtmp { access_log off; server { listen 127.0.0.1:8935; application live { live on; stagedoor on; } } }\n";
    $t->write_file_expand('site.conf', $conf);
    my ($status, $text) = $stagedoor->config_test($t->testdir() . '/site.conf');
    utf8::decode($text);
    my @lines = map { s/\Q@{[$t->testdir()]}\E\///gr } $text =~ /^nginx: (\[(?:emerg|warn|alert|crit|error)\] .*)/mg;
    return join '; ', @lines, ($status xor scalar grep { /emerg/ } @lines) ? "exit status $status" : ();
}
