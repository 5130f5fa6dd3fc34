package Test::RTMP;

# An RTMP client for tests.  One script can drive many at once: whatever waits
# (wait_until, and with it every blocking call) serves the sockets of all
# clients, and sends the media of those that are live.
#
#   my $c = Test::RTMP->new();                    # to port(8935), application "live"
#   my $status = $c->ready()->publish($key);      # handshake, connect, createStream, publish
#   is($status->{code}, 'NetStream.Publish.Start');
#   $c->send_media(3, colour => 'red');           # three seconds of it, at once
#
# A send_… call returns at once, the call of the same name without it waits for the answer.

use strict;
use warnings;

use IO::Select       ();
use IO::Socket::IP   ();
use IO::Socket::UNIX ();
use List::Util       qw(min);
use Scalar::Util     qw(refaddr weaken);
use Socket           qw(IPPROTO_TCP SOL_SOCKET SO_LINGER TCP_NODELAY);
use Time::HiRes      qw(sleep time);

use Test::Nginx       ();
use Test::Nginx::Port qw(port);
use Test::RTMP::AMF0  qw(amf_decode amf_encode);
use Test::RTMP::Chunk ();
use Test::RTMP::Media qw(audio_config audio_frame metadata video_config video_frame);

# Seconds that an answer may take.
use constant TIMEOUT => 5;

use constant HANDSHAKE => 1536;

my %clients;

# %arg: host, port, app, tc_url, timeout; from, the address to connect from; proxy,
# what a PROXY header says (https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt);
# split, how many bytes to write at once (or code that returns it); nodelay => 0.
sub new {
    my ($class, %arg) = @_;

    my $self = bless {
        host    => '127.0.0.1',
        port    => $arg{port} // port(8935),
        app     => 'live',
        timeout => TIMEOUT,
        nodelay => 1,
        %arg,
        owner    => $$,
        out      => '',
        in       => '',
        reader   => Test::RTMP::Chunk::Reader->new(),
        writer   => Test::RTMP::Chunk::Writer->new(),
        txn      => 1,
        results  => {},
        statuses => [],
        seen     => [],
        received => {},
        times    => { syn => time },
        media_ms => 0,
        frame    => 0,
    }, $class;
    $self->{tc_url} //= "rtmp://$self->{host}:$self->{port}/$self->{app}";

    $self->{socket} = $self->{unix} ? $self->_connect_unix() : $self->_connect_tcp();
    $self->{times}{connected} = time;
    $self->{socket}->blocking(0);

    weaken($clients{refaddr $self} = $self);
    return $self;
}

sub _connect_tcp {
    my ($self) = @_;
    my $socket = IO::Socket::IP->new(
        Proto    => 'tcp',
        PeerHost => $self->{host},
        PeerPort => $self->{port},
        ($self->{from} ? (LocalHost => $self->{from}) : ()),
        Timeout  => $self->{timeout},
    ) or die "RTMP: can't connect to $self->{host}:$self->{port}: $@\n";
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1 if $self->{nodelay};
    return $socket;
}

sub _connect_unix {
    my ($self) = @_;
    return IO::Socket::UNIX->new(Peer => $self->{unix})
        // die "RTMP: can't connect to $self->{unix}: $!\n";
}

# Times of what happened: syn, connected, handshaken, publish (sent), status (received), closed.
sub times      { return $_[0]{times} }
sub local_port { return $_[0]{socket}->sockport() }

###############################################################################
# The way to a stream

# Ready to publish or play: handshake, connect, createStream.  Dies when one of them fails.
sub ready {
    my ($self) = @_;
    $self->connect()       or die "RTMP: connect failed\n";
    $self->create_stream() or die "RTMP: createStream failed\n";
    return $self;
}

sub send_handshake {
    my ($self) = @_;
    return if $self->{handshake_sent}++;
    $self->raw("PROXY $self->{proxy}\r\n") if defined $self->{proxy};
    return $self->raw("\x03" . pack('NN', 0, 0) . join '', map { chr int rand 256 } 9 .. HANDSHAKE);
}

sub handshake {
    my ($self) = @_;
    $self->send_handshake();
    return $self->_wait(sub { $self->{handshaken} });
}

# %object: fields of the command object to add or replace.
sub send_connect {
    my ($self, %object) = @_;
    $self->handshake() unless $self->{handshaken};
    my %connect = (
        app      => $self->{app},
        type     => 'nonprivate',
        flashVer => 'FMLE/3.0 (compatible; Test)',
        tcUrl    => $self->{tc_url},
        %object
    );
    return $self->amf(amf_encode('connect', 1, \%connect));
}

# The server's answer as {name, values}, name being _result or _error; undef when there is none.
sub connect {
    my ($self, %object) = @_;
    $self->send_connect(%object);
    return $self->_result(1);
}

sub send_create_stream { my ($self) = @_; return $self->command_on(0, 'createStream', undef) }

# The stream's id, or undef.
sub create_stream {
    my ($self) = @_;
    my $result = $self->_result($self->send_create_stream()) // return;
    return $self->{stream_id} = $result->{values}[1];
}

sub send_publish {
    my ($self, $name, $type) = @_;
    $self->{times}{publish} = time;
    return $self->command('publish', undef, $name, $type // 'live');
}

# The status that answers, as wait_status() has it.
sub publish {
    my ($self, $name, $type) = @_;
    $self->send_publish($name, $type);
    return $self->wait_status($self->{timeout}, qr/^NetStream\.(?:Publish\.|Failed)/);
}

sub send_play { my ($self, $name) = @_; return $self->command('play', undef, $name) }

sub play {
    my ($self, $name) = @_;
    $self->send_play($name);
    return $self->wait_status($self->{timeout}, qr/^NetStream\.Play\./);
}

# What FMLE-style encoders send around a publish; nginx-rtmp does not answer any of it.
sub release_stream { my ($self, $name) = @_; return $self->command_on(0, 'releaseStream', undef, $name) }
sub fc_publish     { my ($self, $name) = @_; return $self->command_on(0, 'FCPublish',     undef, $name) }
sub fc_unpublish   { my ($self, $name) = @_; return $self->command_on(0, 'FCUnpublish',   undef, $name) }

sub close_stream {
    my ($self) = @_;
    $self->_end_media();
    return $self->command('closeStream', undef);
}

sub delete_stream {
    my ($self, $id) = @_;
    $self->_end_media();
    return $self->command_on(0, 'deleteStream', undef, $id // $self->{stream_id});
}

###############################################################################
# Answers

# The next status as {level, code, description, at}, those that do not match a
# pattern for the code left out; undef when none comes in time.
sub wait_status {
    my ($self, $timeout, $pattern) = @_;
    my $status;
    $self->_wait(sub {
        while ($status = shift @{$self->{statuses}}) {
            return 1 if !$pattern || $status->{code} =~ $pattern;
        }
        return 0;
    }, $timeout);
    return $status;
}

# All statuses that ever came, taken by wait_status() or not.
sub statuses { return @{$_[0]{seen}} }

# What came to a player, as {timestamp, payload}: 'audio', 'video', 'data'.
sub received { my ($self, $kind) = @_; return @{$self->{received}{$kind} // []} }

sub is_closed { return defined $_[0]{times}{closed} }

# Whether the server closes the connection within so many seconds.
sub closed_within {
    my ($self, $timeout) = @_;
    wait_until(sub { $self->is_closed() }, $timeout);
    return $self->is_closed();
}

# A client that goes away, in order; or with a reset.
sub close {
    my ($self) = @_;
    delete $self->{live};
    $self->{socket}->close();
    $self->{times}{closed} //= time;
    return;
}

sub abort {
    my ($self) = @_;
    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 unless $self->is_closed();
    return $self->close();
}

###############################################################################
# Messages

# A command on the stream that createStream gave; returns its transaction id.
sub command { my ($self, @values) = @_; return $self->command_on($self->{stream_id} // 0, @values) }

sub command_on {
    my ($self, $stream_id, $name, @values) = @_;
    my $txn = ++$self->{txn};
    $self->amf(amf_encode($name, $txn, @values), $stream_id);
    return $txn;
}

# An AMF0 command message whose payload is given byte by byte.
sub amf {
    my ($self, $payload, $stream_id) = @_;
    return $self->message(type => 20, payload => $payload, stream_id => $stream_id // 0, fmt => 0);
}

# %message: type, payload; csid, stream_id, timestamp, fmt.
sub message {
    my ($self, %message) = @_;
    return $self->raw($self->{writer}->message(csid => 3, stream_id => 0, timestamp => 0, %message));
}

sub set_chunk_size {
    my ($self, $size) = @_;
    $self->message(csid => 2, type => 1, payload => pack('N', $size), fmt => 0);
    $self->{writer}->chunk_size($size);
    return;
}

# The same for chunks that are smaller than before: nginx-rtmp loses what it has read
# behind the message that sets them (ngx_rtmp_handler.c), so nothing is sent until it has acknowledged
# that one. It acknowledges what it reads under the window that was set before.
sub shrink_chunks {
    my ($self, $size) = @_;
    my @window = (csid => 2, type => 5, stream_id => 0, timestamp => 0, fmt => 0);
    $self->message(@window, payload => pack 'N', 1);
    $self->create_stream();
    my $before = $self->{acknowledged} // -1;
    $self->raw($self->{writer}->message(@window, payload => pack 'N', 1 << 30)
        . $self->{writer}->message(@window, payload => pack('N', $size), type => 1));
    $self->{writer}->chunk_size($size);
    return $self->_wait(sub { ($self->{acknowledged} // -1) > $before });
}

# Bytes as they are.
sub raw {
    my ($self, $bytes) = @_;
    $self->{out} .= $bytes;
    $self->_write() unless $self->{split};
    return;
}

# The same for much of it: waits in the kernel, and serves nobody meanwhile.  Says whether all was taken.
sub write_through {
    my ($self, $bytes) = @_;
    my $socket = $self->{socket};
    $socket->blocking(1);
    my $at = 0;
    while ($at < length $bytes) { $at += syswrite($socket, $bytes, length($bytes) - $at, $at) // last }
    $socket->blocking(0);
    return $at == length $bytes;
}

# Waits until all that was sent has been taken by the kernel.
sub flush { my ($self) = @_; return $self->_wait(sub { $self->{out} eq '' }) }

###############################################################################
# Media

# So many seconds of media at once, as fast as the server takes it.  Timestamps
# go on from what was sent before.  %media: colour (Test::RTMP::Media), fps, audio => 0.
sub send_media {
    my ($self, $seconds, %media) = @_;
    $self->_media(%media);
    $self->_frame() for 1 .. int($seconds * $self->{media}{fps} + 0.5);
    return $self->flush();
}

# Sends in real time from now on, whenever something waits.
sub go_live {
    my ($self, %media) = @_;
    $self->_media(%media);
    $self->{live} = time - $self->{media_ms} / 1000;
    return $self;
}

sub stop_media { delete $_[0]{live}; return }

# Reads nothing more, whatever the server says, also that it closes; goes on sending.
sub go_deaf { $_[0]{deaf} = 1; return }

# How many pictures were sent, since the client was made.
sub pictures { return $_[0]{frame} }

# Metadata and decoder configurations go ahead, once a publish.
sub _media {
    my ($self, %media) = @_;

    my $begun = $self->{media};
    $self->{media} = { colour => 'gray', fps => 10, audio => 1, %{$begun // {}}, %media };
    return if $begun;

    $self->send_metadata(metadata());
    $self->send_video(video_config());
    $self->send_audio(audio_config()) if $self->{media}{audio};
    return;
}

# What is published next begins with metadata at 0 again.
sub _end_media {
    my ($self) = @_;
    delete @$self{qw(live media audio_ms)};
    $self->{media_ms} = 0;
    return;
}

# %metadata, or one hash.
sub send_metadata {
    my ($self, @metadata) = @_;
    my $metadata = ref $metadata[0] ? $metadata[0] : {@metadata};
    return $self->_media_message(4, 18, amf_encode('@setDataFrame', 'onMetaData', $metadata));
}

sub send_audio { my ($self, $body, $ms) = @_; return $self->_media_message(4, 8, $body, $ms) }
sub send_video { my ($self, $body, $ms) = @_; return $self->_media_message(6, 9, $body, $ms) }

sub _media_message {
    my ($self, $csid, $type, $body, $ms) = @_;
    return $self->message(
        csid      => $csid,
        type      => $type,
        payload   => $body,
        stream_id => $self->{stream_id} // 1,
        timestamp => int($ms // $self->{media_ms}),
    );
}

# One picture, and the sound that goes with it.
sub _frame {
    my ($self) = @_;

    my $media = $self->{media};
    my $next  = $self->{media_ms} + 1000 / $media->{fps};
    $self->send_video(video_frame($media->{colour}, $self->{frame}++));
    if ($media->{audio}) {
        for ($self->{audio_ms} //= $self->{media_ms}; $self->{audio_ms} < $next;
            $self->{audio_ms} += 1024 * 1000 / 44100)
        {
            $self->send_audio(audio_frame(), $self->{audio_ms});
        }
    }
    $self->{media_ms} = $next;
    return;
}

sub _frames_due {
    my ($self) = @_;
    while (defined $self->{live} && !$self->is_closed()
        && $self->{live} + $self->{media_ms} / 1000 <= time)
    {
        $self->_frame();
    }
    return;
}

###############################################################################
# The loop that serves all clients

# What the condition returns once it is true; false when the time (in seconds) is over.
sub wait_until {
    my ($condition, $timeout) = @_;
    my $deadline = time + ($timeout // TIMEOUT);
    while (1) {
        my $result = $condition->();
        return $result if $result;
        my $left = $deadline - time;
        return $result if $left <= 0;
        pump(min($left, 0.02));
    }
}

# Serves the sockets, for so many seconds at most, until something happened.
sub pump {
    my ($timeout) = @_;

    my @open = grep { defined && $_->{owner} == $$ && !$_->is_closed() } values %clients;
    $_->_frames_due() for @open;
    @open = grep { !$_->is_closed() } @open;
    return sleep $timeout unless @open;

    my %of      = map { fileno($_->{socket}) => $_ } @open;
    my $reading = IO::Select->new(map { $_->{socket} } grep { !$_->{deaf} } @open);
    my $writing = IO::Select->new(map { $_->{socket} } grep { $_->{out} ne '' } @open);
    my ($readable, $writable) = IO::Select->select($reading, $writing, undef, $timeout);
    my @readable = map { $of{fileno $_} } @{$readable // []};
    my @writable = map { $of{fileno $_} } @{$writable // []};
    for (@writable) { $_->_write() unless $_->is_closed() }
    for (@readable) { $_->_read()  unless $_->is_closed() }
    return;
}

sub _wait {
    my ($self, $condition, $timeout) = @_;
    my $done;
    wait_until(sub { ($done = $condition->()) || $self->is_closed() }, $timeout // $self->{timeout});
    return $done || $condition->();
}

sub _result {
    my ($self, $txn) = @_;
    $self->_wait(sub { $self->{results}{$txn} });
    return $self->{results}{$txn};
}

sub _write {
    my ($self) = @_;
    return if $self->is_closed();

    my $split = $self->{split};
    my $size  = $split ? ref $split ? $split->() : $split : length $self->{out};
    my $wrote = syswrite $self->{socket}, $self->{out}, $size;
    if (defined $wrote) {
        substr $self->{out}, 0, $wrote, '';
    }
    elsif (!$!{EAGAIN}) {
        # What the server said before it closed may still be there to read.
        $self->{out} = '';
        delete $self->{live};
    }
    return;
}

sub _read {
    my ($self) = @_;

    my $read = sysread $self->{socket}, my $bytes, 65536;
    return if !defined $read && $!{EAGAIN};
    return $self->close() unless $read;

    if (!$self->{handshaken}) {
        $self->{in} .= $bytes;
        return if length $self->{in} < 1 + 2 * HANDSHAKE;
        $self->raw(substr $self->{in}, 1, HANDSHAKE);
        $bytes = substr $self->{in}, 1 + 2 * HANDSHAKE;
        $self->{in} = '';
        $self->{times}{handshaken} = time;
        $self->{handshaken} = 1;
    }

    $self->{reader}->append($bytes);
    while (my $message = $self->{reader}->message()) { $self->_message($message) }
    return;
}

# The message types that matter (specification, sections 5.4, 6.2 and 7.1).
sub _message {
    my ($self, $message) = @_;

    my ($type, $payload) = @$message{qw(type payload)};
    if ($type == 1) { $self->{reader}->chunk_size(unpack 'N', $payload) }
    elsif ($type == 3) { $self->{acknowledged} = unpack 'N', $payload }
    elsif ($type == 4 && unpack('n', $payload) == 6) {    # a ping request
        $self->message(csid => 2, type => 4, payload => pack('n', 7) . substr($payload, 2), fmt => 0);
    }
    elsif ($type == 20) { $self->_command(amf_decode($payload)) }
    elsif (my $kind = { 8 => 'audio', 9 => 'video', 18 => 'data' }->{$type}) {
        push @{$self->{received}{$kind}}, $message;
    }
    return;
}

sub _command {
    my ($self, $name, $txn, @values) = @_;

    if ($name eq 'onStatus') {
        my $status = { %{$values[1]}, at => time };
        $self->{times}{status} = $status->{at};
        push @{$self->{statuses}}, $status;
        push @{$self->{seen}},     $status;
    }
    elsif ($name eq '_result' || $name eq '_error') {
        $self->{results}{$txn} = { name => $name, values => \@values };
    }
    return;
}

sub DESTROY {
    my ($self) = @_;
    delete $clients{refaddr $self};
    return;
}

# Nginx waits for its sessions when it stops.
END { for (grep { defined && $_->{owner} == $$ } values %clients) { $_->close() } }

1;
