package Test::Example;

# A configuration of nginx-conf/ as it is, but for paths, ports and user.

use strict;
use warnings;

use parent 'Exporter';

use Cwd            ();
use File::Basename qw(dirname);

use Test::Nginx ();

our @EXPORT_OK = qw(adapt example_user examples);

my $dir = Cwd::abs_path(dirname(__FILE__) . '/../../../nginx-conf');

# The names of all of them.
sub examples { return map { /([^\/]+)\.conf$/ } sort glob "$dir/*.conf" }

# Whose workers they have.
sub example_user { return $> == 0 ? 'www-data' : getpwuid $> }

# Writes the example as the nginx.conf of $t; its /var/lib/stagedoor, or its /srv, is NAME/ in the
# test's directory.  %arg: http, the number of the port for viewers, 8080 unless told; origin, that of
# origin.example.com; file, a configuration from elsewhere; edit, what changes its text first.
sub adapt {
    my ($t, $name, %arg) = @_;

    my $user = example_user();
    my $http = $arg{http} // 8080;
    my $conf = do { local (@ARGV, $/) = $arg{file} // "$dir/$name.conf"; <> };
    $conf = $arg{edit}->($conf) if $arg{edit};
    $conf =~ s{/usr/lib/nginx/modules/ngx_rtmp_module\.so}{%%RTMP_MODULE%%}g;
    $conf =~ s{/usr/lib/nginx/modules/ngx_stagedoor_module\.so}{%%STAGEDOOR_MODULE%%}g;
    $conf =~ s{/usr/lib/nginx/modules/ngx_stream_module\.so}{$Test::Nginx::MODULES/ngx_stream_module.so};
    $conf =~ s{/etc/nginx/tls\b}{%%TESTDIR%%/tls}g;
    $conf =~ s{/(?:var/lib/stagedoor|srv)\b}{%%TESTDIR%%/$name}g;
    $conf =~ s{/var/(?:log|cache)/nginx\b}{%%TESTDIR%%}g;
    $conf =~ s{^user .*}{$> == 0 ? "user $user;" : ''}me;
    $conf =~ s{\blisten 1935;}{listen %%PORT_8935%%;}g;
    $conf =~ s{\b127\.0\.0\.1:1935\b}{127.0.0.1:8935}g;
    $conf =~ s{\blisten 443 ssl;}{listen %%PORT_8443%% ssl;};
    $conf =~ s{\blisten 80;}{listen %%PORT_$http%%;}g;
    $conf =~ s{\borigin\.example\.com:80\b}{127.0.0.1:$arg{origin}}g if $arg{origin};
    $conf =~ s{worker_processes auto;}{worker_processes 2;};
    # its own access log stays the last to be named
    $conf =~ s/^http \{\K/\n    %%TEST_GLOBALS_HTTP%%/m;
    $conf =~ s{^    access_log %%TESTDIR%%/access\.log;\n}{}m;
    $conf =~ s/^rtmp \{\K/\n    access_log %%TESTDIR%%\/rtmp.log;/m unless $conf =~ /rtmp\.log/;
    $conf =~ /^error_log/m or $conf = "error_log %%TESTDIR%%/error.log;\n$conf";
    $t->write_file_expand('nginx.conf', "pid %%TESTDIR%%/nginx.pid;\n$conf");
    return;
}

1;
