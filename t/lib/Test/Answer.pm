package Test::Answer;

# An HTTP answer, taken apart.
#
#   my $answer = answer('GET', '/live/benw/index.m3u8', headers => { Origin => 'https://a.example' });
#   is($answer->status(), 200); is($answer->header('Cache-Control'), 'no-cache');

use strict;
use warnings;

use parent 'Exporter';

use Time::Local qw(timegm);

use Test::Nginx::HTTP qw(http);

our @EXPORT_OK = qw(answer http_time);

my %MONTH = do { my $n = 0; map { $_ => $n++ } qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec) };

# %arg: headers => { name => value }; version, 1.1 unless told; what http() takes.
sub answer {
    my ($method, $path, %arg) = @_;
    my %headers = (Host => 'localhost', Connection => 'close', %{delete $arg{headers} // {}});
    my $version = delete $arg{version} // '1.1';
    my $request = "$method $path HTTP/$version\r\n"
        . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers) . "\r\n";
    return Test::Answer->parse(http($request, %arg) // '');
}

sub parse {
    my ($class, $text) = @_;
    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    my ($first, @lines) = split /\r\n/, $head // '';
    my ($status) = ($first // '') =~ m{^HTTP/[\d.]+ (\d+)};
    return bless {
        status => $status,
        lines  => [map { [/^([^:]+):\s*(.*)$/s] } @lines],
        body   => $body // '',
    }, $class;
}

sub status { return $_[0]{status} // 0 }
sub body   { return $_[0]{body} }

# All of its lines of that name, joined as HTTP would have them; undef without any.
sub header {
    my ($self, $name) = @_;
    my @values = map { $_->[1] } grep { lc $_->[0] eq lc $name } @{$self->{lines}};
    return @values ? join(' | ', @values) : undef;
}

# Names that stand on more than one line.
sub doubled {
    my ($self) = @_;
    my %seen;
    return grep { $seen{lc $_}++ == 1 } map { $_->[0] } @{$self->{lines}};
}

# Every line, sorted, but for those that differ from answer to answer or are nginx's own affair;
# Expires as its distance from Date, where that is less than a year: "Expires: +3600".
sub told {
    my ($self) = @_;
    my %own = map { lc $_ => 1 } qw(Server Date Connection Last-Modified ETag Content-Length
        Accept-Ranges Content-Range Transfer-Encoding);
    my $date = http_time($self->header('Date'));
    return join "\n", sort map {
        my ($name, $value) = @$_;
        if ($name eq 'Expires' && defined(my $time = http_time($value))) {
            my $distance = $time - $date;
            $value = sprintf '%+d', $distance if abs $distance < 365 * 86400;
        }
        "$name: $value";
    } grep { !$own{lc $_->[0]} } @{$self->{lines}};
}

# Seconds since 1970 of a date in HTTP's form.
sub http_time {
    my ($text) = @_;
    my ($d, $m, $y, $hour, $minute, $second) =
        ($text // '') =~ /^\w{3}, (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT$/ or return;
    return timegm($second, $minute, $hour, $d, $MONTH{$m}, $y);
}

1;
