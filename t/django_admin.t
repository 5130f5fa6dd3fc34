#!/usr/bin/perl

# A Django site and its admin, with Stagedoor in front of its database: the admin shows
# who is live; what is changed there ends streams and lets others begin.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Django;
use Test::Encoder;
use Test::Example qw(adapt);
use Test::Nginx;
use Test::Player qw(playlist);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor django/)->has_daemon('ffmpeg')->plan(28);

my $site = Test::Django->for_example($t, 'django');
my ($benw, $carl) = $site->add(qw(benw carl));
my $another = 'AnotherKeyForCarl123';
my $new     = 'TheKeyOfANewUser1234';
$t->secret($another, $new);

my ($status, $said) = Test::Stagedoor->new($t, init => 0)->config_test();
is("$status $said" =~ s/nginx: .*(?:syntax is ok|is successful)\n//gr, '0 ', 'nginx -t, without a warning');

my $admin = $site->start()->admin();
$t->run();
like(http_get('/admin/login/'), qr/^HTTP\/1\.1 200 /, 'the site is there through nginx');

###############################################################################

# an ordinary stream

is(shown('benw'), 'False', 'nobody is live');
my $encoder = encoder($benw);
ok(wait_for(sub { shown('benw') eq 'True' }, 15), 'the admin shows who is') or diag($encoder->output());
isnt($admin->streams()->{benw}{started_at}, '-', 'and since when');
is(shown('carl'), 'False', 'and nobody else');
is($site->python(<<'END'), "aware, now\n", 'Django reads the time without a warning');
from datetime import timedelta
from django.utils import timezone
from boltstream.models import Stream
started_at = Stream.objects.get(user__username="benw").started_at
since = timezone.now() - started_at
print("aware" if timezone.is_aware(started_at) else started_at, end=", ")
print("now" if timedelta(0) <= since < timedelta(minutes=1) else since)
END
ok(wait_for(sub { -e $t->testdir() . '/django/hls/benw/index.m3u8' }, 15), 'HLS is there');
ok(playlist('/hls/benw/index.m3u8'), 'and served, under the username');
is(told($benw), 'Already streaming', 'the key is good for one stream');
is(told('NobodyHasThisKey1234'), 'Invalid stream key', 'another key for none');
$encoder->stop();
ok(wait_for(sub { shown('benw') eq 'False' }, 5), 'the end of the stream shows, too');

# the box "active"

$encoder = live('benw', $benw);
$admin->set_active('benw', 0);
ends($encoder, 'a user who is no longer active');
is($t->find_in_file('error.log', qr/publish ended: banned, username: "benw"/), 1, 'the log says why');
ok(wait_for(sub { shown('benw') eq 'False' }, 5), 'which shows');
is(told($benw), 'Streaming is not allowed for this account', 'and does not come back');
$admin->set_active('benw', 1);
is(told($benw), 'Start publishing', 'until active again');

# the key

$encoder = live('carl', $carl);
$admin->set_key('carl', $another);
ends($encoder, 'a user whose key was changed');
ok(wait_for(sub { shown('carl') eq 'False' }, 5), 'which shows');
is(told($carl), 'Invalid stream key', 'the old key is good no longer');
is(told($another), 'Start publishing', 'the new one is');

# the username

$encoder = live('carl', $another);
$admin->set_username('carl', 'charles');
ends($encoder, 'a user who was renamed');
ok(wait_for(sub { shown('charles') eq 'False' }, 5), 'which shows');
my $client = Test::RTMP->new(app => 'app')->ready();
is($client->publish($another)->{description}, 'Start publishing', 'the key is good under the new name');
ok(wait_for(sub { shown('charles') eq 'True' }, 5), 'which shows');
$client->close();
ok(wait_for(sub { shown('charles') eq 'False' }, 5), 'until it ends');

# somebody new

$admin->add('dora', $new);
is(told($new), 'Start publishing', 'a new user publishes at once');

# somebody who is gone, by another program

$client = Test::RTMP->new(app => 'app')->ready();
$client->publish($new);
$site->sql("DELETE FROM boltstream_stream WHERE key = '$new'");
is(($client->wait_status(5) // {})->{description}, 'Stream key was replaced', 'a stream that is deleted ends');

###############################################################################

sub encoder { my ($key) = @_; return Test::Encoder->ffmpeg($key, app => 'app') }

# What the admin's list says under "live".
sub shown { my ($username) = @_; return $admin->streams()->{$username}{live} }

sub told {
    my ($key) = @_;
    my $client = Test::RTMP->new(app => 'app')->ready();
    my $told   = $client->publish($key)->{description};
    $client->close();
    wait_for(sub { !$site->live() }, 5) if $told eq 'Start publishing';
    return $told;
}

# An encoder whose stream the admin shows.
sub live {
    my ($username, $key) = @_;
    my $encoder = encoder($key);
    wait_for(sub { shown($username) eq 'True' }, 15) or diag($encoder->output());
    return $encoder;
}

# From the answer to the administrator to the end of the encoder.
sub ends {
    my ($encoder, $who) = @_;
    my $saved = time;
    ok(wait_for(sub { !$encoder->running() }, 5), "$who is live no longer");
    note(sprintf 'after %.2f s', time - $saved);
    return;
}

###############################################################################
