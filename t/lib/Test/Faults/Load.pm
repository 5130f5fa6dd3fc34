package Test::Faults::Load;

# Encoders that come back at once when they lose their stream, go by themselves now and then, and
# are rivalled by others of the same name.  Applications live and takeover.
#
#   my $load = Test::Faults::Load->new($t, {name => key …}, 3);    # three processes
#   $t->stop_daemons();
#   my ($accepted, $twice, @back) = $load->seen();                 # @back: [when, after seconds]

use strict;
use warnings;

use IO::Handle  ();
use Time::HiRes qw(time);

use Test::RTMP      ();
use Test::Stagedoor qw(wait_for);

sub new {
    my ($class, $t, $keys, $loaders) = @_;
    my $self = bless { keys => $keys, files => [] }, $class;
    my %of;
    my $turn = 0;
    push @{$of{$turn++ % $loaders}}, $_ for sort keys %$keys;
    for my $loader (sort keys %of) {
        push @{$self->{files}}, $t->testdir() . "/load$loader";
        $t->run_daemon(sub { $self->_load($t->testdir() . "/load$loader", @{$of{$loader}}) });
    }
    return $self;
}

# How many streams went live, how many names were live twice, and when a lost stream was back.
sub seen {
    my ($self) = @_;
    my ($accepted, $twice, @back) = (0, 0);
    for my $file (@{$self->{files}}) {
        open my $fh, '<', $file or next;
        for (<$fh>) {
            $accepted++             if /^live/;
            $twice++                if /^twice/;
            push @back, [$1, $2] if /^back (\S+) (\S+)/;
        }
    }
    return ($accepted, $twice, @back);
}

sub _load {
    my ($self, $file, @own) = @_;
    open my $fh, '>>', $file or die "Can't open $file: $!\n";
    $fh->autoflush(1);
    srand $$;
    my (%client, %lost, %leaves);
    while (1) {
        for my $name (@own) {
            my $c = $client{$name};
            if ($c && $c->is_closed()) {
                $lost{$name} = $c->times()->{closed};
                $c = undef;
            }
            elsif ($c && time > $leaves{$name}) {
                rand 2 < 1 ? $c->close_stream() : $c->abort();
                $c->close();
                $c = undef;
            }
            elsif ($c && rand 20 < 1) { $self->_rival($fh, $name, $c) }
            if (!$c && ($c = $self->_publish($name, rand 2 < 1 ? 'live' : 'takeover'))) {
                print $fh "live\n";
                printf $fh "back %.3f %.3f\n", time, time - delete $lost{$name} if $lost{$name};
                $leaves{$name} = time + rand 1;
            }
            $client{$name} = $c;
        }
        wait_for(sub { 0 }, 0.01);
    }
    return;
}

sub _publish {
    my ($self, $name, $app) = @_;
    my $c = eval { Test::RTMP->new(timeout => 1, app => $app)->ready() } or return;
    my $status = $c->publish($self->{keys}{$name});
    return $status && $status->{code} eq 'NetStream.Publish.Start' ? $c : undef;
}

# A second one of the name gets in only once the first one's worker is gone.
sub _rival {
    my ($self, $fh, $name, $first) = @_;
    my $second = $self->_publish($name, 'live') // return;
    print $fh "live\n";
    print $fh "twice\n" unless $first->closed_within(1);
    $second->close();
    return;
}

1;
