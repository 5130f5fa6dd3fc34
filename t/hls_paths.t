#!/usr/bin/perl

# Nothing but streams is served, however a path is written, and nothing by any
# method but GET, HEAD and OPTIONS.

use warnings;
use strict;

use Digest::MD5 qw(md5_base64);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Answer qw(answer);
use Test::Nginx;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http autoindex auth_basic access limit_req rewrite secure_link stagedoor/);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    limit_req_zone $binary_remote_addr zone=slow:1m rate=1r/m;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /live/ {
            alias %%TESTDIR%%/hls/;
            autoindex on;
            stagedoor_hls on;
        }

        location /no-slash {
            alias %%TESTDIR%%/hls/benw/;
            stagedoor_hls on;
        }

        location /password/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            auth_basic closed;
            auth_basic_user_file %%TESTDIR%%/htpasswd;
        }

        location /any/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            satisfy any;
            deny all;
            auth_basic closed;
            auth_basic_user_file %%TESTDIR%%/htpasswd;
        }

        location /limited/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            stagedoor_hls_cors *;
            limit_req zone=slow;
        }

        location /signed/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            secure_link $arg_sign;
            secure_link_md5 secret$uri;
            if ($secure_link = "") {
                return 403;
            }
        }

        location /internal/ {
            alias %%TESTDIR%%/hls/;
            stagedoor_hls on;
            internal;
        }

        location /rewritten/ {
            stagedoor_hls on;
            rewrite ^/rewritten/(.*)$ /internal/$1.m3u8 last;
        }
    }

    server {
        listen       127.0.0.1:8081;
        server_name  localhost;
        root         %%TESTDIR%%/hls;
        merge_slashes off;
        stagedoor_hls on;

        error_page 404 /absent.html;
        error_page 405 =200 /index.m3u8;
    }
}

END

my $secret = 'SEE-THIS-AND-FAIL';
my @hidden = ('.hidden.ts', '.m3u8', 'index.m3u8.bak', '1.bak', '1.ts.tmp', '1.flv', 'notes.txt',
    '.git/1.ts', 'INDEX.M3U8', '1.TS', '1.ts.', "a\nb.ts");
my @served = ('index.m3u8', '1.ts', 'a name with spaces.ts', "\xc3\xa9t\xc3\xa9.ts", '100%.ts', '-.ts');

# Each path as a client would write it, and what nginx answers.
my @PATHS = (
    (map { [escape("/live/benw/$_"), 404] } @hidden),
    (map { [escape("/live/benw/$_"), 200] } @served),
    ['/live/benw/%69ndex.m3u8',                200],
    ['/live/benw//index.m3u8',                 200],    # nginx merges slashes
    ['/live/benw/./index.m3u8',                200],
    ['/live/benw/x/../index.m3u8',             200],
    ['/live/benw/index.m3u8?key=value',        200],
    ['/live/benw/index%2em3u8',                200],
    ['/live/benw/index.m3u8%2ebak',            404],
    ['/live/benw/%2ehidden.ts',                404],
    ['/live/benw/%2egit/1.ts',                 404],
    ['/live/',                                 404],
    ['/live/benw',                             404],
    ['/live/benw/',                            404],
    ['/live/benw/1.ts/',                       404],
    ['/live/benw/directory.ts/',               404],
    ['/live/benw/1.ts%00',                     400],
    ['/live/benw/notes.txt%00.ts',             400],
    ['/live/benw/notes.txt%0a.ts',             404],
    ['/live/../notes.txt',                     404],
    ['/live/%2e%2e/notes.txt',                 404],
    ['/live/..%2fnotes.txt',                   404],
    ['/live/..%2f..%2f..%2f..%2fetc/passwd',   400],
    ['/live/%2e%2e%2f%2e%2e%2fetc%2fpasswd',   400],
    ['/live/benw/..%5cnotes.ts',               404],
    ['/live/benw/' . 'x' x 4000 . '.ts',       404],
    ['/live/' . 'x/' x 2000 . '1.ts',          404],
    ['/live/benw/absent.ts',                   404],
    ['/live/nobody/index.m3u8',                404],
    ['/no-slash/1.ts',                         200],
    ['/no-slash../secret.ts',                  404],
    ['/no-slash../benw/1.ts',                  404],
);

my @METHODS = qw(POST PUT DELETE PATCH MKCOL PROPFIND CONNECTED);

$t->plan(2 * @PATHS + 1 + 2 * @METHODS + 28);
$t->write_file("hls/benw/$_", $secret) for @hidden, 'directory.ts/1.txt';
$t->write_file("hls/benw/$_", 'served')  for @served;
$t->write_file('hls/notes.txt', $secret);
$t->write_file('hls/secret.ts', $secret);
$t->write_file('hls/absent.html', $secret);
$t->write_file('hls/index.m3u8', 'served');
$t->write_file('htpasswd', "benw:{PLAIN}password\n");
$t->run();

###############################################################################

for (@PATHS) {
    my ($path, $status) = @$_;
    my $answer = answer('GET', $path);
    is($answer->status(), $status, length $path < 80 ? $path : substr($path, 0, 40) . ' …');
    unlike($answer->body(), qr/$secret|directory\.ts|passwd:/, 'shows nothing');
}
like(answer('GET', '/live/benw/directory.ts')->status(), qr/301|404/, 'a directory with the name of a segment');

# methods

for my $method (@METHODS) {
    my $answer = answer($method, '/live/benw/1.ts', headers => { 'Content-Length' => 0 });
    like($answer->status(), qr/^4(?:05|00)$/, $method);
    unlike($answer->body(), qr/served/, "$method shows nothing");
}
is(answer('PUT', '/live/benw/1.bak', headers => { 'Content-Length' => 0 })->status(), 404,
    'what is not there is not there for any method');
is(answer('OPTIONS', '/live/benw/1.bak')->status(), 404, 'OPTIONS of it neither');
my $answer = answer('OPTIONS', '/live/benw/1.ts');
is($answer->status(), 204, 'OPTIONS');
is($answer->header('Allow'), 'GET, HEAD, OPTIONS', 'says what there is');
is($answer->body(), '', 'without a body');

# nginx's own access modules

my $password = { Authorization => 'Basic YmVudzpwYXNzd29yZA==' };    # benw:password
is(answer('GET', '/password/benw/1.ts')->status(), 401, 'auth_basic is asked');
is(answer('GET', '/password/benw/1.ts')->header('Cache-Control'), 'no-store', 'its refusal is not kept');
is(answer('GET', '/password/benw/1.ts', headers => $password)->status(), 200, 'and lets in');
is(answer('GET', '/password/benw/notes.txt', headers => $password)->status(), 404, 'to streams only');
is(answer('OPTIONS', '/password/benw/1.ts')->status(), 204, 'a preflight has no password');
is(answer('GET', '/any/benw/1.ts')->status(), 401, 'satisfy any: nobody is satisfied by us');
is(answer('GET', '/any/benw/1.ts', headers => $password)->status(), 200, 'but by a password');

is(answer('GET', '/limited/benw/1.ts')->status(), 200, 'limit_req');
$answer = answer('GET', '/limited/benw/1.ts');
is($answer->status(), 503, 'limits');
is($answer->header('Cache-Control'), 'no-store', 'which is not kept');
is($answer->header('Access-Control-Allow-Origin'), '*', 'but may be read');

my $sign = md5_base64('secret/signed/benw/1.ts') =~ tr{+/}{-_}r;
is(answer('GET', "/signed/benw/1.ts?sign=$sign")->status(), 200, 'secure_link');
is(answer('GET', '/signed/benw/1.ts?sign=x')->status(), 403, 'lets nobody in without its sign');

is(answer('GET', '/internal/benw/index.m3u8')->status(), 404, 'internal stays internal');
is(answer('GET', '/rewritten/benw/index')->body(), 'served', 'a path counts as it was rewritten');
is(answer('GET', '/rewritten/benw/../notes.txt')->status(), 404, 'only so');

# without merge_slashes, and error pages where everything is HLS

my @elsewhere = (PeerAddr => '127.0.0.1:' . port(8081));
is(answer('GET', '/benw/1.ts', @elsewhere)->status(), 200, 'a server that is all HLS');
is(answer('GET', '/benw//1.ts', @elsewhere)->status(), 404, 'an empty name is none');
is(answer('GET', '//benw/1.ts', @elsewhere)->status(), 404, 'nor in front');
$answer = answer('GET', '/benw/absent.ts', @elsewhere);
is($answer->status(), 404, 'an error page that is no stream');
unlike($answer->body(), qr/$secret/, 'is not served either');
is($answer->header('Cache-Control'), 'max-age=1', 'and keeps the freshness of the error');
$answer = answer('POST', '/benw/1.ts', @elsewhere, headers => { 'Content-Length' => 0 });
is($answer->body(), 'served', 'one that is, is served');

###############################################################################

sub escape {
    my ($path) = @_;
    return $path =~ s/([^A-Za-z0-9\/._-])/sprintf '%%%02x', ord $1/ger;
}

###############################################################################
