#!/usr/bin/perl

# Stagedoor in each case of docs/migrating.md: what it does is what the table says.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Comparison;
use Test::Nginx;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor django/)->plan(1 + Test::Comparison->cases());

Test::Comparison->new($t, 'stagedoor')->run();
