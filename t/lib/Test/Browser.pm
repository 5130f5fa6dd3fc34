package Test::Browser;

# A page as a browser shows it: headless Chromium.

use strict;
use warnings;

use parent 'Exporter';

use File::Temp qw(tempdir);

use Test::Process ();

our @EXPORT_OK = qw(browse);

# Seconds that a page may take.
use constant TIMEOUT => 30;

# Opens a URL and returns the document after so many seconds of the page's own time (which
# runs as fast as its requests are answered), and what the browser complained about:
#   my ($document, @complaints) = browse($url, seconds => 5);
sub browse {
    my ($url, %arg) = @_;

    my $profile = tempdir('nginx-test-browser-XXXXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $browser = Test::Process->run({ timeout => TIMEOUT, env => { HOME => $profile } },
        qw(chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run
            --disable-background-networking --disable-component-update --disable-sync
            --enable-logging=stderr --dump-dom),
        "--user-data-dir=$profile", '--virtual-time-budget=' . 1000 * ($arg{seconds} // 1), $url);
    return ($browser->stdout(), $browser->stderr() =~ /^.*\bCONSOLE\b.*?\] (.*)/mg);
}

1;
