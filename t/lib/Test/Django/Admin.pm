package Test::Django::Admin;

# Django's admin, used as a browser uses it: pages are fetched, their forms filled in and
# posted with all that they hold.
#
#   $admin->set_active('benw', 0);
#   is($admin->streams()->{benw}{live}, 'False');

use strict;
use warnings;

use HTTP::Tiny ();

# Logs in as the administrator that tools/django.sh created.
sub new {
    my ($class, $url) = @_;
    my $self = bless { url => $url, cookies => {} }, $class;
    $self->{http} = HTTP::Tiny->new(max_redirect => 0, timeout => 20);
    $self->_submit('/admin/login/', username => 'admin', password => 'password');
    return $self;
}

# What the list of streams shows: { username => { key, started_at, live } }, each as its text,
# "live" as "True" or "False", "started_at" as "-" for none.
sub streams {
    my ($self) = @_;
    my %streams;
    for my $row ($self->_rows('boltstream/stream')) {
        my %cell = $row =~ /<t[dh] class="field-(\w+)[^"]*">(.*?)<\/t[dh]>/gs;
        $_ = _text(s/<img[^>]* alt="(\w+)"[^>]*>/$1/r) for values %cell;
        $streams{delete $cell{user}} = \%cell;
    }
    return \%streams;
}

# The box "active" of a user.
sub set_active {
    my ($self, $username, $active) = @_;
    return $self->_change('auth/user', $username, is_active => $active ? 'on' : undef);
}

sub set_username {
    my ($self, $username, $new) = @_;
    return $self->_change('auth/user', $username, username => $new);
}

sub set_key {
    my ($self, $username, $key) = @_;
    return $self->_change('boltstream/stream', $username, key => $key);
}

# A user, then the user's stream with that key.
sub add {
    my ($self, $username, $key) = @_;
    $self->_submit('/admin/auth/user/add/', username => $username,
        password1 => 'of-no-consequence', password2 => 'of-no-consequence');
    my ($user) = $self->_address('auth/user', $username) =~ /(\d+)/;
    $self->_submit('/admin/boltstream/stream/add/', user => $user, key => $key);
    return;
}

###############################################################################
# Pages and forms

sub _change {
    my ($self, $model, $username, %fields) = @_;
    return $self->_submit($self->_address($model, $username), %fields);
}

# Where the list of a model leads to for a username.
sub _address {
    my ($self, $model, $username) = @_;
    for my $row ($self->_rows($model)) {
        return $1 if $row =~ /<a href="([^"?]*\/change\/)[^"]*">\Q$username\E<\/a>/;
    }
    die "admin: no $username in $model\n";
}

sub _rows {
    my ($self, $model) = @_;
    my ($body) = $self->_page("/admin/$model/") =~ /<table id="result_list">.*?<tbody>(.*?)<\/tbody>/s;
    return ($body // '') =~ /<tr>(.*?)<\/tr>/gs;
}

sub _page {
    my ($self, $path) = @_;
    my $answer = $self->_answer($self->{http}->get($self->{url} . $path, $self->_headers()));
    $answer->{status} == 200 or die "admin: GET $path: $answer->{status} $answer->{content}\n";
    return $answer->{content};
}

# Posts the form of a page as it is, but for these fields; undef takes one out.  The admin
# redirects from a form that it took, and shows one again that it did not.
sub _submit {
    my ($self, $path, %fields) = @_;
    my ($form) = $self->_page($path) =~ /<form [^>]*id="(?!logout)[\w-]+form"[^>]*>(.*?)<\/form>/s
        or die "admin: $path has no form\n";
    my %posted = (_fields($form), %fields);
    delete @posted{grep { !defined $posted{$_} } keys %posted};
    my $answer = $self->_answer($self->{http}->post_form($self->{url} . $path, \%posted, $self->_headers()));
    return if $answer->{status} == 302;
    my @errors = map { _text($_) } $answer->{content} =~ /<ul class="errorlist[^>]*>(.*?)<\/ul>/gs;
    die "admin: POST $path: $answer->{status} @errors\n";
}

# What a browser would send: name and value, or values.
sub _fields {
    my ($form) = @_;
    my %fields;

    for my $tag ($form =~ /<input\b([^>]*)>/g) {
        my %is   = _attributes($tag);
        my $type = $is{type} // 'text';
        next if !defined $is{name} || $type =~ /^(?:submit|button|file)$/;
        next if $type =~ /^(?:checkbox|radio)$/ && !exists $is{checked};
        $fields{$is{name}} = $is{value} // ($type eq 'checkbox' ? 'on' : '');
    }
    while ($form =~ /<select\b([^>]*)>(.*?)<\/select>/gs) {
        my ($options, %is) = ($2, _attributes($1));
        my @chosen = grep { exists $_->{selected} } map { {_attributes($_)} } $options =~ /<option\b([^>]*)>/g;
        $fields{$is{name}} = [map { $_->{value} } @chosen] if @chosen;
    }
    return %fields;
}

sub _attributes {
    my ($tag) = @_;
    my %is;
    $is{$1} = _text($2 // '') while $tag =~ /([\w-]+)(?:="([^"]*)")?/g;
    return %is;
}

sub _text {
    my ($html) = @_;
    my %entity = ('amp' => '&', 'lt' => '<', 'gt' => '>', 'quot' => '"', '#x27' => "'");
    return $html =~ s/<[^>]*>//gr =~ s/&(#?\w+);/$entity{$1} \/\/ "&$1;"/ger;
}

# The cookies of the session and of the forms go along.
sub _headers {
    my ($self) = @_;
    my $cookies = $self->{cookies};
    return { headers => { Cookie => join '; ', map { "$_=$cookies->{$_}" } sort keys %$cookies } };
}

sub _answer {
    my ($self, $answer) = @_;
    my $lines = $answer->{headers}{'set-cookie'} // [];
    for (ref $lines ? @$lines : $lines) { $self->{cookies}{$1} = $2 if /^([^=]+)=([^;]*)/ }
    return $answer;
}

1;
