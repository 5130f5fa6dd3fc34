#!/usr/bin/perl

# Configurations that are wrong are refused with a line that names the place, the
# directive, what was expected and what to do; those that are right take effect
# where they stand, from rtmp {} down to the application.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(92);

my $stagedoor = Test::Stagedoor->new($t);
my ($rtmp, $module) = ('load_module %%RTMP_MODULE%%;', 'load_module %%STAGEDOOR_MODULE%%;');

###############################################################################

# load_module

my $all = "rtmp { server { listen 127.0.0.1:8935; application live { live on; stagedoor on; } } }";
my $db  = 'stagedoor_db db/stagedoor.db;';
is(accepted("$rtmp\n$module\n$db\n$all"), 1, 'nginx-rtmp, then Stagedoor');
is(refused("$module\n$rtmp\n$db\n$all"),
    'stagedoor: ngx_stagedoor_module.so is loaded before ngx_rtmp_module.so; put its load_module line behind the one of ngx_rtmp_module.so in nginx.conf:4',
    'Stagedoor, then nginx-rtmp');
is(accepted("$module\nhttp { server { listen 127.0.0.1:8080; } }"), 1, 'Stagedoor without nginx-rtmp, for HTTP only');
is(accepted("$module\n$db\nhttp { }"), 1, 'also with directives');
is(accepted("$module\n$rtmp\nhttp { }"), 1, 'and in any order, as long as there is no rtmp {}');
is(refused("$module\n$db\n$all"), 'unknown directive "rtmp" in nginx.conf:3', 'rtmp {} without nginx-rtmp');

# stagedoor_db

is(refused("$rtmp\n$module\n$all"),
    '"stagedoor on" in nginx.conf:3 needs a database; add "stagedoor_db PATH;" to the main context',
    'stagedoor on, without a database');
is(accepted("$rtmp\n$module\nrtmp { server { application live { live on; stagedoor off; } } }"), 1, 'stagedoor off needs none');
is(refused("$rtmp\n$module\nstagedoor_db '';\n$all"),
    '"stagedoor_db" directive has the value "", expected the path of a file in nginx.conf:3', 'an empty path');

# values

my $size = 'expected a size such as "1m", at least ' . 8 * `getconf PAGESIZE` / 1024 . 'k';
my $time = 'expected a time of more than nothing such as "2s" or "500ms"';
wrong_main('stagedoor_zone', $_, $size) for qw(0 1 31k -1 1mb x 99999999999999999999 '');
wrong_main('stagedoor_timeout', $_, $time) for qw(0 0s -1 1x s 2.5s 99999999999999999999 '');
is(accepted("$rtmp\n$module\n$db stagedoor_zone 32k; stagedoor_timeout 1ms;\n$all"), 1, 'the smallest values');
is(accepted("$rtmp\n$module\n$db stagedoor_zone 8M; stagedoor_timeout 1m30s;\n$all"), 1, 'units');

wrong_rtmp('stagedoor', $_, 'expected "on" or "off"') for qw(yes 1 ON '');
wrong_rtmp('stagedoor_auth_delay', $_, 'expected a time such as "1s" or "500ms", or 0') for qw(-1 x 1y '');
is(accepted("$rtmp\n$module\n$db rtmp { stagedoor_auth_delay 0; server { stagedoor_auth_delay 5; application live { stagedoor_auth_delay 100ms; } } }"), 1, 'stagedoor_auth_delay');

my $limit = 'expected a rate such as "30r/m" or "5r/s", or "off"';
wrong_rtmp('stagedoor_auth_limit', $_, $limit) for qw(on 30 0r/m -1r/s 1.5r/s 30r/h 99999999999r/s burst=5 '');
for my $burst (qw(burst=0 burst=-1 burst= burst=x 10 rate=1r/s)) {
    is(limit("1r/s $burst"), "\"stagedoor_auth_limit\" directive has the value \"$burst\", expected \"burst=\" and a whole number of at least 1 in nginx.conf:4", "a burst of $burst");
}
is(limit('off burst=1'), '"stagedoor_auth_limit" directive has the value "burst=1", expected nothing behind "off" in nginx.conf:4', 'off and a burst');
is(limit('1r/s burst=1 x'), 'invalid number of arguments in "stagedoor_auth_limit" directive in nginx.conf:4', 'too much');
is(accepted("$rtmp\n$module\n$db rtmp { stagedoor_auth_limit off; server { stagedoor_auth_limit 5r/s; application live { stagedoor_auth_limit 30r/m burst=1; } } }"), 1, 'stagedoor_auth_limit');

# stagedoor_status

my $formats = 'expected "html", "json" or "prometheus", and then "playlist=URL"';
for my $wrong ('xml', 'JSON', "''", 'json html', 'playlist=off json', 'playlist=off playlist=off') {
    my ($value) = $wrong =~ /(?:html|json|prometheus|off)\s+(\S+)$/ ? $1 : $wrong =~ tr/'//dr;
    is(status($wrong), "\"stagedoor_status\" directive has the value \"$value\", $formats in nginx.conf:3", "stagedoor_status $wrong");
}
my $url = 'expected behind "playlist="';
is(status('playlist=ftp://x'), "\"stagedoor_status\" directive has the value \"playlist=ftp://x\", $url \"off\" or a URL that begins with \"/\", \"http://\" or \"https://\" in nginx.conf:3", 'a playlist elsewhere');
is(status('html playlist=/$name.m3u8'), "\"stagedoor_status\" directive has the value \"playlist=/\$name.m3u8\", $url no other variables than \"\$app\" and \"\$username\" in nginx.conf:3", 'an unknown variable');
is(status('json a b'), 'invalid number of arguments in "stagedoor_status" directive in nginx.conf:3', 'too much');
is(status('json;stagedoor_status json'), '"stagedoor_status" directive is duplicate in nginx.conf:3', 'twice');
is(refused("$module\nstagedoor_zone 1m;\nhttp { stagedoor_status; }"), '"stagedoor_status" directive is not allowed here in nginx.conf:3', 'stagedoor_status outside of a location');
is(refused("$module\n\nhttp { server { location / { stagedoor_status; } } }"),
    '"stagedoor_status" in nginx.conf:3 needs the list of live streams, and this server has none; add "stagedoor on" to an application of rtmp {}, or "stagedoor_zone SIZE" to the main context',
    'stagedoor_status where there is nothing to say');
is(accepted("$module\nstagedoor_zone 1m;\nhttp { server { location / { stagedoor_status; } location /json { stagedoor_status json playlist=off; } } }"), 1, 'with a zone it has');
is(accepted("$rtmp\n$module\n$db http { server { location / { stagedoor_status playlist=https://a.example/\$app-\$username.m3u8; } } }\n$all"), 1, 'or with stagedoor on');

# how often, how many, where

for my $directive ('stagedoor_db a', 'stagedoor_zone 1m', 'stagedoor_timeout 1s') {
    my ($name, $value) = split / /, $directive;
    is(refused("$rtmp\n$module\n$directive;\n$directive;"), "\"$name\" directive is duplicate in nginx.conf:4", "$name twice");
    is(refused("$rtmp\n$module\n$directive $value;"), "invalid number of arguments in \"$name\" directive in nginx.conf:3", "$name with two values");
    is(refused("$rtmp\n$module\n\nhttp { $directive; }"), "\"$name\" directive is not allowed here in nginx.conf:4", "$name in http {}");
}
for my $directive ('stagedoor on', 'stagedoor_auth_delay 1s', 'stagedoor_auth_limit off') {
    my ($name) = split / /, $directive;
    is(refused("$rtmp\n$module\n$db\nrtmp { $directive;\n$directive; }"), "\"$name\" directive is duplicate in nginx.conf:5", "$name twice");
    is(refused("$rtmp\n$module\n$db\nrtmp { $name; }"), "invalid number of arguments in \"$name\" directive in nginx.conf:4", "$name without a value");
    is(refused("$rtmp\n$module\n$directive;"), "\"$name\" directive is not allowed here in nginx.conf:3", "$name in the main context");
}

# from rtmp {} to the application; a database path from where nginx.conf lies

my $key = $stagedoor->add('benw');
$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

stagedoor_db db/stagedoor.db;

events {
}

rtmp {
    access_log %%TESTDIR%%/rtmp.log;

    stagedoor on;
    stagedoor_auth_delay 0;

    server {
        listen 127.0.0.1:8935;

        application inherited { live on; }
        application open      { live on; stagedoor off; }
    }

    server {
        listen 127.0.0.1:8936;
        stagedoor off;

        application open   { live on; }
        application closed { live on; stagedoor on; }
    }
}

END

$t->run();

is(publish(8935, 'inherited', $key), 'NetStream.Publish.Start', 'on in rtmp {}: a key is accepted');
is(publish(8935, 'inherited', 'benw'), 'NetStream.Publish.BadName', 'anything else is not');
is(publish(8935, 'open', 'anything'), 'NetStream.Publish.Start', 'off in an application of it');
is(publish(8936, 'open', 'anything'), 'NetStream.Publish.Start', 'off in a server');
is(publish(8936, 'closed', 'anything'), 'NetStream.Publish.BadName', 'on in an application of that');
is(publish(8936, 'closed', $key), 'NetStream.Publish.Start', 'whose publishers need a key');

###############################################################################

sub wrong_main {
    my ($name, $value, $expected) = @_;
    is(refused("$rtmp\n$module\n$name $value;"), _value($name, $value, $expected, 3), "$name $value");
    return;
}

sub wrong_rtmp {
    my ($name, $value, $expected) = @_;
    is(refused("$rtmp\n$module\n$db\nrtmp {\n server {\n  application live {\n   $name $value;\n} } }"),
        _value($name, $value, $expected, 7), "$name $value");
    return;
}

# What nginx -t says about a limit.
sub limit { my ($arguments) = @_; return refused("$rtmp\n$module\n$db\nrtmp { stagedoor_auth_limit $arguments; }") }

# What nginx -t says about a status.
sub status {
    my ($arguments) = @_;
    return refused("$module\nstagedoor_zone 1m;\nhttp { server { location / { stagedoor_status $arguments; } } }");
}

sub _value {
    my ($name, $value, $expected, $line) = @_;
    $value =~ tr/'//d;
    return "\"$name\" directive has the value \"$value\", $expected in nginx.conf:$line";
}

# Whether nginx -t has nothing to say about a configuration.  It opens the logs, too.
sub accepted {
    my ($conf) = @_;
    $conf =~ s/\brtmp \{/rtmp { access_log off;/;
    $conf =~ s/\bhttp \{/http { %%TEST_GLOBALS_HTTP%%/;
    my ($status, $said) = check($conf);
    return $status == 0 && $said !~ /\[\w+\]/ ? 1 : "$status: $said";
}

# What nginx -t says about one that it refuses, without the directory.
sub refused {
    my ($conf) = @_;
    my ($status, $said) = check($conf);
    my @lines = map { s/\Q@{[$t->testdir()]}\E\/wrong\///gr } $said =~ /^nginx: \[emerg\] (.*)/mg;
    return $status == 1 ? join '; ', @lines : "$status: $said";
}

sub check {
    my ($conf) = @_;
    $t->write_file_expand('wrong/nginx.conf', "$conf\nevents { }\npid %%TESTDIR%%/wrong/nginx.pid;\n");
    $t->write_file('wrong/db/stagedoor.db', $t->read_file('db/stagedoor.db')) unless -e $t->testdir() . '/wrong/db';
    return $stagedoor->config_test($t->testdir() . '/wrong/nginx.conf');
}

sub publish {
    my ($port, $app, $name) = @_;
    my $c = Test::RTMP->new(port => port($port), app => $app)->ready();
    my $code = $c->publish($name)->{code};
    $c->close();
    return $code;
}

###############################################################################
