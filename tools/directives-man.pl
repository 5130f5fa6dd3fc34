#!/usr/bin/perl
# Prints docs/directives.md as the manual page stagedoor(5), so that there is one text to keep right.
#
#   tools/directives-man.pl VERSION <docs/directives.md >objs/man/stagedoor.5
#
# It knows the Markdown that the page is written in. What it does not know ends it: a page with markup
# left in it would be wrong in silence.

use strict;
use warnings;
use open qw(:std :encoding(UTF-8));

my $version = shift // die "usage: $0 VERSION <MARKDOWN\n";
my @blocks  = blocks(do { local $/; <STDIN> });

print <<"END";
'\\" t
.TH STAGEDOOR 5 "" "Stagedoor $version" "Stagedoor"
.SH NAME
stagedoor \\- directives of the nginx module
END
print map { block($_) } @blocks;
print <<'END';
.SH SEE ALSO
.BR stagedoor (1),
.BR nginx (8)
END

# Paragraphs and their like, each a list of lines.  Code is one block with its empty lines.
sub blocks {
    my ($text) = @_;
    my (@code, @blocks);
    $text =~ s/^```\w*\n(.*?)^```$/push @code, $1; "\0$#code"/gems;
    $text =~ s/((?:^(?: {4}.*)?\n)+)/_indented($1, \@code)/gem;
    push @blocks, /\A\0(\d+)\z/ ? [code => split /\n/, $code[$1]] : [text => split /\n/] for split /\n{2,}/, $text;
    return @blocks;
}

sub _indented {
    my ($text, $code) = @_;
    return $text unless $text =~ /\S/;
    push @$code, $text =~ s/\A\n+|\n+\z//gr =~ s/^ {4}//gmr;
    return "\n\0$#$code\n\n";
}

sub block {
    my ($kind, @lines) = @{$_[0]};
    return '' unless @lines;
    return ".PP\n.in +4n\n.nf\n" . join('', map { line(literal($_)) } @lines) . ".fi\n.in\n" if $kind eq 'code';
    return heading(length $1, $2) . block([text => @lines[1 .. $#lines]]) if $lines[0] =~ /^(#+) (.*)/;
    return table(@lines)                                                 if $lines[0] =~ /^\|/;
    return items(@lines)                                                 if $lines[0] =~ /^- /;
    return ".PP\n" . join "\n.br\n", syntax(@lines), ''                  if $lines[0] =~ /^\*\*Syntax:/;
    s/^> ?// for @lines;
    return ".PP\n" . line(inline(join ' ', @lines));
}

sub heading {
    my ($depth, $text) = @_;
    return $depth == 1 ? '.SH ' . inline(uc $text) . "\n"
        :  $depth == 2 ? '.SS ' . inline($text) . "\n"
        :                ".PP\n.B " . inline($text) . "\n";
}

# **Syntax:**, **Default:** and **Context:** stand on a line each.
sub syntax {
    my @lines = @_;
    for (@lines) { /^\*\*(?:Syntax|Default|Context):\*\* / or die "not a line of a directive's head: $_\n" }
    return map { inline($_) } @lines;
}

sub items {
    my @items = map { s/^- // ? ".IP \\(bu 2\n" . $_ : $_ =~ s/^\s+//r } @_;
    return join '', map { /\A(\.IP.*\n)(.*)/ ? $1 . line(inline($2)) : line(inline($_)) } @items;
}

# "nokeep": a page that is paged at 120 columns, as lintian does, breaks inside tables.
sub table {
    my ($head, undef, @rows) = map { [map { s/^\s+|\s+$//gr } split /(?<!\\)\|/, s/^\||\|$//gr, -1] } @_;
    my $columns = @$head;
    my @widths  = $columns == 2 ? qw(lw(24n) lw(40n)) : qw(lw(16n) lw(20n) lw(27n));
    my @named   = grep { join '', @$_ } $head;
    return ".PP\n.TS\nnokeep tab(\t);\n" . join(' ', @widths) . ".\n"
        . join('', map { row($columns, @$_) } @named, @rows) . ".TE\n";
}

sub row {
    my ($columns, @cells) = @_;
    @cells == $columns or die "a row of other length: @cells\n";
    return join("\t", map { "T{\n.ad l\n" . line(inline($_) =~ s/([_,])/$1\\:/gr) . 'T}' } @cells) . "\n";
}

# Code, bold, italics and links; what is left of their markup is an error.
sub inline {
    my ($text) = @_;
    my @kept;
    my $keep = sub { push @kept, $_[0]; "\x01$#kept\x02" };
    $text =~ s/`([^`]*)`/$keep->('\fB' . literal($1) . '\fP')/ge;
    $text =~ s/\[([^\]]*)\]\([^)]*\)/$1/g;
    $text =~ s/\*\*(.+?)\*\*/$keep->("\\fB$1\\fP")/ge;
    $text =~ s/(?<![\w*])\*(\S.*?\S|\S)\*(?![\w*])/$keep->("\\fI$1\\fP")/ge;
    die "markup that this script does not know: $text\n" if $text =~ /[*`]|\]\(/;
    $text =~ s/\\\|/|/g;
    1 while $text =~ s/\x01(\d+)\x02/$kept[$1]/g;
    return $text;
}

sub literal { return $_[0] =~ s/\\\|/|/gr =~ s/\\/\\e/gr =~ s/-/\\-/gr =~ s/'/\\(aq/gr =~ s/\^/\\(ha/gr =~ s/~/\\(ti/gr }

# One that does not look like a request.
sub line { return ($_[0] =~ s/^([.'])/\\&$1/r) . "\n" }
